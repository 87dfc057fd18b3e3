"""`hive export`."""

from __future__ import annotations

import base64
from pathlib import Path

import click

from ..command import command
from ..files import write_once
from ..inputs import DELTA_ID, NAMESPACE, NEW_FILE
from ..session import Session


@command("export", example="hive export --namespace acme/research -o research.bundle")
@click.argument("ids", type=DELTA_ID, nargs=-1)
@click.option("-n", "--namespace", type=NAMESPACE, help="Everything in this namespace.")
@click.option("-o", "--output", type=NEW_FILE, required=True, help="The bundle's file.")
def export(session: Session, ids: tuple[str, ...], namespace: str | None, output: Path) -> None:
    """Export memories with all that proves them, for `hive verify` anywhere.

    Name memories by their IDS, or all of a namespace.
    """
    if not ids and namespace is None:
        raise click.UsageError("name ids, or a namespace")
    made = session.call("bundle", ids=list(ids), namespace=namespace)
    content = base64.b64decode(made["bundle"])
    write_once(output, content)
    data = {"file": str(output), "bytes": len(content), "count": made["count"]}
    session.emit(data, f"{output}: {made['count']} memories, {len(content):,} bytes")
