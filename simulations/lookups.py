"""Discovery alone in the virtual world: lookups of the shipped machine, some of whose peers died.

Each peer runs `Discovery` as composed by a node. Modelled are sessions (they come about at once,
with whoever is up) and the network (`network`, `disturbances`). Everybody joins by three
introductions and a refresh; then a share dies at one moment, and at once the others look up
random keys, each one key, so that tables still name the dead.

A lookup is *right* where it finds exactly the k nearest that live. Its *hops*: how long the
chain of asks was that led to the nearest of them, 1 where it was in the asker's own table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import Address, Contact
from hive.protocol.discovery.events import (
    ContactVerified,
    Introduce,
    LookupFinished,
    LookupRequested,
    RefreshRequested,
)
from hive.protocol.discovery.kademlia import Discovery
from hive.protocol.machine import Received, Send, Ticked, Token
from hive.wire.clock import MILLISECOND_US, SECOND_US, MonotonicUs, Now, WallUs
from hive.wire.ids import Inception, PeerId, digest, peer_id
from hive.wire.randomness import Stream

from .disturbances import Loss
from .engine import Engine
from .network import Network
from .topology import Topology, TopologyConfig

JOIN_US: Final = 400 * MILLISECOND_US
SETTLE_US: Final = 15 * SECOND_US
BETWEEN_US: Final = 20 * MILLISECOND_US
LOOKUP_US_MAX: Final = 120 * SECOND_US
INTRODUCTIONS: Final = 3
DATAGRAM_BYTES: Final = 106
"""The seal around each payload with its header; the network adds the rest."""

EVENT, TICK = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupWorldConfig:
    """Who is there, and what is wrong.

    `peer_count`: peers that join. `lookup_count`: those that then look up one key each, at most
    as many as live. `dead_ppm`: how many die before, in millionths. `loss_ppm`: of every packet.
    """

    peer_count: int = 100
    lookup_count: int = 60
    dead_ppm: int = 0
    loss_ppm: int = 0


class NobodyKnown:
    """A key book for lookups of peers, which need none."""

    def signing_key(self, inception: Inception) -> tuple[int, bytes] | None:
        """No records travel here."""
        return None

    def org_of(self, inception: Inception) -> Inception | None:
        """No records travel here."""
        return None


@dataclass(slots=True)
class Looked:
    """One lookup: when it was asked, by whom, and what came of it."""

    target: bytes
    began_us: int
    asked_at: dict[PeerId, int] = field(default_factory=dict)
    """How many asks led to each peer that was asked."""
    ended_us: int = 0
    found: tuple[PeerId, ...] = ()


@dataclass(slots=True)
class _Resident:
    contact: Contact
    machine: Discovery
    is_up: bool = True
    ticks_at: int | None = None
    messages_sent: int = 0
    lookup: Looked | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """One lookup that ended, judged."""

    took_us: int
    hops: int
    is_right: bool
    recall: float
    asked_dead_count: int


class LookupWorld:
    """Peers of as many organisations as halves of them, in three regions."""

    def __init__(self, config: LookupWorldConfig, seed: bytes) -> None:
        self.config = config
        topology = Topology(TopologyConfig(cluster_count=6))
        topology.add_spread(config.peer_count)
        self.network = Network(topology, seed)
        self.engine = Engine(self._deliver, config.peer_count)
        self.residents: list[_Resident] = []
        self._settings = DiscoveryConfig.for_internet()
        self._stream = Stream(seed, "lookups")
        self._numbers: dict[PeerId, int] = {}
        for number in range(config.peer_count):
            self._join(number, seed)
        self.engine.run(self.engine.now_us + SETTLE_US)
        if config.loss_ppm:
            self.network.begin("loss", Loss(rate_ppm=config.loss_ppm), 0)

    def _join(self, number: int, seed: bytes) -> None:
        contact = contact_of(number)
        stream = Stream(seed, "lookup world", contact.peer)
        machine = Discovery(contact.peer, self._settings, NobodyKnown(), stream)
        known = self._stream.sample(range(number), INTRODUCTIONS)
        self.residents.append(_Resident(contact, machine))
        self._numbers[contact.peer] = number
        for other in known:
            self._tell(number, ContactVerified(self.residents[other].contact))
            self._tell(other, ContactVerified(contact))
        self._tell(number, RefreshRequested())
        self.engine.run(self.engine.now_us + JOIN_US)

    def run(self) -> list[Answered]:
        """The deaths, then all lookups, one begun every `BETWEEN_US`; those that ended."""
        count = self.config.peer_count
        for number in self._stream.sample(range(count), count * self.config.dead_ppm // 1_000_000):
            self.residents[number].is_up = False
        alive = [number for number in range(count) if self.residents[number].is_up]
        askers = self._stream.sample(alive, min(len(alive), self.config.lookup_count))
        for resident in self.residents:
            resident.messages_sent = 0
        for number in askers:
            target = self._stream.bits(160).to_bytes(20, "big")
            self.residents[number].lookup = Looked(target, self.engine.now_us)
            self._tell(number, LookupRequested(Token(1), target))
            self.engine.run(self.engine.now_us + BETWEEN_US)
        end_us = self.engine.now_us + LOOKUP_US_MAX
        while self.engine.now_us < end_us and any(self._is_open(number) for number in askers):
            self.engine.run(self.engine.now_us + SECOND_US)
        return [self._judged(number, alive) for number in askers if not self._is_open(number)]

    def _is_open(self, number: int) -> bool:
        lookup = self.residents[number].lookup
        return lookup is not None and not lookup.ended_us

    def _judged(self, number: int, alive: Sequence[int]) -> Answered:
        lookup = self.residents[number].lookup
        assert lookup is not None
        position = int.from_bytes(lookup.target, "big")
        others = [self.residents[other].contact for other in alive if other != number]
        others.sort(key=lambda contact: int(contact.long_id) ^ position)
        truth = tuple(contact.peer for contact in others[: self._settings.k])
        hits = sum(peer in truth for peer in lookup.found)
        dead = sum(not self.residents[self._numbers[peer]].is_up for peer in lookup.asked_at)
        return Answered(
            lookup.ended_us - lookup.began_us,
            lookup.asked_at.get(truth[0], 0),
            lookup.found == truth,
            hits / len(truth),
            dead,
        )

    # What happens.

    def _deliver(self, destination: int, source: int, event: Any) -> None:
        resident = self.residents[destination]
        if not resident.is_up:
            return
        if isinstance(event, Ticked):
            if resident.ticks_at != self.engine.now_us:
                return
            resident.ticks_at = None
        self._tell(destination, event)

    def _tell(self, number: int, event: Any) -> None:
        resident, now = self.residents[number], self.engine.now_us
        clock = Now(MonotonicUs(now), WallUs(now))
        for effect in resident.machine.handle(event, clock):
            match effect:
                case Send(receiver, payload):
                    self._note_ask(resident, event, receiver)
                    self._send(number, receiver, payload)
                case Introduce(peer):
                    self._introduce(number, self._numbers[peer])
                case LookupFinished(_, contacts) if resident.lookup is not None:
                    resident.lookup.ended_us = max(1, now)
                    resident.lookup.found = tuple(contact.peer for contact in contacts)
                case _:
                    pass
        due = resident.machine.deadline
        if due is not None and (resident.ticks_at is None or due < resident.ticks_at):
            resident.ticks_at = max(due, now)
            self.engine.post(due - now, number, number, Ticked(), TICK)

    def _note_ask(self, resident: _Resident, cause: Any, receiver: PeerId) -> None:
        """An ask that an answer caused is one farther than that answer; one that the clock
        caused, farther than all so far."""
        lookup = resident.lookup
        if lookup is None or lookup.ended_us or receiver in lookup.asked_at:
            return
        if isinstance(cause, Received):
            if cause.sender not in lookup.asked_at:
                return
            lookup.asked_at[receiver] = lookup.asked_at[cause.sender] + 1
        elif isinstance(cause, LookupRequested):
            lookup.asked_at[receiver] = 1
        elif isinstance(cause, Ticked):
            lookup.asked_at[receiver] = 1 + max(lookup.asked_at.values(), default=0)

    def _introduce(self, number: int, other: int) -> None:
        if self.residents[other].is_up:
            here, there = self.residents[number].contact, self.residents[other].contact
            self.engine.post(0, other, number, ContactVerified(here), EVENT)
            self.engine.post(0, number, number, ContactVerified(there), EVENT)

    def _send(self, source: int, receiver: PeerId, payload: bytes) -> None:
        self.residents[source].messages_sent += 1
        now, destination = self.engine.now_us, self._numbers[receiver]
        packet = self.network.packet(source, destination, len(payload) + DATAGRAM_BYTES, now)
        if not packet.is_lost:
            event = Received(self.residents[source].contact.peer, payload)
            self.engine.post(packet.at_us - now, destination, source, event, EVENT)


def contact_of(number: int) -> Contact:
    """The identity of a peer of the world; two share an organisation."""
    inception = Inception(digest("lookups/inception", b"%d" % number))
    org = Inception(digest("lookups/org", b"%d" % (number // 2)))
    host = f"10.{number // 250}.{number % 250}.1"
    return Contact(peer_id(inception, org), org, (Address(host, 7_000, 7_000),))
