"""`hive restore`."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from hive.errors import HiveError, StateError

from ..command import command
from ..output import outline
from ..session import Session


@command("restore", example="hive restore /backups/hive-monday")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
def restore(session: Session, directory: Path) -> None:
    """Put a verified backup in the place of this home's store; the node must be down.

    The store that was there is moved aside, and what was forgotten or revoked since the backup
    stays so where that store still opens. The node gets a new identity for its logs before it
    writes again. In an empty home the settings of the backup are taken too; bring the keys back
    with `hive keys recover`.
    """
    home, store = session.home, session.home / "store"
    if session.is_node_running():
        raise StateError("the node is running", hint="stop it first: `hive down`")
    fresh, old = home / "store.restored", _free_name(home / "store.before")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    contents = _restore(session, directory, fresh, store)
    if store.exists():
        store.rename(old)
        session.say(f"The store that was here lies in {old} now.")
    fresh.rename(store)
    shutil.rmtree(home / "recall", ignore_errors=True)
    settings = directory / "config.toml"
    if settings.exists() and not (home / "config.toml").exists():
        shutil.copyfile(settings, home / "config.toml")
    data = {"home": str(home), "deltas": contents[0], "bytes": contents[1]}
    session.emit(data, outline(data))


def _free_name(path: Path) -> Path:
    number = 1
    while (found := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return found


def _restore(session: Session, backup: Path, fresh: Path, store: Path) -> tuple[int, int]:
    """Restores beside the old store, with what must not come back carried over from it."""
    from hive.store.backup import restore as put_back
    from hive.store.backup import verify_backup
    from hive.store.lmdb_store import LmdbStore

    verify_backup(backup)
    shutil.rmtree(fresh, ignore_errors=True)
    newer = None
    if store.exists():
        try:
            newer = LmdbStore(store)
        except StateError:
            raise
        except HiveError as error:
            session.say(f"The old store does not open ({error}); nothing is carried over.")
    try:
        contents = put_back(backup, fresh, newer=newer)
    finally:
        if newer is not None:
            newer.close()
    return contents.delta_count, contents.file_bytes
