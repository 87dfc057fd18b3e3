"""A stream of frames over a stream of bytes: bounded both ways, patient only so long."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass

import trio

from hive.errors import MalformedFrame, ProtocolViolation, StateError, TransportError
from hive.transport.addresses import Address
from hive.transport.stream_config import StreamConfig
from hive.wire.clock import SECOND_US
from hive.wire.framing import FrameReader, frame
from hive.wire.ids import Inception, RecordId


@dataclass(frozen=True, slots=True)
class StreamPeer:
    """Who holds the other end, as its certificate and a verified node record say."""

    inception: Inception
    org: Inception
    node_record_id: RecordId
    der: bytes


def seconds(duration_us: int) -> float:
    """Trio's unit."""
    return duration_us / SECOND_US


class FrameStream:
    """One task may receive and any may send. `peer` is None on an anonymous stream."""

    def __init__(
        self,
        bytes_stream: trio.abc.Stream,
        config: StreamConfig,
        address: Address,
        peer: StreamPeer | None,
        *,
        is_bounded: bool = False,
    ) -> None:
        self._stream = bytes_stream
        self._config = config
        self.address = address
        self.peer = peer
        cap = config.anonymous_frame_bytes_max if is_bounded else config.frame_bytes_max
        self._reader = FrameReader(cap)
        self._frames_left = config.anonymous_frame_count_max if is_bounded else None
        self._ready: deque[bytes] = deque()
        self._send_lock = trio.Lock()

    @property
    def is_anonymous(self) -> bool:
        """Whether nothing is known of the other end: only enrolment and renewal may follow."""
        return self.peer is None

    async def send(self, payload: bytes) -> None:
        """Sends one frame; raises `StateError` when it is too large, else `TransportError`."""
        if len(payload) > self._config.frame_bytes_max:
            raise StateError(f"a frame of {len(payload)} bytes exceeds the cap; split it")
        with self._ending("send"), trio.fail_after(seconds(self._config.frame_deadline_us)):
            async with self._send_lock:
                await self._stream.send_all(frame(payload))

    async def receive(self) -> bytes | None:
        """The next frame, None at a clean end.

        Raises `MalformedFrame` (too large, cut), `ProtocolViolation` (beyond an anonymous
        stream's budget) or `TransportError` (broken, too slow); the stream is then over.
        """
        began_at = trio.current_time()
        while not self._ready:
            limit_us = (
                self._config.frame_deadline_us
                if self._reader.is_mid_frame
                else self._config.idle_deadline_us
            )
            with self._ending("receive"), trio.fail_at(began_at + seconds(limit_us)):
                untrusted = await self._stream.receive_some(self._config.chunk_bytes)
            if not untrusted and self._reader.is_mid_frame:
                raise MalformedFrame("the stream ended inside a frame")
            if not untrusted:
                return None
            was_mid_frame = self._reader.is_mid_frame
            self._ready.extend(self._reader.feed(bytes(untrusted)))
            if not was_mid_frame:
                began_at = trio.current_time()
        self._count()
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Says goodbye for a moment, then closes; another task may abort it meanwhile."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(1):
            await self._stream.aclose()

    async def abort(self) -> None:
        """Closes at once."""
        await trio.aclose_forcefully(self._stream)

    def _count(self) -> None:
        if self._frames_left is None:
            return
        if self._frames_left == 0:
            raise ProtocolViolation("an anonymous stream spent its budget of frames")
        self._frames_left -= 1

    def _ending(self, verb: str) -> _Ending:
        return _Ending(verb)


class _Ending:
    """Turns what trio says of a broken stream into `TransportError`."""

    __slots__ = ("_verb",)

    def __init__(self, verb: str) -> None:
        self._verb = verb

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case trio.TooSlowError():
                raise TransportError(f"{self._verb}: the other side is too slow") from None
            case trio.BrokenResourceError() | trio.ClosedResourceError():
                raise TransportError(f"{self._verb}: the stream is broken") from error
            case trio.BusyResourceError():
                raise StateError(f"{self._verb}: another task is doing that already") from error
