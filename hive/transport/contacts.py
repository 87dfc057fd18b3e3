"""The peers whom this node can seal to: keys, boots, counters, addresses; bounded.

When the table is full, the org with most contacts loses the one heard from least recently, so
that no org can push out the others by numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hive.transport.addresses import Address
from hive.transport.packets import TAG_BYTES
from hive.transport.replay import ReplayWindow
from hive.trust.sealing import DatagramKey, directed_key, shared_key
from hive.wire.ids import Inception, PeerId
from hive.wire.version import OWN


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One key a direction, from both datagram keys and both peer ids."""

    outward: bytes
    inward: bytes


def agree(own_id: PeerId, own: DatagramKey, their_id: PeerId, their_key: bytes) -> KeyPair | None:
    """The keys shared with a peer, or None where its key is none or it claims our own id."""
    shared = shared_key(own, their_key)
    if shared is None or own_id == their_id:
        return None
    return KeyPair(directed_key(shared, own_id, their_id), directed_key(shared, their_id, own_id))


@dataclass(slots=True)
class Contact:
    """One admitted peer. Without `keys` it was never reached and is only known.

    `counter` numbers what we seal to it; it starts above the ordinal of the newest handshake of
    this boot, so it never repeats under these keys, even when the contact was forgotten meanwhile.
    The two `ends` are what every plaintext begins with, ours to it and its to us.
    `address` is where it proved to receive; `path` is a candidate with its pending challenge.
    """

    peer_id: PeerId
    org: Inception
    org_slot: int
    address: Address
    public_key: bytes
    keys: KeyPair | None = None
    outward_ends: bytes = b""
    inward_ends: bytes = b""
    inward_before: bytes = b""
    boot: int = 0
    version: int = OWN.newest
    counter: int = 0
    window: ReplayWindow = field(default_factory=lambda: ReplayWindow(0))
    heard_us: int = 0
    path: tuple[Address, bytes] | None = None
    challenge_at_us: int = 0
    call_at_us: int = 0
    held: list[tuple[int, bytes]] = field(default_factory=list)


class ContactTable:
    """At most `count_max` contacts, found by peer id, by tag and by address."""

    __slots__ = ("_by_address", "_by_peer", "_by_tag", "_count_max", "_org_counts")

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._by_peer: dict[PeerId, Contact] = {}
        self._by_tag: dict[bytes, Contact] = {}
        self._by_address: dict[Address, PeerId] = {}
        self._org_counts: dict[Inception, int] = {}

    def __len__(self) -> int:
        return len(self._by_peer)

    def get(self, peer_id: PeerId) -> Contact | None:
        """The contact of a peer."""
        return self._by_peer.get(peer_id)

    def with_tag(self, tag: bytes) -> Contact | None:
        """The contact whose id begins with these eight bytes."""
        return self._by_tag.get(tag)

    def at(self, address: Address) -> Contact | None:
        """The contact that last proved to receive at the address."""
        peer_id = self._by_address.get(address)
        return None if peer_id is None else self._by_peer.get(peer_id)

    def peers(self) -> tuple[PeerId, ...]:
        """All of them, oldest first."""
        return tuple(self._by_peer)

    def add(self, contact: Contact) -> tuple[Contact, ...] | None:
        """Takes a new contact and gives whom it displaced; None where its tag is another's."""
        tag = contact.peer_id[:TAG_BYTES]
        if tag in self._by_tag:
            return None
        displaced = (self._displace(),) if len(self._by_peer) >= self._count_max else ()
        self._by_peer[contact.peer_id] = contact
        self._by_tag[tag] = contact
        self._by_address[contact.address] = contact.peer_id
        self._org_counts[contact.org] = self._org_counts.get(contact.org, 0) + 1
        return displaced

    def move(self, contact: Contact, address: Address) -> None:
        """Follows a contact to an address where it proved to receive."""
        self._leave_address(contact)
        contact.address = address
        self._by_address[address] = contact.peer_id

    def remove(self, peer_id: PeerId) -> Contact | None:
        """Forgets a contact."""
        contact = self._by_peer.pop(peer_id, None)
        if contact is None:
            return None
        del self._by_tag[peer_id[:TAG_BYTES]]
        self._leave_address(contact)
        left = self._org_counts[contact.org] - 1
        if left:
            self._org_counts[contact.org] = left
        else:
            del self._org_counts[contact.org]
        return contact

    def _leave_address(self, contact: Contact) -> None:
        if self._by_address.get(contact.address) == contact.peer_id:
            del self._by_address[contact.address]

    def _displace(self) -> Contact:
        largest = max(self._org_counts, key=lambda org: self._org_counts[org])
        members = (contact for contact in self._by_peer.values() if contact.org == largest)
        contact = min(members, key=lambda contact: contact.heard_us)
        self.remove(contact.peer_id)
        return contact
