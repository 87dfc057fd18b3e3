"""`hive backup`."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from ..command import command
from ..output import outline
from ..session import Session


@command("backup", example="hive backup /backups/hive-monday")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def backup(session: Session, directory: Path) -> None:
    """Copy the store into a new folder while the node runs, and verify the copy.

    The settings go with it. Keys do not: `hive keys backup` keeps those.
    """
    done = session.call("backup", path=str(directory.absolute()))
    shutil.copyfile(session.home / "config.toml", directory / "config.toml")
    session.emit(done, outline(done))
