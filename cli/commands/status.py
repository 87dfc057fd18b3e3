"""`hive status`."""

from __future__ import annotations

from ..command import command
from ..output import outline
from ..session import Session


@command("status", example="hive status --json")
def status(session: Session) -> None:
    """Say who this node is, what it holds, how fresh it is and what its promises rest on."""
    found = session.call("status")
    session.emit(found, outline(found))
