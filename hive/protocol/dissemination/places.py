"""Places of a view: who is a neighbour, since when, by whose choice; and each org's share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hive.protocol.dissemination.config import ViewConfig
from hive.wire.clock import MonotonicUs
from hive.wire.ids import PeerId

ORGS_COUNTED_MAX = 3
"""With so many orgs or more, one holds at most its share of so many."""


@dataclass(slots=True)
class Place:
    """One neighbour: since when, whether we asked, whether its stream is open."""

    since: MonotonicUs
    is_own_choice: bool
    is_linked: bool = False


class Places:
    """Active neighbours, outlooks (chosen here for digests), and guests (who chose us so)."""

    def __init__(self, config: ViewConfig) -> None:
        self._config = config
        self.active: dict[PeerId, Place] = {}
        self.outlooks: dict[PeerId, Place] = {}
        self.guests: dict[PeerId, Place] = {}

    def groups(self) -> tuple[dict[PeerId, Place], ...]:
        """All three."""
        return self.active, self.outlooks, self.guests

    def find(self, peer: PeerId) -> Place | None:
        """The place of a peer."""
        for group in self.groups():
            if peer in group:
                return group[peer]
        return None

    def pop(self, peer: PeerId) -> Place | None:
        """Takes a peer out of its place."""
        for group in self.groups():
            if peer in group:
                return group.pop(peer)
        return None

    def has_room(self, peer: PeerId, orgs: Mapping[PeerId, bytes], *, is_asked: bool) -> bool:
        """A free place, within the org's share, and none of those kept for own choices."""
        if len(self.active) >= self._config.active_max:
            return False
        if self.share(peer, orgs) >= self.share_max(orgs):
            return False
        others = sum(1 for place in self.active.values() if not place.is_own_choice)
        return is_asked or others < self._config.active_max - self._config.own_choice_min

    def share(self, peer: PeerId, orgs: Mapping[PeerId, bytes]) -> int:
        """Active places that the peer's org holds."""
        org = orgs.get(peer)
        return sum(1 for each in self.active if orgs.get(each) == org)

    def share_max(self, orgs: Mapping[PeerId, bytes]) -> int:
        """Active places that one org may hold: all of one, half of two, a third of three."""
        known = min(ORGS_COUNTED_MAX, len(dict.fromkeys(orgs.values())))
        return -(-self._config.active_max // max(1, known))

    def given_up_for(self, sender: PeerId, orgs: Mapping[PeerId, bytes]) -> list[PeerId]:
        """Who asked for its place may lose it; of the sender's org, where its share is full."""
        pool = [peer for peer, place in self.active.items() if not place.is_own_choice]
        if self.share(sender, orgs) >= self.share_max(orgs):
            pool = [peer for peer in pool if orgs.get(peer) == orgs.get(sender)]
        return pool
