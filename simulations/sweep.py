"""Sweeps: many seeds of one scenario, over a grid of settings, summed up.

Rows go to a JSON-lines file as they come; a sweep that is begun again with the same file goes on
where it was. Some seeds are run twice, in whichever workers are free, and must give one digest
(P14).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hive.errors import ConfigError

from .origin import origin
from .pool import Died, Pool
from .promises import PROMISES
from .scenario import Scenario, load, with_settings
from .trial import case_of, run, standing

Settings = tuple[tuple[str, str], ...]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """One seed of one cell of the grid; `turn` 1 is the second run of the same."""

    scenario: Scenario
    settings: Settings
    seed: int
    turn: int = 0

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What names it in a file of rows."""
        return self.scenario.name, _text_of(self.settings), self.seed, self.turn


def _text_of(settings: Settings) -> str:
    return ",".join(f"{key}={value}" for key, value in settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepConfig:
    """Which seeds and settings are run, by how many workers."""

    first: int
    end: int
    """The seeds: from `first` up to below `end`."""
    grid: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Settings of the scenario and their values; every combination is run."""
    worker_count: int = 2
    """Processes. More than there are cores makes each slower."""
    twice_every: int = 20
    """Every so many seeds one is run twice; 0 never."""

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.end:
            raise ConfigError("seeds are a range A:B with A below B", hint="--seeds 0:100")
        if self.worker_count < 1 or self.twice_every < 0:
            raise ConfigError("a sweep needs a worker")


def tasks_of(name: str, config: SweepConfig) -> list[Task]:
    """Every task of a sweep. ConfigError: a scenario or setting that is none."""
    scenario = load(name)
    keys = [key for key, _ in config.grid]
    found = []
    for values in itertools.product(*(values for _, values in config.grid)):
        settings = tuple(zip(keys, values, strict=True))
        cell = with_settings(scenario, dict(settings)) if settings else scenario
        for seed in range(config.first, config.end):
            found.append(Task(cell, settings, seed))
            if config.twice_every and (seed - config.first) % config.twice_every == 0:
                found.append(Task(cell, settings, seed, 1))
    return found


def work(task: Task) -> Row:
    """What a worker does with a task."""
    row = run(case_of(task.scenario, task.seed)).to_plain()
    return {**row, "settings": dict(task.settings), "turn": task.turn, "origin": origin()}


@dataclass(slots=True)
class Summary:
    """What a sweep found so far."""

    row_count: int = 0
    event_count: int = 0
    cpu_s: float = 0.0
    checked: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROMISES, 0))
    sometimes: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    findings: list[Row] = field(default_factory=list)
    converged_us: list[int] = field(default_factory=list)
    _digests: dict[tuple[str, str, int], str] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Takes a row; one that broke a promise, or whose worker died, is a finding."""
        self.row_count += 1
        if "died" in row:
            self.findings.append(row)
            return
        self.event_count += row["event_count"]
        self.cpu_s += row["cpu_s"]
        for mine, theirs in (
            (self.checked, row["checked"]),
            (self.sometimes, row["sometimes"]),
            (self.faults, row["faults"]),
        ):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
        if row["converged_us"] is not None:
            self.converged_us.append(row["converged_us"])
        if row["violations"]:
            self.findings.append(row)
        self._compare(row)

    def _compare(self, row: Row) -> None:
        settings = _text_of(tuple(row["settings"].items()))
        key = (row["scenario"], settings, row["seed"])
        other = self._digests.setdefault(key, row["digest"])
        if key in self._digests and row["turn"]:
            self.checked["P14"] += 1
        if other != row["digest"]:
            text = f"two histories: {other[:16]} and {row['digest'][:16]}"
            broken = {"promise": "P14", "at_us": 0, "node": "", "text": text}
            self.findings.append({**row, "violations": [broken]})

    def unexercised(self, scenario: Scenario) -> list[str]:
        """What the scenario means to exercise and did not."""
        return [promise for promise in scenario.exercises if not self.checked[promise]]

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        times = sorted(self.converged_us)
        return {
            "rows": self.row_count,
            "findings": self.findings,
            "promises": {name: standing(name, self.checked[name]) for name in PROMISES},
            "faults": dict(sorted(self.faults.items())),
            "fault_classes": len(self.faults),
            "sometimes": dict(sorted(self.sometimes.items())),
            "converged_s": {
                name: times[min(len(times) - 1, len(times) * share // 100)] / 1e6
                for name, share in (("p50", 50), ("p90", 90), ("max", 100))
                if times
            },
            "events_per_cpu_s": round(self.event_count / max(self.cpu_s, 1e-9)),
            "cpu_s_per_seed": round(self.cpu_s / max(self.row_count, 1), 3),
        }


class Sweep:
    """One sweep; `rows` keeps what is done when it is interrupted."""

    def __init__(self, tasks: Sequence[Task], rows: Path | None = None) -> None:
        self.summary = Summary()
        self._rows = rows
        done = set() if rows is None else self._read(rows)
        self.waiting = [task for task in tasks if task.key not in done]

    def _read(self, rows: Path) -> set[tuple[str, str, int, int]]:
        """What an earlier run of this sweep has done; a torn last line was not done."""
        done = set()
        lines = rows.read_text(encoding="utf-8").splitlines() if rows.exists() else []
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                key = (row["scenario"], _text_of(tuple(row["settings"].items())))
                done.add((*key, row["seed"], row["turn"]))
            except (ValueError, KeyError, TypeError, AttributeError):
                if number < len(lines):
                    raise ConfigError(f"{rows}, line {number}: no row of a sweep") from None
                continue
            self.summary.add(row)
        return done

    def run(self, worker_count: int, on_row: Callable[[Row], None] = lambda _: None) -> Summary:
        """Runs what waits; an interrupt leaves what is done in rows and summary."""
        for row in _results(self.waiting, worker_count):
            if self._rows is not None:
                with self._rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            self.summary.add(row)
            on_row(row)
        return self.summary


def _results(tasks: Iterable[Task], worker_count: int) -> Iterator[Row]:
    with Pool(work, worker_count) as pool:
        for task, result in pool.run(tasks):
            yield _death(task, result) if isinstance(result, Died) else result


def _death(task: Task, died: Died[Task]) -> Row:
    return {
        "scenario": task.scenario.name,
        "settings": dict(task.settings),
        "seed": task.seed,
        "turn": task.turn,
        "died": died.exit_code,
    }


def replay_line(row: Mapping[str, Any]) -> str:
    """The command that runs a row's case again."""
    settings = "".join(f" --set {key}={value}" for key, value in row["settings"].items())
    return f"hive simulate run {row['scenario']} --seed {row['seed']}{settings}"
