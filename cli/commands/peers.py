"""`hive peers`."""

from __future__ import annotations

from ..command import command
from ..output import table
from ..session import Session

_COLUMNS = ("name", "org_name", "region", "state", "stream", "address", "peer")


@command("peers", example="hive peers")
def peers(session: Session) -> None:
    """List the peers that this node knows, whether they are alive, and where."""
    found = session.call("peers")
    rows = [tuple(peer.get(column, "") for column in _COLUMNS) for peer in found["peers"]]
    session.emit(found, table([_COLUMNS, *rows]) if rows else "")
    if not rows and not session.is_json:
        session.say("No peers are known; is the node up?")
