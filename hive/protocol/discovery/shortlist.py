"""The candidates of one lookup path: upstream's `NodeHeap`, bounded, with constant-time membership.

A sorted list is a heap, so what upstream reads of `heap` stays true. Candidates beyond
`candidates_max` fall off at the far end; who failed is removed and never returns.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import islice

from kademlia.node import Node, NodeHeap

from hive.protocol.discovery.contact import Contact, to_integer
from hive.wire.ids import PeerId


class Standing(Enum):
    """How far a path has come with a candidate."""

    KNOWN = auto()
    INTRODUCING = auto()
    ASKED = auto()
    ANSWERED = auto()


@dataclass(eq=False)
class Candidate(Node):  # type: ignore[misc]  # kademlia carries no types
    """A peer that a lookup may ask; `source` is who named it (None: our own table)."""

    id: PeerId
    untrusted_address: bytes
    source: PeerId | None
    contact: Contact | None = None
    standing: Standing = Standing.KNOWN
    pages: int = 0
    pointer_count: int = 0
    horizon: int | None = None
    """Distance up to which the peer has named all it knows; None where that is everybody."""
    queried_at: int = 0
    is_slow: bool = False
    is_doubtful: bool = False
    long_id: int = field(init=False)

    def __post_init__(self) -> None:
        self.long_id = to_integer(self.id)


class Shortlist(NodeHeap):  # type: ignore[misc]  # kademlia carries no types
    """Candidates in order of distance to the target, the first `maxsize` of them visible.

    Who is in doubt (asked long ago, silent) is held, but not visible.
    """

    heap: list[tuple[int, Candidate]]

    def __init__(self, target: Node, k: int, candidates_max: int) -> None:
        super().__init__(target, k)
        self._candidates_max = candidates_max
        self._held: dict[PeerId, Candidate] = {}
        self._removed: dict[PeerId, None] = {}

    def push(self, nodes: Candidate | list[Candidate]) -> None:
        """Adds candidates that are neither held nor removed; the farthest fall off."""
        for node in nodes if isinstance(nodes, list) else [nodes]:
            if self.has_met(node.id):
                continue
            self._held[node.id] = node
            insort(self.heap, (self.node.distance_to(node), node), key=lambda pair: pair[0])
            if len(self.heap) > self._candidates_max:
                del self._held[self.heap.pop()[1].id]

    def remove(self, peers: Iterable[PeerId]) -> None:
        """Removes for good."""
        for peer in peers:
            self._removed[peer] = None
            node = self._held.pop(peer, None)
            if node is not None:
                del self.heap[self._index_of(node)]

    def popleft(self) -> Candidate | None:
        """Takes the nearest away."""
        if not self.heap:
            return None
        node = self.heap.pop(0)[1]
        del self._held[node.id]
        return node

    def get_node(self, node_id: PeerId) -> Candidate | None:
        """The candidate of that id."""
        return self._held.get(node_id)

    def has_met(self, peer: PeerId) -> bool:
        """Whether the peer is held or was removed."""
        return peer in self._held or peer in self._removed

    def walk(self) -> list[Candidate]:
        """Every candidate held, nearest first, visible or not."""
        return [node for _, node in self.heap]

    def __iter__(self) -> Iterator[Candidate]:
        trusted = (node for _, node in self.heap if not node.is_doubtful)
        return islice(trusted, self.maxsize)

    def __contains__(self, node: Node) -> bool:
        return node.id in self._held

    def distance_of(self, node: Candidate) -> int:
        """From the target."""
        return int(self.node.long_id ^ node.long_id)

    def _index_of(self, node: Candidate) -> int:
        return bisect_left(self.heap, self.node.distance_to(node), key=lambda pair: pair[0])
