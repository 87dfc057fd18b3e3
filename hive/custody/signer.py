"""The port of custody: signers and keyrings, and the ways in which they fail."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from hive.errors import NotPermitted, ResourceError, StateError, StoreError
from hive.trust.keys import (
    ED25519,
    Ed25519Key,
    P256Key,
    PublicKey,
    SigningKey,
    verify_bytes,
)
from hive.wire.ids import Digest

Entropy: TypeAlias = Callable[[int], bytes]
"""Gives so many secret random bytes; drawn in `hive.node`."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class WrongPassphrase(NotPermitted):
    """The passphrase does not open this keyring or backup; nothing was changed."""


class MissingPassphrase(StateError):
    """A sealed keyring, and nobody who says its passphrase."""


class MissingKey(StateError):
    """No key has this name."""


class KeyExists(StateError):
    """Another key has this name already; nothing was overwritten."""


class ExposedKeys(NotPermitted):
    """Others may read the keys, so they are not used until that is mended."""


class CorruptKeyFile(StoreError):
    """A key file or backup is damaged; nothing of it was used."""


class CustodyUnavailable(ResourceError):
    """Whoever holds the key does not answer, or answers wrongly."""


class Signer(Protocol):
    """A key that signs without being seen; `sign` may be slow: call it in a worker thread."""

    @property
    def algorithm(self) -> int:
        """`keys.ED25519` or `keys.P256`."""

    @property
    def public(self) -> PublicKey:
        """The public half."""

    @property
    def custody_class(self) -> str:
        """How the key is held, as node and agent records say it."""

    @property
    def evidence(self) -> bytes:
        """What proves the custody class to others; empty where nothing does."""

    def sign(self, label: str, subject: Digest) -> bytes:
        """64 bytes over `signing_bytes(label, subject)`."""


class Keyring(Protocol):
    """Named keys, each with the key that will follow it."""

    @property
    def custody_class(self) -> str:
        """How the keys are held."""

    def names(self) -> tuple[str, ...]:
        """The names, sorted."""

    def create(
        self, name: str, seed: bytes, next_seed: bytes, algorithm: int = ED25519
    ) -> PublicKey:
        """Keeps a new key and its successor, durably; `KeyExists` where the name is taken."""

    def signer(self, name: str) -> Signer:
        """The present key; `MissingKey` where there is none."""

    def next_signer(self, name: str) -> Signer:
        """The key that the next rotation reveals."""

    def stage(self, name: str, seed: bytes) -> PublicKey:
        """Keeps the key after the next one, durably, and gives it; staged once, it stays."""

    def promote(self, name: str) -> PublicKey:
        """The next key becomes the present one and the staged key the next; all or nothing."""


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key in this process's memory, with how it came there."""

    key: SigningKey
    custody_class: str
    evidence: bytes = b""

    @property
    def algorithm(self) -> int:
        """The key's own."""
        return self.key.public.algorithm

    @property
    def public(self) -> PublicKey:
        """The key's own."""
        return self.key.public

    def sign(self, label: str, subject: Digest) -> bytes:
        """Signs at once, about 30 µs."""
        return self.key.sign(label, subject)


def key_of(algorithm: int, seed: bytes) -> SigningKey:
    """The key that a seed gives under an algorithm."""
    return Ed25519Key(seed) if algorithm == ED25519 else P256Key(seed)


def check_name(name: str) -> str:
    """The name itself; `StateError` where it is not 1 to 63 of a–z, 0–9, "_" and "-"."""
    if not _NAME.fullmatch(name):
        raise StateError(
            f"{name!r} cannot name a key",
            hint='use 1 to 63 of a-z, 0-9, "_" and "-", beginning with a letter or digit',
        )
    return name


def missing(name: str, names: tuple[str, ...]) -> MissingKey:
    """The error for a key that is not there."""
    known = ", ".join(names) or "none"
    return MissingKey(f"no key is named {name!r}", hint=f"there are: {known}")


def not_staged(name: str) -> StateError:
    """The error for a rotation that was not prepared."""
    return StateError(
        f"no successor is staged for {name!r}", hint="stage the key after the next one first"
    )


def require_genuine(signer_name: str, public: PublicKey, message: bytes, signature: bytes) -> bytes:
    """The signature, once it verified: a custodian outside this process is not believed."""
    if not verify_bytes(public.algorithm, public.octets, message, signature):
        raise CustodyUnavailable(
            f"{signer_name} returned a signature that does not verify",
            hint="it may hold another key than its list says; check it before use",
        )
    return signature
