"""Experiments: which settings of each study are run for the report, over which seeds.

Rows are appended as they come; an experiment that is begun again with the same folder goes on
where it was. A worker that dies is a row that says so, and is never tried again.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from hive.errors import ConfigError

from . import studies
from .origin import origin
from .pool import Died, Pool
from .results import read_file
from .studies import Study

ALONE: Final = ("scaling",)
"""Experiments each run of which has a new process: its memory is a figure."""

Values = tuple[Any, ...]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Experiment:
    """A study and the values of its settings that the report's figures are made of."""

    name: str
    about: str
    study: Study
    grid: tuple[tuple[str, Values], ...]


EXPERIMENTS: Final = (
    Experiment(
        "detection",
        "how fast deaths are noticed in a cell",
        studies.detection,
        (("members", (32, 128)), ("loss", (0.0,)), ("kills", (5,))),
    ),
    Experiment(
        "false-positives",
        "who is suspected or buried alive, against loss and slow members, with and without "
        "local health",
        studies.false_positives,
        (
            ("members", (64,)),
            ("loss", (0.0, 0.02, 0.05, 0.1)),
            ("slow", (0.0, 0.1, 0.25)),
            ("health", ("on", "off")),
            ("seconds", (120,)),
        ),
    ),
    Experiment(
        "dissemination",
        "when and by how many hops deltas come, by scope",
        studies.dissemination,
        (("nodes", (50, 100)), ("loss", (0.0,)), ("deltas", (10,))),
    ),
    Experiment(
        "scaling",
        "time, bytes and memory of dissemination as the number of nodes grows",
        studies.scaling,
        (("nodes", (100, 300, 1_000)), ("deltas", (5,))),
    ),
    Experiment(
        "lookups",
        "hops and latency of lookups, against the share of peers that just died",
        studies.lookups,
        (("peers", (100,)), ("dead", (0.0, 0.2, 0.4)), ("loss", (0.0,)), ("lookups", (40,))),
    ),
    Experiment(
        "partition",
        "whole peers through a partition and its healing, second by second",
        studies.partition,
        (("nodes", (9,)), ("cut_s", (30,)), ("inject_s", (60,)), ("writes", (30,))),
    ),
    Experiment(
        "churn",
        "whole peers that come and go, second by second",
        studies.churn,
        (("nodes", (9,)), ("inject_s", (90,)), ("writes", (30,))),
    ),
    Experiment(
        "engine",
        "what engine and network cost by themselves",
        studies.engine,
        (("entities", (100, 1_000, 10_000)), ("seconds", (5,))),
    ),
)


@dataclass(frozen=True, slots=True)
class Task:
    """One seed of one setting."""

    experiment: str
    settings: tuple[tuple[str, Any], ...]
    seed: int

    @property
    def label(self) -> str:
        """As `Result.label`."""
        return ", ".join(f"{key} {value}" for key, value in self.settings)


def find(name: str) -> Experiment:
    """The experiment of a name. ConfigError: there is none."""
    for experiment in EXPERIMENTS:
        if experiment.name == name:
            return experiment
    known = ", ".join(each.name for each in EXPERIMENTS)
    raise ConfigError(f"no experiment is called {name}", hint=f"one of: {known}")


def tasks_of(name: str, seeds: range, given: Mapping[str, Sequence[str]]) -> list[Task]:
    """Every setting times every seed. ConfigError: a setting that the experiment has not."""
    experiment = find(name)
    grid = dict(experiment.grid)
    for key, values in given.items():
        if key not in grid:
            raise ConfigError(
                f"{name} has no setting {key}", hint=f"its settings: {', '.join(grid)}"
            )
        grid[key] = tuple(_value(key, value, grid[key][0]) for value in values)
    return [
        Task(name, tuple(zip(grid, values, strict=True)), seed)
        for values in itertools.product(*grid.values())
        for seed in seeds
    ]


def _value(key: str, text: str, like: Any) -> Any:
    if isinstance(like, str):
        return text
    try:
        value = type(like)(text)
    except ValueError:
        raise ConfigError(f"{key} is a number, not {text!r}") from None
    if value < 0:
        raise ConfigError(f"{key} may not be negative")
    return value


def work(task: Task) -> Row:
    """What a worker does with a task."""
    return row_of(task, find(task.experiment).study)


def row_of(task: Task, study: Study) -> Row:
    """One run, as a row."""
    began, began_cpu = time.perf_counter(), time.process_time()
    measured = study(dict(task.settings), task.seed)
    cpu_s = time.process_time() - began_cpu
    plain = asdict(measured)
    figures = {
        **plain["figures"],
        "events": measured.events,
        "cpu_s": cpu_s,
        "wall_s": time.perf_counter() - began,
    }
    figures.setdefault("events_per_cpu_s", measured.events / max(cpu_s, 1e-9))
    return {
        "experiment": task.experiment,
        "settings": dict(task.settings),
        "seed": task.seed,
        "figures": {name: float(f"{value:.6g}") for name, value in figures.items()},
        "curves": plain["curves"],
        "bars": plain["bars"],
        "digest": measured.digest,
        **plain["more"],
        "origin": origin(),
    }


class Running:
    """One experiment that is being measured; `make` runs in workers."""

    def __init__(
        self, tasks: Sequence[Task], rows: Path, make: Callable[[Task], Row] = work
    ) -> None:
        self._rows = rows
        self._make = make
        done = {row.key for row in read_file(rows)} if rows.exists() else set()
        self.waiting = [
            task for task in tasks if (task.experiment, task.label, task.seed) not in done
        ]
        self.deaths: list[Row] = []

    def run(self, worker_count: int, on_row: Callable[[Row], None] = lambda _: None) -> int:
        """Measures what waits; gives how many rows it wrote."""
        self._rows.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_line(self._rows)
        count = 0
        for row in _results(self._make, self.waiting, worker_count):
            with self._rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            if "died" in row:
                self.deaths.append(row)
            count += 1
            on_row(row)
        return count


def _drop_torn_line(rows: Path) -> None:
    text = rows.read_text(encoding="utf-8") if rows.exists() else ""
    if text and not text.endswith("\n"):
        rows.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")


def _results(
    make: Callable[[Task], Row], tasks: Sequence[Task], worker_count: int
) -> Iterator[Row]:
    alone = [task for task in tasks if task.experiment in ALONE]
    shared = [task for task in tasks if task.experiment not in ALONE]
    for given in (*([task] for task in alone), shared):
        with Pool(make, worker_count) as pool:
            for task, result in pool.run(given):
                yield _death(task, result) if isinstance(result, Died) else result


def _death(task: Task, died: Died[Task]) -> Row:
    return {
        "experiment": task.experiment,
        "settings": dict(task.settings),
        "seed": task.seed,
        "figures": {},
        "died": died.exit_code,
        "origin": origin(),
    }
