"""Integer randomness keyed by (seed, purpose, entity): SHA-256 in counter mode.

Streams with different keys are independent, so removing one consumer (a fault in a
simulation, say) does not reshuffle the rest. Secrets are never drawn here.
"""

from __future__ import annotations

import hashlib
from collections.abc import MutableSequence, Sequence
from typing import TypeVar

T = TypeVar("T")


class Stream:
    """A deterministic stream of integers."""

    def __init__(self, seed: bytes, purpose: str, entity: bytes = b"") -> None:
        key = len(seed).to_bytes(2, "big") + seed + purpose.encode() + b"\0" + entity
        self._key = hashlib.sha256(key).digest()
        self._counter = 0

    def bits(self, count: int) -> int:
        """An integer of `count` ≤ 256 uniform bits."""
        block = hashlib.sha256(self._key + self._counter.to_bytes(8, "big")).digest()
        self._counter += 1
        return int.from_bytes(block, "big") >> (256 - count)

    def below(self, bound: int) -> int:
        """A uniform integer in `0..bound-1`."""
        width = (bound - 1).bit_length()
        while (drawn := self.bits(width) if width else 0) >= bound:
            pass
        return drawn

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Fisher–Yates in place."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """At most `count` different items, in random order."""
        pool = list(items)
        count = min(count, len(pool))
        for first in range(count):
            other = first + self.below(len(pool) - first)
            pool[first], pool[other] = pool[other], pool[first]
        return pool[:count]
