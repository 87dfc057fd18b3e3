"""The format of sealed keys on disk, and the care with which files are read and written.

A file is text armour (length, check) around one canonical record: what is wrong with a damaged
one is always said, and a wrong passphrase is told from damage. Writing goes through a temporary
file, fsync, rename and fsync of the directory, mode 0600, so that a crash leaves old or new.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from hive.custody.signer import CorruptKeyFile, ExposedKeys, WrongPassphrase
from hive.errors import MalformedFrame, StoreError
from hive.trust.armour import ARMOUR_BYTES_MAX, armour, unarmour
from hive.trust.keys import ED25519, P256, SEED_BYTES
from hive.trust.secrets_at_rest import (
    NONCE_BYTES,
    SALT_BYTES,
    PassphraseCost,
    open_secret,
    seal_secret,
    stretch,
)
from hive.wire.codec import Integer, Octets, Text
from hive.wire.schema import Many, Part, Record, part, record

KEY_TITLE: Final = "HIVE SEALED KEYS"
KEY_COUNT_MAX: Final = 128
_SEALED_BYTES_MAX: Final = 40_000


@part
@dataclass(frozen=True, slots=True)
class KeyEntry(Part):
    """One named key: its seed, its successor's, and the one staged after that (or nothing)."""

    name: Annotated[str, Text(63)]
    algorithm: Annotated[int, Integer(ED25519, P256)]
    seed: Annotated[bytes, Octets(SEED_BYTES, SEED_BYTES)]
    next_seed: Annotated[bytes, Octets(SEED_BYTES, SEED_BYTES)]
    staged_seed: Annotated[bytes, Octets(0, SEED_BYTES)]


@record("keys", 1, bytes_max=_SEALED_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class Keys(Record):
    """What is inside the box; a key file holds one entry, a backup all, a keyring's mark none."""

    entries: Annotated[tuple[KeyEntry, ...], Many(KEY_COUNT_MAX)]


@record("sealed-keys", 1, bytes_max=_SEALED_BYTES_MAX + 512)
@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKeys(Record):
    """Salt, cost, nonce and box."""

    cost: PassphraseCost
    salt: Annotated[bytes, Octets(SALT_BYTES, SALT_BYTES)]
    nonce: Annotated[bytes, Octets(NONCE_BYTES, NONCE_BYTES)]
    box: Annotated[bytes, Octets(1, _SEALED_BYTES_MAX)]


@dataclass(frozen=True, slots=True)
class Lock:
    """A passphrase already stretched, with what it was stretched by."""

    cost: PassphraseCost
    salt: bytes
    key: bytes

    @classmethod
    def of(cls, passphrase: bytes, salt: bytes, cost: PassphraseCost) -> Lock:
        """Stretches; as slow as `cost` says."""
        return cls(cost, salt, stretch(passphrase, salt, cost))

    def fits(self, sealed: SealedKeys) -> bool:
        """Whether the file was sealed under this salt and cost."""
        return sealed.salt == self.salt and sealed.cost == self.cost

    def seal(self, keys: Keys, nonce: bytes) -> bytes:
        """The bytes of the file."""
        box = seal_secret(self.key, nonce, keys.to_body())
        sealed = SealedKeys(cost=self.cost, salt=self.salt, nonce=nonce, box=box)
        return armour(KEY_TITLE, sealed.to_body())

    def open(self, path: Path, sealed: SealedKeys) -> Keys:
        """What the file holds; `WrongPassphrase` where the box does not open."""
        opened = open_secret(self.key, sealed.nonce, sealed.box)
        if opened is None:
            raise WrongPassphrase(
                f"the passphrase does not open {path}",
                hint="the file itself is whole; try again, or recover from a backup",
            )
        try:
            return Keys.from_body_untrusted(opened)
        except MalformedFrame as error:
            raise CorruptKeyFile(f"{path} opened but {error}", hint=_RECOVER) from None


_RECOVER: Final = "recover the keys from a backup"


def parse_file(path: Path, untrusted: bytes) -> SealedKeys:
    """The sealed record in a file; `CorruptKeyFile` saying what is wrong."""
    try:
        return SealedKeys.from_body_untrusted(unarmour(KEY_TITLE, untrusted))
    except MalformedFrame as error:
        raise CorruptKeyFile(f"{path}: {error}", hint=_RECOVER) from None


def read_private(path: Path) -> bytes:
    """The file's bytes; `ExposedKeys` where group or others may do anything with it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}", hint=_RECOVER) from error
    with os.fdopen(descriptor, "rb") as file:
        require_private(path, os.fstat(descriptor))
        return file.read(ARMOUR_BYTES_MAX + 1)


def require_private(path: Path, status: os.stat_result) -> None:
    """`ExposedKeys` where the owner is another or the mode lets others in."""
    mode = stat.S_IMODE(status.st_mode)
    wanted = "700" if stat.S_ISDIR(status.st_mode) else "600"
    if mode & 0o077:
        raise ExposedKeys(
            f"{path} has mode {mode:o}: others may reach it",
            hint=f"chmod {wanted} {path}, and rotate the keys if somebody may have read them",
        )
    if status.st_uid != os.geteuid():
        raise ExposedKeys(f"{path} belongs to another user", hint=f"chown it, then chmod {wanted}")


def write_private(path: Path, content: bytes) -> None:
    """Writes all or nothing, mode 0600, durable on return."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.rename(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}", hint="nothing was changed"
        ) from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
