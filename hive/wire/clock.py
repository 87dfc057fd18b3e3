"""Time: monotonic and wall microseconds as two types, and the hybrid logical clock.

The hybrid clock (HLC) is one 64-bit integer: 48 bits of milliseconds since 1970 and a 16-bit
counter; a counter that overflows advances the millisecond. Kulkarni et al. 2014, with the bound
that a remote stamp is merged only after its signature verified and never from more than
`HLC_AHEAD_MS_MAX` ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

MonotonicUs = NewType("MonotonicUs", int)
WallUs = NewType("WallUs", int)
Hlc = NewType("Hlc", int)

SECOND_US = 1_000_000
MILLISECOND_US = 1_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US

HLC_MAX = 2**64 - 1
HLC_AHEAD_MS_MAX = 5_000
"""A stamp at most this far ahead is deferred or merged; further ahead it is refused."""


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of both clocks, taken by the driver when it handed in an event."""

    monotonic_us: MonotonicUs
    wall_us: WallUs


def hlc_at(wall_us: int, counter: int = 0) -> Hlc:
    """The stamp of a wall time in microseconds."""
    return Hlc((wall_us // MILLISECOND_US) << 16 | counter)


def hlc_wall_us(stamp: Hlc) -> WallUs:
    """The wall time of a stamp in microseconds, its counter dropped."""
    return WallUs((stamp >> 16) * MILLISECOND_US)


def next_hlc(newest: Hlc, wall_us: int) -> Hlc:
    """The next own stamp: above `newest`, and at the wall clock where that is further."""
    return Hlc(max(newest + 1, hlc_at(wall_us)))


def is_too_far_ahead(stamp: Hlc, wall_us: int) -> bool:
    """Whether the stamp lies more than `HLC_AHEAD_MS_MAX` beyond the wall clock."""
    return (stamp >> 16) > wall_us // MILLISECOND_US + HLC_AHEAD_MS_MAX
