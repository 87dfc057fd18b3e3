"""Token buckets in fixed memory: a keyed digest of the name picks one of `slot_count` slots.

A stranger who invents names (spoofed subnets, say) allocates nothing and can evict nobody; two
names that fall into one slot share its budget, and without the key nobody can choose to.

A bucket is one number, the moment at which it will be full again (the generic cell rate
algorithm, ITU-T I.371): taking a token moves it one interval on, and it may lie `burst`
intervals ahead of now at most.
"""

from __future__ import annotations

from array import array
from typing import Final

from hive.trust.sealing import authenticate

_NANO_PER_SECOND: Final = 1_000_000_000
_NANO_PER_MICRO: Final = 1_000


class BucketTable:
    """`per_second` tokens a second and at most `burst` at once, per slot."""

    __slots__ = ("_ahead_max_ns", "_full_at_ns", "_interval_ns", "_key", "_slot_count")

    def __init__(self, key: bytes, *, slot_count: int, per_second: int, burst: int) -> None:
        self._key = key
        self._slot_count = slot_count
        self._interval_ns = _NANO_PER_SECOND // per_second
        self._ahead_max_ns = (burst - 1) * self._interval_ns
        self._full_at_ns = array("q", [0]) * slot_count

    def slot_of(self, name: bytes) -> int:
        """The slot that this name spends from; constant for the table's life."""
        return int.from_bytes(authenticate(self._key, name)[:8], "big") % self._slot_count

    def take(self, slot: int, now_us: int) -> bool:
        """Spends one token of the slot; False where it has none left."""
        now_ns = now_us * _NANO_PER_MICRO
        full_at_ns = self._full_at_ns[slot]
        if full_at_ns <= now_ns:
            self._full_at_ns[slot] = now_ns + self._interval_ns
            return True
        if full_at_ns - now_ns > self._ahead_max_ns:
            return False
        self._full_at_ns[slot] = full_at_ns + self._interval_ns
        return True
