"""Audit paths, kept once for a whole Merkle tree.

Up to 64 deltas travel under one signature, each with its own path of up to six hashes; most of
these hashes are the same. A *grove* is the blob of all the hashes known of one tree, level by
level from the leaves, 32 bytes a slot and zeros where nothing is known; a path is six lookups.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from hive.wire.ids import DIGEST_BYTES, ZERO_DIGEST

_COMBINATIONS: Final = 64 * 65 // 2


@lru_cache(maxsize=_COMBINATIONS)
def path_slots(index: int, count: int) -> tuple[int, ...]:
    """Where the hashes of a leaf's audit path stand in the grove of `count` leaves."""
    slots, offset, size = [], 0, count
    while size > 1:
        sibling = index ^ 1
        if sibling < size:
            slots.append(offset + sibling)
        offset, size, index = offset + size, (size + 1) // 2, index // 2
    return tuple(slots)


def plant(grove: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The grove with this path in it; None where the two do not fit each other."""
    slots = path_slots(index, count) if 0 <= index < count else ()
    if len(slots) != len(path) or not path or ZERO_DIGEST in path:
        return None
    grown = bytearray(grove.ljust((max(slots) + 1) * DIGEST_BYTES, b"\0"))
    for slot, node in zip(slots, path, strict=True):
        start = slot * DIGEST_BYTES
        known = bytes(grown[start : start + DIGEST_BYTES])
        if known != node and known != ZERO_DIGEST:
            return None
        grown[start : start + DIGEST_BYTES] = node
    return bytes(grown)


def pick(grove: bytes, index: int, count: int) -> tuple[bytes, ...]:
    """The audit path that was planted for this leaf."""
    starts = [slot * DIGEST_BYTES for slot in path_slots(index, count)]
    return tuple(grove[start : start + DIGEST_BYTES] for start in starts)
