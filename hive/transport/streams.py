"""Streams: TLS 1.3 with both certificates, over TCP.

OpenSSL checks that a leaf is signed by an issuer of the federation and in its time. That alone
would let any issuer name any node, so the leaf is then bound to the one verified node record it
names, under the key of *that record's* issuer (`trust.tls.verify_leaf`). The accepting side
says an empty frame when it is satisfied, so `dial` returns only streams that both sides accept.

A stream without client certificate is allowed because a joiner has none yet and a node whose
record ended has none any more. It is `is_anonymous`, has a few places, a few small frames and a
short life; the layer above decides by invite or signature what it may ask.

`dial_unsafe_for_enrolment` is the other end of that: a joiner knows no issuer, so it cannot
check whom it reached. It may say only what is sealed by its invite's secret and believe only
what is; TLS then protects nothing but the traffic's shape.
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

import trio

from hive.errors import (
    ConfigError,
    HiveError,
    MalformedFrame,
    RemoteError,
    ResourceError,
    TransportError,
)
from hive.transport.addresses import Address, format_address
from hive.transport.contexts import ALPN_PREFIX, TlsContexts
from hive.transport.frames import FrameStream, StreamPeer, seconds
from hive.transport.ports import NodeBook, StreamHandler
from hive.transport.stream_config import StreamConfig
from hive.transport.turnstile import Turnstile
from hive.trust.tls import read_leaf_untrusted, verify_leaf
from hive.wire.ids import Inception

_ACCEPTED = b""


class StreamEnd(StrEnum):
    """Why an accepted stream ended early; the keys of `TlsStreams.ends`."""

    NO_PLACE = "no_place"
    HANDSHAKE = "handshake"
    UNKNOWN_NODE = "unknown_node"
    TOO_SLOW = "too_slow"
    SESSION = "session"


class TlsStreams:
    """Dials and accepts; `ends` counts what went wrong with accepted streams."""

    def __init__(self, config: StreamConfig, contexts: TlsContexts, book: NodeBook) -> None:
        self._config = config
        self._contexts = contexts
        self._book = book
        self._turnstile = Turnstile(config)
        self.ends: Counter[StreamEnd] = Counter()

    @property
    def accepted_count(self) -> int:
        """Streams accepted and still open, handshakes included."""
        return self._turnstile.count

    def trust_changed(self) -> None:
        """Takes the issuers in force from the book, for every stream from now on."""
        self._contexts.trust(self._book.issuer_anchors())

    # -- dialling

    async def dial(self, address: Address, expected: Inception) -> FrameStream:
        """A stream to exactly this node, accepted by both sides; raises `TransportError`."""
        tls = await self._connect(address, self._contexts.client())
        async with _closed_on_failure(tls):
            peer = self._bind(tls)
            if peer is None or peer.inception != expected:
                raise TransportError(f"{format_address(address)} is another node")
            stream = FrameStream(tls, self._config, address, peer)
            await self._await_acceptance(stream)
        return stream

    async def dial_unsafe_for_enrolment(self, address: Address) -> FrameStream:
        """A stream to whoever answers: only for content sealed by an invite's secret."""
        tls = await self._connect(address, self._contexts.unsafe_client())
        async with _closed_on_failure(tls):
            stream = FrameStream(tls, self._config, address, None)
            await self._await_acceptance(stream)
        return stream

    async def _connect(
        self, address: Address, context: ssl.SSLContext
    ) -> trio.SSLStream[trio.SocketStream]:
        place = format_address(address)
        try:
            with trio.fail_after(seconds(self._config.dial_deadline_us)):
                transport = await trio.open_tcp_stream(*address)
        except (OSError, trio.TooSlowError) as error:
            raise TransportError(f"nobody listens at {place}") from error
        try:
            async with _closed_on_failure(transport):
                return await self._handshake(transport, context, is_server=False)
        except (trio.BrokenResourceError, trio.TooSlowError, MalformedFrame) as error:
            raise TransportError(f"no handshake with {place}: {_cause(error)}") from error

    async def _await_acceptance(self, stream: FrameStream) -> None:
        try:
            with trio.fail_after(seconds(self._config.handshake_deadline_us)):
                said = await stream.receive()
        except (trio.TooSlowError, RemoteError, TransportError) as error:
            raise TransportError(f"{format_address(stream.address)} refused us") from error
        if said != _ACCEPTED:
            raise TransportError(f"{format_address(stream.address)} refused us")

    # -- accepting

    async def serve(
        self,
        address: Address,
        handler: StreamHandler,
        nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accepts until cancelled; every stream runs `handler` in the caller's nursery."""
        listeners = await trio.open_tcp_listeners(address[1], host=address[0])
        bound = listeners[0].socket.getsockname()
        task_status.started((bound[0], bound[1]))

        async def run(transport: trio.SocketStream) -> None:
            await self._admit(transport, handler)

        await trio.serve_listeners(run, listeners, handler_nursery=nursery)

    async def _admit(self, transport: trio.SocketStream, handler: StreamHandler) -> None:
        try:
            name = transport.socket.getpeername()
        except OSError:
            name = None
        address: Address = ("", 0) if name is None else (name[0], name[1])
        if name is None or not self._turnstile.enter(address):
            self.ends[StreamEnd.NO_PLACE] += 1
            await trio.aclose_forcefully(transport)
            return
        try:
            await self._accept(transport, address, handler)
        finally:
            self._turnstile.leave(address)
            await trio.aclose_forcefully(transport)

    async def _accept(
        self, transport: trio.SocketStream, address: Address, handler: StreamHandler
    ) -> None:
        try:
            tls = await self._handshake(transport, self._contexts.server(), is_server=True)
            peer = self._bind(tls)
        except trio.TooSlowError:
            self.ends[StreamEnd.TOO_SLOW] += 1
            return
        except (trio.BrokenResourceError, MalformedFrame, ConfigError):
            self.ends[StreamEnd.HANDSHAKE] += 1  # ConfigError: we have no leaf to show yet
            return
        except TransportError:
            self.ends[StreamEnd.UNKNOWN_NODE] += 1
            return
        if peer is not None:
            await self._converse(FrameStream(tls, self._config, address, peer), handler)
        elif self._turnstile.enter_anonymous():
            try:
                stream = FrameStream(tls, self._config, address, None, is_bounded=True)
                with trio.move_on_after(seconds(self._config.anonymous_life_us)):
                    await self._converse(stream, handler)
            finally:
                self._turnstile.leave_anonymous()
        else:
            self.ends[StreamEnd.NO_PLACE] += 1

    async def _converse(self, stream: FrameStream, handler: StreamHandler) -> None:
        """Runs one session; what the other side or the network did ends it and nothing else."""
        try:
            await stream.send(_ACCEPTED)
            await handler(stream)
            await stream.aclose()
        except (RemoteError, ResourceError):
            self.ends[StreamEnd.SESSION] += 1

    # -- both

    async def _handshake(
        self, transport: trio.SocketStream, context: ssl.SSLContext, *, is_server: bool
    ) -> trio.SSLStream[trio.SocketStream]:
        tls = trio.SSLStream(transport, context, server_side=is_server)
        with trio.fail_after(seconds(self._config.handshake_deadline_us)):
            await tls.do_handshake()
        if not (tls.selected_alpn_protocol() or "").startswith(ALPN_PREFIX):
            raise MalformedFrame("the other side speaks no version of hive that we do")
        return tls

    def _bind(self, tls: trio.SSLStream[trio.SocketStream]) -> StreamPeer | None:
        """Who the certificate says, if a verified record agrees; None without a certificate."""
        der = tls.getpeercert(binary_form=True)
        if der is None:
            return None
        name = read_leaf_untrusted(der)
        known = self._book.node(name.inception, name.node_record_id)
        if known is None or not verify_leaf(der, known.record, known.issuer_key):
            raise TransportError("no verified node record agrees with the certificate")
        return StreamPeer(name.inception, name.org, name.node_record_id, der)


@asynccontextmanager
async def _closed_on_failure(stream: trio.abc.AsyncResource) -> AsyncIterator[None]:
    """Else the other side of a failed handshake would wait for ever."""
    is_good = False
    try:
        yield
        is_good = True
    finally:
        if not is_good:
            await trio.aclose_forcefully(stream)


def _cause(error: BaseException) -> str:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return str(cause.verify_message)
    return type(error).__name__ if not isinstance(error, HiveError) else str(error)
