"""A deterministic virtual network of discovery machines: latency, loss, introductions, liars."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush

from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import Address, Contact
from hive.protocol.discovery.events import (
    ContactUnreachable,
    ContactVerified,
    DiscoveryEffect,
    DiscoveryEvent,
    Introduce,
    LookupFinished,
    LookupRequested,
    Published,
    PublishRequested,
    RecordFound,
    RecordRequested,
    RefreshRequested,
)
from hive.protocol.discovery.kademlia import Discovery
from hive.protocol.discovery.records import (
    DiscoveryRecord,
    PeerRecord,
    ProviderRecord,
    SignedRecord,
)
from hive.protocol.machine import Check, Received, Send, Ticked, Token, Verified, Verify
from hive.wire.clock import MILLISECOND_US, MonotonicUs, Now, WallUs
from hive.wire.ids import Digest, Inception, PeerId, RecordId, digest, peer_id
from hive.wire.randomness import Stream

WALL_START_US = 1_700_000_000_000_000
INTRODUCTION_RTO_US = 150 * MILLISECOND_US


def signature_of(inception: bytes, label: str, identity: bytes) -> bytes:
    """A stand-in for Ed25519: only who knows the inception's secret could make it."""
    return hashlib.sha512(b"secret" + inception + label.encode() + identity).digest()


def signed(record: DiscoveryRecord) -> SignedRecord:
    body = record.to_body()
    return SignedRecord(body, signature_of(record.inception, record.LABEL, record.id_of(body)))


def is_good(check: Check) -> bool:
    return check.signature == signature_of(check.public_key, check.label, check.digest)


@dataclass
class Book:
    """Everybody who was attested, and by which organisation."""

    orgs: dict[Inception, Inception] = field(default_factory=dict)

    def signing_key(self, inception: Inception) -> tuple[int, bytes] | None:
        return (1, inception) if inception in self.orgs else None

    def org_of(self, inception: Inception) -> Inception | None:
        return self.orgs.get(inception)


@dataclass
class Resident:
    """One peer of the world."""

    index: int
    inception: Inception
    org: Inception
    contact: Contact
    machine: Discovery
    ticks_at: int | None = None
    is_alive: bool = True

    @property
    def peer(self) -> PeerId:
        return self.contact.peer


def identity(name: str, org_name: str) -> tuple[Inception, Inception, PeerId]:
    inception = Inception(digest("test/inception", name.encode()))
    org = Inception(digest("test/org", org_name.encode()))
    return inception, org, peer_id(inception, org)


def make_contact(index: int, org_name: str | None = None, name: str | None = None) -> Contact:
    _, org, peer = identity(name or f"peer {index}", org_name or f"org {index // 2}")
    host = f"10.{index // 250}.{index % 250}.1"
    return Contact(peer, org, (Address(host, 7000, 7001),))


class World:
    """All peers, the wires between them, and one clock."""

    def __init__(
        self,
        seed: int = 1,
        *,
        loss_percent: int = 0,
        introduction_trips: int = 0,
        config: DiscoveryConfig | None = None,
    ) -> None:
        self.now_us = 0
        self.loss_percent = loss_percent
        self.introduction_trips = introduction_trips
        self.config = config or DiscoveryConfig()
        self.book = Book()
        self.residents: dict[PeerId, Resident] = {}
        self.finished: dict[int, tuple[DiscoveryEffect, int]] = {}
        self.sent_count = 0
        self.sent_bytes_max = 0
        self.liar: Callable[[Resident, Received], list[Send] | None] | None = None
        self._seed = seed.to_bytes(8, "big")
        self._stream = Stream(self._seed, "wire")
        self._events: list[tuple[int, int, PeerId, DiscoveryEvent]] = []
        self._sequence = 0
        self._token = 0
        self._sessions: dict[tuple[PeerId, PeerId], None] = {}
        self._trace = hashlib.sha256()
        self._unsettled: dict[PeerId, Callable[[Resident], None]] = {}

    # people

    def add(self, index: int, org_name: str | None = None, name: str | None = None) -> Resident:
        contact = make_contact(index, org_name, name)
        inception, org, _ = identity(name or f"peer {index}", org_name or f"org {index // 2}")
        stream = Stream(self._seed, "discovery", contact.peer)
        machine = Discovery(contact.peer, self.config, self.book, stream)
        resident = Resident(index, inception, org, contact, machine)
        self.residents[contact.peer] = resident
        self.book.orgs[inception] = org
        return resident

    def acquaint(self, one: Resident, other: Resident) -> None:
        self._sessions[one.peer, other.peer] = self._sessions[other.peer, one.peer] = None
        self.tell(one, ContactVerified(other.contact))
        self.tell(other, ContactVerified(one.contact))

    def populate(self, count: int, seeds: int = 3) -> list[Resident]:
        """Peers join one after the other by `seeds` introductions and a refresh."""
        added: list[Resident] = []
        for index in range(count):
            newcomer = self.add(index)
            for other in self._stream.sample(added, seeds):
                self.acquaint(newcomer, other)
            self.tell(newcomer, RefreshRequested())
            self.run(until_us=self.now_us + 400 * MILLISECOND_US)
            added.append(newcomer)
        self.run(until_us=self.now_us + 15_000 * MILLISECOND_US)
        return added

    def settle(self, count: int, *, known_per_bucket: int = 20) -> list[Resident]:
        """A network that has long been there: tables as years of lookups would leave them.

        A resident's table is filled when it is first spoken to, so thousands cost little.
        """
        added = [self.add(index) for index in range(count)]
        everybody = sorted(added, key=lambda one: one.peer)
        ids = [int.from_bytes(one.peer, "big") for one in everybody]
        fill = partial(
            self._settle, everybody=everybody, ids=ids, known_per_bucket=known_per_bucket
        )
        for resident in added:
            self._unsettled[resident.peer] = fill
        return added

    def _settle(
        self, one: Resident, everybody: list[Resident], ids: list[int], known_per_bucket: int
    ) -> None:
        own, low, high = one.contact.long_id, 0, len(ids)
        stream = Stream(self._seed, "settled", one.peer)
        known: list[Resident] = []
        for free_bits in range(159, 0, -1):
            if high - low <= 2 * known_per_bucket:
                break
            branch = own >> free_bits
            own_low = bisect_left(ids, branch << free_bits)
            own_high = bisect_left(ids, (branch + 1) << free_bits)
            others = [*everybody[low:own_low], *everybody[own_high:high]]
            known += stream.sample(others, known_per_bucket)
            low, high = own_low, own_high
        for other in [*known, *everybody[low:high]]:
            if other is not one:
                self.introduce(one, other)

    def introduce(self, one: Resident, other: Resident) -> None:
        """A session, and a contact on one side."""
        self._sessions[one.peer, other.peer] = self._sessions[other.peer, one.peer] = None
        one.machine.handle(ContactVerified(other.contact), self.clock())

    def nearest(self, target: bytes, count: int, *, without: bytes = b"") -> list[PeerId]:
        position = int.from_bytes(target, "big")
        alive = [r.peer for r in self.residents.values() if r.is_alive and r.peer != without]
        return sorted(alive, key=lambda p: int.from_bytes(p, "big") ^ position)[:count]

    # commands

    def lookup(self, resident: Resident, target: bytes) -> tuple[LookupFinished, int]:
        effect, took_us = self._command(resident, lambda t: LookupRequested(t, target))
        assert isinstance(effect, LookupFinished)
        return effect, took_us

    def lookup_all(self, resident: Resident, target: bytes) -> list[PeerId]:
        """Everybody who answered a lookup, result or not."""
        began = len(resident.machine._errands)
        assert began == 0
        self._token += 1
        self.tell(resident, LookupRequested(Token(self._token), target))
        (errand,) = resident.machine._errands._errands.values()
        while self._token not in self.finished:
            self._step()
        del self.finished[self._token]
        return [contact.peer for contact in errand.lookup._answerers()]

    def read(self, resident: Resident, key: bytes) -> tuple[RecordFound, int]:
        effect, took_us = self._command(resident, lambda t: RecordRequested(t, key))
        assert isinstance(effect, RecordFound)
        return effect, took_us

    def publish(self, resident: Resident, record: DiscoveryRecord) -> Published:
        bytes_ = signed(record).to_bytes()
        effect, _ = self._command(resident, lambda t: PublishRequested(t, bytes_))
        assert isinstance(effect, Published)
        return effect

    def _command(
        self, resident: Resident, make: Callable[[Token], DiscoveryEvent]
    ) -> tuple[DiscoveryEffect, int]:
        self._token += 1
        token = self._token
        began_us = self.now_us
        self.tell(resident, make(Token(token)))
        while token not in self.finished:
            self._step()
        effect, at_us = self.finished.pop(token)
        return effect, at_us - began_us

    # time

    @property
    def trace(self) -> str:
        return self._trace.hexdigest()

    def clock(self) -> Now:
        return Now(MonotonicUs(self.now_us), WallUs(WALL_START_US + self.now_us))

    def run(self, *, until_us: int) -> None:
        while self._events and self._events[0][0] <= until_us:
            self._step()
        self.now_us = until_us

    def tell(self, resident: Resident, event: DiscoveryEvent) -> None:
        if not resident.is_alive:
            return
        said = event.untrusted_payload if isinstance(event, Received) else repr(event).encode()
        self._trace.update(b"%d %b %b" % (self.now_us, resident.peer, said))
        if isinstance(event, Received) and self.liar is not None:
            lies = self.liar(resident, event)
            if lies is not None:
                for send in lies:
                    self._send(resident, send)
                return
        if resident.peer in self._unsettled:
            self._unsettled.pop(resident.peer)(resident)
        for effect in resident.machine.handle(event, self.clock()):
            self._perform(resident, effect)
        deadline = resident.machine.deadline
        if deadline is not None and (resident.ticks_at is None or deadline < resident.ticks_at):
            resident.ticks_at = max(deadline, self.now_us)
            self._at(resident.ticks_at, resident.peer, Ticked())

    def _step(self) -> None:
        self.now_us, _, peer, event = heappop(self._events)
        resident = self.residents[peer]
        if isinstance(event, Ticked):
            if resident.ticks_at != self.now_us:
                return
            resident.ticks_at = None
        self.tell(resident, event)

    def _at(self, time_us: int, peer: PeerId, event: DiscoveryEvent) -> None:
        self._sequence += 1
        heappush(self._events, (time_us, self._sequence, peer, event))

    def _perform(self, resident: Resident, effect: DiscoveryEffect) -> None:
        match effect:
            case Send():
                self._send(resident, effect)
            case Verify(token=token, checks=checks):
                verdicts = tuple(is_good(check) for check in checks)
                self._at(self.now_us, resident.peer, Verified(token, verdicts))
            case Introduce(peer=peer):
                self._introduce(resident, peer)
            case _:
                self.finished[effect.token] = (effect, self.now_us)

    def _send(self, resident: Resident, send: Send) -> None:
        self.sent_count += 1
        self.sent_bytes_max = max(self.sent_bytes_max, len(send.payload))
        assert (resident.peer, send.receiver) in self._sessions, "sent without a session"
        if self._stream.below(100) >= self.loss_percent:
            received = Received(resident.peer, send.payload)
            self._at(self.now_us + self._latency_us(), send.receiver, received)

    def _latency_us(self) -> int:
        return (10 + self._stream.below(41)) * MILLISECOND_US

    def _introduce(self, resident: Resident, peer: PeerId) -> None:
        other = self.residents.get(peer)
        if other is None or not other.is_alive:
            at_us = self.now_us + 15 * INTRODUCTION_RTO_US
            self._at(at_us, resident.peer, ContactUnreachable(peer))
            return
        at_us = self.now_us
        if (resident.peer, peer) not in self._sessions:
            at_us += sum(self._trip_us() for _ in range(self.introduction_trips))
        self._sessions[resident.peer, peer] = self._sessions[peer, resident.peer] = None
        self._at(at_us, peer, ContactVerified(resident.contact))
        self._at(at_us, resident.peer, ContactVerified(other.contact))

    def _trip_us(self) -> int:
        waited_us, rto_us = 0, INTRODUCTION_RTO_US
        while self._stream.below(100) < 2 * self.loss_percent:
            waited_us, rto_us = waited_us + rto_us, 2 * rto_us
        return waited_us + self._latency_us() + self._latency_us()


def peer_record(resident: Resident, sequence: int = 1, host: str = "10.9.9.9") -> PeerRecord:
    address = Address(host, 7000, 7001)
    node_record = RecordId(digest("test/node", resident.inception))
    return PeerRecord(resident.inception, resident.org, node_record, (address,), sequence)


def provider_record(
    resident: Resident, namespace: Digest, sequence: int = 1, lives_us: int = 10**11
) -> ProviderRecord:
    not_after = WALL_START_US + lives_us
    return ProviderRecord(namespace, resident.inception, sequence, not_after)
