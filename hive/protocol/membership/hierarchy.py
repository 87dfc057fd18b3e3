"""Cells, clusters and regions: who belongs where, and who speaks for whom."""

from __future__ import annotations

from hive.protocol.membership.election import elect
from hive.protocol.membership.place import Place
from hive.protocol.membership.swim import Swim
from hive.wire.ids import Inception, PeerId

SEATS = 3
"""Super-peers of a cell, and of a cluster in the ring above it."""


class Hierarchy:
    """Where this node stands and who its super-peers are; to be read at any time."""

    def __init__(self, place: Place, own: PeerId, cell: Swim) -> None:
        self.place = place
        self.cell = cell
        self._own = own

    @property
    def is_super_peer(self) -> bool:
        """Whether this node speaks for its cell."""
        return self._own in self.super_peers()

    @property
    def is_region_peer(self) -> bool:
        """Whether this node also speaks for its cluster, in the ring of all regions."""
        return self._own in self.cluster_speakers(self.place)

    def place_of(self, peer: PeerId) -> Place | None:
        """Where the peer belongs, by its verified record; None where it is unknown."""
        member = self.cell.view.get(peer)
        return None if member is None else member.introduction.place

    def places(self) -> tuple[Place, ...]:
        """Every cell that somebody live is known of, in order."""
        return tuple(sorted({m.introduction.place: None for m in self.cell.view.live()}))

    def cell_peers(self, place: Place | None = None) -> tuple[PeerId, ...]:
        """The live members of a cell, ours unless told, by peer id; of others those known."""
        return tuple(peer for peer, _ in self._candidates(place or self.place))

    def super_peers(self, place: Place | None = None) -> tuple[PeerId, ...]:
        """Who speaks for a cell, ours unless told, best first; of other cells those known."""
        place = place or self.place
        return elect(place.cell_scope, self._candidates(place), SEATS)

    def cluster_peers(self) -> tuple[PeerId, ...]:
        """The super-peers of all cells of our cluster, as far as known."""
        cells = (place for place in self.places() if place.shares_cluster(self.place))
        return tuple(peer for place in cells for peer in self.super_peers(place))

    def cluster_speakers(self, place: Place) -> tuple[PeerId, ...]:
        """Who speaks for the cluster of a place among all clusters, best first."""
        candidates = [
            (member.peer, member.introduction.org)
            for other in self.places()
            if other.shares_cluster(place)
            for peer in self.super_peers(other)
            if (member := self.cell.view.get(peer)) is not None
        ]
        return elect(place.cluster_scope, candidates, SEATS)

    def region_peers(self) -> tuple[PeerId, ...]:
        """Everybody in the ring of all regions, as far as known."""
        clusters = {place.cluster_scope: place for place in self.places()}
        return tuple(peer for place in clusters.values() for peer in self.cluster_speakers(place))

    def _candidates(self, place: Place) -> list[tuple[PeerId, Inception]]:
        return [
            (member.peer, member.introduction.org)
            for member in self.cell.view.live()
            if member.introduction.place == place
        ]
