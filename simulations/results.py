"""Rows of results: read from a folder of JSON lines, grouped by what was run.

A row is one run of one seed: `experiment`, `settings`, `seed`, `figures` (numbers), `curves`
(lists of points), `digest`, and the origin. Rows of sweeps are read as rows of the experiment
"sweep". A file's torn last line was not done; any other wrong line is refused by its number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hive.errors import ConfigError

from .origin import UNKNOWN
from .statistics import Curve, Interval, interval

SWEEP: Final = "sweep"
Settings = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run of one seed."""

    experiment: str
    settings: Settings
    seed: int
    figures: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    bars: list[list[Any]] = field(default_factory=list)
    """What was wrong meanwhile: from and to in seconds, and the name."""
    digest: str = ""
    origin: dict[str, str] = field(default_factory=dict)
    plain: dict[str, Any] = field(default_factory=dict)
    """The whole row, for tables that are about more than numbers."""

    @property
    def label(self) -> str:
        """The settings as people read them."""
        return ", ".join(f"{key} {value}" for key, value in self.settings.items())

    @property
    def is_repeat(self) -> bool:
        """Whether it ran a second time only to compare histories: no seed of its own."""
        return bool(self.plain.get("turn"))

    @property
    def key(self) -> tuple[str, str, int]:
        """What names the run."""
        return self.experiment, self.label, self.seed


class Results:
    """All rows of a folder."""

    def __init__(self, rows: Sequence[Result]) -> None:
        self.rows = tuple(rows)

    def of(self, experiment: str, **settings: Any) -> list[Result]:
        """The rows of one experiment, with these settings."""
        return [
            row
            for row in self.rows
            if row.experiment == experiment
            and not row.is_repeat
            and all(row.settings.get(key) == value for key, value in settings.items())
        ]

    def groups(self, experiment: str, **settings: Any) -> dict[str, list[Result]]:
        """Rows of one experiment by their settings: one group, many seeds."""
        found: dict[str, list[Result]] = {}
        for row in self.of(experiment, **settings):
            found.setdefault(row.label, []).append(row)
        return found

    def experiments(self) -> list[str]:
        """What was run, in the order of the rows."""
        return list(dict.fromkeys(row.experiment for row in self.rows))


def figure(rows: Sequence[Result], name: str) -> Interval | None:
    """One figure over the seeds of a group; None where no row has it."""
    values = [row.figures[name] for row in rows if name in row.figures]
    return interval(values) if values else None


def read(folder: Path) -> Results:
    """Every row below a folder. ConfigError: no rows, or a line that is none."""
    paths = sorted(folder.rglob("*.jsonl")) if folder.is_dir() else []
    if not paths:
        raise ConfigError(
            f"{folder} holds no rows",
            hint="make some: hive simulate measure detection --to DIR",
        )
    rows: dict[tuple[str, str, int, int], Result] = {}
    for path in paths:
        for row in read_file(path):
            rows[(*row.key, row.plain.get("turn", 0))] = row
    return Results(list(rows.values()))


def read_file(path: Path) -> Iterator[Result]:
    """The rows of one file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = _parsed(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            if number == len(lines):
                return
            raise ConfigError(
                f"{path.name}, line {number}: no row of results",
                hint="rows are what `hive simulate measure` and `sweep --rows` write",
            ) from None
        yield row


def _parsed(row: Mapping[str, Any]) -> Result:
    if "experiment" not in row:
        return _of_sweep(row)
    return Result(
        experiment=str(row["experiment"]),
        settings=dict(row["settings"]),
        seed=int(row["seed"]),
        figures={str(key): float(value) for key, value in row["figures"].items()},
        curves=dict(row.get("curves", {})),
        bars=list(row.get("bars", [])),
        digest=str(row.get("digest", "")),
        origin=dict(row.get("origin", {})),
        plain=dict(row),
    )


def _of_sweep(row: Mapping[str, Any]) -> Result:
    settings = {"scenario": str(row["scenario"]), **row["settings"]}
    figures: dict[str, float] = {}
    if "died" not in row:
        figures = {
            "events": float(row["event_count"]),
            "virtual_s": row["virtual_us"] / 1e6,
            "cpu_s": float(row["cpu_s"]),
            "violations": float(len(row["violations"])),
        }
        if row["converged_us"] is not None:
            figures["converged_s"] = row["converged_us"] / 1e6
    return Result(
        experiment=SWEEP,
        settings=settings,
        seed=int(row["seed"]),
        figures=figures,
        digest=str(row.get("digest", "")),
        origin=dict(row.get("origin", {})),
        plain=dict(row),
    )


def origins(rows: Sequence[Result]) -> list[str]:
    """The different origins of rows: machine, versions and commit of each."""
    texts = [
        "; ".join(
            f"{name}: {row.origin.get(name, UNKNOWN)}" for name in ("machine", "versions", "commit")
        )
        for row in rows
    ]
    return list(dict.fromkeys(texts))


def seeds(rows: Sequence[Result]) -> str:
    """The seeds of rows, as ranges."""
    numbers, last = sorted({row.seed for row in rows}), -2
    parts: list[str] = []
    for number in numbers:
        if parts and number == last + 1:
            parts[-1] = f"{parts[-1].partition('–')[0]}–{number}"
        else:
            parts.append(str(number))
        last = number
    return ", ".join(parts)
