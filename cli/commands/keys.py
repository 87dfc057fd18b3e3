"""`hive keys`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..command import command, group
from ..inputs import NAMESPACE, NEW_FILE, OLD_FILE
from ..moments import moment
from ..output import outline
from ..session import Session

if TYPE_CHECKING:
    from hive.custody.file import FileKeyring

_DIRECTORY = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="A founder's keyring instead of the home's.",
)
_BACKUP_FD = click.option(
    "--backup-passphrase-fd",
    type=click.IntRange(min=0),
    metavar="FD",
    help="Read the backup's own passphrase from this descriptor; a prompt otherwise.",
)
_ONLY = click.option(
    "--only", multiple=True, metavar="KEY", help="Only this key, e.g. agent-me; repeat for more."
)


@group("keys", example="hive keys rotate node")
def keys() -> None:
    """Rotate, back up and recover the keys of this node or of a founder."""


@command("rotate", example="hive keys rotate scribe")
@click.argument("name")
@click.option(
    "--ssh-key",
    default="",
    metavar="KEY",
    help="Where the keys lie in an ssh-agent: the one that is to follow the next.",
)
def rotate(session: Session, name: str, ssh_key: str) -> None:
    """Rotate a key: the committed successor takes over and the old generation is sealed.

    NAME is `node` or an agent of this node.
    """
    done = session.call("rotate", name=name, ssh_key=ssh_key)
    session.emit(done, outline(done))


@command("session", example="hive keys session scribe")
@click.argument("name", type=NAMESPACE)
def session_(session: Session, name: str) -> None:
    """Make a software key that stands in for an agent's own for an hour, and sign it by that one.

    A node does this by itself for agents whose keys lie in an ssh-agent, at half the hour.
    """
    made = session.call("agent_session", name=name)
    until = moment(made["not_after_ms"])
    session.emit(made, f"{made['session'][:12]} signs for {name} until {until}")


@command("backup", example="hive keys backup keys.backup --backup-passphrase-fd 3 3<secret")
@click.argument("file", type=NEW_FILE)
@_DIRECTORY
@_ONLY
@_BACKUP_FD
def backup(
    session: Session,
    file: Path,
    directory: Path | None,
    only: tuple[str, ...],
    backup_passphrase_fd: int | None,
) -> None:
    """Back up all keys into one file, sealed with a passphrase of its own.

    With --only a file for one purpose, such as an agent that is to write on a second machine.
    """
    keyring = _opened(session, directory)
    secret = session.secret(backup_passphrase_fd, "Passphrase of the backup", is_new=True)
    names = keyring.backup(file, secret, only=only)
    data = {"file": str(file), "keys": list(names)}
    session.emit(data, f"{file}: {', '.join(names)}")


@command("recover", example="hive keys recover keys.backup --backup-passphrase-fd 3 3<secret")
@click.argument("file", type=OLD_FILE)
@_DIRECTORY
@_ONLY
@_BACKUP_FD
def recover(
    session: Session,
    file: Path,
    directory: Path | None,
    only: tuple[str, ...],
    backup_passphrase_fd: int | None,
) -> None:
    """Recover the keys of a backup that are absent here; none is overwritten.

    Where there is no keyring, one is made. An agent's key recovered on a second machine is taken
    up by its node, which asks the issuer's for the agent's record.
    """
    secret = session.secret(backup_passphrase_fd, "Passphrase of the backup")
    names = _opened(session, directory, is_made=True).recover(file, secret, only)
    data = {"file": str(file), "recovered": list(names)}
    session.emit(data, ", ".join(names))
    if not names:
        session.say("All of its keys are here already.")


def _opened(session: Session, directory: Path | None, *, is_made: bool = False) -> FileKeyring:
    from ..keyrings import make, opened

    where = directory or session.home / "keys"
    if is_made and not (where / "keyring.mark").exists():
        return make(session, where)
    return opened(session, where)


for _command in (rotate, session_, backup, recover):
    keys.add_command(_command)
