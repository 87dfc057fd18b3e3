"""What the datagram machine hears and what it asks for.

The four that every datagram makes are named tuples: as frozen as the others, at a fifth of their
price.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from hive.protocol.machine import Ticked
from hive.transport.addresses import Address
from hive.trust.sealing import DatagramKey
from hive.wire.ids import Inception, PeerId
from hive.wire.version import OWN, Versions


class Drop(StrEnum):
    """Why a datagram was dropped; the keys of `DatagramMachine.drops`."""

    SIZE = "size"
    UNKNOWN_TYPE = "unknown_type"
    MALFORMED = "malformed"
    SUBNET_BUDGET = "subnet_budget"
    ORG_BUDGET = "org_budget"
    BAD_COOKIE = "bad_cookie"
    UNEXPECTED = "unexpected"
    TABLE_FULL = "table_full"
    UNKNOWN_SENDER = "unknown_sender"
    WRONG_BOOT = "wrong_boot"
    REPLAYED = "replayed"
    NOT_AUTHENTIC = "not_authentic"
    REFUSED = "refused"
    NO_CONTACT = "no_contact"
    TOO_LARGE = "too_large"
    HELD_TOO_LONG = "held_too_long"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class OwnIdentity:
    """Who this node says it is.

    `record` is the envelope of its node record, `chain` the envelopes of its issuer, org and
    root records, leaf first; `boot` grew with every start of this node, for ever.
    """

    peer_id: PeerId
    key: DatagramKey
    record: bytes
    chain: tuple[bytes, ...]
    boot: int
    versions: Versions = OWN


class Arrived(NamedTuple):
    """A datagram came from an address that may be forged."""

    address: Address
    untrusted: bytes


class Outgoing(NamedTuple):
    """A message for a peer; at most `PAYLOAD_BYTES_MAX` bytes, `kind` in 16..255."""

    peer_id: PeerId
    kind: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Dialled:
    """Somebody wants to know who is at this address."""

    address: Address


@dataclass(frozen=True, slots=True)
class ContactAdmitted:
    """The chain of a node record was verified.

    `conversation` answers a `Greeted`; empty, it makes known a peer whose record was learned
    elsewhere and that will be dialled when something is to be said. `org` pays for its traffic.
    """

    conversation: bytes
    peer_id: PeerId
    org: Inception
    address: Address
    datagram_public_key: bytes


@dataclass(frozen=True, slots=True)
class ContactRefused:
    """The chain presented in a `Greeted` does not hold."""

    conversation: bytes


@dataclass(frozen=True, slots=True)
class RecordsWanted:
    """The record presented in a `Greeted` names records unknown here: fetch its whole chain."""

    conversation: bytes


@dataclass(frozen=True, slots=True)
class ContactRetired:
    """A peer's record ended or was revoked: forget its keys."""

    peer_id: PeerId


@dataclass(frozen=True, slots=True)
class IdentityRenewed:
    """This node's record or datagram key changed; its boot and peer id did not."""

    own: OwnIdentity


Event: TypeAlias = (
    Arrived
    | Outgoing
    | Dialled
    | ContactAdmitted
    | ContactRefused
    | RecordsWanted
    | ContactRetired
    | IdentityRenewed
    | Ticked
)


class Transmit(NamedTuple):
    """Puts a datagram on the wire, best effort."""

    address: Address
    datagram: bytes


class Opened(NamedTuple):
    """A message from an attested peer; the box proves the hop, its content is still untrusted."""

    peer_id: PeerId
    kind: int
    untrusted_payload: bytes


@dataclass(frozen=True, slots=True)
class Greeted:
    """Whoever receives at this address presents a node record and perhaps its chain.

    Answer with `ContactAdmitted`, `ContactRefused` or `RecordsWanted` and this conversation;
    after `RecordsWanted` a second one carries all records, leaf first.
    """

    conversation: bytes
    address: Address
    untrusted_records: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PeerReached:
    """A handshake with this peer completed, or it proved a new address; messages flow."""

    peer_id: PeerId
    address: Address
    version: int = OWN.newest
    """The newest that both sides speak."""


@dataclass(frozen=True, slots=True)
class PeerUnreachable:
    """Nobody admissible answered at the address; `peer_id` where a certain peer was sought."""

    peer_id: PeerId | None
    address: Address


Effect: TypeAlias = Transmit | Opened | Greeted | PeerReached | PeerUnreachable
