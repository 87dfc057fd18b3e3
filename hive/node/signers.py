"""The keys this node can sign with, by the digest of their public half.

Most lie in the keyring; an agent's may stay with a custodian outside, who is asked in a worker
thread, and a session key of the keyring then stands in for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from hive.custody.outside import OutsideKeys
from hive.custody.signer import HeldKey, Keyring, Signer
from hive.trust.keys import PublicKey
from hive.wire.ids import Digest


@dataclass(frozen=True, slots=True)
class Named:
    """A key of the keyring, or of a custodian outside, under its name."""

    name: str
    signer: Signer

    @property
    def is_fast(self) -> bool:
        """Whether it signs in this process, within microseconds."""
        return isinstance(self.signer, HeldKey)


class Signers:
    """A keyring opened for signing; `refresh` after keys came, went or rotated."""

    def __init__(self, keyring: Keyring, outside: OutsideKeys) -> None:
        self.keyring = keyring
        self.outside = outside
        self._by_digest: dict[Digest, Named] = {}
        self._publics: dict[str, PublicKey] = {}
        self.refresh()

    def refresh(self) -> None:
        """Reads every key of the keyring, and those that the next rotations reveal."""
        held: list[Named] = []
        publics: dict[str, PublicKey] = {}
        for ring in (self.outside, self.keyring):
            names = ring.names()
            held += [Named(name, ring.next_signer(name)) for name in names]
            present = [Named(name, ring.signer(name)) for name in names]
            publics |= {named.name: named.signer.public for named in present}
            held += present
        self._by_digest = {named.signer.public.digest: named for named in held}
        self._publics = publics

    @property
    def is_current(self) -> bool:
        """Whether these are the names on disk; keys are recovered while a node runs."""
        return set(self._publics) == {*self.outside.names(), *self.keyring.names()}

    def holds(self, key: Digest) -> bool:
        """Whether `find` answers for this key."""
        return key in self._by_digest

    def find(self, key: Digest) -> Named | None:
        """The key of a digest."""
        return self._by_digest.get(key)

    def publics(self, prefix: str) -> dict[str, PublicKey]:
        """The present public keys whose names begin so, by what follows."""
        return {
            name.removeprefix(prefix): key
            for name, key in sorted(self._publics.items())
            if name.startswith(prefix)
        }

    def named(self, name: str) -> Signer:
        """The key of a name; raises `MissingKey`."""
        if name in self.outside.names():
            return self.outside.signer(name)
        return self.keyring.signer(name)

    def name_of(self, key: PublicKey) -> str:
        """Under which name a public key is held; "" where it is not."""
        found = self._by_digest.get(key.digest)
        return found.name if found else ""
