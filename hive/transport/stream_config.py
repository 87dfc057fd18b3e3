"""The bounds of streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from hive.errors import ConfigError
from hive.wire.clock import SECOND_US
from hive.wire.framing import FRAME_BYTES_MAX, PREFIX_BYTES

_FRAME_BYTES_LOWEST: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """How long, how large and how many."""

    frame_bytes_max: int = FRAME_BYTES_MAX
    """Largest frame either way; more lets one peer hold more memory."""
    chunk_bytes: int = 65_536
    """Bytes taken from the socket at once; less costs calls, more costs memory per stream."""
    dial_deadline_us: int = 5 * SECOND_US
    """TCP connection; less fails on slow links."""
    handshake_deadline_us: int = 5 * SECOND_US
    """TLS handshake with both certificates; a stranger may hold a place this long."""
    frame_deadline_us: int = 30 * SECOND_US
    """A frame that has begun must have ended, a frame sent must have left, by then."""
    idle_deadline_us: int = 120 * SECOND_US
    """A stream on which no frame begins for so long is closed."""
    stream_count_max: int = 1_024
    """Streams accepted at once."""
    stream_per_subnet_count_max: int = 128
    """Streams accepted at once from one /24 or /48."""
    anonymous_count_max: int = 16
    """Streams without certificate at once: enrolment and renewal only."""
    anonymous_frame_bytes_max: int = 32_768
    anonymous_frame_count_max: int = 8
    """Largest frame and most frames received on a stream without certificate."""
    anonymous_life_us: int = 60 * SECOND_US
    """A stream without certificate ends then, whatever it is doing."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive")
        if self.anonymous_frame_bytes_max > self.frame_bytes_max:
            raise ConfigError("an anonymous frame exceeds frame_bytes_max")
        if self.frame_bytes_max < _FRAME_BYTES_LOWEST or self.frame_bytes_max >= 1 << (
            8 * PREFIX_BYTES
        ):
            raise ConfigError("frame_bytes_max does not fit a length prefix")
        if self.stream_per_subnet_count_max > self.stream_count_max:
            raise ConfigError("stream_per_subnet_count_max exceeds stream_count_max")

    @classmethod
    def for_lan(cls) -> Self:
        """All nodes may share one subnet."""
        return cls(stream_per_subnet_count_max=1_024)

    @classmethod
    def for_internet(cls) -> Self:
        """The defaults."""
        return cls()

    @classmethod
    def for_simulation(cls) -> Self:
        """Many nodes in one process."""
        return cls(chunk_bytes=16_384, stream_per_subnet_count_max=1_024)
