"""`hive compact`."""

from __future__ import annotations

from ..command import command
from ..output import outline
from ..session import Session


@command("compact", example="hive compact")
def compact(session: Session) -> None:
    """Take what was forgotten off the disk: the store is written anew; the node must be down.

    The old file goes only when its copy is verified, and the disk needs room for both. What recall
    searches is made again at the next start. Blocks that a disk keeps of a removed file are beyond
    this: encrypt the disk.
    """
    from hive.errors import StateError
    from hive.node.home import Home
    from hive.node.identity import compact as compact_home

    if session.is_node_running():
        raise StateError("the node is running", hint="stop it first: `hive down`")
    before, after = compact_home(Home(session.home))
    data = {"home": str(session.home), "bytes_before": before, "bytes": after}
    session.emit(data, outline(data))
