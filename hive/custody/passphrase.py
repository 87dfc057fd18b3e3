"""Where a node without a person gets its passphrase from, and what that is worth.

"file-sealed": the passphrase comes from outside (a person, a descriptor), so the disk alone
gives no key away. "file-unlock": it lies in a file beside the keys, so whoever copies the disk
has them; records and `hive status` say so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hive.custody.keyfile import read_private, write_private
from hive.custody.signer import CorruptKeyFile, Entropy
from hive.errors import ConfigError

SEALED: Final = "file-sealed"
UNLOCK: Final = "file-unlock"
UNLOCK_FILE: Final = "keyring.unlock"
VARIABLE: Final = "HIVE_PASSPHRASE_FD"
PASSPHRASE_BYTES_MAX: Final = 1_024
_UNLOCK_BYTES: Final = 32


@dataclass(frozen=True, slots=True, repr=False)
class Passphrase:
    """The secret and the custody class that it makes."""

    secret: bytes
    custody_class: str = SEALED


def from_text(text: str) -> Passphrase:
    """A passphrase that a person typed."""
    return _checked(text.encode("utf-8"), "the passphrase")


def from_descriptor(descriptor: int) -> Passphrase:
    """Reads a descriptor to its end and closes it; one trailing newline is dropped."""
    try:
        with os.fdopen(descriptor, "rb") as file:
            secret = file.read(PASSPHRASE_BYTES_MAX + 2)
    except OSError as error:
        raise ConfigError(
            f"descriptor {descriptor} gives no passphrase: {error.strerror}",
            hint=f"open it for reading, e.g. {VARIABLE}=3 hive up 3<passphrase-file",
        ) from None
    return _checked(secret.removesuffix(b"\n"), f"descriptor {descriptor}")


def from_environment(environment: Mapping[str, str]) -> Passphrase | None:
    """The descriptor that `HIVE_PASSPHRASE_FD` names; None where the variable is not set."""
    value = environment.get(VARIABLE, "")
    if not value:
        return None
    if not value.isascii() or not value.isdigit():
        raise ConfigError(
            f"{VARIABLE} is {value!r}, not a descriptor's number",
            hint="never put the passphrase itself there; name an open descriptor",
        )
    return from_descriptor(int(value))


def make_unlock_file(directory: Path, entropy: Entropy) -> Passphrase:
    """Draws a random passphrase and keeps it beside the keys; an existing one is read."""
    path = directory / UNLOCK_FILE
    if not path.exists():
        write_private(path, entropy(_UNLOCK_BYTES).hex().encode() + b"\n")
    found = from_unlock_file(directory)
    assert found is not None
    return found


def from_unlock_file(directory: Path) -> Passphrase | None:
    """The random passphrase beside the keys; None where there is no such file."""
    path = directory / UNLOCK_FILE
    if not path.exists():
        return None
    try:
        secret = bytes.fromhex(read_private(path).decode("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != _UNLOCK_BYTES:
        raise CorruptKeyFile(f"{path} is damaged", hint="recover the keys from a backup")
    return Passphrase(secret, UNLOCK)


def _checked(secret: bytes, source: str) -> Passphrase:
    if not secret:
        raise ConfigError(f"{source} is empty", hint="give at least one character; more is better")
    if len(secret) > PASSPHRASE_BYTES_MAX:
        raise ConfigError(f"{source} exceeds {PASSPHRASE_BYTES_MAX} bytes", hint="is it the right?")
    return Passphrase(secret)
