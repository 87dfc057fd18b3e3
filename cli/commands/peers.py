"""`hive peers`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from ..command import command
from ..output import line, table
from ..session import Session

_COLUMNS = ("name", "org_name", "region", "state", "stream", "address", "peer")
_UNNAMED = "(unnamed)"


@command("peers", example="hive peers --tree")
@click.option("--tree", "is_tree", is_flag=True, help="Show regions, clusters, cells and speakers.")
def peers(session: Session, is_tree: bool) -> None:
    """List the peers that this node knows, whether they are alive, and where.

    In the tree a star marks the super-peers of a cell, two stars those that speak for its cluster.
    """
    if is_tree:
        found = session.call("peer_tree")
        session.emit(found, "\n".join(_tree(found)))
        return
    found = session.call("peers")
    rows = [tuple(peer.get(column, "") for column in _COLUMNS) for peer in found["peers"]]
    session.emit(found, table([_COLUMNS, *rows]) if rows else "")
    if not rows and not session.is_json:
        session.say("No peers are known; is the node up?")


def _tree(found: dict[str, Any]) -> Iterator[str]:
    for region in found["regions"]:
        yield f"region {_name(region['region'])}"
        for cluster in region["clusters"]:
            yield f"  cluster {_name(cluster['cluster'])}{_count(cluster)}"
            for cell in cluster["cells"]:
                ours = ", ours" if cell["is_own"] else ""
                yield f"    cell {_name(cell['cell'])}{_count(cell)}{ours}"
                for member in cell["members"]:
                    yield _member(member, cluster["speakers"], found["health_score"])


def _name(name: str) -> str:
    return line(name, 64) if name else _UNNAMED


def _count(group: dict[str, Any]) -> str:
    return "" if group["live_count"] is None else f": {group['live_count']} live"


def _member(member: dict[str, Any], speakers: list[str], health_score: int) -> str:
    stars = member["is_super_peer"] + (member["is_super_peer"] and member["peer"] in speakers)
    org = f" of {line(member['org_name'], 64)}" if member["org_name"] else ""
    marks = [member["state"]]
    if member["is_own"]:
        marks = ["this node", "well" if health_score == 0 else f"slow by {health_score}"]
    elif member["stream"]:
        marks.append("stream")
    return f"      {'*' * stars:2} {_name(member['name'])}{org}: {', '.join(marks)}"
