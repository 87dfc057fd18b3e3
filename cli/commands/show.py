"""`hive show`."""

from __future__ import annotations

import click

from ..command import command
from ..inputs import DELTA_ID
from ..output import outline
from ..session import Session


@command("show", example="hive show 3f9a1c77")
@click.argument("id", type=DELTA_ID)
def show(session: Session, id: str) -> None:
    """Show one memory with its place in the log, its receipt and its chain of records.

    ID is the id or as many of its first digits, at least six, as make it unique.
    """
    found = session.call("show", id=id)
    session.emit(found, outline(found))
