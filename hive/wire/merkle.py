"""Merkle trees as in RFC 6962 section 2.1: leaf prefix 0x00, node prefix 0x01.

The empty tree has the hash of the empty string; a proof for it does not exist. Hashes are
remembered for a while: the paths of one batch share most of their nodes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from hive.wire.ids import Digest

HASH_CACHE_COUNT: Final = 8_192
"""Leaves and nodes remembered each, some 300 B an entry: the batches of one moment."""

EMPTY_ROOT = Digest(hashlib.sha256(b"").digest())


@lru_cache(maxsize=HASH_CACHE_COUNT)
def leaf_hash(leaf: bytes) -> Digest:
    """SHA-256(0x00 ‖ leaf)."""
    return Digest(hashlib.sha256(b"\x00" + leaf).digest())


@lru_cache(maxsize=HASH_CACHE_COUNT)
def node_hash(left: bytes, right: bytes) -> Digest:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return Digest(hashlib.sha256(b"\x01" + left + right).digest())


def _split(count: int) -> int:
    """The largest power of two below `count` (count ≥ 2)."""
    return 1 << (count - 1).bit_length() - 1


def root(leaves: Sequence[bytes]) -> Digest:
    """The tree hash over the leaves in their order."""
    if not leaves:
        return EMPTY_ROOT
    level = [leaf_hash(leaf) for leaf in leaves]
    while len(level) > 1:
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def proof(leaves: Sequence[bytes], index: int) -> tuple[Digest, ...]:
    """The audit path of leaf `index`, from the leaf's sibling to the root's child."""
    path: list[Digest] = []
    level = [leaf_hash(leaf) for leaf in leaves]
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level, index = paired, index // 2
    return tuple(path)


def proofs(leaves: Sequence[bytes]) -> tuple[Digest, tuple[tuple[Digest, ...], ...]]:
    """The root and every leaf's audit path, building the tree once."""
    if not leaves:
        return EMPTY_ROOT, ()
    levels = [[leaf_hash(leaf) for leaf in leaves]]
    while len(levels[-1]) > 1:
        level = levels[-1]
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        levels.append(paired)
    paths = []
    for index in range(len(leaves)):
        path, position = [], index
        for level in levels[:-1]:
            if position ^ 1 < len(level):
                path.append(level[position ^ 1])
            position //= 2
        paths.append(tuple(path))
    return levels[-1][0], tuple(paths)


def root_from_proof(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> Digest | None:
    """The root that a path leads to, or None where index, count and path do not fit each other."""
    if not 0 <= index < count:
        return None
    current, last, used = leaf_hash(leaf), count - 1, 0
    while last > 0:
        if index & 1 or index < last:
            if used == len(path):
                return None
            sibling, used = path[used], used + 1
            current = node_hash(sibling, current) if index & 1 else node_hash(current, sibling)
        index, last = index >> 1, last >> 1
    return current if used == len(path) else None
