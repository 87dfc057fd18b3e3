"""What `hive simulate` says of results: measure them, report them, compare them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from .command import command
from .output import FAILED
from .progress import bar
from .session import Session

_ROOT: Final = (__package__ or "").removesuffix("cli")


def _module(name: str) -> Any:
    """A module of the simulations, which only these commands load."""
    return import_module(f"{_ROOT}simulations.{name}")


def range_of(seeds: str) -> dict[str, int]:
    """Seeds `A:B` as the first and the end."""
    first, _, end = seeds.partition(":")
    if not (first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise click.BadParameter("a range A:B with A below B, such as 0:100", param_hint="--seeds")
    return {"first": int(first), "end": int(end)}


def grid_of(
    settings: tuple[str, ...], *, is_single: bool = False
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Settings `KEY=VALUE[,VALUE…]` as keys and values."""
    grid = []
    for setting in settings:
        key, _, values = setting.partition("=")
        listed = tuple(values.split(","))
        if not key or not all(listed) or (is_single and len(listed) > 1):
            raise click.BadParameter(f"{setting!r} is no KEY=VALUE", param_hint="--set")
        grid.append((key, listed))
    return tuple(grid)


@command("measure", example="hive simulate measure detection --to results", has_home=False)
@click.argument("experiment")
@click.option("--seeds", default="0:3", show_default=True, metavar="A:B")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE[,VALUE…]",
    help="Replace the values of a setting of the experiment, such as members=512.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    metavar="DIR",
    help="Where rows go; a measurement begun again goes on where it was.",
)
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True)
def measure(
    session: Session,
    experiment: str,
    seeds: str,
    settings: tuple[str, ...],
    folder: Path,
    workers: int,
) -> None:
    """Measure an EXPERIMENT of the shipped machines in the virtual world, for `report`.

    An interrupt keeps what is done. The exit code is 1 where a worker died. Experiments:
    detection, false-positives, dissemination, scaling, lookups, partition, churn, engine.
    """
    experiments = _module("experiments")
    given, grid = range_of(seeds), dict(grid_of(settings))
    tasks = experiments.tasks_of(experiment, range(given["first"], given["end"]), grid)
    rows = folder / f"{experiment}.jsonl"
    running = experiments.Running(tasks, rows)
    count, is_whole = 0, True
    with bar(experiment, len(running.waiting)) as advance:
        try:
            count = running.run(workers, on_row=lambda _: advance(1))
        except KeyboardInterrupt:
            is_whole = False
    data = {
        "rows": str(rows),
        "written": count,
        "done_before": len(tasks) - len(running.waiting),
        "died": running.deaths,
        "is_whole": is_whole,
    }
    text = [f"{rows}: {count} rows more, {data['done_before']} were done before"]
    text += [f"a worker died: {row['settings']}, seed {row['seed']}" for row in running.deaths]
    if not is_whole:
        text.append("interrupted: what is done is kept")
    text.append(f"then: hive simulate report {folder}")
    session.emit(data, "\n".join(text))
    if running.deaths or not is_whole:
        click.get_current_context().exit(FAILED)


@command("report", example="hive simulate report results", has_home=False)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where report.html and report.md go.  [default: the folder of the rows]",
)
def report(session: Session, folder: Path, target: Path | None) -> None:
    """Make one page of plots and tables, and its twin in Markdown, of the rows in a FOLDER.

    A figure without rows says which command makes them.
    """
    made = _module("report").report(folder)
    html, markdown = made.write(target or folder)
    empty = {section.title: section.command for section in made.empty}
    data = {"html": str(html), "markdown": str(markdown), "rows": made.row_count, "empty": empty}
    text = [f"{html} and {markdown.name}: {made.row_count} rows"]
    text += [f"no rows for {title!r}; {line}" for title, line in empty.items()]
    session.emit(data, "\n".join(text))


@command("compare", example="hive simulate compare baseline results", has_home=False)
@click.argument("baseline", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument(
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("results"),
)
def compare(session: Session, baseline: Path, folder: Path) -> None:
    """Say which figures of a FOLDER moved beyond the confidence intervals of a BASELINE.

    The exit code is 1 where one moved, whether to the better or the worse.
    """
    results = _module("results")
    comparison = _module("compare").compare(results.read(baseline), results.read(folder))
    session.emit(comparison.to_plain(), comparison.text())
    if comparison.moved:
        click.get_current_context().exit(FAILED)
