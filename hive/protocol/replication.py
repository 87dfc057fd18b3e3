"""Replication: the seam between dissemination and reconciliation, on streams to peers.

New deltas are pushed to whoever wants them; what was missed is found by comparing replicas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from hive.protocol.core import Core, Effects
from hive.protocol.dissemination.push import (
    DeltasStored,
    InterestHeard,
    MemberConnected,
    MemberGone,
    Pusher,
    StoredDelta,
)
from hive.protocol.events import ReconciledNews, SendFrame
from hive.protocol.machine import Send
from hive.protocol.messages import ID_COUNT_MAX, Interest
from hive.protocol.outcomes import DeltasAdmitted, GapFound
from hive.protocol.peer_config import PeerConfig
from hive.protocol.reconciliation.events import Agreed, PeerConnected, PeerGone, Reconciled
from hive.protocol.reconciliation.events import Event as ReconcilerEvent
from hive.protocol.reconciliation.reconciler import Reconciler
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import Inception, PeerId
from hive.wire.randomness import Stream


class Replication:
    """Who gets what at once, and who compares with whom."""

    def __init__(self, core: Core, config: PeerConfig, seed: bytes) -> None:
        self._config = config
        self.pusher = Pusher(config.push, _may_hold)
        self.reconciler = Reconciler(
            config.reconciliation,
            core.reader,
            _may_hold,
            Stream(seed, "reconciliation", core.own.peer),
        )

    @property
    def deadline(self) -> MonotonicUs | None:
        """When reconciliation next wants a tick; pushing waits for nothing."""
        return self.reconciler.deadline

    def connected(self, peer: PeerId, now: Now) -> Effects:
        """A stream to a peer is open: say what we want, then compare."""
        effects: Effects = [SendFrame(peer, Interest(self._config.interest).to_body())]
        effects += _sends(self.pusher.handle(MemberConnected(peer), now))
        return [*effects, *self.reconcile(PeerConnected(peer), now)]

    def disconnected(self, peer: PeerId, now: Now) -> Effects:
        """The stream to a peer is gone."""
        effects = _sends(self.pusher.handle(MemberGone(peer), now))
        return [*effects, *self.reconcile(PeerGone(peer), now)]

    def interest_heard(self, peer: PeerId, prefixes: tuple[str, ...], now: Now) -> Effects:
        """A peer says what it wants pushed."""
        return _sends(self.pusher.handle(InterestHeard(peer, prefixes), now))

    def push(self, admitted: DeltasAdmitted, now: Now) -> Effects:
        """Deltas that are durable here go to whoever wants them."""
        if not self.pusher.has_takers(admitted.sender, now):
            return []
        stored = tuple(
            StoredDelta(delta.header.namespace, delta.to_bytes()) for delta in admitted.deltas
        )
        return _sends(self.pusher.handle(DeltasStored(stored, admitted.sender), now))

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


def _may_hold(peer: PeerId, namespace: str) -> bool:
    """Whether a peer lies in a namespace's admissible set; none is restricted yet."""
    return True


def _sends(effects: Sequence[Send]) -> Effects:
    return [SendFrame(effect.receiver, effect.payload) for effect in effects]
