"""What one peer may see of this replica: admissible namespaces only, as digests and heads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from hive.memory.log import Head
from hive.protocol.ports import StoreReader
from hive.protocol.reconciliation.digests import (
    HEADS_COMPARED_MAX,
    Digests,
    heads_digest,
    short,
    slot_digests,
)
from hive.protocol.reconciliation.messages import (
    ROOT_COUNT_MAX,
    SHORT_BYTES,
    SLOT_BYTES,
    SLOT_COUNT,
    HeadEntry,
    Root,
)
from hive.protocol.reconciliation.slices import Work
from hive.wire.ids import Digest, PeerId, digest

ALL_SLOTS: Final = b"\xff" * (SLOT_COUNT // 8)
NO_SLOTS: Final = bytes(SLOT_COUNT // 8)
Admissible = Callable[[PeerId, str], bool]


class Replica:
    """Reads with the eyes of a peer; nothing inadmissible is named, counted or digested."""

    def __init__(self, reader: StoreReader, admissible: Admissible, digests: Digests) -> None:
        self.reader = reader
        self.admissible = admissible
        self.digests = digests

    def namespaces(self, peer: PeerId) -> list[str]:
        """The namespaces held here that the peer may hold, sorted."""
        return [name for name in self.reader.namespaces() if self.admissible(peer, name)]

    def refresh(self, peer: PeerId) -> Work[Digest]:
        """Brings up to date what the peer may see, and gives one digest over all of it."""
        for name in self.namespaces(peer):
            yield from self.digests.refresh(name)
        return self.root(peer)

    def root(self, peer: PeerId) -> Digest:
        """The same as of the last refresh."""
        return digest(
            "hive/roots",
            b"".join(
                digest("hive/name", name.encode())
                + self.digests.heads(name)
                + self.digests.root(name)
                for name in self.namespaces(peer)
            ),
        )

    def page_of_roots(self, peer: PeerId, key: bytes, after: str) -> tuple[tuple[Root, ...], bool]:
        """The next namespaces behind a name with their session digests, and whether it ends."""
        names = [name for name in self.namespaces(peer) if name > after]
        page = tuple(self.session_root(key, name) for name in names[:ROOT_COUNT_MAX])
        return page, len(names) <= ROOT_COUNT_MAX

    def session_root(self, key: bytes, namespace: str) -> Root:
        """A namespace's two digests as one session sees them; of nothing, where none is held."""
        return Root(
            namespace,
            short(key, self.digests.heads(namespace)),
            short(key, self.digests.root(namespace)),
        )

    def few_heads(self, namespace: str) -> tuple[Head, ...] | None:
        """All heads by chain; None where they are too many to compare."""
        heads = self.reader.heads(namespace, HEADS_COMPARED_MAX + 1)
        return heads if len(heads) <= HEADS_COMPARED_MAX else None

    def slots(self, key: bytes, heads: Sequence[Head]) -> bytes:
        """The 256 session digests of these heads."""
        return b"".join(short(key, slot, SLOT_BYTES) for slot in slot_digests(heads))

    def diverges(self, entry: HeadEntry) -> bool:
        """Whether another delta is held at a peer's head: a fork, in one of the two logs."""
        held = self.reader.at(Digest(entry.chain), entry.sequence)
        return held is not None and held != entry.delta


EMPTY_HEADS: Final = heads_digest(())


def entry_of(head: Head) -> HeadEntry:
    """A head as it travels."""
    return HeadEntry(head.chain, head.sequence, head.delta)


def is_in(slots: bytes, slot: int) -> bool:
    """Whether a bitmap names a slot."""
    return bool(slots[slot >> 3] >> (slot & 7) & 1)


def bitmap(slots: Iterable[int]) -> bytes:
    """The bitmap that names these slots."""
    octets = bytearray(SLOT_COUNT // 8)
    for slot in slots:
        octets[slot >> 3] |= 1 << (slot & 7)
    return bytes(octets)


def cut(run: bytes, size: int = SHORT_BYTES) -> list[bytes]:
    """A run of octets cut into items of one size; an incomplete last one is dropped."""
    return [run[start : start + size] for start in range(0, len(run) - size + 1, size)]
