"""Audit paths, kept once for a whole Merkle tree.

Up to 64 deltas travel under one signature, each with its own path of up to six hashes; most of
these hashes are the same. A *grove* is the blob of all the hashes known of one tree, level by
level from the leaves, 32 bytes a slot and zeros where nothing is known; a path is six lookups.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from hive.wire.ids import DIGEST_BYTES

_COMBINATIONS: Final = 64 * 65 // 2
_UNKNOWN: Final = bytes(DIGEST_BYTES)


@lru_cache(maxsize=_COMBINATIONS)
def path_places(index: int, count: int) -> tuple[int, ...]:
    """Where the hashes of a leaf's audit path begin in the grove of `count` leaves."""
    places, offset, size = [], 0, count
    while size > 1:
        sibling = index ^ 1
        if sibling < size:
            places.append((offset + sibling) * DIGEST_BYTES)
        offset, size, index = offset + size, (size + 1) // 2, index // 2
    return tuple(places)


def plant(grove: bytearray, index: int, count: int, path: Sequence[bytes]) -> bool:
    """Puts a path into a grove; False, and nothing done, where the two do not fit each other."""
    places = path_places(index, count) if 0 <= index < count else ()
    if len(places) != len(path) or not path:
        return False
    missing = max(places) + DIGEST_BYTES - len(grove)
    if missing > 0:
        grove += bytes(missing)
    new: list[tuple[int, bytes]] = []
    for place, node in zip(places, path, strict=True):
        known = grove[place : place + DIGEST_BYTES]
        if known != node:
            if known != _UNKNOWN or len(node) != DIGEST_BYTES:
                return False
            new.append((place, node))
        elif node == _UNKNOWN:
            return False
    for place, node in new:
        grove[place : place + DIGEST_BYTES] = node
    return True


def pick(grove: bytes, index: int, count: int) -> tuple[bytes, ...]:
    """The audit path that was planted for this leaf."""
    places = path_places(index, count)
    return tuple(grove[place : place + DIGEST_BYTES] for place in places)
