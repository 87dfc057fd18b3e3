"""What the driver tells a peer, and what a peer asks of its driver.

The driver performs the effects of one event in order: a `Store` must be durable before anything
behind it happens; if it fails, what stands behind it is dropped and `StoreFailed` comes instead.
Everything else is best effort and never awaited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType, TypeAlias

from hive.memory.delta import Delta
from hive.protocol.commands import Answer, Command
from hive.protocol.machine import SignatureMade, Ticked, Token, Verified, Verify
from hive.protocol.ports import Write
from hive.protocol.refusals import Refusal
from hive.wire.ids import DeltaId, Digest, Inception, PeerId
from hive.wire.version import OWN

RequestId = NewType("RequestId", int)

MEMBERSHIP = 16
DISCOVERY = 17
INTRODUCTION = 18
INTRODUCTION_WANTED = 19
DISSEMINATION = 20
CLUSTER_RING = 24
REGION_RING = 25
RING_ASIDE = 26
"""Kinds of sealed datagrams."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A numeric host and a UDP port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class DatagramOpened:
    """A sealed datagram from an attested peer was opened."""

    sender: PeerId
    kind: int
    untrusted_payload: bytes


@dataclass(frozen=True, slots=True)
class Greeted:
    """Somebody whose address was validated presents a node record, perhaps with its chain."""

    conversation: bytes
    endpoint: Endpoint
    untrusted_records: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Reached:
    """Sealed datagrams flow to and from this peer, in the newest version that both speak."""

    peer: PeerId
    endpoint: Endpoint
    version: int = OWN.newest


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Nobody admissible answered there."""

    peer: PeerId | None
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """A mutual TLS stream to an attested peer is open."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """The stream to a peer is gone, or could not be made."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """One frame from a stream."""

    sender: PeerId
    untrusted_payload: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """A `Store` is durable."""

    token: Token


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """A `Store` was not taken; nothing of it is there."""

    token: Token
    is_full: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Searched:
    """The projections' answer to a `Search`: id and fused score, best first."""

    request: RequestId
    hits: tuple[tuple[DeltaId, int], ...]
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A user of this node asks for something."""

    request: RequestId
    command: Command


Event: TypeAlias = (
    Ticked
    | DatagramOpened
    | Greeted
    | Reached
    | Unreachable
    | StreamOpened
    | StreamClosed
    | FrameReceived
    | Verified
    | SignatureMade
    | Stored
    | StoreFailed
    | Searched
    | Asked
)


@dataclass(frozen=True, slots=True)
class Store:
    """Makes these writes durable, all or none."""

    token: Token
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """A sealed datagram to an attested peer."""

    receiver: PeerId
    kind: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class SendFrame:
    """One frame on the stream to a peer; dropped where none is open."""

    receiver: PeerId
    payload: bytes


@dataclass(frozen=True, slots=True)
class Dial:
    """Greets whoever is at this address."""

    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class AdmitContact:
    """The chain behind a greeting verified: seal datagrams with this key."""

    conversation: bytes
    peer: PeerId
    org: Inception
    endpoint: Endpoint
    datagram_key: bytes


@dataclass(frozen=True, slots=True)
class RefuseContact:
    """The chain behind a greeting does not hold."""

    conversation: bytes


@dataclass(frozen=True, slots=True)
class WantChain:
    """The greeting names records unknown here: fetch them before it is judged."""

    conversation: bytes


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Closes the stream to a peer that is no neighbour any more or is shunned; it stays known."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class RetireContact:
    """A peer's record ended or was revoked: close its streams and forget its keys."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Opens a stream to a peer, expecting this node there."""

    peer: PeerId
    node: Inception
    host: str
    tls_port: int


@dataclass(frozen=True, slots=True)
class IssuersChanged:
    """The set of issuers whose TLS leaves count has changed."""


@dataclass(frozen=True, slots=True)
class SignAs:
    """Asks for a signature by the key of this digest, held in this node's custody."""

    token: Token
    key: Digest
    label: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Search:
    """Asks the projections, restricted to namespaces that the asker may read."""

    request: RequestId
    text: str
    namespaces: tuple[str, ...]
    count: int
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a user's command."""

    request: RequestId
    answer: Answer


@dataclass(frozen=True, slots=True)
class Admitted:
    """News: these deltas are stored; `sender` is empty where they were admitted here."""

    deltas: tuple[Delta, ...]
    sender: PeerId | None


@dataclass(frozen=True, slots=True)
class RefusedNews:
    """News: arrivals were refused, kept void, or wait; `delta` is empty where they are many."""

    refusal: Refusal
    sender: PeerId | None
    delta: bytes
    count: int = 1


@dataclass(frozen=True, slots=True)
class MemberNews:
    """News of membership: `state` is alive, suspect, dead, left or reaped."""

    peer: PeerId
    state: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class ForkNews:
    """News: an author forked a log; its proof is kept."""

    author: Inception
    namespace: str
    sequence: int


@dataclass(frozen=True, slots=True)
class TrustNews:
    """News of a trust record: admitted, or refused with a reason."""

    label: str
    outcome: str
    sender: PeerId | None


@dataclass(frozen=True, slots=True)
class ReconciledNews:
    """News: this peer's replica and ours agree, or so many deltas went over."""

    peer: PeerId
    namespace: str
    received: int
    sent: int


News: TypeAlias = Admitted | RefusedNews | MemberNews | ForkNews | TrustNews | ReconciledNews

Effect: TypeAlias = (
    Store
    | SendDatagram
    | SendFrame
    | Dial
    | AdmitContact
    | RefuseContact
    | WantChain
    | RetireContact
    | OpenStream
    | CloseStream
    | IssuersChanged
    | Verify
    | SignAs
    | Search
    | Reply
    | News
)
