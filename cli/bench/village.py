"""Discovery machines under virtual time: latency and exactness of lookups under loss.

Each way takes 10–50 ms and is lost by chance; everybody joins by three introductions and a
refresh; then random peers look up random keys. Sessions come about in no time. *Right* is a
result that is exactly the k nearest; *recall* the share of them found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import Address, Contact
from hive.protocol.discovery.events import (
    ContactVerified,
    DiscoveryEffect,
    DiscoveryEvent,
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

P50_GOAL_MS: Final = 250.0
P99_GOAL_MS: Final = 700.0
RIGHT_GOAL: Final = 0.999
ONE_WAY_MS: Final = (10, 50)
_JOIN_US: Final = 400 * MILLISECOND_US
_SETTLE_US: Final = 15 * SECOND_US
_INTRODUCTIONS: Final = 3


@dataclass(frozen=True, slots=True)
class LossRow:
    """Lookups at one rate of loss; times in milliseconds of virtual time."""

    loss_percent: int
    peer_count: int
    lookup_count: int
    p50_ms: float
    p99_ms: float
    right_share: float
    recall: float
    message_count: float

    @property
    def goal_met(self) -> bool:
        """Latency up to 2 % loss, exactness up to 5 %."""
        is_quick = self.p50_ms <= P50_GOAL_MS and self.p99_ms <= P99_GOAL_MS
        return self.right_share >= RIGHT_GOAL and (is_quick or self.loss_percent > 2)


class NobodyKnown:
    """A key book for lookups, which need none."""

    def signing_key(self, inception: Inception) -> tuple[int, bytes] | None:
        """No records travel here."""
        return None

    def org_of(self, inception: Inception) -> Inception | None:
        """No records travel here."""
        return None


def contact_of(number: int, host: str, port: int) -> Contact:
    inception = Inception(digest("bench/inception", b"%d" % number))
    org = Inception(digest("bench/org", b"%d" % (number // 2)))
    return Contact(peer_id(inception, org), org, (Address(host, port, port),))


def nearest_to(contacts: Sequence[Contact], target: bytes, asker: PeerId, k: int) -> list[PeerId]:
    position = int.from_bytes(target, "big")
    others = [contact for contact in contacts if contact.peer != asker]
    return [c.peer for c in sorted(others, key=lambda c: int(c.long_id) ^ position)[:k]]


def machine_of(contact: Contact, config: DiscoveryConfig, seed: int) -> Discovery:
    stream = Stream(seed.to_bytes(8, "big"), "bench/lookups", contact.peer)
    return Discovery(contact.peer, config, NobodyKnown(), stream)


@dataclass(slots=True)
class _Resident:
    contact: Contact
    machine: Discovery
    ticks_at: int | None = None


class Village:
    """Discovery machines under virtual time; sessions come about in no time."""

    def __init__(self, seed: int, peer_count: int) -> None:
        self.loss_percent = 0
        self._config = DiscoveryConfig.for_internet()
        self._stream = Stream(seed.to_bytes(8, "big"), "bench/village")
        self._now_us = 0
        self._sequence = 0
        self._token = 0
        self._message_count = 0
        self._pending: list[tuple[int, int, PeerId, DiscoveryEvent]] = []
        self._finished: dict[int, LookupFinished] = {}
        self._residents: dict[PeerId, _Resident] = {}
        for number in range(peer_count):
            self._join(contact_of(number, f"10.{number // 250}.{number % 250}.1", 7_000), seed)
        self._run(self._now_us + _SETTLE_US)

    def _join(self, contact: Contact, seed: int) -> None:
        known = self._stream.sample(list(self._residents.values()), _INTRODUCTIONS)
        newcomer = _Resident(contact, machine_of(contact, self._config, seed))
        self._residents[contact.peer] = newcomer
        for other in known:
            self._tell(newcomer, ContactVerified(other.contact))
            self._tell(other, ContactVerified(contact))
        self._tell(newcomer, RefreshRequested())
        self._run(self._now_us + _JOIN_US)

    def measure(self, loss_percent: int, lookup_count: int) -> LossRow:
        """So many lookups, one after the other, each by a random peer for a random key."""
        self.loss_percent = loss_percent
        contacts = [resident.contact for resident in self._residents.values()]
        before, hits, right = self._message_count, 0, 0
        times: list[int] = []
        for _ in range(lookup_count):
            asker = self._residents[contacts[self._stream.below(len(contacts))].peer]
            target = self._stream.bits(160).to_bytes(20, "big")
            truth = nearest_to(contacts, target, asker.contact.peer, self._config.k)
            found, took_us = self._lookup(asker, target)
            times.append(took_us)
            right += found == truth
            hits += sum(peer in truth for peer in found)
        times.sort()
        return LossRow(
            loss_percent,
            len(contacts),
            lookup_count,
            times[lookup_count // 2] / 1_000,
            times[lookup_count * 99 // 100] / 1_000,
            right / lookup_count,
            hits / (min(self._config.k, len(contacts) - 1) * lookup_count),
            (self._message_count - before) / lookup_count,
        )

    def _lookup(self, asker: _Resident, target: bytes) -> tuple[list[PeerId], int]:
        self._token += 1
        began_us = self._now_us
        self._tell(asker, LookupRequested(Token(self._token), target))
        while self._token not in self._finished:
            self._step()
        finished = self._finished.pop(self._token)
        return [contact.peer for contact in finished.contacts], self._now_us - began_us

    def _run(self, until_us: int) -> None:
        while self._pending and self._pending[0][0] <= until_us:
            self._step()
        self._now_us = until_us

    def _step(self) -> None:
        self._now_us, _, peer, event = heappop(self._pending)
        resident = self._residents[peer]
        if isinstance(event, Ticked):
            if resident.ticks_at != self._now_us:
                return
            resident.ticks_at = None
        self._tell(resident, event)

    def _tell(self, resident: _Resident, event: DiscoveryEvent) -> None:
        now = Now(MonotonicUs(self._now_us), WallUs(self._now_us))
        for effect in resident.machine.handle(event, now):
            self._perform(resident, effect)
        deadline = resident.machine.deadline
        if deadline is not None and (resident.ticks_at is None or deadline < resident.ticks_at):
            resident.ticks_at = max(deadline, self._now_us)
            self._post(resident.ticks_at, resident.contact.peer, Ticked())

    def _perform(self, resident: _Resident, effect: DiscoveryEffect) -> None:
        match effect:
            case Send(receiver=receiver, payload=payload):
                self._message_count += 1
                if self._stream.below(100) >= self.loss_percent:
                    shortest, longest = ONE_WAY_MS
                    delay_ms = shortest + self._stream.below(longest - shortest + 1)
                    received = Received(resident.contact.peer, payload)
                    self._post(self._now_us + delay_ms * MILLISECOND_US, receiver, received)
            case Introduce(peer=peer):
                other = self._residents[peer]
                self._post(self._now_us, peer, ContactVerified(resident.contact))
                self._post(self._now_us, resident.contact.peer, ContactVerified(other.contact))
            case LookupFinished(token=token):
                self._finished[token] = effect
            case _:
                pass

    def _post(self, at_us: int, peer: PeerId, event: DiscoveryEvent) -> None:
        self._sequence += 1
        heappush(self._pending, (at_us, self._sequence, peer, event))
