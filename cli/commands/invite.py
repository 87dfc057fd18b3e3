"""`hive invite`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..command import command
from ..files import write_once
from ..inputs import ALLOW, NAMESPACE, NEW_FILE
from ..session import Session


@command("invite", example="hive invite berlin --allow acme=remember,recall -o berlin.invite")
@click.argument("name", type=NAMESPACE)
@click.option("--kind", type=click.Choice(("node", "agent")), default="node", show_default=True)
@click.option("--region", default="", help="Where it will stand; this node's region otherwise.")
@click.option(
    "--allow",
    "allowed",
    type=ALLOW,
    multiple=True,
    metavar="PREFIX=ACTIONS",
    help="What it may do, or (a node) let its agents do; narrowed from the issuer's.",
)
@click.option("--hours", type=click.IntRange(1, 24), default=24, show_default=True)
@click.option("-o", "--output", type=NEW_FILE, help="A file for the invite; stdout otherwise.")
def invite(
    session: Session,
    name: str,
    kind: str,
    region: str,
    allowed: tuple[dict[str, Any], ...],
    hours: int,
    output: Path | None,
) -> None:
    """Invite one node or agent: the file it makes is all that the other side needs.

    Send it as you would a password: whoever holds it can use it, once, within its hours. The node
    must be up.
    """
    if output is not None and output.exists():
        raise click.BadParameter(f"{output} exists; nothing is overwritten", param_hint="-o")
    made = session.call_node(
        "invite",
        name=name,
        kind=kind,
        region=region,
        capabilities=[dict(each) for each in allowed],
        hours=hours,
    )
    if output is not None:
        write_once(output, made["invite"].encode("ascii"), mode=0o600)
        session.say(f"Wrote {output}.")
        made = {**made, "file": str(output)}
    session.emit(made, made["invite"].rstrip() if output is None else "")
