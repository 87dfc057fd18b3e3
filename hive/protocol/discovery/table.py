"""The routing table: upstream's `RoutingTable` without its defects.

Buckets halve the id space along our own branch and `find_neighbors` visits them in true XOR
order, so it gives exactly the k nearest that are held (upstream walks left and right and stops
early). Beside the buckets stand the siblings, the nearest contacts of all whatever their
bucket (S/Kademlia, section 4.2: they make the k-set around us exact), and the passers-by,
contacts verified during lookups, which need no second introduction. Only verified contacts
enter; a contact leaves after `fails_max` failed exchanges in a row or on SWIM's verdict.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Collection, MutableMapping
from heapq import nsmallest
from operator import itemgetter
from typing import Final

from kademlia.node import Node
from kademlia.routing import RoutingTable

from hive.protocol.discovery.bucket import ID_BITS, Bucket
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import Contact
from hive.wire.ids import PeerId

FAILS_ANY: Final = 1 << 30
"""A contact leaves long before."""


class Table(RoutingTable):  # type: ignore[misc]  # kademlia carries no types
    """Every contact we know, by nearness."""

    buckets: list[Bucket]

    def __init__(self, own: PeerId, config: DiscoveryConfig) -> None:
        self.config = config
        self.own = Node(own)
        super().__init__(None, config.k, self.own)

    def flush(self) -> None:
        """Forgets everybody; the one bucket ends at the last id (upstream: one beyond it)."""
        self.buckets = [Bucket(0, 2**ID_BITS - 1, self.config)]
        self.siblings: dict[PeerId, Contact] = {}
        self.passers: OrderedDict[PeerId, Contact] = OrderedDict()

    def contact(self, peer: PeerId) -> Contact | None:
        """The verified contact of that id, in whichever circle it stands."""
        for circle in self._circles(peer):
            if peer in circle:
                return circle[peer]
        return None

    def get_bucket_for(self, node: Node) -> int:
        """The index of the bucket whose range holds the node."""
        return self._index_at(node.long_id)

    def _index_at(self, position: int) -> int:
        if len(self.buckets) == 1:
            return 0
        return bisect_right(self.buckets, position, key=lambda held: held.range[0]) - 1

    def add_contact(self, node: Contact) -> Contact | None:
        """Adds or refreshes; gives a silent contact whose place the newcomer could take."""
        if node.peer == self.own.id:
            return None
        known = self.contact(node.peer)
        if known is not None:
            node = known.updated_by(node).heard(node.heard_at)
        self._add_sibling(node)
        self._add_passer(node)
        return self._add_to_buckets(node)

    def remove_contact(self, node: Node) -> None:
        """Forgets a peer in every circle."""
        self.siblings.pop(node.id, None)
        self.passers.pop(node.id, None)
        self.buckets[self.get_bucket_for(node)].remove_node(node)

    def heard(self, peer: PeerId, now_us: int, rtt_us: int = 0) -> None:
        """A sign of life: the contact becomes the most recent of its bucket."""
        self._update(peer, lambda contact: contact.heard(now_us, rtt_us), is_recent=True)

    def failed(self, peer: PeerId) -> None:
        """A failed exchange: the contact leaves at `fails_max` in a row, not before."""
        known = self.contact(peer)
        if known is None:
            return
        if known.fails + 1 >= self.config.fails_max:
            self.remove_contact(known)
        else:
            self._update(peer, Contact.failed, is_recent=False)

    def suspected(self, peer: PeerId) -> None:
        """A verdict of others, who may err: it counts as one failure and never evicts alone."""
        known = self.contact(peer)
        if known is not None and known.fails == 0:
            self._update(peer, Contact.failed, is_recent=False)

    def touch(self, target: Node, now_us: int) -> None:
        """Notes a lookup of the target."""
        self.buckets[self.get_bucket_for(target)].touch_last_updated(now_us)

    def lonely_buckets(self, now_us: int = 0) -> list[Bucket]:
        """Buckets without a lookup for `refresh_interval_us`."""
        oldest = now_us - self.config.refresh_interval_us
        return [b for b in self.buckets if b.last_updated is None or b.last_updated <= oldest]

    def find_neighbors(
        self, node: Node, k: int | None = None, exclude: Node | None = None
    ) -> list[Contact]:
        """The k nearest contacts to the node, nearest first; neither itself nor `exclude`."""
        without = (node.id,) if exclude is None else (node.id, exclude.id)
        return self.nearest(node.long_id, self.config.k if k is None else k, without)

    def nearest(
        self,
        position: int,
        count: int,
        without: Collection[PeerId] = (),
        fails_most: int = FAILS_ANY,
    ) -> list[Contact]:
        """The `count` nearest of buckets and siblings with at most so many failures."""
        pool = dict(self.siblings)
        wanted_count = 0
        for bucket in self._in_order(position):
            pool.update(bucket.nodes)
            wanted_count += sum(held.fails <= fails_most for held in bucket.nodes.values())
            if wanted_count >= count + len(without):
                break
        wanted = [
            (held.long_id ^ position, held)
            for held in pool.values()
            if held.fails <= fails_most and held.peer not in without
        ]
        wanted.sort(key=itemgetter(0))
        return [held for _, held in wanted[:count]]

    def _in_order(self, position: int) -> list[Bucket]:
        if len(self.buckets) == 1:
            return self.buckets
        return sorted(
            self.buckets,
            key=lambda held: (held.range[0] ^ position) >> held.free_bits << held.free_bits,
        )

    def network_bits(self) -> int:
        """About log2 of the number of peers, from the density around our own id."""
        position: int = self.own.long_id
        near = nsmallest(self.config.k, (c.long_id ^ position for c in self.siblings.values()))
        if not near:
            return 0
        return max(0, ID_BITS - near[-1].bit_length() + len(near).bit_length())

    def region_of(self, peer_count: int) -> int:
        """The distance from any target within which about so many peers are expected."""
        position: int = self.own.long_id
        near = nsmallest(self.config.k, (c.long_id ^ position for c in self.siblings.values()))
        return min(2**ID_BITS - 1, near[-1] * peer_count // len(near)) if near else 0

    def org_count(self) -> int:
        """Organisations among buckets and siblings."""
        held = [contact for bucket in self.buckets for contact in bucket.nodes.values()]
        return len({contact.org: None for contact in (*held, *self.siblings.values())})

    def __len__(self) -> int:
        return sum(map(len, self.buckets))

    def _circles(self, peer: PeerId) -> tuple[MutableMapping[PeerId, Contact], ...]:
        bucket = self.buckets[self._index_at(int.from_bytes(peer, "big"))]
        return bucket.nodes, self.siblings, self.passers, bucket.replacement_nodes

    def _update(
        self, peer: PeerId, change: Callable[[Contact], Contact], *, is_recent: bool
    ) -> None:
        changed: Contact | None = None
        for circle in self._circles(peer):
            if peer in circle:
                changed = changed or change(circle[peer])
                circle[peer] = changed
                if is_recent and isinstance(circle, OrderedDict):
                    circle.move_to_end(peer)

    def _add_sibling(self, node: Contact) -> None:
        position = self.own.long_id
        if node.peer not in self.siblings:
            of_org = [c for c in self.siblings.values() if c.org == node.org]
            if len(of_org) >= self.config.siblings_per_org_max:
                self._drop_farther(of_org, node, position)
            elif len(self.siblings) >= self.config.siblings_max:
                self._drop_farther(list(self.siblings.values()), node, position)
            else:
                self.siblings[node.peer] = node
            return
        self.siblings[node.peer] = node

    def _drop_farther(self, held: list[Contact], node: Contact, position: int) -> None:
        farthest = max(held, key=lambda other: other.long_id ^ position)
        if farthest.long_id ^ position > node.long_id ^ position:
            del self.siblings[farthest.peer]
            self.siblings[node.peer] = node

    def _add_passer(self, node: Contact) -> None:
        self.passers[node.peer] = node
        self.passers.move_to_end(node.peer)
        if len(self.passers) > self.config.passers_max:
            self.passers.popitem(last=False)

    def _add_to_buckets(self, node: Contact) -> Contact | None:
        while True:
            index = self.get_bucket_for(node)
            bucket = self.buckets[index]
            if bucket.add_node(node):
                return None
            if not self._may_split(bucket):
                oldest: Contact = bucket.head()
                is_silent = node.heard_at - oldest.heard_at >= self.config.probe_idle_us
                return oldest if is_silent else None
            self.split_bucket(index)

    def _may_split(self, bucket: Bucket) -> bool:
        if bucket.free_bits == 0:
            return False
        return bucket.has_in_range(self.own) or bucket.depth() % self.config.split_bits != 0
