"""Keyrings for the contract suite, on cheap but documented costs."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from hive.custody.file import FileKeyring, create_keyring
from hive.custody.memory import MemoryKeyring
from hive.custody.passphrase import Passphrase, from_text, make_unlock_file
from hive.custody.signer import Entropy, Keyring
from hive.trust.secrets_at_rest import RANDOM_PASSPHRASE
from hive.wire.randomness import Stream

RING_KINDS = ("memory", "file-sealed", "file-unlock")
PASSPHRASE = from_text("correct horse")


def entropy_of(seed: bytes) -> Entropy:
    """Repeatable bytes that never come twice."""
    counter = count()

    def draw(size: int) -> bytes:
        stream = Stream(seed, "entropy", next(counter).to_bytes(4, "big"))
        return b"".join(stream.bits(8).to_bytes(1, "big") for _ in range(size))

    return draw


def make_file_ring(directory: Path, passphrase: Passphrase = PASSPHRASE) -> FileKeyring:
    """A new keyring in a directory."""
    return create_keyring(directory, passphrase, entropy_of(b"ring"), RANDOM_PASSPHRASE)


def make_ring(kind: str, directory: Path) -> Keyring:
    """A new keyring of one of `RING_KINDS`."""
    if kind == "memory":
        return MemoryKeyring()
    keys = directory / "keys"
    if kind == "file-sealed":
        return make_file_ring(keys)
    keys.mkdir(mode=0o700)
    return make_file_ring(keys, make_unlock_file(keys, entropy_of(b"unlock")))
