"""Lookups: their latency under loss, how often the answer is right, and what they cost.

Two measurements for `hive bench network`, both of the shipped machines:

`under_loss` runs a village of discovery machines under virtual time. Each way takes 10–50 ms and
is lost by chance; everybody joins by three introductions and a refresh; then random peers look up
random keys. *Right* is a result that is exactly the k nearest; *recall* the share of them found.

`cost` runs 20 machines in one thread over real UDP sockets on loopback, every message sealed and
opened by the datagram machine between contacts that shook hands, and counts lookups a CPU second.
Admission trusts the key in the greeting: chains are walked once a contact, never in a lookup.
Beside it stand bare loopback datagrams of the same run.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from heapq import heappop, heappush
from time import process_time
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
from hive.protocol.events import DISCOVERY
from hive.protocol.machine import Received, Send, Ticked, Token
from hive.transport.datagram import DatagramMachine
from hive.transport.datagram_config import DatagramConfig
from hive.transport.events import (
    Arrived,
    ContactAdmitted,
    Dialled,
    Effect,
    Event,
    Greeted,
    Opened,
    Outgoing,
    OwnIdentity,
    Transmit,
)
from hive.trust.sealing import DatagramKey
from hive.wire.clock import MILLISECOND_US, SECOND_US, MonotonicUs, Now, WallUs
from hive.wire.ids import Inception, PeerId, digest, peer_id
from hive.wire.randomness import Stream

from .calibration import rate

LOSS_PERCENTS: Final = (0, 2, 5)
P50_GOAL_MS: Final = 250.0
P99_GOAL_MS: Final = 700.0
RIGHT_GOAL: Final = 0.999
COST_GOAL: Final = 300.0
BARE_REFERENCE: Final = 222_000.0
"""Bare datagrams a CPU second where the goal of cost was set; the goal moves with the machine."""
ANCHORS: Final = "kademlia 5,200 ms at 2 % loss, recall .86; py-libp2p 12 lookups/s, kademlia 206"
_ONE_WAY_MS: Final = (10, 50)
_JOIN_US: Final = 400 * MILLISECOND_US
_SETTLE_US: Final = 15 * SECOND_US
_INTRODUCTIONS: Final = 3
_RECORD: Final = b"record"
_BATCH: Final = 64
_DATAGRAM_BYTES: Final = 2_048


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


@dataclass(frozen=True, slots=True)
class CostRow:
    """Sealed lookups over loopback, a CPU second of one thread, both sides included."""

    peer_count: int
    lookup_count: int
    lookups_per_cpu_second: float
    datagrams_per_lookup: float
    bare_datagrams_per_cpu_second: float
    right_share: float

    @property
    def goal(self) -> float:
        """The figure, scaled to what this machine gives bare in this run."""
        return COST_GOAL * self.bare_datagrams_per_cpu_second / BARE_REFERENCE

    @property
    def goal_met(self) -> bool:
        """Against the scaled figure."""
        return self.lookups_per_cpu_second >= self.goal

    @property
    def bare_share(self) -> float:
        """Datagrams of lookups against bare ones of the same run."""
        datagrams = self.lookups_per_cpu_second * self.datagrams_per_lookup
        return datagrams / self.bare_datagrams_per_cpu_second


def under_loss(
    *, peer_count: int = 300, lookup_count: int = 500, seed: int = 1
) -> tuple[LossRow, ...]:
    """One village, measured at each rate of loss; some 20 CPU seconds with the defaults."""
    village = Village(seed, peer_count)
    return tuple(village.measure(loss, lookup_count) for loss in LOSS_PERCENTS)


def cost(*, peer_count: int = 20, lookup_count: int = 300, seed: int = 1) -> CostRow:
    """Lookups a CPU second among peers that all know each other; some 3 seconds."""
    with _Street(seed, peer_count) as street:
        return street.measure(lookup_count)


@dataclass(frozen=True, slots=True)
class LookupReport:
    """The part of `hive bench network` that is about lookups."""

    loss: tuple[LossRow, ...]
    cost: CostRow

    @property
    def goal_met(self) -> bool:
        """Whether every row reaches its goal."""
        return self.cost.goal_met and all(row.goal_met for row in self.loss)

    def as_dict(self) -> dict[str, object]:
        """Plain values and goals."""
        cost = {**asdict(self.cost), "goal": self.cost.goal, "bare_share": self.cost.bare_share}
        return {
            "loss": [asdict(row) for row in self.loss],
            "cost": cost,
            "anchors": ANCHORS,
            "goal_met": self.goal_met,
        }

    def text(self) -> str:
        """Two tables for people."""
        row = self.cost
        return "\n".join(
            (
                f"lookups at {_ONE_WAY_MS[0]}-{_ONE_WAY_MS[1]} ms one way (anchors: {ANCHORS})",
                f"{'peers':>6}{'loss %':>8}{'p50 ms':>9}{'p99 ms':>9}{'right':>9}{'recall':>9}"
                f"{'messages':>10}  goal",
                *map(_loss_line, self.loss),
                "",
                f"lookups a CPU second, {row.peer_count} peers on loopback, sealed, both sides",
                f"{row.lookups_per_cpu_second:8.0f}  goal >= {row.goal:.0f} "
                f"({COST_GOAL:.0f} where {BARE_REFERENCE:.0f} bare datagrams a CPU second, here "
                f"{row.bare_datagrams_per_cpu_second:.0f}); {row.datagrams_per_lookup:.0f} "
                f"datagrams each, {row.bare_share:.2f} of the bare rate: {_verdict(row.goal_met)}",
            )
        )


def _loss_line(row: LossRow) -> str:
    goal = f"right >= {RIGHT_GOAL}"
    if row.loss_percent <= 2:
        goal = f"p50 <= {P50_GOAL_MS:.0f}, p99 <= {P99_GOAL_MS:.0f}, {goal}"
    return (
        f"{row.peer_count:6}{row.loss_percent:8}{row.p50_ms:9.0f}{row.p99_ms:9.0f}"
        f"{row.right_share:9.4f}{row.recall:9.4f}{row.message_count:10.0f}"
        f"  {goal}: {_verdict(row.goal_met)}"
    )


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


def measure_lookups(
    *, peer_count: int = 300, lookup_count: int = 500, seed: int = 1
) -> LookupReport:
    """Both measurements, under `peer_count` virtual and 20 real peers."""
    loss = under_loss(peer_count=peer_count, lookup_count=lookup_count, seed=seed)
    return LookupReport(loss, cost(seed=seed))


class NobodyKnown:
    """A key book for lookups, which need none."""

    def signing_key(self, inception: Inception) -> tuple[int, bytes] | None:
        """No records travel here."""
        return None

    def org_of(self, inception: Inception) -> Inception | None:
        """No records travel here."""
        return None


def _contact(number: int, host: str, port: int) -> Contact:
    inception = Inception(digest("bench/inception", b"%d" % number))
    org = Inception(digest("bench/org", b"%d" % (number // 2)))
    return Contact(peer_id(inception, org), org, (Address(host, port, port),))


def _nearest(contacts: Sequence[Contact], target: bytes, asker: PeerId, k: int) -> list[PeerId]:
    position = int.from_bytes(target, "big")
    others = [contact for contact in contacts if contact.peer != asker]
    return [c.peer for c in sorted(others, key=lambda c: int(c.long_id) ^ position)[:k]]


def _machine(contact: Contact, config: DiscoveryConfig, seed: int) -> Discovery:
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
            self._join(_contact(number, f"10.{number // 250}.{number % 250}.1", 7_000), seed)
        self._run(self._now_us + _SETTLE_US)

    def _join(self, contact: Contact, seed: int) -> None:
        known = self._stream.sample(list(self._residents.values()), _INTRODUCTIONS)
        newcomer = _Resident(contact, _machine(contact, self._config, seed))
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
            truth = _nearest(contacts, target, asker.contact.peer, self._config.k)
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
                    shortest, longest = _ONE_WAY_MS
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


@dataclass(slots=True)
class _House:
    """One peer on a real socket: discovery above, sealed datagrams below."""

    number: int
    seed: int
    socket: socket.socket
    contact: Contact = field(init=False)
    datagrams: DatagramMachine = field(init=False)
    discovery: Discovery = field(init=False)
    finished: LookupFinished | None = None
    sent_count: int = 0
    reached: dict[PeerId, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", 0))
        self.contact = _contact(self.number, *self.address)
        self.discovery = _machine(self.contact, DiscoveryConfig.for_lan(), self.seed)
        key = DatagramKey(digest("bench/datagram-key", b"%d" % self.number))
        record = b"%b %d " % (_RECORD, self.number) + key.public.hex().encode()
        own = OwnIdentity(self.contact.peer, key, record, (), 1)
        stream = Stream(self.seed.to_bytes(8, "big"), "bench/street", self.contact.peer)
        self.datagrams = DatagramMachine(DatagramConfig.for_lan(), own, stream)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self.socket.getsockname()
        return host, port

    def tell(self, event: DiscoveryEvent, now: Now) -> None:
        """An event for discovery; what it sends is sealed."""
        for effect in self.discovery.handle(event, now):
            match effect:
                case Send(receiver=receiver, payload=payload):
                    self.feed(Outgoing(receiver, DISCOVERY, payload), now)
                case LookupFinished():
                    self.finished = effect
                case _:
                    pass

    def feed(self, event: Event, now: Now) -> None:
        """An event for the datagrams; what they open goes up."""
        for effect in self.datagrams.handle(event, now):
            self._perform(effect, now)

    def _perform(self, effect: Effect, now: Now) -> None:
        match effect:
            case Transmit(address=address, datagram=datagram):
                self.sent_count += 1
                self.socket.sendto(datagram, address)
            case Opened(peer_id=sender, untrusted_payload=payload):
                self.tell(Received(sender, payload), now)
            case Greeted(conversation=conversation, address=address, untrusted_records=records):
                _, number, public = records[0].split(b" ")
                other = _contact(int(number), *address)
                key = bytes.fromhex(public.decode())
                admitted = ContactAdmitted(conversation, other.peer, other.org, address, key)
                self.feed(admitted, now)
                self.tell(ContactVerified(other), now)
            case _:
                pass

    def drain(self, now: Now, count_max: int) -> None:
        """Takes what waits at the socket, at most so many."""
        for _ in range(count_max):
            try:
                untrusted, address = self.socket.recvfrom(_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            self.feed(Arrived((address[0], address[1]), untrusted), now)


class _Street:
    """Houses in one thread, served as their sockets become readable."""

    def __init__(self, seed: int, peer_count: int) -> None:
        self._stream = Stream(seed.to_bytes(8, "big"), "bench/street")
        self._now_us = SECOND_US
        self._houses = [
            _House(number, seed, socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            for number in range(peer_count)
        ]
        self._poll = select.epoll()
        self._of_file = {house.socket.fileno(): house for house in self._houses}

    def __enter__(self) -> _Street:
        for file in self._of_file:
            self._poll.register(file, select.EPOLLIN)
        for house in self._houses:
            for other in self._houses[: house.number]:
                self._now_us += SECOND_US // 10
                house.feed(Dialled(other.address), self._now())
                self._serve_until(lambda: False)
        return self

    def __exit__(self, *_: object) -> None:
        self._poll.close()
        for house in self._houses:
            house.socket.close()

    def _now(self) -> Now:
        self._now_us += 1
        return Now(MonotonicUs(self._now_us), WallUs(self._now_us))

    def _serve_until(self, is_done: Callable[[], bool]) -> None:
        """Serves until done or until nothing waits any more."""
        while not is_done():
            ready = self._poll.poll(0.02)
            if not ready:
                return
            for file, _ in ready:
                self._of_file[file].drain(self._now(), 1 if len(ready) > 1 else _BATCH)

    def measure(self, lookup_count: int) -> CostRow:
        """Lookups one after the other, between two slices of bare datagrams."""
        before = _bare_datagrams_per_cpu_second()
        sent = sum(house.sent_count for house in self._houses)
        seconds, right = 0.0, 0
        contacts = [house.contact for house in self._houses]
        for number in range(lookup_count):
            house = self._houses[self._stream.below(len(self._houses))]
            target = self._stream.bits(160).to_bytes(20, "big")
            house.finished = None
            begin = process_time()
            house.tell(LookupRequested(Token(number + 1), target), self._now())
            self._serve_until(lambda asker=house: asker.finished is not None)  # type: ignore[misc]
            seconds += process_time() - begin
            right += house.finished is not None and [
                contact.peer for contact in house.finished.contacts
            ] == _nearest(contacts, target, house.contact.peer, DiscoveryConfig().k)
        sent = sum(house.sent_count for house in self._houses) - sent
        return CostRow(
            len(self._houses),
            lookup_count,
            lookup_count / seconds,
            sent / lookup_count,
            (before + _bare_datagrams_per_cpu_second()) / 2,
            right / lookup_count,
        )


def _bare_datagrams_per_cpu_second() -> float:
    """A datagram of a question's size sent and received, in batches, nothing else."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        other.bind(("127.0.0.1", 0))
        address, payload = other.getsockname(), bytes(150)

        def batch() -> None:
            for _ in range(_BATCH):
                one.sendto(payload, address)
            for _ in range(_BATCH):
                other.recvfrom(_DATAGRAM_BYTES)

        return rate(batch, 0.2, process_time) * _BATCH
