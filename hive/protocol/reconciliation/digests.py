"""Replica digests: SHA-256 over what is held, in fixed time buckets of two levels.

A leaf bucket spans 2^20 ms (17.5 minutes) of hybrid time, its parent 256 leaves (3.1 days). A
leaf's digest covers its (id, state) pairs in the order of (hlc, id), which every replica shares
because the stamp is part of what the id hashes; body presence is no part of it. Digests are
cached and computed again only for buckets in which something changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from hive.memory.log import Head, State
from hive.protocol.ports import StoreReader, Summary
from hive.protocol.reconciliation.messages import SHORT_BYTES, SLOT_COUNT
from hive.wire.clock import HLC_MAX, Hlc
from hive.wire.ids import Digest, digest

T = TypeVar("T")

LEAF_SHIFT: Final = 16 + 20
PARENT_SHIFT: Final = LEAF_SHIFT + 8
LEAF_LAST: Final = HLC_MAX >> LEAF_SHIFT
PAGE: Final = 4_096
_STATE_BYTES: Final = {state: bytes((state,)) for state in State}


def leaf_of(stamp: int) -> int:
    """The number of the leaf bucket a stamp lies in."""
    return stamp >> LEAF_SHIFT


def parent_of(leaf: int) -> int:
    """The number of the upper bucket a leaf lies in."""
    return leaf >> (PARENT_SHIFT - LEAF_SHIFT)


def leaf_span(leaf: int) -> tuple[Hlc, Hlc]:
    """First and last stamp of a leaf."""
    return Hlc(leaf << LEAF_SHIFT), Hlc(((leaf + 1) << LEAF_SHIFT) - 1)


def short(key: bytes, content: bytes) -> bytes:
    """The 8 bytes that stand for some content inside one session."""
    return hashlib.blake2b(content, key=key, digest_size=SHORT_BYTES).digest()


def pair(line: Summary) -> bytes:
    """What a digest covers of one delta: its id and state."""
    return line.id + _STATE_BYTES[line.state]


def summaries_between(
    reader: StoreReader, namespace: str, first: Hlc, last: Hlc
) -> Iterator[Summary]:
    """Every line of the time index between two stamps, read page by page."""
    count = PAGE
    while True:
        page = reader.summaries(namespace, first, last, count)
        if len(page) < count:
            yield from page
            return
        end = page[-1].hlc
        whole = [line for line in page if line.hlc < end]
        yield from whole
        first, count = end, (PAGE if whole else 2 * count)


def heads_digest(heads: Iterable[Head]) -> Digest:
    """Over chain, sequence and id of every head, by chain."""
    return digest(
        "hive/heads",
        b"".join(head.chain + head.sequence.to_bytes(8, "big") + head.delta for head in heads),
    )


def slot_digests(heads: Iterable[Head]) -> tuple[Digest, ...]:
    """The heads' digests, 256-way by the first byte of the chain."""
    slots: list[list[Head]] = [[] for _ in range(SLOT_COUNT)]
    for head in heads:
        slots[head.chain[0]].append(head)
    empty = heads_digest(())
    return tuple(heads_digest(slot) if slot else empty for slot in slots)


class TimeTree:
    """The time buckets of one namespace: leaf digests under parent digests under one root."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._is_scanned = False
        self._dirty: dict[int, None] = {}
        self._leaves: dict[int, dict[int, Digest]] = {}
        self._parents: dict[int, Digest] = {}
        self._root = Digest(b"")

    def touch(self, stamp: Hlc | None) -> None:
        """Notes that something at this stamp changed; None: everything may have."""
        if stamp is None:
            self._is_scanned = False
        elif self._is_scanned:
            self._dirty[leaf_of(stamp)] = None

    def root(self, reader: StoreReader) -> Digest:
        """The digest of the whole namespace."""
        self._refresh(reader)
        return self._root

    def parents(self, reader: StoreReader) -> dict[int, Digest]:
        """The upper buckets that hold anything, by number."""
        self._refresh(reader)
        return {number: self._parents[number] for number in sorted(self._parents)}

    def leaves(self, reader: StoreReader, parent: int) -> dict[int, Digest]:
        """The leaves of an upper bucket that hold anything, by number."""
        self._refresh(reader)
        found = self._leaves.get(parent, {})
        return {number: found[number] for number in sorted(found)}

    def _refresh(self, reader: StoreReader) -> None:
        if not self._is_scanned:
            self._scan(reader)
        elif not self._dirty:
            return
        else:
            parents = {parent_of(leaf): None for leaf in self._dirty}
            for leaf in self._dirty:
                lines = summaries_between(reader, self._namespace, *leaf_span(leaf))
                self._put_leaf(leaf, [pair(line) for line in lines])
            for parent in parents:
                self._close_parent(parent)
        self._dirty.clear()
        body = b"".join(
            number.to_bytes(8, "big") + self._parents[number] for number in sorted(self._parents)
        )
        self._root = digest("hive/time-tree", self._namespace.encode() + b"\0" + body)

    def _scan(self, reader: StoreReader) -> None:
        self._leaves.clear()
        self._parents.clear()
        current, pairs = -1, list[bytes]()
        for line in summaries_between(reader, self._namespace, Hlc(0), Hlc(HLC_MAX)):
            leaf = line.hlc >> LEAF_SHIFT
            if leaf != current:
                self._put_leaf(current, pairs)
                current, pairs = leaf, []
            pairs.append(pair(line))
        self._put_leaf(current, pairs)
        for parent in list(self._leaves):
            self._close_parent(parent)
        self._is_scanned = True

    def _put_leaf(self, leaf: int, pairs: list[bytes]) -> None:
        if pairs:
            leaves = self._leaves.setdefault(parent_of(leaf), {})
            leaves[leaf] = digest("hive/time-leaf", b"".join(pairs))
        elif leaf >= 0:
            self._leaves.get(parent_of(leaf), {}).pop(leaf, None)

    def _close_parent(self, parent: int) -> None:
        leaves = self._leaves.get(parent)
        if not leaves:
            self._leaves.pop(parent, None)
            self._parents.pop(parent, None)
            return
        body = b"".join(number.to_bytes(8, "big") + leaves[number] for number in sorted(leaves))
        self._parents[parent] = digest("hive/time-parent", body)


class Digests:
    """Cached digests of every namespace, told what changed."""

    def __init__(self, reader: StoreReader, namespaces_max: int) -> None:
        self._reader = reader
        self._namespaces_max = namespaces_max
        self._trees: dict[str, TimeTree] = {}
        self._heads: dict[str, Digest] = {}

    def changed(self, namespace: str, stamp: Hlc | None) -> None:
        """Something at this stamp of a namespace was written; None: anywhere in it."""
        self._heads.pop(namespace, None)
        if (tree := self._trees.get(namespace)) is not None:
            tree.touch(stamp)

    def heads(self, namespace: str) -> Digest:
        """The digest of a namespace's heads."""
        found = self._heads.get(namespace)
        if found is None:
            heads = self._reader.heads(namespace)
            found = heads_digest(heads)
            if heads:
                self._make_room(self._heads)
                self._heads[namespace] = found
        return found

    def states(self, namespace: str) -> Digest:
        """The digest of a namespace's (id, state) pairs: its replica digest."""
        return self.tree(namespace).root(self._reader)

    def tree(self, namespace: str) -> TimeTree:
        """The time buckets of a namespace; kept only where something is held."""
        found = self._trees.get(namespace)
        if found is None:
            found = TimeTree(namespace)
            if self._reader.heads(namespace):
                self._make_room(self._trees)
                self._trees[namespace] = found
        return found

    def _make_room(self, cache: dict[str, T]) -> None:
        if len(cache) >= self._namespaces_max:
            del cache[next(iter(cache))]


def replica_digest(reader: StoreReader, namespaces: Iterable[str]) -> Digest:
    """One digest over the (id, state) pairs of some namespaces: equal iff the replicas are (P9).

    A namespace of which nothing is held counts as absent. Scans; meant for status and tests.
    """
    body = b""
    for namespace in sorted(set(namespaces)):
        tree = TimeTree(namespace)
        if tree.parents(reader):
            body += tree.root(reader)
    return digest("hive/replica", body)
