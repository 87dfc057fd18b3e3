"""Replica digests: SHA-256 over what is held, in fixed time buckets of three levels.

A top bucket spans 2^30 ms of hybrid time (12.4 days), a middle one 2^25 (9.3 hours), a leaf 2^20
(17.5 minutes). A leaf's digest covers its (id, state) pairs in the order of (hlc, id), which
every replica shares because the stamp is part of what the id hashes; body presence is no part of
it. Upper digests cover the lower ones. Digests and counts are kept, and computed again only for
buckets in which something changed: a clean bucket costs no hashing. Where a leaf is crowded, it
is split once more, into spans of 2^15 ms (33 s) that are hashed when asked for and not kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from hive.memory.log import Head
from hive.protocol.ports import LINE_BYTES, StoreReader
from hive.protocol.reconciliation.messages import SHORT_BYTES, SLOT_COUNT
from hive.protocol.reconciliation.short_ids import rows_of
from hive.protocol.reconciliation.slices import Slice, Work, finish
from hive.wire.clock import HLC_MAX, Hlc
from hive.wire.ids import DIGEST_BYTES, Digest, digest

T = TypeVar("T")

COUNTER_BITS: Final = 16
SHIFTS: Final = tuple(COUNTER_BITS + bits for bits in (30, 25, 20, 15))
"""How far a stamp is shifted to get the number of its bucket, by level."""
TOP, MIDDLE, LEAF, FINE = range(4)
CHILD_BITS: Final = 5
STAMP_BYTES: Final = 8
PAGE: Final = 4_096
HEADS_COMPARED_MAX: Final = 4_096
"""Chains of a namespace beyond which heads are not read at all: buckets find the rest cheaper."""
MANY_HEADS: Final = Digest(b"\xff" * DIGEST_BYTES)


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a time bucket holds: how many deltas, and a digest over them."""

    count: int
    digest: Digest


NOTHING: Final = Bucket(0, Digest(b""))
Buckets = dict[int, Bucket]


def bucket_of(stamp: int, level: int) -> int:
    """The number of the bucket of a level that a stamp lies in."""
    return stamp >> SHIFTS[level]


def leaf_of(stamp: int) -> int:
    """The number of the leaf bucket a stamp lies in."""
    return stamp >> SHIFTS[LEAF]


def span_of(number: int, level: int) -> tuple[Hlc, Hlc]:
    """First and last stamp of a bucket."""
    return Hlc(number << SHIFTS[level]), Hlc(((number + 1) << SHIFTS[level]) - 1)


def number_last(level: int) -> int:
    """The highest number a bucket of this level can have."""
    return HLC_MAX >> SHIFTS[level]


def short(key: bytes, content: bytes, size: int = SHORT_BYTES) -> bytes:
    """The bytes that stand for some content inside one session."""
    return hashlib.blake2b(content, key=key, digest_size=size).digest()


def lines_between(reader: StoreReader, namespace: str, first: Hlc, last: Hlc) -> Iterator[bytes]:
    """The packed time index between two stamps in pages; equal stamps are never torn apart."""
    count = PAGE
    while True:
        page = reader.lines(namespace, first, last, count)
        if len(page) < count * LINE_BYTES:
            if page:
                yield page
            return
        end = page[-LINE_BYTES : STAMP_BYTES - LINE_BYTES]
        keep = len(page)
        while keep and page[keep - LINE_BYTES : keep - LINE_BYTES + STAMP_BYTES] == end:
            keep -= LINE_BYTES
        if keep:
            yield page[:keep]
        first, count = Hlc(int.from_bytes(end, "big")), (PAGE if keep else 2 * count)


def pairs_of(lines: bytes) -> bytes:
    """What digests cover of some lines: id and state of each."""
    return rows_of(lines)[:, STAMP_BYTES:].tobytes()


def runs_of(lines: bytes, level: int) -> Iterator[tuple[int, bytes]]:
    """Some lines cut by the buckets of a level."""
    start, total = 0, len(lines)
    while start < total:
        number = bucket_of(_stamp_at(lines, start), level)
        low, high = start // LINE_BYTES + 1, total // LINE_BYTES
        while low < high:
            middle = (low + high) // 2
            if bucket_of(_stamp_at(lines, middle * LINE_BYTES), level) == number:
                low = middle + 1
            else:
                high = middle
        yield number, lines[start : low * LINE_BYTES]
        start = low * LINE_BYTES


def _stamp_at(lines: bytes, start: int) -> int:
    return int.from_bytes(lines[start : start + STAMP_BYTES], "big")


def scan(
    reader: StoreReader, namespace: str, first: Hlc, last: Hlc, level: int, slice: Slice
) -> Work[Buckets]:
    """The buckets of a level between two stamps, hashed from the index."""
    found: Buckets = {}
    current, count, hasher = -1, 0, hashlib.sha256()
    for lines in lines_between(reader, namespace, first, last):
        for number, run in runs_of(lines, level):
            if number != current:
                if count:
                    found[current] = Bucket(count, Digest(hasher.digest()))
                current, count, hasher = number, 0, hashlib.sha256(b"hive/time-leaf\0")
            hasher.update(pairs_of(run))
            count += len(run) // LINE_BYTES
        slice.spend(len(lines) // LINE_BYTES)
        if slice.is_spent:
            yield
    if count:
        found[current] = Bucket(count, Digest(hasher.digest()))
    return found


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
    """The time buckets of one namespace; `root` and `level` say what the last refresh found."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._is_scanned = False
        self._is_busy = False
        self._dirty: dict[int, None] = {}
        self._levels: tuple[Buckets, Buckets, Buckets] = ({}, {}, {})
        self._children: tuple[dict[int, dict[int, None]], ...] = ({}, {})
        self.root = self._sealed()

    @property
    def leaf_count(self) -> int:
        """Leaf buckets kept."""
        return len(self._levels[LEAF])

    def touch(self, stamp: Hlc | None) -> None:
        """Notes that something at this stamp changed; None: everything may have."""
        if stamp is None:
            self._is_scanned = False
        elif self._is_scanned:
            self._dirty[leaf_of(stamp)] = None

    def level(self, level: int) -> Buckets:
        """All buckets of a kept level."""
        return self._levels[level]

    def inside(self, level: int, parent: int) -> Buckets:
        """The buckets of a kept level inside one of the level above, by number."""
        numbers = self._children[level - 1].get(parent, {})
        return {number: self._levels[level][number] for number in sorted(numbers)}

    def refresh(self, reader: StoreReader, slice: Slice) -> Work[None]:
        """Brings every digest up to date as of the beginning; what changes meanwhile waits."""
        while self._is_busy:
            yield
        self._is_busy = True
        if not self._is_scanned:
            yield from self._scan(reader, slice)
            self.root = self._sealed()
        elif self._dirty:
            yield from self._rehash(reader, slice)
            self.root = self._sealed()
        self._is_busy = False

    def _rehash(self, reader: StoreReader, slice: Slice) -> Work[None]:
        leaves, self._dirty = list(self._dirty), {}
        for leaf in leaves:
            found = yield from scan(reader, self._namespace, *span_of(leaf, LEAF), LEAF, slice)
            self._put(LEAF, leaf, found.get(leaf, NOTHING))
            slice.spend(8)
        self._close(leaves)

    def _scan(self, reader: StoreReader, slice: Slice) -> Work[None]:
        self._is_scanned, self._dirty = True, {}
        found = yield from scan(reader, self._namespace, Hlc(0), Hlc(HLC_MAX), LEAF, slice)
        self._levels, self._children = ({}, {}, {}), ({}, {})
        for leaf, bucket in found.items():
            self._put(LEAF, leaf, bucket)
        self._close(list(found))

    def _put(self, level: int, number: int, bucket: Bucket) -> None:
        parent = number >> CHILD_BITS
        if bucket.count:
            self._levels[level][number] = bucket
            if level > TOP:
                self._children[level - 1].setdefault(parent, {})[number] = None
            return
        self._levels[level].pop(number, None)
        if level > TOP:
            self._children[level - 1].get(parent, {}).pop(number, None)

    def _close(self, leaves: Iterable[int]) -> None:
        numbers = leaves
        for level in (MIDDLE, TOP):
            numbers = dict.fromkeys(number >> CHILD_BITS for number in numbers)
            for number in numbers:
                self._put(level, number, sealed(self.inside(level + 1, number)))

    def _sealed(self) -> Digest:
        tops = self._levels[TOP]
        body = b"".join(number.to_bytes(8, "big") + tops[number].digest for number in sorted(tops))
        return digest("hive/time-tree", self._namespace.encode() + b"\0" + body)


def sealed(buckets: Buckets) -> Bucket:
    """The bucket that holds these, which are in ascending order."""
    body = b"".join(number.to_bytes(8, "big") + each.digest for number, each in buckets.items())
    count = sum(each.count for each in buckets.values())
    return Bucket(count, digest("hive/time-parent", body)) if count else NOTHING


class Digests:
    """Cached digests of every namespace, told what changed."""

    def __init__(self, reader: StoreReader, namespaces_max: int, leaves_max: int = 1 << 20) -> None:
        self._reader = reader
        self._namespaces_max = namespaces_max
        self._leaves_max = leaves_max
        self._trees: dict[str, TimeTree] = {}
        self._heads: dict[str, Digest] = {}
        self.slice = Slice()

    def changed(self, namespace: str, stamp: Hlc | None) -> None:
        """Something at this stamp of a namespace was written; None: anywhere in it."""
        self._heads.pop(namespace, None)
        if (tree := self._trees.get(namespace)) is not None:
            tree.touch(stamp)

    def heads(self, namespace: str) -> Digest:
        """The digest of a namespace's heads; `MANY_HEADS` where they are too many to compare."""
        found = self._heads.get(namespace)
        if found is None:
            heads = self._reader.heads(namespace, HEADS_COMPARED_MAX + 1)
            self.slice.spend(len(heads))
            found = heads_digest(heads) if len(heads) <= HEADS_COMPARED_MAX else MANY_HEADS
            if heads:
                self._make_room(self._heads)
                self._heads[namespace] = found
        return found

    def refresh(self, namespace: str) -> Work[TimeTree]:
        """The time buckets of a namespace, up to date; kept only where something is held."""
        found = self._trees.pop(namespace, None)
        if found is None:
            found = TimeTree(namespace)
            if not self._reader.heads(namespace, 1):
                return found
            self._make_room(self._trees)
        self._trees[namespace] = found
        yield from found.refresh(self._reader, self.slice)
        self._drop_leaves()
        return found

    def root(self, namespace: str) -> Digest:
        """The digest of a namespace's (id, state) pairs as of its last refresh."""
        found = self._trees.get(namespace)
        return found.root if found is not None else TimeTree(namespace).root

    def states(self, namespace: str) -> Digest:
        """The same, brought up to date at once: its replica digest. For tools and tests."""
        return finish(self.refresh(namespace), self.slice).root

    def _drop_leaves(self) -> None:
        """The longest unused trees go until the rest is within its bound; the newest stays."""
        kept = sum(tree.leaf_count for tree in self._trees.values())
        while kept > self._leaves_max and len(self._trees) > 1:
            kept -= self._trees.pop(next(iter(self._trees))).leaf_count

    def _make_room(self, cache: dict[str, T]) -> None:
        if len(cache) >= self._namespaces_max:
            del cache[next(iter(cache))]


def replica_digest(reader: StoreReader, namespaces: Iterable[str]) -> Digest:
    """One digest over the (id, state) pairs of some namespaces: equal iff the replicas are (P9).

    A namespace of which nothing is held counts as absent. Scans; meant for status and tests.
    """
    body, slice = b"", Slice()
    for namespace in sorted(set(namespaces)):
        tree = TimeTree(namespace)
        finish(tree.refresh(reader, slice), slice)
        if tree.leaf_count:
            body += tree.root
    return digest("hive/replica", body)
