"""`hive demo`."""

from __future__ import annotations

from pathlib import Path

import click

from ..command import command
from ..session import Session


@command("demo", example="hive demo --keep /tmp/federation", has_home=False)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Leave the federation running, with its homes in this folder.",
)
def demo(session: Session, keep: Path | None) -> None:
    """Run a federation of three organisations and six nodes here, attack it, and measure.

    The exit code is 1 where something did not go as promised.
    """
    from ..demo import run

    click.get_current_context().exit(run(keep, session.is_json))
