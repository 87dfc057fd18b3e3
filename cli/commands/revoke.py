"""`hive revoke`."""

from __future__ import annotations

import click

from ..command import command
from ..output import outline
from ..session import Session


@command("revoke", example="hive revoke scribe --reason retired")
@click.argument("name")
@click.option(
    "--reason",
    type=click.Choice(("compromised", "retired", "forked")),
    default="compromised",
    show_default=True,
)
def revoke(session: Session, name: str, reason: str) -> None:
    """Revoke an agent or node of this organisation, for ever.

    NAME is its name or the hex of its inception. What it signed so far, as far as this node holds
    it, stays good.
    """
    done = session.call("revoke", name=name, reason=reason)
    session.emit(done, outline(done))
