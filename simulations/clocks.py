"""A node's clocks: they run fast or slow, are set wrong, and jump; virtual time does not."""

from __future__ import annotations

from hive.wire.clock import MonotonicUs, Now, WallUs

from .draws import MILLION
from .federation import START_US


class Clock:
    """Monotonic and wall time of one node as functions of virtual time."""

    __slots__ = ("_drift_ppm", "_monotonic_us", "_set_at_us", "skew_us")

    def __init__(self, skew_us: int = 0) -> None:
        self.skew_us = skew_us
        self._drift_ppm = 0
        self._set_at_us = 0
        self._monotonic_us = 0

    def read(self, world_us: int) -> Now:
        """Both clocks at a moment of the world."""
        monotonic = self._at(world_us)
        return Now(MonotonicUs(monotonic), WallUs(START_US + monotonic + self.skew_us))

    def drift(self, ppm: int, world_us: int) -> None:
        """From now on it gains this many millionths (loses, where negative)."""
        self._monotonic_us = self._at(world_us)
        self._set_at_us = world_us
        self._drift_ppm = ppm

    def jump(self, us: int) -> None:
        """The wall clock is set forward or back; the monotonic clock is not."""
        self.skew_us += us

    def delay_us(self, deadline: MonotonicUs, world_us: int) -> int:
        """How long the world goes on until this clock shows the deadline; 0 where it does."""
        left = deadline - self._at(world_us)
        if left <= 0:
            return 0
        rate = MILLION + self._drift_ppm
        return -(-left * MILLION // rate)

    def _at(self, world_us: int) -> int:
        passed = world_us - self._set_at_us
        return self._monotonic_us + passed + passed * self._drift_ppm // MILLION
