"""What goes into discovery and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from hive.protocol.discovery.contact import Address, Contact
from hive.protocol.discovery.records import DiscoveryRecord, SignedRecord
from hive.protocol.machine import Received, Send, Ticked, Token, Verified, Verify
from hive.wire.ids import Inception, PeerId


@dataclass(frozen=True, slots=True)
class ContactVerified:
    """A session stands, and node record and peer record behind it verified.

    Answers `Introduce`, and comes unasked when somebody else introduced itself.
    """

    contact: Contact


@dataclass(frozen=True, slots=True)
class ContactUnreachable:
    """An introduction failed: nobody there, or not who it should be."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class ContactAlive:
    """SWIM heard from the peer: a sign of life that spares discovery its own pings."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class ContactSuspected:
    """SWIM suspects the peer: it is not named to others until it shows a sign of life."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class ContactDied:
    """SWIM declared the peer dead, or its records ended: it leaves the table at once."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class ContactMoved:
    """A verified, newer peer record names other addresses."""

    peer: PeerId
    addresses: tuple[Address, ...]
    sequence: int


@dataclass(frozen=True, slots=True)
class LookupRequested:
    """Find the k nearest peers to a 20-byte target; answered by `LookupFinished`."""

    token: Token
    target: bytes


@dataclass(frozen=True, slots=True)
class RecordRequested:
    """Read the records under a 20-byte key; answered by `RecordFound`."""

    token: Token
    key: bytes


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """Keep this own record (`[body, signature]`) published; answered by `Published`."""

    token: Token
    signed_record: bytes


@dataclass(frozen=True, slots=True)
class WithdrawRequested:
    """Publish this peer's records under the key no longer; copies expire by themselves."""

    key: bytes
    inception: Inception


@dataclass(frozen=True, slots=True)
class RefreshRequested:
    """Look up ourselves and then every bucket long untouched: done once after joining."""


DiscoveryEvent: TypeAlias = (
    Received
    | Ticked
    | Verified
    | ContactVerified
    | ContactUnreachable
    | ContactAlive
    | ContactSuspected
    | ContactDied
    | ContactMoved
    | LookupRequested
    | RecordRequested
    | PublishRequested
    | WithdrawRequested
    | RefreshRequested
)


@dataclass(frozen=True, slots=True)
class Introduce:
    """Asks the composer for a session with an unverified pointer.

    Answered by `ContactVerified` (at once, where a session stands already) or
    `ContactUnreachable`. The address is untrusted: only unicast, only within its budget.
    """

    peer: PeerId
    untrusted_address: Address


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """A record that a read found; unattested ones have a signer whose chain is not known."""

    signed: SignedRecord
    record: DiscoveryRecord
    is_attested: bool


@dataclass(frozen=True, slots=True)
class LookupFinished:
    """The k nearest peers that answered, nearest first."""

    token: Token
    contacts: tuple[Contact, ...]


@dataclass(frozen=True, slots=True)
class RecordFound:
    """The newest record of every slot; empty where nobody answered with one."""

    token: Token
    records: tuple[FoundRecord, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """How many peers keep the record now (republishing says nothing)."""

    token: Token
    stored_count: int


DiscoveryEffect: TypeAlias = Send | Verify | Introduce | LookupFinished | RecordFound | Published
