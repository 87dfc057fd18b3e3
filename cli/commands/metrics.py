"""`hive metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from ..command import command
from ..output import plain
from ..session import Session


@command("metrics", example="hive metrics | grep refused")
@click.option("--prometheus", is_flag=True, help="Print the text format of Prometheus.")
def metrics(session: Session, prometheus: bool) -> None:
    """Print this node's counters, one `name value` a line."""
    if prometheus:
        told = session.call("exposition")
        session.emit(told, told["text"].rstrip("\n"))
        return
    found = session.call("metrics")
    session.emit(found, "\n".join(f"{name} {plain(str(value))}" for name, value in _flat(found)))


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
