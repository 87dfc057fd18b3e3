"""The course of one trial: what an onlooker sees of all nodes at every virtual second.

Looking is no event: it stands between runs of the engine, so that a watched history is the
unwatched one, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hive.protocol.membership.messages import Standing
from hive.protocol.reconciliation.digests import replica_digest
from hive.wire.clock import SECOND_US

from .nodes import Node
from .statistics import Curve
from .trial import Case, Outcome, Trial

LIVING: Final = (Standing.ALIVE, Standing.SUSPECT)
ONE_HIVE, SEEN, UP, STALE = "nodes of one content", "pairs seen alive", "nodes up", "stale entries"


class Timeline(Trial):
    """A trial that is looked at every second."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.curves: dict[str, Curve] = {name: [] for name in (ONE_HIVE, SEEN, UP, STALE)}

    def run(self, on_second: Callable[[int], None] = lambda _: None) -> Outcome:
        """All phases."""

        def look(now_us: int) -> None:
            self._look()
            on_second(now_us)

        outcome = super().run(look)
        self._look()
        return outcome

    def bars(self) -> list[tuple[float, float, str]]:
        """Every fault that lasted: from, to, name."""
        return [
            (fault.at_us / 1e6, fault.ends_us / 1e6, fault.name)
            for fault in self.case.faults
            if fault.for_us
        ]

    def mean(self, name: str, until_s: float) -> float:
        """The mean of a course while faults were injected."""
        begin_s = self.case.scenario.phases.warm_s
        values = [value for at, value in self.curves[name] if begin_s <= at <= until_s]
        return sum(values) / max(1, len(values))

    def _timeline(self) -> list[tuple[int, Callable[[], None]]]:
        phases = self.case.scenario.phases
        seconds = range(1, phases.warm_s + phases.inject_s)
        looks = [(second * SECOND_US, self._look) for second in seconds]
        begun = [look for look in looks if look[0] >= self.world.now_us]
        return sorted([*super()._timeline(), *begun], key=lambda each: each[0])

    def _look(self) -> None:
        nodes = [node for node in self.promises.honest if node.is_up]
        at = round(self.world.now_us / 1e6, 3)
        seen, stale, held = self._entries(nodes)
        pairs = max(1, len(nodes) * (len(nodes) - 1))
        for name, value in (
            (ONE_HIVE, _largest(nodes) / max(1, len(nodes))),
            (SEEN, seen / pairs),
            (UP, len(nodes) / max(1, len(self.promises.honest))),
            (STALE, stale / max(1, held)),
        ):
            self.curves[name].append([at, round(value, 4)])

    def _entries(self, nodes: list[Node]) -> tuple[int, int, int]:
        """Pairs that rightly hold each other alive, entries of the dead held alive, all held."""
        seen = stale = held = 0
        for node in nodes:
            hierarchy = node.machine.hierarchy
            for other in self.promises.honest:
                member = None if other is node else hierarchy.member(other.id)
                if member is not None and member.standing in LIVING:
                    held += 1
                    seen += other.is_up
                    stale += not other.is_up
        return seen, stale, held


def _largest(nodes: list[Node]) -> int:
    """How many nodes hold the content that most of them hold."""
    names = sorted({name for node in nodes for name in node.store.namespaces()})
    counts: dict[object, int] = {}
    for node in nodes:
        held = replica_digest(node.store, names)
        counts[held] = counts.get(held, 0) + 1
    return max(counts.values(), default=0)
