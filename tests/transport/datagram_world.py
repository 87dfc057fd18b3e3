"""Two or more datagram machines joined by a list of datagrams: every test is its own network."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hive.protocol.machine import Ticked
from hive.transport.addresses import Address
from hive.transport.datagram import DatagramMachine
from hive.transport.datagram_config import DatagramConfig
from hive.transport.events import (
    Arrived,
    ContactAdmitted,
    ContactRefused,
    Dialled,
    Effect,
    Event,
    Greeted,
    Opened,
    Outgoing,
    OwnIdentity,
    PeerReached,
    PeerUnreachable,
    RecordsWanted,
    Transmit,
)
from hive.trust.sealing import DatagramKey
from hive.wire.clock import MonotonicUs, Now, WallUs
from hive.wire.ids import Inception, PeerId, digest
from hive.wire.randomness import Stream

KIND = 16


def now_at(at_us: int) -> Now:
    return Now(MonotonicUs(at_us), WallUs(at_us))


@dataclass
class Host:
    """One machine, its address, and a composer that admits records it can read."""

    name: str
    world: World
    boot: int = 1
    key_number: int = 0
    record_bytes: int = 0
    chain: tuple[bytes, ...] = (b"issuer", b"org")
    knows_chains: bool = True
    refuses: bool = False
    config: DatagramConfig = field(default_factory=DatagramConfig.for_lan)
    address: Address = ("", 0)
    news: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.address = (f"10.0.{len(self.world.hosts)}.1", 7000)
        self.org = Inception(digest("org", self.name.encode()))
        self.peer_id = PeerId(digest("peer", self.name.encode())[:20])
        self.start(self.boot)

    @property
    def identity(self) -> OwnIdentity:
        key = DatagramKey(digest("key", f"{self.name}{self.key_number}".encode()))
        record = b"|".join((b"record", self.name.encode(), key.public.hex().encode()))
        record = record.ljust(self.record_bytes, b" ")
        return OwnIdentity(self.peer_id, key, record, self.chain, self.boot)

    def start(self, boot: int) -> None:
        """A new process: nothing is remembered but the boot number."""
        self.boot = boot
        stream = Stream(self.name.encode(), "datagrams", boot.to_bytes(8, "big"))
        self.machine = DatagramMachine(self.config, self.identity, stream)

    def handle(self, event: Event) -> list[Effect]:
        effects = self.machine.handle(event, now_at(self.world.now_us))
        for effect in effects:
            if isinstance(effect, Transmit):
                self.world.send(self.address, effect)
            else:
                self.news.append(effect)
        for effect in effects:
            if isinstance(effect, Greeted):
                self.handle(self.verdict(effect))
        return effects

    def verdict(self, greeted: Greeted) -> ContactAdmitted | ContactRefused | RecordsWanted:
        read = re.fullmatch(rb"record\|(\w+)\|([0-9a-f]{64}) *", greeted.untrusted_records[0])
        if self.refuses or read is None:
            return ContactRefused(greeted.conversation)
        if not self.knows_chains and len(greeted.untrusted_records) == 1:
            return RecordsWanted(greeted.conversation)
        name, key = read.groups()
        return ContactAdmitted(
            greeted.conversation,
            PeerId(digest("peer", name)[:20]),
            Inception(digest("org", name)),
            greeted.address,
            bytes.fromhex(key.decode()),
        )

    def knows(self, other: Host) -> ContactAdmitted:
        return ContactAdmitted(
            b"", other.peer_id, other.org, other.address, other.identity.key.public
        )

    def dial(self, other: Host) -> None:
        self.handle(Dialled(other.address))

    def say(self, other: Host, payload: bytes) -> None:
        self.handle(Outgoing(other.peer_id, KIND, payload))

    @property
    def heard(self) -> list[bytes]:
        return [news.untrusted_payload for news in self.news if isinstance(news, Opened)]

    @property
    def reached(self) -> list[PeerId]:
        return [news.peer_id for news in self.news if isinstance(news, PeerReached)]

    @property
    def unreachable(self) -> list[PeerUnreachable]:
        return [news for news in self.news if isinstance(news, PeerUnreachable)]


@dataclass
class World:
    """Datagrams in flight, in order; `lose` and `source` let a test be the network."""

    hosts: list[Host] = field(default_factory=list)
    flight: list[tuple[Address, Transmit]] = field(default_factory=list)
    recorded: list[tuple[Address, Transmit]] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    now_us: int = 1_000_000

    def host(self, name: str, **choices: object) -> Host:
        host = Host(name, self, **choices)  # type: ignore[arg-type]
        self.hosts.append(host)
        return host

    def send(self, source: Address, transmit: Transmit) -> None:
        number = len(self.recorded)
        self.recorded.append((source, transmit))
        if number not in self.lost:
            self.flight.append((source, transmit))

    def deliver(self) -> None:
        """Until nothing is in flight."""
        for _ in range(10_000):
            if not self.flight:
                return
            source, transmit = self.flight.pop(0)
            for host in self.hosts:
                if host.address == transmit.address:
                    host.handle(Arrived(source, transmit.datagram))
        raise AssertionError("the network never falls silent")

    def run(self, duration_us: int) -> None:
        """Delivers and ticks at the machines' own deadlines."""
        end = self.now_us + duration_us
        self.deliver()
        for _ in range(10_000):
            deadlines = [at for host in self.hosts if (at := host.machine.deadline) is not None]
            if not deadlines or min(deadlines) > end:
                self.now_us = end
                return
            self.now_us = max(self.now_us, *[min(deadlines)])
            for host in self.hosts:
                host.handle(Ticked())
            self.deliver()
        raise AssertionError("the deadlines never end")
