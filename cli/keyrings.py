"""Keyrings opened without a node: a founder's, or a home's for backup and recovery."""

from __future__ import annotations

from pathlib import Path

from hive.custody.file import FileKeyring, create_keyring
from hive.custody.passphrase import from_unlock_file, make_unlock_file
from hive.custody.signer import MissingKey, MissingPassphrase
from hive.node import clocks

from .session import Session


def opened(session: Session, directory: Path, descriptor: int | None = None) -> FileKeyring:
    """An existing keyring, under the passphrase of a descriptor or what the session finds."""
    given = session.passphrase(directory, descriptor) or from_unlock_file(directory)
    if given is None:
        if not (directory / "keyring.mark").exists():
            raise MissingKey(f"{directory} is no keyring", hint="is it the right folder?")
        raise MissingPassphrase(
            f"the keyring in {directory} needs its passphrase",
            hint="answer the prompt, or name an open descriptor in HIVE_PASSPHRASE_FD",
        )
    return FileKeyring(directory, given, clocks.entropy)


def make(session: Session, directory: Path) -> FileKeyring:
    """A new keyring in a private folder."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    given = session.new_passphrase() or make_unlock_file(directory, clocks.entropy)
    return create_keyring(directory, given, clocks.entropy)
