"""Replication: the seam between dissemination and reconciliation, on streams to peers.

New deltas are pushed along trees to whoever wants them; what was missed is found by comparing
replicas. Neighbours are chosen among complete, live contacts: of the own cell, and where this
node speaks for its cell, those who speak for others. While the whole federation is no larger
than a mesh, everybody is one cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import assert_never

from hive.memory.delta import Delta, id_in_untrusted
from hive.protocol.core import Core, Effects
from hive.protocol.dissemination import events as gossip
from hive.protocol.dissemination.disseminator import Disseminator
from hive.protocol.dissemination.messages import CELL, ID_BYTES, RING, TREE_LABELS, Push
from hive.protocol.events import (
    DISSEMINATION,
    CloseStream,
    ReconciledNews,
    SendDatagram,
    SendFrame,
)
from hive.protocol.introductions import Introductions, Known
from hive.protocol.machine import Received, Send, Ticked
from hive.protocol.membership.hierarchy import Hierarchy
from hive.protocol.messages import ID_COUNT_MAX, Deltas
from hive.protocol.outcomes import DeltasAdmitted, GapFound
from hive.protocol.peer_config import PeerConfig
from hive.protocol.reconciliation.events import (
    Agreed,
    PeerConnected,
    PeerGone,
    Reconciled,
    Taken,
)
from hive.protocol.reconciliation.events import Event as ReconcilerEvent
from hive.protocol.reconciliation.reconciler import Reconciler
from hive.wire.clock import SECOND_US, MonotonicUs, Now, hlc_wall_us
from hive.wire.ids import Inception, PeerId
from hive.wire.randomness import Stream
from hive.wire.schema import label_of_untrusted

LOOK_US = SECOND_US
"""Between two looks at who is there to be a neighbour."""


class Replication:
    """Who gets what at once, and who compares with whom."""

    def __init__(
        self,
        core: Core,
        config: PeerConfig,
        introductions: Introductions,
        hierarchy: Hierarchy,
        locate: Callable[[PeerId, Now], Effects],
        seed: bytes,
    ) -> None:
        own = core.own
        self._core = core
        self._config = config.dissemination
        self._introductions = introductions
        self._hierarchy = hierarchy
        self._locate = locate
        self._members: dict[PeerId, int] = {}
        self._look_at = MonotonicUs(0)
        place = gossip.Place(own.org, own.region, CELL)
        self.disseminator = Disseminator(
            config.dissemination, own.peer, place, config.interest, core.may_hold, seed
        )
        self.reconciler = Reconciler(
            config.reconciliation,
            core.reader,
            core.may_hold,
            Stream(seed, "reconciliation", own.peer),
            lambda peer, checks, now_us: core.budgets.charge(peer, 0, checks, now_us),
        )
        introductions.wants_stream = self._wants_stream

    @property
    def deadline(self) -> MonotonicUs | None:
        """The earliest timer of both machines, and the next look at the members."""
        times = [self.disseminator.deadline, self.reconciler.deadline]
        if self._members:
            times.append(self._look_at)
        return min((at for at in times if at is not None), default=None)

    def ticked(self, now: Now) -> Effects:
        """Timers of both machines."""
        effects = self._look(now)
        effects += self._tell(Ticked(), now)
        return [*effects, *self.reconcile(Ticked(), now)]

    # Who may be a neighbour.

    def _look(self, now: Now) -> Effects:
        """Compares who is there with who was; a changed layer is a new acquaintance."""
        if now.monotonic_us < self._look_at:
            return []
        self._look_at = MonotonicUs(now.monotonic_us + LOOK_US)
        effects: Effects = []
        present = self._present()
        for peer in [peer for peer in self._members if present.get(peer) != self._members[peer]]:
            del self._members[peer]
            effects += self._tell(gossip.MemberLost(peer), now)
        for peer, layer in present.items():
            if peer not in self._members:
                effects += self._meet(peer, layer, now)
        return effects

    def _present(self) -> dict[PeerId, int]:
        live = [
            peer
            for peer, known in self._introductions.known.items()
            if known.record is not None and known.is_reached and not known.is_dead
        ]
        if len(live) <= self._config.cell.mesh_max:
            return dict.fromkeys(live, CELL)
        is_speaker = self._hierarchy.is_super_peer
        speakers = self._speakers() if is_speaker else {}
        layers: dict[PeerId, int] = {}
        for peer in live:
            place = self._hierarchy.place_of(peer)
            if place is None or place == self._hierarchy.place:
                layers[peer] = CELL
            elif peer in speakers:
                layers[peer] = RING
        return layers

    def _speakers(self) -> dict[PeerId, None]:
        places = self._hierarchy.places()
        return {peer: None for place in places for peer in self._hierarchy.super_peers(place)}

    def _meet(self, peer: PeerId, layer: int, now: Now) -> Effects:
        self._members[peer] = layer
        return self._tell(gossip.MemberKnown(peer, self._place(peer, layer)), now)

    def _place(self, peer: PeerId, layer: int) -> gossip.Place:
        known = self._introductions.known.get(peer)
        org = known.chain.org if known is not None else b""
        return gossip.Place(org, self._core.regions.get(peer) or "", layer)

    def _wants_stream(self, known: Known) -> bool:
        """Whether a stream to a complete contact is wanted; in a mesh to everybody."""
        if known.peer in self._members:
            return self.disseminator.is_wanted(known.peer)
        return len(self._members) < self._config.cell.mesh_max

    # Streams.

    @property
    def push_counts(self) -> dict[str, int]:
        """What dissemination did, by event, for metrics."""
        tree = asdict(self.disseminator.tree.counts)
        return {**tree, "malformed": self.disseminator.malformed_count}

    def connected(self, peer: PeerId, now: Now) -> Effects:
        """A stream to a peer is open: say what we want, then compare."""
        effects: Effects = []
        if peer not in self._members:
            self._look_at = now.monotonic_us
            effects += self._look(now)
        place = self._place(peer, self._members.get(peer, CELL))
        effects += self._tell(gossip.LinkOpened(peer, place), now)
        return [*effects, *self.reconcile(PeerConnected(peer), now)]

    def disconnected(self, peer: PeerId, now: Now) -> Effects:
        """The stream to a peer is gone."""
        effects = self._tell(gossip.LinkClosed(peer), now)
        return [*effects, *self.reconcile(PeerGone(peer), now)]

    def interest_heard(self, peer: PeerId, prefixes: tuple[str, ...], now: Now) -> Effects:
        """A peer says what it wants pushed."""
        return self._tell(gossip.InterestHeard(peer, prefixes), now)

    # Messages.

    def heard(self, sender: PeerId, untrusted: bytes, now: Now) -> Effects:
        """A message of a tree, or one of reconciliation."""
        received = Received(sender, untrusted)
        if label_of_untrusted(untrusted) in TREE_LABELS:
            return self._tell(received, now)
        before = self.reconciler.malformed_count
        effects = self.reconcile(received, now)
        if self.reconciler.malformed_count > before:  # what does not decode is its sender's fault
            self._core.budgets.blame(sender, now.monotonic_us)
        return effects

    def said(self, sender: PeerId, untrusted: bytes, now: Now) -> Effects:
        """A message of a view, in a datagram."""
        return self._tell(Received(sender, untrusted), now)

    def pushed(self, push: Push | Deltas, sender: PeerId, now: Now) -> Effects:
        """What a push brings is on its way through ingress; who brought it is noted."""
        if not isinstance(push, Push):
            return []
        ids = tuple(id_in_untrusted(envelope)[:ID_BYTES] for envelope in push.envelopes)
        is_aside = bool(push.is_aside)
        return self._tell(gossip.Pushed(sender, push.hops, is_aside, push.gateway, ids), now)

    def push(self, admitted: DeltasAdmitted, now: Now) -> Effects:
        """Deltas that are durable here go to whoever wants them, and set the pace of asking on."""
        effects: Effects = []
        if admitted.sender is not None:
            effects += self.reconcile(Taken(admitted.sender, len(admitted.deltas)), now)
        if not self.disseminator.has_links:
            return effects
        stored = tuple(_stored(delta) for delta in admitted.deltas)
        return [*effects, *self._tell(gossip.DeltasStored(stored, admitted.sender), now)]

    def _tell(self, event: gossip.Event, now: Now) -> Effects:
        """An event for dissemination; its effects for the driver."""
        effects: Effects = []
        for effect in self.disseminator.handle(event, now):
            match effect:
                case Send():
                    effects.append(SendFrame(effect.receiver, effect.payload))
                case gossip.Say():
                    effects.append(SendDatagram(effect.receiver, DISSEMINATION, effect.payload))
                case gossip.LinkWanted():
                    known = self._introductions.known.get(effect.peer)
                    if known is not None:
                        effects += self._introductions.stream_wanted(known, now)
                case gossip.LinkUnwanted():
                    if effect.peer in self._core.connected:
                        effects.append(CloseStream(effect.peer))
                case gossip.Locate():
                    effects += self._locate(effect.peer, now)
                case gossip.Blamed():
                    self._core.budgets.blame(effect.peer, now.monotonic_us)
                case _:
                    assert_never(effect)
        return effects

    # Reconciliation.

    def ask_for(self, gap: GapFound) -> Effects:
        """Asks the sender of a delta for those before it."""
        if gap.sender is None or gap.last < gap.first:
            return []
        header = gap.delta.header
        author, writer = Inception(header.author), Inception(header.writer)
        wanted = self.reconciler.want_chain(
            author, writer, header.namespace, gap.first, min(gap.last, gap.first + ID_COUNT_MAX)
        )
        return [SendFrame(gap.sender, wanted)]

    def reconcile(self, event: ReconcilerEvent, now: Now) -> Effects:
        """An event for the reconciler; its messages travel on streams."""
        effects: Effects = []
        for effect in self.reconciler.handle(event, now):
            match effect:
                case Send():
                    effects.append(SendFrame(effect.receiver, effect.payload))
                case Reconciled():
                    effects.append(
                        ReconciledNews(
                            effect.peer, effect.namespace, effect.ids_received, effect.ids_sent
                        )
                    )
                case Agreed():
                    effects.append(ReconciledNews(effect.peer, "", 0, 0))
                case _:
                    assert_never(effect)
        return effects


def _stored(delta: Delta) -> gossip.StoredDelta:
    header = delta.header
    made_at_us = hlc_wall_us(header.stamp)
    id = delta.id[:ID_BYTES]
    return gossip.StoredDelta(id, header.namespace, header.residency, made_at_us, delta.to_bytes())
