"""The keys this node can sign with, by the digest of their public half."""

from __future__ import annotations

from dataclasses import dataclass

from hive.custody.signer import HeldKey, Keyring, Signer
from hive.trust.keys import PublicKey
from hive.wire.ids import Digest


@dataclass(frozen=True, slots=True)
class Named:
    """A key of the keyring under its name."""

    name: str
    signer: Signer

    @property
    def is_fast(self) -> bool:
        """Whether it signs in this process, within microseconds."""
        return isinstance(self.signer, HeldKey)


class Signers:
    """A keyring opened for signing; `refresh` after keys came, went or rotated."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring
        self._by_digest: dict[Digest, Named] = {}
        self.refresh()

    def refresh(self) -> None:
        """Reads every key of the keyring, and those that the next rotations reveal."""
        names = self.keyring.names()
        held = [Named(name, self.keyring.next_signer(name)) for name in names]
        held += [Named(name, self.keyring.signer(name)) for name in names]
        self._by_digest = {named.signer.public.digest: named for named in held}

    def holds(self, key: Digest) -> bool:
        """Whether `find` answers for this key."""
        return key in self._by_digest

    def find(self, key: Digest) -> Named | None:
        """The key of a digest."""
        return self._by_digest.get(key)

    def named(self, name: str) -> Signer:
        """The key of a name; raises `MissingKey`."""
        return self.keyring.signer(name)

    def name_of(self, key: PublicKey) -> str:
        """Under which name a public key is held; "" where it is not."""
        found = self._by_digest.get(key.digest)
        return found.name if found else ""
