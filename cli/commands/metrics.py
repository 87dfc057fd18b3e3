"""`hive metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..command import command
from ..output import plain
from ..session import Session


@command("metrics", example="hive metrics | grep refused")
def metrics(session: Session) -> None:
    """Print this node's counters, one `name value` a line."""
    found = session.call("metrics")
    session.emit(found, "\n".join(f"{name} {plain(str(value))}" for name, value in _flat(found)))


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
