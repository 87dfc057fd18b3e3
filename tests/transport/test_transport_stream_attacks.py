"""Goal: no stranger holds or breaks what it should not. Method: real sockets, each attack."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from stream_nodes import Book, Issuer, Member, book_of, echo, served, tls

from hive.errors import ConfigError, TransportError
from hive.transport.contexts import TlsContexts, alpn_of
from hive.transport.frames import FrameStream
from hive.transport.loopback import pipe
from hive.transport.stream_config import StreamConfig
from hive.transport.streams import StreamEnd, TlsStreams
from hive.trust.keys import Ed25519Key, P256Key
from hive.trust.tls import issue_leaf, issuer_anchor
from hive.wire.clock import MILLISECOND_US
from hive.wire.version import OWN

ACME = Issuer.make(Ed25519Key(b"a" * 32))
EVIL = Issuer.make(Ed25519Key(b"e" * 32), org="evil")
SERVER, CLIENT = Member.make("server", ACME), Member.make("client", ACME)
BOOK = book_of([ACME], (SERVER, ACME), (CLIENT, ACME))
Address = tuple[str, int]
Scene = Callable[[TlsStreams, Address], Awaitable[None]]


def serve(
    scene: Scene,
    *,
    book: Book = BOOK,
    config: StreamConfig | None = None,
    member: Member = SERVER,
    host: str = "127.0.0.1",
) -> None:
    """Runs a scene against a server that must still serve an honest client afterwards."""

    async def main() -> None:
        server = tls(member, book, config)
        async with trio.open_nursery() as nursery:
            address = await served(server, nursery, echo, (host, 0))
            with trio.fail_after(20):
                await scene(server, address)
            nursery.cancel_scope.cancel()

    trio.run(main)


async def honest(address: Address) -> None:
    stream = await tls(CLIENT, BOOK).dial(address, SERVER.inception)
    await stream.send(b"still there?")
    assert await stream.receive() == b"still there?"
    await stream.aclose()


async def until_empty(server: TlsStreams) -> None:
    while server.accepted_count:
        await trio.lowlevel.checkpoint()


def refused_client(member: Member, book: Book = BOOK, server_book: Book = BOOK) -> None:
    async def scene(server: TlsStreams, address: Address) -> None:
        with pytest.raises(TransportError):
            await tls(member, book).dial(address, SERVER.inception)
        await until_empty(server)
        assert server.ends.total() == 1
        await honest(address)

    serve(scene, book=server_book)


def refused_server(member: Member, client_book: Book = BOOK) -> None:
    async def scene(server: TlsStreams, address: Address) -> None:
        with pytest.raises(TransportError):
            await tls(CLIENT, client_book).dial(address, SERVER.inception)
        await until_empty(server)

    serve(scene, member=member)


# -- certificates


def test_a_client_of_an_unknown_issuer_is_refused() -> None:
    refused_client(Member.make("client", EVIL))


def test_a_client_of_another_federation_is_refused() -> None:
    other = Issuer.make(Ed25519Key(b"o" * 32), federation="other")
    refused_client(Member.make("client", other))


def test_an_expired_client_is_refused() -> None:
    member = Member.make("client", ACME, not_after_ms=2 * 24 * 3_600_000)
    refused_client(
        member, server_book=book_of([ACME], (SERVER, ACME), (CLIENT, ACME), (member, ACME))
    )


def test_a_client_whose_record_has_not_begun_is_refused() -> None:
    member = Member.make("client", ACME, not_before_ms=3_900_000_000_000)
    refused_client(
        member, server_book=book_of([ACME], (SERVER, ACME), (CLIENT, ACME), (member, ACME))
    )


def test_a_client_without_known_record_is_refused() -> None:
    refused_client(Member.make("stranger", ACME))


def test_an_issuer_cannot_name_another_orgs_node() -> None:
    both = book_of([ACME, EVIL], (SERVER, ACME), (CLIENT, ACME))
    forged = Member(CLIENT.key, CLIENT.record, issue_leaf(CLIENT.record, EVIL.record, EVIL.key))
    refused_client(forged, server_book=both)


def test_an_issuer_that_copies_the_victims_issuer_name_is_refused() -> None:
    mimic = Issuer.make(Ed25519Key(b"m" * 32))
    mimic.record = Issuer.make(Ed25519Key(b"a" * 32)).record
    mimic = Issuer(
        mimic.key, type(mimic.record)(**{**_fields(mimic.record), "key": mimic.key.public})
    )
    refused_client(Member.make("client", ACME, signed_by=mimic))


def _fields(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__slots__}  # type: ignore[attr-defined]


def test_a_server_of_an_unknown_issuer_is_refused() -> None:
    refused_server(Member.make("server", EVIL))


def test_an_expired_server_is_refused() -> None:
    member = Member.make("server", ACME, not_after_ms=2 * 24 * 3_600_000)
    refused_server(member, book_of([ACME], (member, ACME), (CLIENT, ACME)))


def test_a_server_without_known_record_is_refused() -> None:
    refused_server(Member.make("stranger", ACME))


def test_p256_issuers_and_nodes_are_accepted() -> None:
    issuer = Issuer.make(P256Key(b"p" * 32))
    server, client = Member.make("server", issuer), Member.make("client", issuer)
    book = book_of([issuer], (server, issuer), (client, issuer))

    async def scene(_: TlsStreams, address: Address) -> None:
        stream = await tls(client, book).dial(address, server.inception)
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"
        await stream.aclose()

    serve(scene, book=book, member=server)


def test_trust_is_replaced_while_running() -> None:
    book = book_of([ACME, EVIL], (SERVER, ACME), (CLIENT, ACME))
    rival = Member.make("rival", EVIL)
    book.nodes.update(book_of([], (rival, EVIL)).nodes)

    async def scene(server: TlsStreams, address: Address) -> None:
        stream = await tls(rival, book).dial(address, SERVER.inception)
        book.anchors.remove(issuer_anchor(EVIL.record))
        server.trust_changed()
        with pytest.raises(TransportError):
            await tls(rival, BOOK).dial(address, SERVER.inception)
        await stream.send(b"open streams are the node's to close")
        assert await stream.receive() is not None
        await stream.aclose()
        await honest(address)

    serve(scene, book=book)


def test_a_node_without_leaf_cannot_serve() -> None:
    with pytest.raises(ConfigError):
        TlsContexts(None, []).server()


# -- bytes and time


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(1_000),
        b"\xff" * 20_000,
        b"\x16\x03\x01\xff\xff" + bytes(99),
    ],
)
def test_garbage_on_the_tls_port_ends_that_connection_only(junk: bytes) -> None:
    async def scene(server: TlsStreams, address: Address) -> None:
        raw = await trio.open_tcp_stream(*address)
        await raw.send_all(junk)
        await raw.send_eof()
        await until_empty(server)
        assert server.ends[StreamEnd.HANDSHAKE] == 1
        await raw.aclose()
        await honest(address)

    serve(scene)


def test_a_client_that_resets_inside_the_handshake_ends_that_connection_only() -> None:
    async def scene(server: TlsStreams, address: Address) -> None:
        raw = await trio.open_tcp_stream(*address)
        while not server.accepted_count:
            await trio.lowlevel.checkpoint()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        await raw.aclose()
        await until_empty(server)
        assert server.ends[StreamEnd.HANDSHAKE] == 1
        await honest(address)

    serve(scene)


def test_a_half_open_connection_loses_its_place_at_the_handshake_deadline() -> None:
    config = StreamConfig(handshake_deadline_us=50 * MILLISECOND_US)

    async def scene(server: TlsStreams, address: Address) -> None:
        silent = [await trio.open_tcp_stream(*address) for _ in range(10)]
        while server.ends[StreamEnd.TOO_SLOW] < 10:
            await trio.lowlevel.checkpoint()
        await until_empty(server)
        for raw in silent:
            await raw.aclose()

    serve(scene, config=config)


def test_a_client_of_tls_1_2_is_refused() -> None:
    async def scene(server: TlsStreams, address: Address) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        raw = trio.SSLStream(await trio.open_tcp_stream(*address), context)
        with pytest.raises(trio.BrokenResourceError):
            await raw.do_handshake()
        await trio.aclose_forcefully(raw)
        await until_empty(server)
        await honest(address)

    serve(scene)


def test_another_protocol_is_refused() -> None:
    async def scene(server: TlsStreams, address: Address) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        assert "h2" not in alpn_of(OWN)
        context.set_alpn_protocols(["h2"])
        raw = trio.SSLStream(await trio.open_tcp_stream(*address), context)
        try:
            await raw.do_handshake()
            assert not await raw.receive_some(1)
        except trio.BrokenResourceError:
            pass
        await trio.aclose_forcefully(raw)
        await until_empty(server)
        assert server.ends[StreamEnd.HANDSHAKE] == 1
        await honest(address)

    serve(scene)


def test_ipv6_serves_the_same(socket_v6: str) -> None:
    async def scene(_: TlsStreams, address: Address) -> None:
        await honest(address)

    serve(scene, host=socket_v6)


@pytest.fixture
def socket_v6() -> str:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    return "::1"


def slow(scene: Callable[[FrameStream, trio.abc.Stream], Awaitable[None]]) -> None:
    """Virtual time: an hour passes in a moment."""

    async def main() -> None:
        here, there = pipe()
        config = StreamConfig()
        await scene(FrameStream(here, config, ("peer", 1), None), there)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_silent_stream_ends_at_the_idle_deadline() -> None:
    async def scene(stream: FrameStream, _: trio.abc.Stream) -> None:
        with pytest.raises(TransportError, match="slow"):
            await stream.receive()
        assert trio.current_time() == pytest.approx(120, abs=0.1)

    slow(scene)


def test_a_dripping_frame_ends_at_the_frame_deadline() -> None:
    async def scene(stream: FrameStream, other: trio.abc.Stream) -> None:
        async def drip() -> None:
            await other.send_all((1_000).to_bytes(4, "big"))
            while True:
                await other.send_all(b"x")
                await trio.sleep(5)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip)
            with pytest.raises(TransportError, match="slow"):
                await stream.receive()
            assert trio.current_time() == pytest.approx(30, abs=0.1)
            nursery.cancel_scope.cancel()

    slow(scene)


def test_a_reader_that_does_not_read_ends_the_senders_patience() -> None:
    async def scene(stream: FrameStream, _: trio.abc.Stream) -> None:
        async def push() -> None:
            for _number in range(100):
                await stream.send(bytes(1_000))

        with pytest.raises(TransportError, match="slow"):
            await push()
        assert trio.current_time() == pytest.approx(30, abs=0.1)

    slow(scene)


def test_a_node_without_a_leaf_turns_callers_away_and_lives() -> None:
    async def main() -> None:
        server = tls(None, BOOK)
        async with trio.open_nursery() as nursery:
            address = await served(server, nursery, echo, ("127.0.0.1", 0))
            with trio.fail_after(20):
                with pytest.raises(TransportError):
                    await tls(CLIENT, BOOK).dial(address, SERVER.inception)
                await until_empty(server)
                assert server.ends == {StreamEnd.HANDSHAKE: 1}
                server._contexts.present(SERVER.pem)
                await honest(address)
            nursery.cancel_scope.cancel()

    trio.run(main)
