"""`hive bench`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import click

from ..command import command, group
from ..output import FAILED
from ..session import Session

BENCHES: Final[dict[str, str]] = {
    "fuzz": "Throw fuzzed datagrams and frames at a live node and look for what escapes.",
    "ingest": "Measure ingress of single and batched deltas against the bare rate of verification.",
    "node": "Measure what a node at rest with 10^4 memories takes of memory and processor.",
    "peers": "Measure what each of 1,000 peers in one process takes, and its idle traffic.",
    "quality": "Measure how good recall is: known items in the standard library's docstrings.",
    "recall": "Measure recall at 10^5 memories against bare hnswlib, and restart against rebuild.",
    "reconciliation": "Measure bytes and processor time of comparing two replicas of 10^6 deltas.",
    "storage": "Measure durable writes against bare fsync'd LMDB, and bytes on disk a memory.",
}
"""Every benchmark is `bench/<name>.py` with a function `measure` whose arguments have defaults."""


@group("bench", example="hive bench storage --json")
def bench() -> None:
    """Measure hive beside the limit of this machine, found in the same run."""


def _made(name: str, sentence: str) -> click.Command:
    @command(name, example=f"hive bench {name} --json", has_home=False)
    @click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=NUMBER",
        help="Set an argument of the benchmark, such as a count.",
    )
    def run(session: Session, settings: tuple[str, ...]) -> None:
        measure = import_module(f"...bench.{name}", __package__ + ".bench").measure
        report = measure(**_arguments(measure, settings))
        session.emit(report.as_dict(), report.text())
        if not report.goal_met:
            session.say("A goal was missed.")
            click.get_current_context().exit(FAILED)

    run.help = f"{sentence}\n\nThe exit code is 1 where a goal of the figures is missed."
    return run


def _arguments(measure: Callable[..., Any], settings: tuple[str, ...]) -> dict[str, int]:
    parameters = inspect.signature(measure).parameters.values()
    known = [each.name for each in parameters if isinstance(each.default, int)]
    found = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known or not (value.isascii() and value.isdigit()):
            allowed = ", ".join(f"{each}=NUMBER" for each in known)
            raise click.BadParameter(f"{setting!r} is none of {allowed}", param_hint="--set")
        found[name] = int(value)
    return found


for _name, _sentence in BENCHES.items():
    bench.add_command(_made(_name, _sentence))
