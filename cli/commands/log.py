"""`hive log`."""

from __future__ import annotations

import click

from ..command import command
from ..inputs import NAMESPACE
from ..moments import moment
from ..output import line, outline, table
from ..session import Session

TEXT_WIDTH = 48


@command("log", example="hive log --namespace acme/research --count 20")
@click.option("-n", "--namespace", type=NAMESPACE, help="Only this namespace.")
@click.option("--author", help="Only this agent: its name or the hex of its inception.")
@click.option("-c", "--count", type=click.IntRange(1, 10_000), default=50, show_default=True)
def log(session: Session, namespace: str | None, author: str | None, count: int) -> None:
    """List what was written last: every author's signed log, and the forks that were proven.

    A fork is two signed entries of one author at one place; both are shown.
    """
    found = session.call("log", namespace=namespace, author=author, count=count)
    rows = [
        (
            entry["id"][:12],
            entry["namespace"],
            entry["sequence"],
            moment(entry["hlc_ms"]),
            f"{entry['author_name']} of {entry['org_name']}",
            entry["kind"],
            entry["state"],
            line(entry["text"], TEXT_WIDTH),
        )
        for entry in found["entries"]
    ]
    session.emit(found, table(rows))
    for fork in found["forks"]:
        session.say(f"fork proven:\n{outline(fork, 1)}")
