"""What goes in and out of the reconciler."""

from __future__ import annotations

from dataclasses import dataclass

from hive.protocol.machine import Received, Send, Ticked
from hive.wire.clock import Hlc
from hive.wire.ids import PeerId


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A stream to an attested peer is open."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerGone:
    """The last stream to a peer closed; what was asked of it is forgotten."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Changed:
    """Something at this stamp was stored, forgotten or taken out; None: anywhere in it."""

    namespace: str
    hlc: Hlc | None


@dataclass(frozen=True, slots=True)
class Taken:
    """Ingress took so many deltas that a peer sent: the pace of what is asked of it."""

    peer: PeerId
    count: int


@dataclass(frozen=True, slots=True)
class ReconcileRequested:
    """Compare now with one peer, or (a partition healed) with a few: None."""

    peer: PeerId | None


@dataclass(frozen=True, slots=True)
class Agreed:
    """A peer's replica equals ours in everything both may hold."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What went over in one namespace since the last such news about this peer.

    `ids_received` counts deltas asked for that have since become part of the log.
    """

    peer: PeerId
    namespace: str
    ids_received: int
    ids_sent: int


Event = PeerConnected | PeerGone | Received | Changed | Taken | ReconcileRequested | Ticked
Effect = Send | Agreed | Reconciled
