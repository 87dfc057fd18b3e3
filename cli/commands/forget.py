"""`hive forget`."""

from __future__ import annotations

import click

from ..command import command
from ..inputs import DELTA_ID, SOURCE_BYTES_MAX, checked_label
from ..output import outline
from ..session import Session


@command("forget", example='hive forget 3f9a1c77 --reason "asked by its subject" --dry-run')
@click.argument("ids", type=DELTA_ID, nargs=-1, required=True)
@click.option("-a", "--agent", help="Who forgets; the home's own agent otherwise.")
@click.option("-r", "--reason", default="", help="Why; kept for ever beside the proof.")
@click.option("--dry-run", is_flag=True, help="Say what would be forgotten, and change nothing.")
def forget(
    session: Session, ids: tuple[str, ...], agent: str | None, reason: str, dry_run: bool
) -> None:
    """Forget memories everywhere and for ever: the forgetting spreads and wins over any copy.

    It cannot be undone. What stays is the proof that something was forgotten.
    """
    label = checked_label(reason, "the reason", SOURCE_BYTES_MAX)
    done = session.call("forget", agent=agent, ids=list(ids), reason=label, dry_run=dry_run)
    session.emit(done, outline(done))
    if dry_run:
        session.say("Nothing was changed.")
