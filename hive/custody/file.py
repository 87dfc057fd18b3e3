"""Keys in files, each sealed under a passphrase stretched by Argon2id.

A keyring is a directory of mode 0700: `keyring.mark` tells a wrong passphrase from an empty
directory and fixes salt and cost; `<name>.key` holds one key, its successor and, during a
rotation, the key staged after that. Rotation: `stage`, sign and store the new record, then
`promote`. After a crash between them the node finds its newest record under `next_signer` and
promotes again; no step loses a key that any record commits to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hive.custody.keyfile import (
    KEY_COUNT_MAX,
    KeyEntry,
    Keys,
    Lock,
    parse_file,
    read_private,
    require_private,
    write_private,
)
from hive.custody.passphrase import Passphrase
from hive.custody.signer import (
    CorruptKeyFile,
    Entropy,
    HeldKey,
    KeyExists,
    check_name,
    key_of,
    missing,
    not_staged,
)
from hive.errors import StateError, StoreError
from hive.trust.keys import ED25519, PublicKey
from hive.trust.secrets_at_rest import INTERACTIVE, NONCE_BYTES, SALT_BYTES, PassphraseCost

MARK: Final = "keyring.mark"
SUFFIX: Final = ".key"


class FileKeyring:
    """An opened keyring; use `create_keyring` once and the constructor ever after."""

    def __init__(self, directory: Path, passphrase: Passphrase, entropy: Entropy) -> None:
        self._directory = directory
        self._entropy = entropy
        self.custody_class = passphrase.custody_class
        mark = directory / MARK
        if not mark.exists():
            raise StateError(f"{directory} is no keyring", hint="make one with `hive init`")
        require_private(directory, directory.stat())
        sealed = parse_file(mark, read_private(mark))
        self._lock = Lock.of(passphrase.secret, sealed.salt, sealed.cost)
        self._lock.open(mark, sealed)

    def names(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(sorted(path.stem for path in self._directory.glob(f"[!.]*{SUFFIX}")))

    def create(
        self, name: str, seed: bytes, next_seed: bytes, algorithm: int = ED25519
    ) -> PublicKey:
        """Keeps a new key and its successor, durably."""
        names = self.names()
        if check_name(name) in names:
            raise KeyExists(f"a key is named {name!r} already", hint="choose another name")
        if len(names) >= KEY_COUNT_MAX:
            raise StateError(f"{KEY_COUNT_MAX} keys fill a keyring", hint="use another directory")
        self._write(KeyEntry(name, algorithm, seed, next_seed, b""))
        return key_of(algorithm, seed).public

    def signer(self, name: str) -> HeldKey:
        """The present key."""
        entry = self._read(name)
        return HeldKey(key_of(entry.algorithm, entry.seed), self.custody_class)

    def next_signer(self, name: str) -> HeldKey:
        """The key that the next rotation reveals."""
        entry = self._read(name)
        return HeldKey(key_of(entry.algorithm, entry.next_seed), self.custody_class)

    def stage(self, name: str, seed: bytes) -> PublicKey:
        """Keeps the key after the next one, durably, and gives it; staged once, it stays."""
        entry = self._read(name)
        if not entry.staged_seed:
            entry = KeyEntry(name, entry.algorithm, entry.seed, entry.next_seed, seed)
            self._write(entry)
        return key_of(entry.algorithm, entry.staged_seed).public

    def promote(self, name: str) -> PublicKey:
        """The next key becomes the present one and the staged key the next; all or nothing."""
        entry = self._read(name)
        if not entry.staged_seed:
            raise not_staged(name)
        self._write(KeyEntry(name, entry.algorithm, entry.next_seed, entry.staged_seed, b""))
        return key_of(entry.algorithm, entry.next_seed).public

    def supplant(self, name: str, seed: bytes, next_seed: bytes) -> PublicKey:
        """A key and successor of their own in the place of those that a copy shares."""
        entry = self._read(name)
        self._write(KeyEntry(name, entry.algorithm, seed, next_seed, b""))
        return key_of(entry.algorithm, seed).public

    def backup(
        self,
        path: Path,
        passphrase: bytes,
        cost: PassphraseCost = INTERACTIVE,
        only: Sequence[str] = (),
    ) -> tuple[str, ...]:
        """Writes all keys, or only some, as one sealed file; gives their names.

        Never overwrites a file.
        """
        if path.exists():
            raise StateError(f"{path} exists", hint="choose another file; backups are not replaced")
        entries = tuple(self._read(name) for name in only or self.names())
        lock = Lock.of(passphrase, self._entropy(SALT_BYTES), cost)
        write_private(path, lock.seal(Keys(entries=entries), self._entropy(NONCE_BYTES)))
        return tuple(entry.name for entry in entries)

    def recover(self, path: Path, passphrase: bytes, only: Sequence[str] = ()) -> tuple[str, ...]:
        """Takes back the keys of a backup, or only some, that are absent here; gives their names.

        A backup older than a rotation holds an older key under a name: `KeyExists`, and nothing
        at all is written.
        """
        sealed = parse_file(path, read_private(path))
        keys = Lock.of(passphrase, sealed.salt, sealed.cost).open(path, sealed)
        names = self.names()
        entries = _chosen(keys.entries, only)
        for entry in entries:
            if check_name(entry.name) in names and self._read(entry.name) != entry:
                raise KeyExists(
                    f"the key {entry.name!r} here differs from the backup's",
                    hint="recover into an empty keyring, or only the keys that you need: `--only`",
                )
        absent = [entry for entry in entries if entry.name not in names]
        for entry in absent:
            self._write(entry)
        return tuple(entry.name for entry in absent)

    def _path(self, name: str) -> Path:
        return self._directory / f"{check_name(name)}{SUFFIX}"

    def _write(self, entry: KeyEntry) -> None:
        content = self._lock.seal(Keys(entries=(entry,)), self._entropy(NONCE_BYTES))
        write_private(self._path(entry.name), content)

    def _read(self, name: str) -> KeyEntry:
        path = self._path(name)
        if not path.exists():
            raise missing(name, self.names())
        sealed = parse_file(path, read_private(path))
        if not self._lock.fits(sealed):
            raise CorruptKeyFile(
                f"{path} belongs to another keyring", hint="recover the key from a backup"
            )
        keys = self._lock.open(path, sealed)
        if [entry.name for entry in keys.entries] != [name]:
            raise CorruptKeyFile(f"{path} holds the key of another name", hint="undo its renaming")
        return keys.entries[0]


def _chosen(entries: Sequence[KeyEntry], only: Sequence[str]) -> list[KeyEntry]:
    held = {entry.name: entry for entry in entries}
    for name in only:
        if name not in held:
            raise missing(name, tuple(held))
    return [held[name] for name in only] if only else list(entries)


def create_keyring(
    directory: Path,
    passphrase: Passphrase,
    entropy: Entropy,
    cost: PassphraseCost = INTERACTIVE,
) -> FileKeyring:
    """Makes a new, empty keyring; an existing one is never replaced."""
    mark = directory / MARK
    if mark.exists():
        raise StateError(f"{directory} is a keyring already", hint="open it, or choose another")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{directory} cannot be made: {error.strerror}") from error
    require_private(directory, directory.stat())
    lock = Lock.of(passphrase.secret, entropy(SALT_BYTES), cost)
    write_private(mark, lock.seal(Keys(entries=()), entropy(NONCE_BYTES)))
    return FileKeyring(directory, passphrase, entropy)
