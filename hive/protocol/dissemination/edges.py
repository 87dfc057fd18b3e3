"""Links and edges: to whom a stream is open, what each wants, and how each tree uses it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from hive.protocol.dissemination.config import TreeConfig
from hive.protocol.dissemination.events import Place
from hive.trust.capability import covers_namespace
from hive.wire.clock import SECOND_US, MonotonicUs
from hive.wire.ids import PeerId


@dataclass(slots=True)
class Link:
    """An open stream to a neighbour."""

    peer: PeerId
    place: Place
    is_far: bool
    bytes_left: int
    refilled_at: MonotonicUs
    prefixes: tuple[str, ...] = ()
    unanswered: int = 0
    digests: dict[str, dict[bytes, int]] = field(default_factory=dict)
    digest_count: int = 0

    def wants(self, namespace: str) -> bool:
        """Whether one of the prefixes it announced covers the namespace."""
        return any(covers_namespace(prefix, namespace) for prefix in self.prefixes)

    def affords(self, size: int, config: TreeConfig, now_us: MonotonicUs) -> bool:
        """Takes bytes from what the link may carry; False, and nothing taken, where it lacks."""
        refill = (now_us - self.refilled_at) * config.link_refill_bytes_per_s // SECOND_US
        self.bytes_left = min(config.link_burst_bytes, self.bytes_left + refill)
        self.refilled_at = now_us
        if size > self.bytes_left:
            return False
        self.bytes_left -= size
        return True


@dataclass(slots=True)
class Edge:
    """How one tree uses one link, where it was said, and when the other side was told last."""

    is_eager: bool
    pruned_at: MonotonicUs | None = None


class Trees:
    """The edges of each namespace's tree; a new one begins like the one used last.

    A namespace that nobody spoke in yet would begin as a flood; namespaces of the same members
    have the same neighbours, so what one tree learnt is where the next begins.
    """

    def __init__(self, tree_max: int) -> None:
        self._tree_max = tree_max
        self._trees: OrderedDict[str, dict[PeerId, Edge]] = OrderedDict()

    def of(self, namespace: str) -> dict[PeerId, Edge]:
        """The edges said so far."""
        tree = self._trees.get(namespace)
        if tree is None:
            tree = self._begin()
            if len(self._trees) >= self._tree_max:
                self._trees.popitem(last=False)
            self._trees[namespace] = tree
        self._trees.move_to_end(namespace)
        return tree

    def _begin(self) -> dict[PeerId, Edge]:
        if not self._trees:
            return {}
        newest = next(reversed(self._trees.values()))
        return {peer: Edge(edge.is_eager) for peer, edge in newest.items()}

    def edge(self, namespace: str, peer: PeerId, is_eager: bool) -> Edge:
        """The edge, as it was said or as given."""
        return self.of(namespace).setdefault(peer, Edge(is_eager))

    def forget(self, peer: PeerId) -> None:
        """The link is gone from every tree."""
        for tree in self._trees.values():
            tree.pop(peer, None)
