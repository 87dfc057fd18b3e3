"""One bucket: upstream's `KBucket` without its clock, and with the rules it lacks.

Known contacts are refreshed in order *and* content; no organisation and no subnet holds more
than its share, among the replacements neither; replacements are at most k (upstream: 5 k);
depth follows from the range, not from the members' accidental common prefix.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import chain

from kademlia.routing import KBucket

from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import Contact
from hive.wire.ids import PEER_ID_BYTES, PeerId

ID_BITS = 8 * PEER_ID_BYTES


class Bucket(KBucket):  # type: ignore[misc]  # kademlia carries no types
    """Contacts whose ids lie in `range` (both ends included), least recently heard first."""

    range: tuple[int, int]
    nodes: OrderedDict[PeerId, Contact]
    replacement_nodes: OrderedDict[PeerId, Contact]
    last_updated: int | None
    """Monotonic microseconds of the last lookup into the range; None: never."""

    def __init__(self, lower: int, upper: int, config: DiscoveryConfig) -> None:
        self.config = config
        super().__init__(lower, upper, config.k, replacementNodeFactor=1)

    def touch_last_updated(self, now_us: int | None = None) -> None:
        """Notes a lookup into the range; time is handed in, never read."""
        self.last_updated = now_us

    @property
    def free_bits(self) -> int:
        """How many low bits of an id the range leaves open."""
        return (self.range[1] - self.range[0] + 1).bit_length() - 1

    def depth(self) -> int:
        """Bits that the range fixes."""
        return ID_BITS - self.free_bits

    def add_node(self, node: Contact) -> bool:
        """Refreshes or adds; False where it had to become a replacement because of fullness."""
        if node.peer in self.nodes:
            self._refresh(self.nodes, node)
            return True
        if not self.admits(node):
            self._replace_later(node)
            return True
        if len(self) < self.ksize:
            self.replacement_nodes.pop(node.peer, None)
            self.nodes[node.peer] = node
            return True
        self._replace_later(node)
        return False

    def admits(self, node: Contact) -> bool:
        """Whether organisation and subnet still have room among the contacts."""
        return self._has_share(self.nodes.values(), node)

    def remove_node(self, node: Contact) -> None:
        """Removes; the most recent replacement whose share allows it takes the place."""
        self.replacement_nodes.pop(node.peer, None)
        if self.nodes.pop(node.peer, None) is None:
            return
        for peer in reversed(self.replacement_nodes):
            if self.admits(self.replacement_nodes[peer]):
                self.nodes[peer] = self.replacement_nodes.pop(peer)
                return

    def split(self) -> tuple[Bucket, Bucket]:
        """Two halves of the same kind; contacts first, then replacements."""
        middle = (self.range[0] + self.range[1]) // 2
        low = Bucket(self.range[0], middle, self.config)
        high = Bucket(middle + 1, self.range[1], self.config)
        for half in (low, high):
            half.touch_last_updated(self.last_updated)
        for node in chain(self.nodes.values(), self.replacement_nodes.values()):
            half = low if node.long_id <= middle else high
            half.add_node(node)
        return low, high

    def _replace_later(self, node: Contact) -> None:
        if node.peer in self.replacement_nodes:
            self._refresh(self.replacement_nodes, node)
        elif self._has_share(self.replacement_nodes.values(), node):
            self.replacement_nodes[node.peer] = node
            if len(self.replacement_nodes) > self.max_replacement_nodes:
                self.replacement_nodes.popitem(last=False)

    def _refresh(self, circle: OrderedDict[PeerId, Contact], node: Contact) -> None:
        circle[node.peer] = circle.pop(node.peer).updated_by(node).heard(node.heard_at)

    def _has_share(self, held: Iterable[Contact], node: Contact) -> bool:
        of_org = of_subnet = 0
        for other in held:
            of_org += other.org == node.org
            of_subnet += other.subnet == node.subnet
        return (
            of_org < self.config.contacts_per_org_max
            and of_subnet < self.config.contacts_per_subnet_max
        )
