"""Shrinking: the smallest part of a case that still breaks the same promise.

Delta debugging over the explicit list of faults, then over what users do; then the time to
converge and the length of each fault. Every candidate is run whole, so what remains is a case of
its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from hive.errors import StateError

from .faults import Fault
from .trial import Case, Outcome, run

T = TypeVar("T")

SECONDS_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What remains, which promise it breaks, and how many runs that took."""

    case: Case
    outcome: Outcome
    promise: str
    run_count: int


class Shrinker:
    """Shrinks one case within a bound of processor time."""

    def __init__(
        self,
        case: Case,
        *,
        seconds_max: float = SECONDS_MAX,
        judge: Callable[[Case], Outcome] = run,
        on_run: Callable[[Case], None] = lambda _: None,
    ) -> None:
        self._judge = judge
        self._on_run = on_run
        self._until = time.process_time() + seconds_max
        self.run_count = 0
        self.case = case
        self.outcome = self._run(case)
        if not self.outcome.violations:
            raise StateError("the case breaks no promise", hint="is it of this version of hive?")
        self.promise = self.outcome.violations[0].promise

    def shrink(self) -> Shrunk:
        """The smallest case that was found."""
        self._list(lambda case: case.faults, lambda case, kept: replace(case, faults=kept))
        self._list(lambda case: case.deeds, lambda case, kept: replace(case, deeds=kept))
        for number in range(len(self.case.faults)):
            self._shorten(number)
        return Shrunk(self.case, self.outcome, self.promise, self.run_count)

    def _run(self, case: Case) -> Outcome:
        self.run_count += 1
        self._on_run(case)
        return self._judge(case)

    def _try(self, case: Case) -> bool:
        if time.process_time() > self._until:
            return False
        outcome = self._run(case)
        if self.promise not in [violation.promise for violation in outcome.violations]:
            return False
        self.case, self.outcome = case, outcome
        return True

    def _list(
        self,
        items_of: Callable[[Case], tuple[T, ...]],
        with_items: Callable[[Case, tuple[T, ...]], Case],
    ) -> None:
        """Delta debugging: ever finer parts are left out while the promise stays broken."""
        parts = 1
        while items := items_of(self.case):
            parts = min(parts, len(items))
            for chunk in _chunks(items, parts):
                kept = tuple(item for item in items if not any(item is c for c in chunk))
                if self._try(with_items(self.case, kept)):
                    parts = max(1, parts - 1)
                    break
            else:
                if parts >= len(items):
                    return
                parts *= 2

    def _shorten(self, number: int) -> None:
        """Halves how long a fault lasts, down to a second."""
        while True:
            faults = list(self.case.faults)
            shorter: Fault = replace(faults[number], for_us=faults[number].for_us // 2)
            if shorter.for_us < 500_000:
                return
            faults[number] = shorter
            if not self._try(replace(self.case, faults=tuple(faults))):
                return


def _chunks(items: Sequence[T], parts: int) -> list[Sequence[T]]:
    size = -(-len(items) // parts)
    return [items[at : at + size] for at in range(0, len(items), size)]
