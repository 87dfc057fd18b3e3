"""Figures of many values: quantiles that need no memory of them, intervals over seeds.

An interval is over *independent seeds*, never over values of one run: those share a world and
would make every interval too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

Curve = list[list[float]]

RELATIVE_ERROR: Final = 0.01
_GROWTH: Final = math.log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))
BUCKETS_MAX: Final = 2_048
"""Buckets of a sketch: from 1 to 10^17 at one percent, which is all that is ever counted."""

SHARES: Final = (0.01, *(n / 20 for n in range(1, 20)), 0.99, 0.999, 1.0)
"""At which shares of all values a distribution is told."""

T_95: Final = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""Two-sided 95 % points of Student's t, by degrees of freedom from 1; beyond 30 the normal's."""
_NORMAL_95: Final = 1.960


class Quantiles:
    """Counts of values in buckets that grow by a factor: every quantile within one percent."""

    __slots__ = ("_buckets", "_highest", "count")

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._buckets: dict[int, int] = {}
        self._highest = 0.0
        self.count = 0
        for value in values:
            self.add(value)

    def add(self, value: float) -> None:
        """One more value; what is below 1 counts as 0."""
        bucket = 0 if value < 1 else 1 + math.ceil(math.log(value) / _GROWTH)
        bucket = min(bucket, BUCKETS_MAX)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self._highest = max(self._highest, value)
        self.count += 1

    def merge(self, other: Quantiles) -> None:
        """Takes what another sketch counted."""
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self._highest = max(self._highest, other._highest)
        self.count += other.count

    def at(self, share: float) -> float:
        """The value that this share of all does not exceed; 0 where there is none."""
        wanted, seen = max(1, math.ceil(share * self.count)), 0
        if wanted >= self.count:
            return self._highest
        for bucket, count in sorted(self._buckets.items()):
            seen += count
            if seen >= wanted:
                middle = math.exp((bucket - 1.5) * _GROWTH) if bucket else 0.0
                return min(middle, self._highest)
        return self._highest

    def curve(self, per: float = 1.0) -> Curve:
        """Value and share at each of `SHARES`; values divided by `per`."""
        return [[_short(self.at(share) / per), share] for share in SHARES] if self.count else []


def _short(value: float) -> float:
    return float(f"{value:.5g}")


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over independent seeds and its 95 % confidence interval."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def is_known(self) -> bool:
        """Whether two seeds at least make it an interval."""
        return self.count > 1

    def overlaps(self, other: Interval) -> bool:
        """Whether both may be of one value."""
        return self.low <= other.high and other.low <= self.high

    def text(self) -> str:
        """For people: the mean, and the interval where there is one."""
        if not self.is_known:
            return f"{number(self.mean)} (1 seed)"
        return f"{number(self.mean)} [{number(self.low)}, {number(self.high)}]"


def interval(values: Sequence[float]) -> Interval:
    """Mean and interval; a single value is an interval of no width and says so by its count."""
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Interval(mean, mean, mean, count)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    factor = T_95[count - 2] if count - 2 < len(T_95) else _NORMAL_95
    half = factor * math.sqrt(variance / count)
    return Interval(mean, mean - half, mean + half, count)


def intervals_of_curves(
    curves: Sequence[Curve], *, is_by_share: bool
) -> list[tuple[float, Interval]]:
    """One interval at each point that all seeds have.

    `is_by_share`: points are (value, share), and the interval is of the value at each share;
    else they are (place, value), and it is of the value at each place.
    """
    here = 1 if is_by_share else 0
    found: dict[float, list[float]] = {}
    for curve in curves:
        for point in curve:
            found.setdefault(point[here], []).append(point[1 - here])
    whole = [(at, values) for at, values in sorted(found.items()) if len(values) == len(curves)]
    return [(at, interval(values)) for at, values in whole]


def number(value: float) -> str:
    """A figure as people read it: three digits that count, no more."""
    if value == 0:
        return "0"
    if not 0.001 <= abs(value) < 1e7:
        return f"{value:.2e}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
