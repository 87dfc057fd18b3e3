"""Discovery on real sockets: what a lookup costs with every message sealed and opened.

All peers live in one thread, each on its own UDP socket on loopback, joined by the datagram
machine's own handshake. Admission trusts the key in the greeting: chains are walked once a
contact, never in a lookup. Bare loopback datagrams of the same run stand beside.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from time import process_time
from typing import Final

from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import Contact
from hive.protocol.discovery.events import (
    ContactVerified,
    DiscoveryEvent,
    LookupFinished,
    LookupRequested,
)
from hive.protocol.discovery.kademlia import Discovery
from hive.protocol.events import DISCOVERY
from hive.protocol.machine import Received, Send, Token
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
from hive.wire.clock import SECOND_US, MonotonicUs, Now, WallUs
from hive.wire.ids import PeerId, digest
from hive.wire.randomness import Stream

from .calibration import rate
from .village import contact_of, machine_of, nearest_to

COST_GOAL: Final = 300.0
BARE_REFERENCE: Final = 222_000.0
"""Bare datagrams a CPU second where the goal of cost was set; the goal moves with the machine."""
_RECORD: Final = b"record"
_BATCH: Final = 64
_DATAGRAM_BYTES: Final = 2_048


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
        self.contact = contact_of(self.number, *self.address)
        self.discovery = machine_of(self.contact, DiscoveryConfig.for_lan(), self.seed)
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
                other = contact_of(int(number), *address)
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


class Street:
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

    def __enter__(self) -> Street:
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
            ] == nearest_to(contacts, target, house.contact.peer, DiscoveryConfig().k)
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
