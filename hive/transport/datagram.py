"""The datagram machine: strangers become contacts, contacts exchange sealed messages.

Theory of operation. `first_contact` turns an address into a contact whose datagram key, boot
and address are proven; this module carries what contacts say. A sealed datagram is looked up by
the tag in its nonce, refused by boot and replay window before any cryptography, opened, and
its inner header compared word by word: sender, receiver, the sender's boot, our own boot as it
echoes it, counter. Replays fail in every case: within a boot by the window, after the sender's
restart by its boot, after ours by the echo, after the contact was forgotten by the floor that
the fresh handshake set.

Nonces never repeat under a key: a key belongs to one (sender, receiver) pair of datagram keys
and ids, and the nonce holds the sender's boot, which grows with every start, and a counter,
which starts at 2^36 times an ordinal that grows with every handshake of the boot.

A peer that restarted cannot open what we seal: it answers with RESET (smaller than what it got,
budgeted per subnet), and we call it anew, at most once per `rehello_interval_us`; its old keys
stay until the new handshake is complete, so a forged RESET costs a handshake at most. A contact
that speaks from a new address is heard, but answered at the old one until it returned a path
challenge from the new one. When our own record is renewed we call every contact, a batch at a
time; the former inward key stays good until the next change.

Every byte string is a message or a counted drop; nothing here raises on what came from outside.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import assert_never

from hive.errors import MalformedFrame
from hive.protocol.machine import Ticked
from hive.transport import packets
from hive.transport.addresses import Address, subnet_of
from hive.transport.buckets import BucketTable
from hive.transport.contacts import Contact, ContactTable
from hive.transport.conversations import Agreement
from hive.transport.datagram_config import DatagramConfig
from hive.transport.events import (
    Arrived,
    ContactAdmitted,
    ContactRefused,
    ContactRetired,
    Dialled,
    Drop,
    Effect,
    Event,
    IdentityRenewed,
    Opened,
    Outgoing,
    OwnIdentity,
    PeerReached,
    PeerUnreachable,
    RecordsWanted,
    Transmit,
)
from hive.transport.first_contact import FirstContact
from hive.transport.packets import ENDS, HEADER, NONCE, NUMBER, TAG_BYTES, Ends
from hive.transport.replay import ReplayWindow
from hive.trust.sealing import NONCE_BYTES, Boxer
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import PeerId
from hive.wire.randomness import Stream

_BOX_AT = 1 + NONCE_BYTES
_SEALED = bytes((packets.SEALED,))
_SEALED_MIN = packets.SEALED_BYTES_MIN
_MAX = packets.DATAGRAM_BYTES_MAX
_FIRST_KIND = packets.KIND_APPLICATION_FIRST


class DatagramMachine:
    """One node's datagrams; `drops` counts by reason. `stream` must be secret and new each boot."""

    def __init__(self, config: DatagramConfig, own: OwnIdentity, stream: Stream) -> None:
        self._config = config
        self._own = own
        self._tag = own.peer_id[:TAG_BYTES]
        self._stream = stream
        self.drops: Counter[Drop] = Counter()
        self._contacts = ContactTable(config.contact_count_max)
        self._first = FirstContact(config, own, stream, self._contacts, self.drops)
        self._orgs = self._budget(config.org_per_second, config.org_burst)
        self._strays = self._budget(config.hello_per_second, config.hello_burst)
        self._boxer = Boxer(packets.DATAGRAM_BYTES_MAX)
        self._held_count = 0
        self._renewals: deque[PeerId] = deque()
        self._renew_at_us = 0

    @property
    def deadline(self) -> MonotonicUs | None:
        """When it next wants a `Ticked`."""
        first = self._first.deadline_us
        if self._renewals and (first is None or self._renew_at_us < first):
            first = self._renew_at_us
        return None if first is None else MonotonicUs(first)

    @property
    def state_count(self) -> int:
        """Contacts, conversations and held messages: all that strangers could make grow."""
        return len(self._contacts) + self._first.conversation_count + self._held_count

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """Takes one event; never raises, whatever bytes it carries."""
        now_us = now.monotonic_us
        match event:
            case Arrived():
                return self._arrived(event.address, event.untrusted, now_us)
            case Outgoing():
                return self._say(event, now_us)
            case _:
                return self._released(self._handle_rare(event, now_us))

    def _handle_rare(
        self,
        event: Dialled
        | ContactAdmitted
        | ContactRefused
        | RecordsWanted
        | ContactRetired
        | IdentityRenewed
        | Ticked,
        now_us: int,
    ) -> list[Effect]:
        match event:
            case Ticked():
                return self._tick(now_us)
            case Dialled(address):
                return self._first.call(address, None, now_us)
            case ContactAdmitted():
                return self._admit(event, now_us)
            case ContactRefused(conversation):
                return self._first.refuse(conversation)
            case RecordsWanted(conversation):
                return self._first.fetch(conversation, now_us)
            case ContactRetired(peer_id):
                return self._retire(peer_id)
            case IdentityRenewed(own):
                return self._renew(own, now_us)
            case _:
                assert_never(event)

    # -- arriving

    def _arrived(self, address: Address, untrusted: bytes, now_us: int) -> list[Effect]:
        if untrusted[:1] == _SEALED:
            return self._open(address, untrusted, now_us)
        if not 1 <= len(untrusted) <= packets.DATAGRAM_BYTES_MAX:
            return self._drop(Drop.SIZE)
        try:
            return self._released(self._first_contact(address, untrusted, now_us))
        except MalformedFrame:
            return self._drop(Drop.MALFORMED)

    def _first_contact(self, address: Address, untrusted: bytes, now_us: int) -> list[Effect]:
        match untrusted[0]:
            case packets.HELLO:
                return self._first.on_hello(address, untrusted, now_us)
            case packets.COOKIE:
                return self._first.on_cookie(address, untrusted, now_us)
            case packets.CLAIM:
                return self._first.on_claim(address, untrusted, now_us)
            case packets.WELCOME:
                return self._first.on_welcome(address, untrusted, now_us)
            case packets.VERSIONS:
                return self._first.on_versions(address, untrusted)
            case packets.CONFIRM:
                agreed = self._first.on_confirm(address, untrusted)
                return [] if agreed is None else self._reach(agreed, address, now_us)
            case packets.WANT:
                return self._first.on_want(address, untrusted)
            case packets.PAGE:
                return self._first.on_page(address, untrusted, now_us)
            case packets.RESET:
                return self._on_reset(address, untrusted, now_us)
            case _:
                return self._drop(Drop.UNKNOWN_TYPE)

    def _open(self, address: Address, untrusted: bytes, now_us: int) -> list[Effect]:
        """A sealed datagram, cheapest checks first; the fast path of the whole node."""
        if not _SEALED_MIN <= len(untrusted) <= _MAX:
            return self._drop(Drop.SIZE)
        nonce = untrusted[1:_BOX_AT]
        tag, boot, counter = NONCE.unpack(nonce)
        contact = self._contacts.with_tag(tag)
        if contact is None or contact.keys is None:
            return self._stray(address, nonce, Drop.UNKNOWN_SENDER, now_us)
        if boot != contact.boot:
            return self._drop(Drop.WRONG_BOOT)
        if not contact.window.is_new(counter):
            return self._drop(Drop.REPLAYED)
        if address != contact.address and not self._may_stray(address, now_us):
            return self._drop(Drop.SUBNET_BUDGET)
        plaintext = self._boxer.open_box(contact.keys.inward, nonce, untrusted[_BOX_AT:])
        if plaintext is None and contact.inward_before:
            plaintext = self._boxer.open_box(contact.inward_before, nonce, untrusted[_BOX_AT:])
        if plaintext is None:
            return self._stray(address, nonce, Drop.NOT_AUTHENTIC, now_us)
        if plaintext[: ENDS.size] != contact.inward_ends:
            return self._stray(address, nonce, Drop.WRONG_BOOT, now_us)
        inner_counter, kind = NUMBER.unpack_from(plaintext, ENDS.size)
        if inner_counter != counter:
            return self._drop(Drop.NOT_AUTHENTIC)
        contact.window.mark(counter)
        if not self._orgs.take(contact.org_slot, now_us):
            return self._drop(Drop.ORG_BUDGET)
        contact.heard_us = now_us
        payload = plaintext[HEADER.size :]
        if address == contact.address and kind >= _FIRST_KIND:
            return [Opened(contact.peer_id, kind, payload)]
        return self._from_elsewhere(contact, address, kind, payload, now_us)

    # -- paths

    def _from_elsewhere(
        self, contact: Contact, address: Address, kind: int, payload: bytes, now_us: int
    ) -> list[Effect]:
        """Authentic, but transport's own kind or an address the contact has not proven."""
        if kind == packets.KIND_PATH_CHALLENGE:
            return [self._seal(contact, address, packets.KIND_PATH_RESPONSE, payload)]
        if kind == packets.KIND_PATH_RESPONSE:
            if contact.path != (address, payload):
                return self._drop(Drop.UNEXPECTED)
            contact.path = None
            self._contacts.move(contact, address)
            return [PeerReached(contact.peer_id, address, contact.version)]
        if kind < _FIRST_KIND:
            return self._drop(Drop.UNEXPECTED)
        return [
            Opened(contact.peer_id, kind, payload),
            *self._challenge(contact, address, now_us),
        ]

    def _challenge(self, contact: Contact, address: Address, now_us: int) -> list[Effect]:
        if now_us < contact.challenge_at_us:
            return []
        contact.challenge_at_us = now_us + self._config.rehello_interval_us
        challenge = self._stream.bits(64).to_bytes(8, "big")
        contact.path = (address, challenge)
        return [self._seal(contact, address, packets.KIND_PATH_CHALLENGE, challenge)]

    # -- restarts

    def _stray(self, address: Address, nonce: bytes, reason: Drop, now_us: int) -> list[Effect]:
        """Nobody here can open it: say so, in fewer bytes than came, when the budget allows."""
        self.drops[reason] += 1
        if not self._may_stray(address, now_us):
            return []
        return [Transmit(address, packets.reset(nonce))]

    def _on_reset(self, address: Address, untrusted: bytes, now_us: int) -> list[Effect]:
        """The peer restarted, if this names a datagram we did send; handshake anew."""
        contact = self._contacts.at(address)
        if contact is None or contact.keys is None or len(untrusted) != _BOX_AT:
            return self._drop(Drop.UNEXPECTED)
        tag, boot, counter = NONCE.unpack(untrusted[1:])
        is_ours = tag == self._tag and boot == self._own.boot
        if not is_ours or not counter <= contact.counter < counter + 2**16:
            return self._drop(Drop.UNEXPECTED)
        return self._call(contact, contact.address, now_us)

    def _call(self, contact: Contact, address: Address, now_us: int) -> list[Effect]:
        """Calls a contact, unless it was called just now."""
        if now_us < contact.call_at_us:
            return []
        contact.call_at_us = now_us + self._config.rehello_interval_us
        return self._first.call(address, contact.peer_id, now_us)

    def _renew(self, own: OwnIdentity, now_us: int) -> list[Effect]:
        self._own = own
        self._first.present(own)
        self._renewals = deque(self._contacts.peers())
        self._renew_at_us = now_us
        return self._call_renewals(now_us)

    def _call_renewals(self, now_us: int) -> list[Effect]:
        effects: list[Effect] = []
        if not self._renewals or now_us < self._renew_at_us:
            return effects
        self._renew_at_us = now_us + self._config.retry_first_us
        for _ in range(min(self._config.renewal_batch_count, len(self._renewals))):
            contact = self._contacts.get(self._renewals.popleft())
            if contact is not None and contact.keys is not None:
                effects += self._first.call(contact.address, contact.peer_id, now_us)
        return effects

    def _tick(self, now_us: int) -> list[Effect]:
        effects = self._call_renewals(now_us)
        due = self._first.deadline_us
        if due is not None and now_us >= due:
            effects += self._first.tick(now_us)
        return effects

    # -- contacts

    def _admit(self, admitted: ContactAdmitted, now_us: int) -> list[Effect]:
        if not admitted.conversation:
            return self._learn(admitted, now_us)
        agreed, effects = self._first.admit(admitted, now_us)
        known = self._contacts.get(admitted.peer_id)
        if known is not None:
            known.counter = max(known.counter, self._first.counter_floor)
        if agreed is not None:
            effects += self._reach(agreed, admitted.address, now_us)
        return effects

    def _learn(self, admitted: ContactAdmitted, now_us: int) -> list[Effect]:
        """Makes a peer known by its record alone; one reached elsewhere is called where it is."""
        contact = self._contacts.get(admitted.peer_id)
        if contact is None:
            self._add(admitted, admitted.address)
            return []
        if contact.keys is not None:
            is_elsewhere = contact.address != admitted.address
            return self._call(contact, admitted.address, now_us) if is_elsewhere else []
        contact.public_key = admitted.datagram_public_key
        self._contacts.move(contact, admitted.address)
        return []

    def _add(self, admitted: ContactAdmitted, address: Address) -> Contact | None:
        if admitted.peer_id == self._own.peer_id:
            return None
        slot = self._orgs.slot_of(admitted.org)
        contact = Contact(
            admitted.peer_id, admitted.org, slot, address, admitted.datagram_public_key
        )
        displaced = self._contacts.add(contact)
        if displaced is None:
            self.drops[Drop.TABLE_FULL] += 1
            return None
        for other in displaced:
            self._let_go(other)
        return contact

    def _reach(self, agreed: Agreement, address: Address, now_us: int) -> list[Effect]:
        """A handshake completed: keys, boot, counter and window as it proved them."""
        contact = self._contacts.get(agreed.admitted.peer_id)
        if contact is None:
            contact = self._add(agreed.admitted, address)
        if contact is None:
            return []
        if contact.keys is None or agreed.boot != contact.boot:
            contact.window, contact.inward_before = ReplayWindow(agreed.floor), b""
        elif contact.keys != agreed.keys:
            contact.inward_before = contact.keys.inward
        own, boot = self._own, agreed.boot
        contact.keys, contact.boot = agreed.keys, boot
        contact.outward_ends = Ends(own.peer_id, contact.peer_id, own.boot, boot).to_bytes()
        contact.inward_ends = Ends(contact.peer_id, own.peer_id, boot, own.boot).to_bytes()
        contact.public_key = agreed.admitted.datagram_public_key
        contact.counter = max(contact.counter, self._first.counter_floor)
        contact.heard_us, contact.path = now_us, None
        self._contacts.move(contact, address)
        held = self._let_go(contact)
        contact.version = agreed.version
        effects: list[Effect] = [PeerReached(contact.peer_id, address, agreed.version)]
        effects += [self._seal(contact, address, kind, payload) for kind, payload in held]
        return effects

    def _retire(self, peer_id: PeerId) -> list[Effect]:
        self._first.forget(peer_id)
        contact = self._contacts.remove(peer_id)
        if contact is not None:
            self._let_go(contact)
        return []

    # -- leaving

    def _say(self, outgoing: Outgoing, now_us: int) -> list[Effect]:
        contact = self._contacts.get(outgoing.peer_id)
        if contact is None:
            return self._drop(Drop.NO_CONTACT)
        if len(outgoing.payload) > packets.PAYLOAD_BYTES_MAX:
            return self._drop(Drop.TOO_LARGE)
        if contact.keys is None:
            return self._hold(contact, outgoing, now_us)
        return [self._seal(contact, contact.address, outgoing.kind, outgoing.payload)]

    def _hold(self, contact: Contact, outgoing: Outgoing, now_us: int) -> list[Effect]:
        """Keeps a message while its receiver is dialled; lets it go when that fails."""
        is_full = len(contact.held) >= self._config.held_per_peer_count_max
        if is_full or self._held_count >= self._config.held_count_max:
            return self._drop(Drop.HELD_TOO_LONG)
        contact.held.append((outgoing.kind, outgoing.payload))
        self._held_count += 1
        return self._released(self._call(contact, contact.address, now_us))

    def _released(self, effects: list[Effect]) -> list[Effect]:
        """Lets go what was held for peers that turned out unreachable."""
        for effect in effects:
            if isinstance(effect, PeerUnreachable) and effect.peer_id is not None:
                contact = self._contacts.get(effect.peer_id)
                if contact is not None and contact.keys is None and contact.held:
                    self.drops[Drop.HELD_TOO_LONG] += len(self._let_go(contact))
        return effects

    def _let_go(self, contact: Contact) -> list[tuple[int, bytes]]:
        held, contact.held = contact.held, []
        self._held_count -= len(held)
        return held

    def _seal(self, contact: Contact, address: Address, kind: int, payload: bytes) -> Transmit:
        assert contact.keys is not None, "only reached contacts are sealed to"
        contact.counter = counter = contact.counter + 1
        nonce = NONCE.pack(self._tag, self._own.boot, counter)
        plaintext = contact.outward_ends + NUMBER.pack(counter, kind) + payload
        box = self._boxer.seal(contact.keys.outward, nonce, plaintext)
        return Transmit(address, _SEALED + nonce + box)

    # -- budgets

    def _may_stray(self, address: Address, now_us: int) -> bool:
        return self._strays.take(self._strays.slot_of(subnet_of(address)), now_us)

    def _drop(self, reason: Drop) -> list[Effect]:
        self.drops[reason] += 1
        return []

    def _budget(self, per_second: int, burst: int) -> BucketTable:
        return BucketTable(
            self._stream.bits(256).to_bytes(32, "big"),
            slot_count=self._config.bucket_slot_count,
            per_second=per_second,
            burst=burst,
        )
