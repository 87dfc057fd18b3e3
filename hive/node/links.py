"""Streams to peers: one each, with a bounded outbox that never makes the peer wait.

The one with the smaller peer id dials, the other where that does not happen in time. A frame
that does not fit an outbox is dropped and counted: reconciliation brings what was lost. A second
stream from the same peer replaces the first, because a peer that restarted knows better.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio

from hive.errors import HiveError, RemoteError, ResourceError
from hive.protocol import events as ev
from hive.transport.frames import FrameStream, StreamPeer
from hive.transport.ports import StreamCarrier
from hive.wire.ids import PeerId, peer_id

OUTBOX_FRAMES_MAX = 512
OUTBOX_BYTES_MAX = 32 * 1024 * 1024
OUTBOXES_BYTES_MAX = 256 * 1024 * 1024
"""All outboxes together; beyond it only who has little waiting gets more."""
FAIR_BYTES = 1024 * 1024
"""What waits for one peer whatever waits for the others."""


@dataclass(slots=True)
class _Link:
    stream: FrameStream
    outbox: trio.MemorySendChannel[bytes]
    pending: trio.MemoryReceiveChannel[bytes]
    queued_bytes: int = 0


class Links:
    """Every open stream; `post` takes the peer's events, `desk` serves anonymous streams."""

    def __init__(
        self,
        carrier: StreamCarrier,
        post: Callable[[ev.Event], None],
        has_room: Callable[[], Awaitable[None]],
        desk: Callable[[FrameStream, bytes], Awaitable[bool]],
    ) -> None:
        self._carrier = carrier
        self._post = post
        self._has_room = has_room
        self._desk = desk
        self._links: dict[PeerId, _Link] = {}
        self._dialling: dict[PeerId, None] = {}
        self._nursery: trio.Nursery | None = None
        self._queued_bytes = 0
        self.drops: Counter[str] = Counter()

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """Everybody to whom a stream is open."""
        return tuple(self._links)

    async def run(
        self, addresses: Sequence[tuple[str, int]], *, task_status: trio.TaskStatus[list[int]]
    ) -> None:
        """Accepts streams and keeps them until cancelled; starts with the ports."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery

            async def serve(
                address: tuple[str, int], *, task_status: trio.TaskStatus[tuple[str, int]]
            ) -> None:
                await self._carrier.serve(address, self._accepted, nursery, task_status=task_status)

            bound = [await nursery.start(serve, address) for address in addresses]
            task_status.started([port for _, port in bound])
            await trio.sleep_forever()

    def open(self, wanted: ev.OpenStream) -> None:
        """Dials in the background; says `StreamClosed` where nobody answers rightly."""
        if self._nursery is None or wanted.peer in self._links or wanted.peer in self._dialling:
            return
        self._dialling[wanted.peer] = None
        self._nursery.start_soon(self._dial, wanted)

    async def _dial(self, wanted: ev.OpenStream) -> None:
        try:
            stream = await self._carrier.dial((wanted.host, wanted.tls_port), wanted.node)
        except HiveError:
            self.drops["dial"] += 1
            if wanted.peer not in self._links:  # meanwhile it may have dialled us
                self._post(ev.StreamClosed(wanted.peer))
            return
        finally:
            self._dialling.pop(wanted.peer, None)
        try:
            await self._hold(wanted.peer, stream)
        except (RemoteError, ResourceError):
            self.drops["session"] += 1
        finally:
            with trio.CancelScope(shield=True):
                await stream.abort()

    async def _accepted(self, stream: FrameStream) -> None:
        if stream.peer is None:
            await self._serve_anonymous(stream)
            return
        await self._hold(peer_id(stream.peer.inception, stream.peer.org), stream)

    async def _serve_anonymous(self, stream: FrameStream) -> None:
        """Enrolment and renewal; a few small frames, then goodbye."""
        while (untrusted := await stream.receive()) is not None:
            if not await self._desk(stream, untrusted):
                return

    async def _hold(self, peer: PeerId, stream: FrameStream) -> None:
        """Runs one stream until it ends; both directions."""
        outbox, pending = trio.open_memory_channel[bytes](OUTBOX_FRAMES_MAX)
        link = _Link(stream, outbox, pending)
        before = self._links.pop(peer, None)
        self._links[peer] = link
        if before is not None:
            before.outbox.close()
            self._post(ev.StreamClosed(peer))
        self._post(ev.StreamOpened(peer))
        try:
            if before is not None:
                await before.stream.abort()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send, link)
                await self._receive(peer, link)
                nursery.cancel_scope.cancel()
        except* (RemoteError, ResourceError):
            self.drops["stream_broken"] += 1
        finally:
            outbox.close()
            self._queued_bytes -= link.queued_bytes
            link.queued_bytes = 0
            if self._links.get(peer) is link:
                del self._links[peer]
                self._post(ev.StreamClosed(peer))

    async def _send(self, link: _Link) -> None:
        async for payload in link.pending:
            link.queued_bytes -= len(payload)
            self._queued_bytes -= len(payload)
            await link.stream.send(payload)

    async def _receive(self, peer: PeerId, link: _Link) -> None:
        while (untrusted := await link.stream.receive()) is not None:
            if not await self._desk(link.stream, untrusted):
                self._post(ev.FrameReceived(peer, untrusted))
            await self._has_room()

    def send(self, receiver: PeerId, payload: bytes) -> None:
        """Puts a frame into a peer's outbox, or drops and counts it."""
        link = self._links.get(receiver)
        if link is None:
            self.drops["no_stream"] += 1
            return
        waiting = link.queued_bytes + len(payload)
        is_crowded = self._queued_bytes > OUTBOXES_BYTES_MAX and waiting > FAIR_BYTES
        if is_crowded or waiting > OUTBOX_BYTES_MAX:
            self.drops["outbox_bytes"] += 1
            return
        try:
            link.outbox.send_nowait(payload)
        except (trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            self.drops["outbox_full"] += 1
            return
        link.queued_bytes += len(payload)
        self._queued_bytes += len(payload)

    def ends(self) -> list[StreamPeer]:
        """Who is at the other ends of the open streams, as their leaves say."""
        held = [link.stream.peer for link in self._links.values()]
        return [peer for peer in held if peer is not None]

    def waiting_bytes(self, peer: PeerId) -> int:
        """What waits in a peer's outbox; 0 where there is no stream."""
        link = self._links.get(peer)
        return link.queued_bytes if link is not None else 0

    def close_ended(self, still_counts: Callable[[StreamPeer], bool]) -> None:
        """Closes streams whose node's record ended while they were open, contact or not."""
        for peer, link in list(self._links.items()):
            if link.stream.peer is not None and not still_counts(link.stream.peer):
                self.close(peer)

    def close_all(self) -> None:
        """Closes every stream: they hang on an address that is no longer ours."""
        for peer in self.peers:
            self.close(peer)

    def close(self, peer: PeerId) -> None:
        """Closes the stream to a peer whose record ended or was revoked."""
        link = self._links.get(peer)
        if link is not None and self._nursery is not None:
            self._nursery.start_soon(link.stream.abort)


def free_port_like(host: str, port: int) -> int:
    """The same port for streams where it is free for them too, else 0: any that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return 0
    return port
