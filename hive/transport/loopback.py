"""A network inside one process, under the same contract as sockets.

Identities are given, not proven: for tests and demonstrations of what lies above transport,
never between processes. Datagrams are lost when a receiver's inbox is full; streams carry
frames through the same `FrameStream`, with the same bounds and deadlines.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

import trio

from hive.errors import RemoteError, ResourceError, TransportError
from hive.transport.addresses import Address, format_address
from hive.transport.frames import FrameStream, StreamPeer, seconds
from hive.transport.packets import DATAGRAM_BYTES_MAX
from hive.transport.ports import StreamHandler
from hive.transport.stream_config import StreamConfig
from hive.transport.turnstile import Turnstile
from hive.wire.ids import Inception

_FIRST_FREE_PORT: Final = 49_152
_INBOX_COUNT: Final = 1_024
_DRAIN_COUNT: Final = 256
_CHUNKS: Final = 16
_ACCEPTED: Final = b""


class LoopbackNetwork:
    """Who receives where; one instance is one network."""

    def __init__(self) -> None:
        self.carriers: dict[Address, LoopbackCarrier] = {}
        self.listeners: dict[Address, LoopbackListener] = {}
        self._port = _FIRST_FREE_PORT

    def free_port(self) -> int:
        """A port that nobody was given."""
        self._port += 1
        return self._port


class LoopbackCarrier:
    """Datagrams between carriers of one network."""

    def __init__(self, network: LoopbackNetwork, address: Address) -> None:
        if not address[1]:
            address = (address[0], network.free_port())
        if address in network.carriers:
            raise TransportError(f"cannot bind {format_address(address)}", hint="it is taken")
        network.carriers[address] = self
        self._network = network
        self._address = address
        self._inbox: deque[tuple[Address, bytes]] = deque()
        self._has_incoming = trio.Event()
        self._is_closed = False

    @property
    def address(self) -> Address:
        """Where this carrier receives."""
        return self._address

    def transmit(self, address: Address, datagram: bytes) -> None:
        """Delivers at once, or loses it; never waits, never raises."""
        receiver = self._network.carriers.get(address)
        if receiver is not None and len(datagram) <= DATAGRAM_BYTES_MAX:
            receiver.put(self._address, datagram)

    def put(self, source: Address, datagram: bytes) -> None:
        """Takes a datagram that somebody sent here."""
        if len(self._inbox) < _INBOX_COUNT:
            self._inbox.append((source, datagram))
            self._has_incoming.set()

    async def receive(self) -> list[tuple[Address, bytes]]:
        """Waits for at least one datagram and gives all that are there, up to a bound."""
        await trio.lowlevel.checkpoint()
        while not self._inbox and not self._is_closed:
            self._has_incoming = trio.Event()
            await self._has_incoming.wait()
        if self._is_closed:
            raise TransportError("the socket is closed")
        return [self._inbox.popleft() for _ in range(min(len(self._inbox), _DRAIN_COUNT))]

    async def flush(self) -> None:
        """There is no outbox; waits until cancelled."""
        await trio.sleep_forever()

    def close(self) -> None:
        """Gives the address back; whoever waits gets `TransportError`."""
        self._network.carriers.pop(self._address, None)
        self._is_closed = True
        self._has_incoming.set()


class _Pipe(trio.abc.Stream):
    """Bytes both ways through two bounded channels."""

    def __init__(
        self,
        outward: trio.MemorySendChannel[bytes],
        inward: trio.MemoryReceiveChannel[bytes],
    ) -> None:
        self._outward = outward
        self._inward = inward
        self._rest = b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._outward.send(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if not self._rest:
            try:
                self._rest = await self._inward.receive()
            except trio.EndOfChannel:
                return b""
        count = len(self._rest) if max_bytes is None else max_bytes
        chunk, self._rest = self._rest[:count], self._rest[count:]
        return chunk

    async def aclose(self) -> None:
        self._outward.close()
        self._inward.close()
        await trio.lowlevel.checkpoint()


def pipe() -> tuple[trio.abc.Stream, trio.abc.Stream]:
    """Two ends of one stream of bytes."""
    there_in, there_out = trio.open_memory_channel[bytes](_CHUNKS)
    back_in, back_out = trio.open_memory_channel[bytes](_CHUNKS)
    return _Pipe(there_in, back_out), _Pipe(back_in, there_out)


class LoopbackListener:
    """One address that accepts streams."""

    def __init__(self, own: StreamPeer, turnstile: Turnstile) -> None:
        self.own = own
        self._turnstile = turnstile
        self._arrivals, self.arriving = trio.open_memory_channel[FrameStream](_CHUNKS)

    def offer(self, stream: FrameStream) -> bool:
        """Hands over the accepting end; False where there is no place."""
        if not self._turnstile.enter(stream.address):
            return False
        if stream.is_anonymous and not self._turnstile.enter_anonymous():
            self._turnstile.leave(stream.address)
            return False
        try:
            self._arrivals.send_nowait(stream)
        except (trio.WouldBlock, trio.BrokenResourceError):
            self.leave(stream)
            return False
        return True

    def leave(self, stream: FrameStream) -> None:
        """Gives back what `offer` took."""
        if stream.is_anonymous:
            self._turnstile.leave_anonymous()
        self._turnstile.leave(stream.address)


class LoopbackStreams:
    """Streams between nodes of one network; `own` is believed by everybody."""

    def __init__(
        self, network: LoopbackNetwork, config: StreamConfig, address: Address, own: StreamPeer
    ) -> None:
        self._network = network
        self._config = config
        self._address = address
        self._own = own
        self._turnstile = Turnstile(config)

    @property
    def accepted_count(self) -> int:
        """Streams accepted and still open."""
        return self._turnstile.count

    async def dial(self, address: Address, expected: Inception) -> FrameStream:
        """A stream to exactly this node; raises `TransportError`."""
        return await self._dial(address, self._own, expected)

    async def dial_unsafe_for_enrolment(self, address: Address) -> FrameStream:
        """A stream to whoever answers, without a name."""
        return await self._dial(address, None, None)

    async def _dial(
        self, address: Address, own: StreamPeer | None, expected: Inception | None
    ) -> FrameStream:
        await trio.lowlevel.checkpoint()
        listener = self._network.listeners.get(address)
        if listener is None:
            raise TransportError(f"nobody listens at {format_address(address)}")
        if expected is not None and listener.own.inception != expected:
            raise TransportError(f"{format_address(address)} is another node")
        here, there = pipe()
        peer = listener.own if expected is not None else None
        accepting = FrameStream(there, self._config, self._address, own, is_bounded=own is None)
        stream = FrameStream(here, self._config, address, peer)
        if not listener.offer(accepting) or await stream.receive() != _ACCEPTED:
            await stream.abort()
            raise TransportError(f"{format_address(address)} refused us")
        return stream

    async def serve(
        self,
        address: Address,
        handler: StreamHandler,
        nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accepts until cancelled; every stream runs `handler` in the caller's nursery."""
        bound = address if address[1] else (address[0], self._network.free_port())
        listener = LoopbackListener(self._own, self._turnstile)
        self._network.listeners[bound] = listener
        task_status.started(bound)
        try:
            async for stream in listener.arriving:
                nursery.start_soon(self._converse, listener, stream, handler)
        finally:
            del self._network.listeners[bound]
            listener.arriving.close()

    async def _converse(
        self, listener: LoopbackListener, stream: FrameStream, handler: StreamHandler
    ) -> None:
        life_us = self._config.anonymous_life_us
        try:
            with trio.move_on_after(seconds(life_us) if stream.is_anonymous else inf):
                await stream.send(_ACCEPTED)
                await handler(stream)
        except (RemoteError, ResourceError):
            return
        finally:
            listener.leave(stream)
            await stream.abort()
