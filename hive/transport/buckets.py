"""Token buckets in fixed memory: a keyed digest of the name picks one of `slot_count` slots.

A stranger who invents names (spoofed subnets, say) allocates nothing and can evict nobody; two
names that fall into one slot share its budget, and without the key nobody can choose to.
"""

from __future__ import annotations

from array import array

from hive.trust.sealing import authenticate

_MICRO = 1_000_000


class BucketTable:
    """`per_second` tokens a second and at most `burst` at once, per slot."""

    __slots__ = ("_at_us", "_burst", "_key", "_levels", "_per_second", "_slot_count")

    def __init__(self, key: bytes, *, slot_count: int, per_second: int, burst: int) -> None:
        self._key = key
        self._slot_count = slot_count
        self._per_second = per_second
        self._burst = burst * _MICRO
        self._levels = array("q", [self._burst]) * slot_count
        self._at_us = array("q", [0]) * slot_count

    def slot_of(self, name: bytes) -> int:
        """The slot that this name spends from; constant for the table's life."""
        return int.from_bytes(authenticate(self._key, name)[:8], "big") % self._slot_count

    def take(self, slot: int, now_us: int) -> bool:
        """Spends one token of the slot; False where it has none left."""
        level = self._levels[slot] + (now_us - self._at_us[slot]) * self._per_second
        level = min(level, self._burst)
        self._at_us[slot] = now_us
        has_token = level >= _MICRO
        self._levels[slot] = level - _MICRO if has_token else level
        return has_token
