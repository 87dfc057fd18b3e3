"""Keys in this process's memory: lost with it, for simulations and tests."""

from __future__ import annotations

from dataclasses import dataclass

from hive.custody.signer import HeldKey, KeyExists, check_name, key_of, missing, not_staged
from hive.trust.keys import ED25519, PublicKey


@dataclass(slots=True)
class _Slot:
    algorithm: int
    seed: bytes
    next_seed: bytes
    staged_seed: bytes = b""


class MemoryKeyring:
    """A keyring without a disk."""

    custody_class = "memory"

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}

    def names(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(sorted(self._slots))

    def create(
        self, name: str, seed: bytes, next_seed: bytes, algorithm: int = ED25519
    ) -> PublicKey:
        """Keeps a new key and its successor."""
        if check_name(name) in self._slots:
            raise KeyExists(f"a key is named {name!r} already", hint="choose another name")
        self._slots[name] = _Slot(algorithm, seed, next_seed)
        return key_of(algorithm, seed).public

    def signer(self, name: str) -> HeldKey:
        """The present key."""
        slot = self._slot(name)
        return HeldKey(key_of(slot.algorithm, slot.seed), self.custody_class)

    def next_signer(self, name: str) -> HeldKey:
        """The key that the next rotation reveals."""
        slot = self._slot(name)
        return HeldKey(key_of(slot.algorithm, slot.next_seed), self.custody_class)

    def stage(self, name: str, seed: bytes) -> PublicKey:
        """Keeps the key after the next one; staged once, it stays."""
        slot = self._slot(name)
        slot.staged_seed = slot.staged_seed or seed
        return key_of(slot.algorithm, slot.staged_seed).public

    def promote(self, name: str) -> PublicKey:
        """The next key becomes the present one and the staged key the next."""
        slot = self._slot(name)
        if not slot.staged_seed:
            raise not_staged(name)
        slot.seed, slot.next_seed, slot.staged_seed = slot.next_seed, slot.staged_seed, b""
        return key_of(slot.algorithm, slot.seed).public

    def _slot(self, name: str) -> _Slot:
        slot = self._slots.get(name)
        if slot is None:
            raise missing(name, self.names())
        return slot
