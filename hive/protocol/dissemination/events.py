"""What enters dissemination beside the shared events, and what leaves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hive.protocol.machine import Received, Send, Ticked
from hive.wire.ids import PeerId

Admissible = Callable[[PeerId, str, tuple[str, ...]], bool]
"""Whether a peer may hold a namespace whose deltas name these regions (empty: all)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer stands: its org, its region, and the layer on which it may be a neighbour."""

    org: bytes
    region: str
    layer: int


@dataclass(frozen=True, slots=True)
class MemberKnown:
    """A live, attested contact that may become a neighbour."""

    member: PeerId
    place: Place


@dataclass(frozen=True, slots=True)
class MemberLost:
    """It died, left or was retired."""

    member: PeerId


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """A stream to a peer is open."""

    peer: PeerId
    place: Place


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """The stream to a peer is gone, or could not be made."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class InterestHeard:
    """A neighbour announced the prefixes it wants; they replace what it said before."""

    peer: PeerId
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pushed:
    """A neighbour's push arrived; its envelopes are on their way through ingress."""

    sender: PeerId
    hops: int
    is_aside: bool
    gateway: bytes
    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class StoredDelta:
    """A verified, durable delta; `made_at_us` is the wall time of its stamp."""

    id: bytes
    namespace: str
    residency: tuple[str, ...]
    made_at_us: int
    envelope: bytes


@dataclass(frozen=True, slots=True)
class DeltasStored:
    """Deltas in chain order; `source` is the peer they came from, None where this node admitted."""

    deltas: tuple[StoredDelta, ...]
    source: PeerId | None


@dataclass(frozen=True, slots=True)
class Say:
    """A message to a contact without stream, best effort, in a sealed datagram."""

    receiver: PeerId
    payload: bytes


@dataclass(frozen=True, slots=True)
class LinkWanted:
    """The peer is a neighbour now: a stream to it is wanted."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class LinkUnwanted:
    """The peer is no neighbour any more: the stream to it may close."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Locate:
    """A peer was named that nobody introduced here."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Blamed:
    """The peer broke a rule that honest peers keep."""

    peer: PeerId
    rule: str


ViewEvent = MemberKnown | MemberLost | LinkOpened | LinkClosed | Received | Ticked
ViewEffect = Say | LinkWanted | LinkUnwanted | Locate
Event = ViewEvent | InterestHeard | Pushed | DeltasStored
Effect = ViewEffect | Send | Blamed
