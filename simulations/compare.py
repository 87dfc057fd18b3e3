"""Two folders of results: which figures moved beyond what seeds explain.

A figure moved where its two confidence intervals do not touch. Figures of processor time are
compared only where both come from one machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from .results import Result, Results, figure
from .statistics import Interval

MACHINE_FIGURES: Final = ("cpu_s", "events_per_cpu_s", "rss_bytes", "bytes_per_node", "wall_s")


@dataclass(frozen=True, slots=True)
class Moved:
    """One figure of one group, before and after."""

    experiment: str
    settings: str
    figure: str
    before: Interval
    after: Interval

    def text(self) -> str:
        """A line for people."""
        name = f"{self.experiment} ({self.settings}) {self.figure}"
        return f"{name}: {self.before.text()} -> {self.after.text()}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What moved, what stayed, and what could not be compared."""

    moved: tuple[Moved, ...]
    stayed_count: int
    uncertain: tuple[str, ...]
    """Figures with fewer than two seeds on a side that differ."""
    missing: tuple[str, ...]
    """Groups that only the baseline has."""
    added: tuple[str, ...]
    same_history_count: int
    other_history_count: int

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def text(self) -> str:
        """For people."""
        lines = [f"moved: {moved.text()}" for moved in self.moved]
        lines += [f"differs, too few seeds to say: {name}" for name in self.uncertain]
        lines += [f"only in the baseline: {name}" for name in self.missing]
        lines += [f"new: {name}" for name in self.added]
        lines.append(
            f"{len(self.moved)} figures moved, {self.stayed_count} stayed within their intervals; "
            f"of runs of the same seed {self.same_history_count} have one history, "
            f"{self.other_history_count} another"
        )
        return "\n".join(lines)


def compare(baseline: Results, now: Results) -> Comparison:
    """Everything that both have."""
    before, after = _groups(baseline), _groups(now)
    moved: list[Moved] = []
    uncertain: list[str] = []
    stayed = 0
    for key, rows in before.items():
        others = after.get(key, [])
        for name in _figures(rows, others):
            one, other = figure(rows, name), figure(others, name)
            if one is None or other is None:
                continue
            if one.overlaps(other):
                stayed += 1
            elif one.is_known and other.is_known:
                moved.append(Moved(*key, name, one, other))
            else:
                uncertain.append(f"{key[0]} ({key[1]}) {name}")
    histories = _histories(baseline, now)
    return Comparison(
        tuple(moved),
        stayed,
        tuple(uncertain),
        tuple(_name(key) for key in before if key not in after),
        tuple(_name(key) for key in after if key not in before),
        histories.count(True),
        histories.count(False),
    )


def _groups(results: Results) -> dict[tuple[str, str], list[Result]]:
    found: dict[tuple[str, str], list[Result]] = {}
    for row in results.rows:
        if row.is_repeat:
            continue
        found.setdefault((row.experiment, row.label), []).append(row)
    return found


def _name(key: tuple[str, str]) -> str:
    return f"{key[0]} ({key[1]})"


def _figures(rows: Sequence[Result], others: Sequence[Result]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    machines = {row.origin.get("machine") for row in (*rows, *others)}
    if len(machines) == 1:
        return names
    return [name for name in names if name not in MACHINE_FIGURES]


def _histories(baseline: Results, now: Results) -> list[bool]:
    held = {row.key: row.digest for row in baseline.rows if row.digest}
    return [held[row.key] == row.digest for row in now.rows if row.digest and row.key in held]
