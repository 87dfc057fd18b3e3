"""The door of dissemination: the views of cell and ring, and the trees over both.

A plain node has neighbours in its cell. A super-peer has neighbours in its ring too, and each
tree passes through it from one to the other. Between super-peers only interest travels: each
tells the prefixes that somebody in its cell wants, and gets what they cover, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from hive.errors import MalformedFrame
from hive.protocol.dissemination.config import DisseminationConfig
from hive.protocol.dissemination.events import (
    Admissible,
    Blamed,
    DeltasStored,
    Effect,
    Event,
    InterestHeard,
    LinkClosed,
    LinkOpened,
    MemberKnown,
    MemberLost,
    Place,
    Pushed,
    ViewEffect,
)
from hive.protocol.dissemination.messages import (
    CELL,
    RING,
    VIEW_MESSAGES,
    Graft,
    IHave,
    Prune,
)
from hive.protocol.dissemination.plumtree import PlumTree
from hive.protocol.dissemination.views import PartialView
from hive.protocol.machine import Received, Send, Ticked
from hive.protocol.messages import PREFIX_COUNT_MAX, Interest
from hive.trust.capability import covers_namespace
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import PeerId
from hive.wire.randomness import Stream
from hive.wire.schema import label_of_untrusted

_TREE = {cls.LABEL: cls for cls in (IHave, Graft, Prune)}


class Disseminator:
    """One node's part in passing on what is new."""

    def __init__(
        self,
        config: DisseminationConfig,
        own: PeerId,
        place: Place,
        interest: Sequence[str],
        may: Admissible,
        seed: bytes,
    ) -> None:
        self._config = config
        self._own = own
        self._own_interest = tuple(interest)
        self._may = may
        self._places: dict[PeerId, int] = {}
        self.cell = PartialView(config.cell, CELL, own, place.org, Stream(seed, "cell view", own))
        self.ring = PartialView(config.ring, RING, own, place.org, Stream(seed, "ring view", own))
        self.tree = PlumTree(
            config.tree, own, place.region, self, may, self.wants, Stream(seed, "trees", own)
        )
        self._judged_at: MonotonicUs | None = None
        self.malformed_count = 0

    @property
    def deadline(self) -> MonotonicUs | None:
        """The earliest timer of views and trees."""
        times = (self.cell.deadline, self.ring.deadline, self.tree.deadline)
        return min((at for at in times if at is not None), default=None)

    # What the trees ask of the views.

    @property
    def is_mesh(self) -> bool:
        """Whether every member of the cell is a neighbour."""
        return self.cell.is_mesh

    @property
    def outlooks(self) -> tuple[PeerId, ...]:
        """Peers of other orgs to whom own deltas go too."""
        return self.cell.outlooks

    def is_guest(self, peer: PeerId) -> bool:
        """Whether a link is for digests only."""
        return self._view(peer).is_guest(peer)

    @property
    def has_links(self) -> bool:
        """Whether anybody is there to pass anything on to."""
        return bool(self.tree.links)

    def is_wanted(self, peer: PeerId) -> bool:
        """Whether a stream to the peer is wanted."""
        return self._view(peer).is_wanted(peer)

    def _view(self, peer: PeerId) -> PartialView:
        return self.ring if self._places.get(peer) == RING else self.cell

    # Interest.

    def wants(self, namespace: str) -> bool:
        """Whether this node, or as a super-peer somebody of its cell, wants the namespace."""
        return any(covers_namespace(prefix, namespace) for prefix in self._prefixes())

    def _prefixes(self) -> tuple[str, ...]:
        """Own interest; where there are ring neighbours, with that of the cell."""
        if RING not in self._places.values():
            return self._own_interest
        wanted = dict.fromkeys(self._own_interest)
        for link in self.tree.links.values():
            if link.place.layer == CELL:
                wanted.update(dict.fromkeys(link.prefixes))
        return summed(tuple(wanted))

    def interest_for(self, peer: PeerId) -> tuple[str, ...]:
        """What is told a neighbour: what it may hear of, summed up for the ring."""
        prefixes = self._own_interest if self._view(peer) is self.cell else self._prefixes()
        return tuple(prefix for prefix in prefixes if self._may(peer, prefix, ()))

    # The door.

    def handle(self, event: Event, now: Now) -> Sequence[Effect]:
        """Takes one event and gives its effects in order."""
        effects: list[Effect] = []
        match event:
            case MemberKnown():
                self._places[event.member] = event.place.layer
                effects += self._view(event.member).handle(event, now)
            case MemberLost():
                effects += self._view(event.member).handle(event, now)
                self._places.pop(event.member, None)
            case LinkOpened():
                effects += self._open(event, now)
            case LinkClosed():
                effects += self._view(event.peer).handle(event, now)
                self.tree.unlinked(event.peer)
            case InterestHeard():
                effects += self._heard_interest(event)
            case Pushed():
                self.tree.pushed(event, now)
            case DeltasStored():
                self.tree.stored(event, now)
            case Received():
                effects += self._hear(event, now)
            case Ticked():
                effects += self._tick(now)
            case _:
                assert_never(event)
        return [*effects, *self.tree.take()]

    def _open(self, event: LinkOpened, now: Now) -> Sequence[Effect]:
        self._places.setdefault(event.peer, event.place.layer)
        self.tree.linked(event.peer, event.place, now)
        told = Send(event.peer, Interest(self.interest_for(event.peer)).to_body())
        return [told, *self._view(event.peer).handle(event, now)]

    def _heard_interest(self, event: InterestHeard) -> list[Effect]:
        """A change in the cell is told to the ring."""
        before = self._prefixes()
        self.tree.interested(event.peer, event.prefixes)
        if self._prefixes() == before:
            return []
        return [
            Send(peer, Interest(self.interest_for(peer)).to_body())
            for peer, link in self.tree.links.items()
            if link.place.layer == RING
        ]

    def _hear(self, event: Received, now: Now) -> Sequence[ViewEffect | Blamed]:
        label = label_of_untrusted(event.untrusted_payload)
        if label in VIEW_MESSAGES:
            return self._view(event.sender).handle(event, now)
        cls = _TREE.get(label)
        try:
            message = cls.from_body_untrusted(event.untrusted_payload) if cls else None
        except MalformedFrame:
            message = None
        match message:
            case IHave():
                self.tree.announced(event.sender, message, now)
            case Graft():
                self.tree.grafted(event.sender, message, now)
            case Prune():
                self.tree.pruned(event.sender, message)
            case None:
                self.malformed_count += 1
                return [Blamed(event.sender, "malformed")]
            case _:
                assert_never(message)
        return ()

    # Time.

    def _tick(self, now: Now) -> list[Effect]:
        effects: list[Effect] = [*self.cell.handle(Ticked(), now), *self.ring.handle(Ticked(), now)]
        self.tree.ticked(now)
        failed, self.tree.failed = self.tree.failed, []
        failed += self._withholding(now)
        for peer in failed:
            effects += self._view(peer).failed(peer, now)
        return effects

    def _withholding(self, now: Now) -> list[PeerId]:
        """Neighbours to replace: while they were there, news came by reconciliation only."""
        if self._judged_at is not None and now.monotonic_us < self._judged_at:
            return []
        self._judged_at = MonotonicUs(now.monotonic_us + self._config.cell.shuffle_interval_us)
        late, fresh = self.tree.late_count, self.tree.fresh_count
        self.tree.late_count = self.tree.fresh_count = 0
        if late < self._config.tree.late_min or late <= fresh:
            return []
        return list(self.cell.active)


def summed(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """At most as many prefixes as a message holds, covering all that these cover."""
    kept = tuple(
        prefix
        for prefix in prefixes
        if not any(other != prefix and covers_namespace(other, prefix) for other in prefixes)
    )
    if len(kept) <= PREFIX_COUNT_MAX:
        return tuple(sorted(kept))
    tops = tuple(dict.fromkeys(prefix.split("/", 1)[0] for prefix in sorted(kept)))
    return tops if len(tops) <= PREFIX_COUNT_MAX else ("",)
