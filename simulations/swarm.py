"""Which faults a seed draws: swarm style, every class may be off.

Each class of faults has its own stream, keyed by the seed and its name: leaving one out changes
no other. A scenario says which classes may be drawn and how likely each is; how many and how
strong follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypedDict

from hive.wire.clock import MILLISECOND_US, SECOND_US
from hive.wire.randomness import Stream

from .disturbances import (
    Burst,
    Clog,
    Corrupt,
    Cut,
    Delay,
    Disturbance,
    Duplicate,
    Loss,
    Reorder,
    Throttle,
)
from .draws import MILLION
from .faults import (
    ClockFault,
    Crash,
    Disk,
    Fault,
    Leaving,
    LyingDisk,
    OtherDisk,
    Processor,
    Weather,
)
from .topology import Topology


@dataclass(frozen=True, slots=True)
class Ground:
    """What faults may be drawn for: who is there, and between which moments."""

    topology: Topology
    node_count: int
    from_us: int
    until_us: int


class Span(TypedDict):
    """When a fault begins and how long it lasts."""

    at_us: int
    for_us: int


class Lot:
    """The draws for one class of faults of one seed."""

    def __init__(self, seed: bytes, name: str, ground: Ground) -> None:
        self.name = name
        self.ground = ground
        self._stream = Stream(seed, "swarm", name.encode())

    def hits(self, rate_ppm: int) -> bool:
        """True at a rate."""
        return self._stream.below(MILLION) < rate_ppm

    def between(self, low: int, high: int) -> int:
        """A uniform integer, both ends included."""
        return low + self._stream.below(high - low + 1)

    def span(self, low_s: int, high_s: int) -> Span:
        """A moment and a time to last, both inside the ground."""
        ground = self.ground
        at_us = self.between(ground.from_us, ground.until_us - 1)
        longest = max(1, min(high_s * SECOND_US, ground.until_us - at_us))
        shortest = min(low_s * SECOND_US, longest)
        return {"at_us": at_us, "for_us": self.between(shortest, longest)}

    def node(self) -> int:
        """One node."""
        return self._stream.below(self.ground.node_count)

    def some(self, least: int, most: int) -> tuple[int, ...]:
        """Some nodes, in order."""
        most = max(least, min(most, self.ground.node_count - 1))
        count = self.between(least, most)
        return tuple(sorted(self._stream.sample(range(self.ground.node_count), count)))

    def region(self) -> tuple[int, ...]:
        """The nodes of one region."""
        return self.ground.topology.within(
            region=self.between(0, len(self.ground.topology.regions) - 1)
        )

    def others(self, ones: Sequence[int]) -> tuple[int, ...]:
        """Everybody else."""
        taken = frozenset(ones)
        return tuple(n for n in range(self.ground.node_count) if n not in taken)

    def weather(self, disturbance: Disturbance, low_s: int = 2, high_s: int = 30) -> Fault:
        """A disturbance for a while."""
        return Weather(name=self.name, disturbance=disturbance, **self.span(low_s, high_s))


Draw = Callable[[Lot], Iterator[Fault]]


def _split(lot: Lot, ones: tuple[int, ...], is_mutual: bool = True) -> Iterator[Fault]:
    others = lot.others(ones)
    if ones and others:
        yield lot.weather(Cut(sources=ones, destinations=others, is_mutual=is_mutual), 3, 40)


def _partition(lot: Lot) -> Iterator[Fault]:
    return _split(lot, lot.some(1, lot.ground.node_count // 2))


def _one_way(lot: Lot) -> Iterator[Fault]:
    return _split(lot, lot.some(1, lot.ground.node_count // 2), is_mutual=False)


def _isolated(lot: Lot) -> Iterator[Fault]:
    return _split(lot, (lot.node(),))


def _region_cut(lot: Lot) -> Iterator[Fault]:
    return _split(lot, lot.region())


def _partial(lot: Lot) -> Iterator[Fault]:
    """Two cannot speak, everybody else can speak with both."""
    one, other = lot.node(), lot.node()
    if one != other:
        yield lot.weather(Cut(sources=(one,), destinations=(other,)), 3, 40)


def _flapping(lot: Lot) -> Iterator[Fault]:
    ones, period_us = lot.some(1, 2), lot.between(1, 4) * SECOND_US
    begin = lot.span(1, 1)["at_us"]
    cut = Cut(sources=ones, destinations=lot.others(ones))
    for turn in range(lot.between(2, 6)):
        at_us = begin + 2 * turn * period_us
        if at_us < lot.ground.until_us:
            yield Weather(name=lot.name, at_us=at_us, for_us=period_us, disturbance=cut)


def _everywhere(make: Callable[[Lot], Disturbance]) -> Draw:
    def draw(lot: Lot) -> Iterator[Fault]:
        yield lot.weather(make(lot), 5, 60)

    return draw


def _from_some(make: Callable[[Lot, tuple[int, ...]], Disturbance]) -> Draw:
    def draw(lot: Lot) -> Iterator[Fault]:
        yield lot.weather(make(lot, lot.some(1, 3)))

    return draw


def _each_of_some(make: Callable[[Lot, int], Fault], most: int = 2) -> Draw:
    def draw(lot: Lot) -> Iterator[Fault]:
        for node in lot.some(1, most):
            yield make(lot, node)

    return draw


def _crash(lot: Lot, node: int) -> Fault:
    return Crash(name=lot.name, node=node, survivors=lot.between(0, 2), **lot.span(1, 20))


def _lost_tail(lot: Lot, node: int) -> Fault:
    """Out of the blue, and back at once."""
    return Crash(name=lot.name, node=node, **lot.span(0, 1))


def _torn(lot: Lot, node: int) -> Fault:
    """The slow disk makes it likely that a batch is under way."""
    return Crash(name=lot.name, node=node, survivors=1, **lot.span(0, 2))


def _rolling(lot: Lot) -> Iterator[Fault]:
    begin, gap_us = lot.span(1, 1)["at_us"], lot.between(500, 3_000) * MILLISECOND_US
    for turn in range(lot.ground.node_count):
        at_us = begin + turn * gap_us
        if at_us < lot.ground.until_us:
            yield Crash(name=lot.name, at_us=at_us, for_us=gap_us // 2, node=turn)


def _region_outage(lot: Lot) -> Iterator[Fault]:
    span, nodes = lot.span(3, 30), lot.region()
    if len(nodes) < lot.ground.node_count:
        for node in nodes:
            yield Crash(name=lot.name, node=node, **span)


def _mass_leave(lot: Lot) -> Iterator[Fault]:
    span = lot.span(3, 20)
    for node in lot.some(1, lot.ground.node_count // 2):
        yield Leaving(name=lot.name, node=node, **span)


def _flash_crowd(lot: Lot) -> Iterator[Fault]:
    """Some are down from the beginning and come up in one moment."""
    come_us = lot.between(lot.ground.from_us, lot.ground.until_us)
    for node in lot.some(1, lot.ground.node_count // 2):
        yield Crash(name=lot.name, at_us=0, for_us=come_us, node=node)


def _churn(lot: Lot) -> Iterator[Fault]:
    """Heavy-tailed sessions: each is the square of a uniform draw, up to a minute."""
    for node in lot.some(1, lot.ground.node_count // 2):
        at_us = lot.ground.from_us
        while True:
            at_us += SECOND_US + lot.between(0, 1_000) ** 2 * 60
            down_us = SECOND_US // 2 + lot.between(0, 1_000) ** 2 * 10
            if at_us + down_us >= lot.ground.until_us:
                break
            yield Crash(name=lot.name, at_us=at_us, for_us=down_us, node=node)
            at_us += down_us


def _stale(lot: Lot, node: int) -> Fault:
    return OtherDisk(name=lot.name, node=node, share_ppm=lot.between(0, MILLION), **lot.span(1, 10))


def _empty(lot: Lot, node: int) -> Fault:
    return OtherDisk(name=lot.name, node=node, **lot.span(1, 10))


def _foreign(lot: Lot, node: int) -> Fault:
    return OtherDisk(name=lot.name, node=node, of=lot.node(), **lot.span(1, 10))


DRAWS: Final[dict[str, Draw]] = {
    "partition": _partition,
    "one-way partition": _one_way,
    "partial partition": _partial,
    "isolated node": _isolated,
    "region cut": _region_cut,
    "flapping link": _flapping,
    "loss": _everywhere(lambda lot: Loss(rate_ppm=lot.between(1_000, 200_000))),
    "bursts": _everywhere(
        lambda lot: Burst(
            enter_ppm=lot.between(1_000, 20_000),
            leave_ppm=lot.between(50_000, 300_000),
            rate_ppm=lot.between(300_000, MILLION),
        )
    ),
    "duplication": _everywhere(
        lambda lot: Duplicate(rate_ppm=lot.between(1_000, 300_000), delay_us=50_000)
    ),
    "late replay": _everywhere(
        lambda lot: Duplicate(rate_ppm=lot.between(1_000, 50_000), delay_us=20 * SECOND_US)
    ),
    "reordering": _everywhere(
        lambda lot: Reorder(rate_ppm=lot.between(10_000, 300_000), delay_us=lot.between(1, 10**6))
    ),
    "corruption": _everywhere(lambda lot: Corrupt(rate_ppm=lot.between(100, 20_000))),
    "clog": _from_some(lambda lot, ones: Clog(sources=ones)),
    "delay": _from_some(
        lambda lot, ones: Delay(
            sources=ones, delay_us=lot.between(0, 500_000), spread_us=lot.between(1, 300_000)
        )
    ),
    "throttle": _from_some(
        lambda lot, ones: Throttle(sources=ones, bytes_per_second=lot.between(2_000, 200_000))
    ),
    "crash": _each_of_some(_crash),
    "lost tail": _each_of_some(_lost_tail),
    "torn batch": _each_of_some(_torn),
    "rolling restart": _rolling,
    "region outage": _region_outage,
    "mass leave": _mass_leave,
    "flash crowd": _flash_crowd,
    "churn": _churn,
    "full disk": _each_of_some(
        lambda lot, node: Disk(name=lot.name, node=node, is_full=True, **lot.span(1, 20))
    ),
    "failing disk": _each_of_some(
        lambda lot, node: Disk(name=lot.name, node=node, is_failing=True, **lot.span(1, 10))
    ),
    "slow disk": _each_of_some(
        lambda lot, node: Disk(
            name=lot.name, node=node, slowness=lot.between(10, 2_000), **lot.span(1, 30)
        )
    ),
    "stale disk": _each_of_some(_stale, 1),
    "empty disk": _each_of_some(_empty, 1),
    "foreign disk": _each_of_some(_foreign, 1),
    "lying disk": _each_of_some(
        lambda lot, node: LyingDisk(name=lot.name, node=node, **lot.span(1, 20)), 1
    ),
    "clock skew": _each_of_some(
        lambda lot, node: ClockFault(
            name=lot.name, node=node, jump_us=lot.between(-4_000, 4_000) * 1_000, **lot.span(5, 60)
        )
    ),
    "clock drift": _each_of_some(
        lambda lot, node: ClockFault(
            name=lot.name, node=node, drift_ppm=lot.between(-20_000, 20_000), **lot.span(5, 60)
        )
    ),
    "clock jump": _each_of_some(
        lambda lot, node: ClockFault(
            name=lot.name, node=node, jump_us=lot.between(-90, 90) * SECOND_US, **lot.span(1, 10)
        )
    ),
    "pause": _each_of_some(
        lambda lot, node: Processor(name=lot.name, node=node, is_pause=True, **lot.span(1, 10))
    ),
    "slow node": _each_of_some(
        lambda lot, node: Processor(
            name=lot.name, node=node, cost_us=lot.between(1_000, 20_000), **lot.span(2, 30)
        )
    ),
    "starved subset": _each_of_some(
        lambda lot, node: Processor(
            name=lot.name, node=node, cost_us=lot.between(30_000, 80_000), **lot.span(1, 5)
        ),
        4,
    ),
}
"""Every class of faults by its name in scenarios and reports."""


def draw_faults(seed: bytes, chances_ppm: dict[str, int], ground: Ground) -> tuple[Fault, ...]:
    """The faults of a seed, by time; `chances_ppm` says how likely each class is drawn at all."""
    found: list[Fault] = []
    for name, chance_ppm in chances_ppm.items():
        lot = Lot(seed, name, ground)
        if lot.hits(chance_ppm):
            found += DRAWS[name](lot)
    return tuple(sorted(found, key=lambda fault: (fault.at_us, fault.name, repr(fault))))
