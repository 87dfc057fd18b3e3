"""Length-prefixed frames on a byte stream: four bytes big-endian, then the payload.

`FrameReader` is sans-I/O: bytes in, whole frames out; it never buffers more than one frame
of `frame_bytes_max` plus the chunk just given.
"""

from __future__ import annotations

from hive.errors import MalformedFrame

PREFIX_BYTES = 4
FRAME_BYTES_MAX = 4 * 1024 * 1024
"""Default cap: more lets one peer hold more memory, less forces batches to be split."""


def frame(payload: bytes) -> bytes:
    """The payload behind its length."""
    return len(payload).to_bytes(PREFIX_BYTES, "big") + payload


class FrameReader:
    """Cuts a stream into frames; raises `MalformedFrame` at a length beyond the cap."""

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._buffer = bytearray()

    def feed(self, untrusted: bytes) -> list[bytes]:
        """Takes the next chunk and gives the frames it completed, in order."""
        self._buffer += untrusted
        frames: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= PREFIX_BYTES:
            length = int.from_bytes(self._buffer[start : start + PREFIX_BYTES], "big")
            if length > self._frame_bytes_max:
                raise MalformedFrame(f"a frame of {length} bytes exceeds {self._frame_bytes_max}")
            end = start + PREFIX_BYTES + length
            if len(self._buffer) < end:
                break
            frames.append(bytes(self._buffer[start + PREFIX_BYTES : end]))
            start = end
        del self._buffer[:start]
        return frames

    @property
    def is_mid_frame(self) -> bool:
        """Whether a frame has begun and not ended: a stream that ends now was cut."""
        return bool(self._buffer)
