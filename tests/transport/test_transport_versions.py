"""Goal: two protocol versions live side by side, nobody between can lower the one agreed on, and
only who lies below the floor is refused. Method: machines of different versions, and TLS.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from datagram_world import Host, World
from stream_nodes import Issuer, Member, book_of, served

from hive.errors import TransportError
from hive.transport import packets
from hive.transport.contexts import TlsContexts
from hive.transport.events import Drop, IdentityRenewed, PeerReached, Transmit
from hive.transport.stream_config import StreamConfig
from hive.transport.streams import TlsStreams
from hive.trust.keys import Ed25519Key
from hive.wire.clock import SECOND_US
from hive.wire.version import OWN, Versions

OLD, BOTH, NEW = Versions(1, 1), Versions(1, 2), Versions(2, 2)


def speaking(world: World, name: str, versions: Versions) -> Host:
    host = world.host(name)
    host.handle(IdentityRenewed(replace(host.identity, versions=versions)))
    return host


def versions_reached(host: Host) -> list[int]:
    return [news.version for news in host.news if isinstance(news, PeerReached)]


@pytest.mark.parametrize(
    ("one", "other", "agreed"),
    [
        (OLD, OLD, 1), (OLD, BOTH, 1), (BOTH, OLD, 1), (BOTH, BOTH, 2), (BOTH, NEW, 2),
        (OLD, NEW, None), (Versions(0, 0), OLD, None), (Versions(9, 1), OLD, None),
    ],
)  # fmt: skip
def test_the_newest_that_both_speak_is_agreed_on(
    one: Versions, other: Versions, agreed: int | None
) -> None:
    assert one.agreed(other) == other.agreed(one) == agreed


@pytest.mark.parametrize(
    ("caller", "callee", "agreed"),
    [(OLD, BOTH, 1), (BOTH, OLD, 1), (BOTH,) * 2 + (2,), (NEW, BOTH, 2)],
)
def test_old_and_new_meet_in_the_newest_version_of_both(
    caller: Versions, callee: Versions, agreed: int
) -> None:
    world = World()
    alice, bob = speaking(world, "alice", caller), speaking(world, "bob", callee)
    alice.dial(bob)
    world.run(5 * SECOND_US)
    assert versions_reached(alice) == versions_reached(bob) == [agreed]
    alice.say(bob, b"hello")
    world.run(5 * SECOND_US)
    assert bob.heard == [b"hello"]


@pytest.mark.parametrize(("caller", "callee"), [(OLD, NEW), (NEW, OLD)])
def test_below_the_floor_is_refused_and_both_sides_count_why(
    caller: Versions, callee: Versions
) -> None:
    world = World()
    alice, bob = speaking(world, "alice", caller), speaking(world, "bob", callee)
    alice.dial(bob)
    world.run(5 * SECOND_US)
    assert alice.unreachable
    assert not alice.reached
    assert not bob.reached
    assert alice.machine.drops[Drop.VERSION] == bob.machine.drops[Drop.VERSION] == 1
    assert bob.machine.state_count == 0


def test_who_lowers_the_versions_on_the_way_makes_no_contact() -> None:
    world = World()
    alice, bob = speaking(world, "alice", BOTH), speaking(world, "bob", BOTH)
    at = 1 + packets.CONVERSATION_BYTES

    def lowered(datagram: bytes) -> bytes:
        place = {packets.HELLO: at, packets.CLAIM: at + 24}.get(datagram[0])
        if place is None:
            return datagram
        return datagram[:place] + OLD.to_bytes() + datagram[place + 2 :]

    honest = world.send
    world.send = lambda source, sent: honest(  # type: ignore[method-assign]
        source, Transmit(sent.address, lowered(sent.datagram))
    )
    alice.dial(bob)
    world.run(5 * SECOND_US)
    assert not alice.reached
    assert not bob.reached
    assert alice.machine.drops[Drop.VERSION] >= 1


def test_streams_speak_the_newest_of_both_and_refuse_below_the_floor() -> None:
    issuer = Issuer.make(Ed25519Key(b"v" * 32))
    server, client = Member.make("server", issuer), Member.make("client", issuer)
    book = book_of([issuer], (server, issuer), (client, issuer))

    def streams(member: Member, versions: Versions) -> TlsStreams:
        contexts = TlsContexts(member.pem, book.issuer_anchors(), versions)
        return TlsStreams(StreamConfig.for_lan(), contexts, book)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            address = await served(streams(server, BOTH), nursery)
            named = server.record.inception
            for versions in (OLD, BOTH, NEW):
                stream = await streams(client, versions).dial(address, named)
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"
                await stream.abort()
            with pytest.raises(TransportError):
                await streams(client, Versions(3, 3)).dial(address, named)
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_this_code_speaks_a_range() -> None:
    assert OWN.agreed(OWN) == OWN.newest
