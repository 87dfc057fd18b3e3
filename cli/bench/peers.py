"""Many peers in one process, on loopback: memory a peer, by part, and idle traffic.

Each peer is the shipped machine under the shipped driver, with sockets of its own (one subnet each,
out of 127.0.0.0/8) and a memory store. They stand in cells; a cell knows its members in full and
nothing of other cells. Streams are opened as the shipped views want them, and a TLS context is made
with the first. Parts are what `tracemalloc` finds in a smaller run of the same kind.
"""

from __future__ import annotations

import gc
import io
import statistics
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import trio

from hive.custody.memory import MemoryKeyring
from hive.custody.outside import OutsideKeys
from hive.custody.signer import CustodyUnavailable
from hive.errors import StateError
from hive.law.durability import LocalDurability
from hive.law.epochs import OneEpoch
from hive.law.rules import CapabilityRules
from hive.node import clocks
from hive.node.book import Book
from hive.node.datagrams import Datagrams
from hive.node.driver import Driver
from hive.node.links import Links
from hive.node.logs import Log
from hive.node.metrics import Metrics
from hive.node.projector import Projector
from hive.node.signers import Signers
from hive.protocol.commands import AdmitRecords, Join
from hive.protocol.core import OwnNode
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import Address
from hive.protocol.discovery.records import PeerRecord, SignedRecord
from hive.protocol.membership.config import SwimConfig
from hive.protocol.peer import Peer
from hive.protocol.peer_config import PeerConfig, PeerPorts
from hive.store.memory_store import MemoryStore
from hive.transport.contexts import TlsContexts
from hive.transport.datagram import DatagramMachine
from hive.transport.datagram_config import DatagramConfig
from hive.transport.events import OwnIdentity
from hive.transport.frames import FrameStream
from hive.transport.interfaces import Interfaces
from hive.transport.stream_config import StreamConfig
from hive.transport.streams import TlsStreams
from hive.transport.udp import UdpCarrier, UdpConfig
from hive.trust.sealing import DatagramKey
from hive.trust.tls import issue_leaf, leaf_pem
from hive.wire.ids import Inception, peer_id
from hive.wire.randomness import Stream

from .node import resident_bytes
from .realm import REGION, Realm, found, key

PEER_COUNT: Final = 1_000
CELL_COUNT: Final = 10
"""Peers of one cell."""
PARTS_COUNT: Final = 20
QUIET_S: Final = 20
JOIN_S: Final = 1_800
STABLE_S: Final = 5.0
POLL_S: Final = 1.0
BYTES_GOAL: Final = 250_000
IDLE_GOAL: Final = 300
"""Bytes a second that the median peer sends."""
_ISSUER: Final = "issuer"


@dataclass(frozen=True, slots=True)
class Peers:
    """What many peers in one process cost."""

    peer_count: int
    cell_count: int
    joined_s: float
    peer_bytes: int
    idle_median: float
    idle_most: float
    """Bytes a second sent in datagrams, headers of IP and UDP not counted."""
    parts: dict[str, int] = field(default_factory=dict)
    """Bytes a peer, by package, of a run of `PARTS_COUNT` peers."""

    @property
    def goal_met(self) -> bool:
        """Whether memory and idle traffic stay within the goals."""
        return self.peer_bytes <= BYTES_GOAL and self.idle_median <= IDLE_GOAL

    def as_dict(self) -> dict[str, Any]:
        """Plain values, the goals beside them."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        goals = {"peer_bytes_goal": BYTES_GOAL, "idle_goal": IDLE_GOAL}
        return {**plain, **goals, "goal_met": self.goal_met}

    def text(self) -> str:
        """What was measured, beside the goals."""
        lines = [
            f"{self.peer_count:,} peers in cells of {self.cell_count}",
            f"joined          {self.joined_s:8.0f} s",
            f"memory a peer   {self.peer_bytes / 1e3:8.1f} kB    goal {BYTES_GOAL / 1e3:.0f}",
            f"idle traffic    {self.idle_median:8.0f} B/s   goal {IDLE_GOAL}",
            f"of the busiest  {self.idle_most:8.0f} B/s",
            "parts, in kB a peer:",
        ]
        lines += [f"  {name:32} {size / 1e3:8.1f}" for name, size in self.parts.items()]
        return "\n".join(lines)


class Resident:
    """One peer among many: machine, driver, one address for datagrams and streams."""

    def __init__(self, realm: Realm, number: int, name: str, *, issues: bool) -> None:
        signed = realm.nodes[name]
        record, self._realm = signed.record, realm
        inception, org = Inception(record.inception), Inception(record.org)
        peer = peer_id(inception, org)
        own = OwnNode(peer, inception, org, name, REGION, record.key, signed.id, 1, record.cell)
        self.carrier = UdpCarrier((subnet(number), 0), UdpConfig(buffer_bytes=1 << 16))
        store, ring = MemoryStore(), _ring(name, issues=issues)
        signers = Signers(ring, OutsideKeys(Path("none"), _no_socket))
        self.peer = Peer(
            PeerConfig(
                membership=SwimConfig.for_internet(), discovery=DiscoveryConfig.for_internet()
            ),
            realm.federation,
            own,
            self._listing(own),
            PeerPorts(
                reader=store,
                custody=signers,
                epochs=OneEpoch(),
                law=CapabilityRules(),
                durability=LocalDurability(),
            ),
            seed=clocks.entropy(32),
        )
        log = Log(io.StringIO(), "error")
        self.driver = Driver(
            self.peer, store, signers, Projector(store, _no_projection), metrics=Metrics(), log=log
        )
        envelope = signed.to_bytes()
        identity = OwnIdentity(
            own.peer, DatagramKey(_x_seed(name)), envelope, tuple(reversed(realm.records[:3])), 1
        )
        stream = Stream(clocks.entropy(32), "datagrams", own.peer)
        machine = DatagramMachine(DatagramConfig.for_simulation(), identity, stream)
        self.datagrams = Datagrams(machine, Interfaces([self.carrier]), self.driver.post)
        self.driver.datagrams = self.datagrams
        book = Book(self.peer.core.trust)
        leaf = issue_leaf(record, realm.issuer.record, key(_ISSUER))
        self._contexts = TlsContexts(leaf_pem(leaf, key(name)), ())
        streams = TlsStreams(StreamConfig.for_simulation(), self._contexts, book)
        self._links = Links(streams, self.driver.post, self.driver.has_room, _no_desk)
        self.driver.links = self._links

    def _listing(self, own: OwnNode) -> SignedRecord:
        host, port = self.carrier.address
        listing = PeerRecord(own.inception, own.org, own.record, (Address(host, port, port),), 1)
        body = listing.to_body()
        return SignedRecord(body, key(own.name).sign(PeerRecord.LABEL, listing.id_of(body)))

    @property
    def alive_count(self) -> int:
        """How many others it believes alive."""
        cell, own = self.peer.hierarchy.cell, self.peer.core.own.peer
        others = (each for each in cell.view if each.peer != own)
        return sum(each.standing.name == "ALIVE" for each in others)

    async def join(self, nursery: trio.Nursery, bootstrap: Sequence[tuple[str, int]]) -> None:
        """Takes its own records and greets the first of its cell."""
        await nursery.start(self.driver.run)
        await nursery.start(self._links.run, [self.carrier.address])
        nursery.start_soon(self.datagrams.receive, self.carrier)
        nursery.start_soon(self.datagrams.flush, self.carrier)
        own = self._realm.nodes[self.peer.core.own.name].to_bytes()
        await self.driver.ask(AdmitRecords((*self._realm.records[:3], own)))
        self._contexts.trust(Book(self.peer.core.trust).issuer_anchors())
        if bootstrap:
            await self.driver.ask(Join(tuple(bootstrap)))


def measure(
    peer_count: int = PEER_COUNT,
    cell_count: int = CELL_COUNT,
    quiet_s: int = QUIET_S,
    parts_count: int = PARTS_COUNT,
) -> Peers:
    """Starts the peers, waits until all are joined and stable, looks; then once more for parts."""
    whole: Peers = trio.run(_look, peer_count, cell_count, quiet_s)
    parts = trio.run(_take_apart, parts_count, cell_count) if parts_count else {}
    return replace(whole, parts=parts)


async def _look(peer_count: int, cell_count: int, quiet_s: int) -> Peers:
    realm = realm_of(peer_count)
    gc.collect()
    before, began = resident_bytes(), clocks.read().monotonic_us
    async with residents(realm, peer_count, cell_count) as peers:
        joined_s = (clocks.read().monotonic_us - began) / 1e6
        gc.collect()
        peer_bytes = (resident_bytes() - before) // peer_count
        sent = [each.datagrams.sent_bytes for each in peers]
        await trio.sleep(quiet_s)
        rates = [
            (each.datagrams.sent_bytes - then) / quiet_s
            for each, then in zip(peers, sent, strict=True)
        ]
    median = statistics.median(rates)
    return Peers(peer_count, cell_count, joined_s, peer_bytes, median, max(rates))


async def _take_apart(peer_count: int, cell_count: int) -> dict[str, int]:
    realm = realm_of(peer_count)
    gc.collect()
    tracemalloc.start()
    try:
        async with residents(realm, peer_count, cell_count):
            gc.collect()
            traces = tracemalloc.take_snapshot().statistics("filename")
    finally:
        tracemalloc.stop()
    sizes: Counter[str] = Counter()
    for trace in traces:
        sizes[_part(trace.traceback[0].filename)] += trace.size
    return {
        name: size // peer_count for name, size in sizes.most_common() if size > peer_count * 100
    }


def _part(filename: str) -> str:
    """A module of ours, or the package that it is not."""
    path = Path(filename)
    parts = path.with_suffix("").parts
    if "hive" in parts and "site-packages" not in parts:
        return ".".join(parts[len(parts) - parts[::-1].index("hive") :])
    return path.parent.name


def realm_of(peer_count: int) -> Realm:
    """A federation founded now, with the records of so many nodes."""
    realm = found(clocks.read().wall_us // 1_000)
    for number in range(peer_count):
        realm.node(f"peer-{number}")
    return realm


@asynccontextmanager
async def residents(
    realm: Realm, peer_count: int, cell_count: int
) -> AsyncIterator[list[Resident]]:
    """The peers, joined and stable; gone at the end."""
    peers = [
        Resident(realm, number, f"peer-{number}", issues=number % cell_count == 0)
        for number in range(peer_count)
    ]
    try:
        async with trio.open_nursery() as nursery:
            for number, each in enumerate(peers):
                first = peers[number - number % cell_count]
                bootstrap = [first.carrier.address] if first is not each else []
                await each.join(nursery, bootstrap)
            await _until_stable(peers, cell_count)
            yield peers
            nursery.cancel_scope.cancel()
    finally:
        for each in peers:
            each.carrier.close()


async def _until_stable(peers: Sequence[Resident], cell_count: int) -> None:
    last = len(peers) % cell_count or cell_count
    whole = len(peers) - last
    wanted = [cell_count - 1] * whole + [last - 1] * last
    with trio.move_on_after(JOIN_S):
        stable_since = trio.current_time()
        while trio.current_time() - stable_since < STABLE_S:
            if any(each.alive_count < count for each, count in zip(peers, wanted, strict=True)):
                stable_since = trio.current_time()
            await trio.sleep(POLL_S)
        return
    missing = sum(each.alive_count < count for each, count in zip(peers, wanted, strict=True))
    raise StateError(f"{missing} peers did not join", hint="is this machine busy?")


def subnet(number: int) -> str:
    """An address of the loopback network in a /24 of its own."""
    return f"127.{1 + number // 250}.{1 + number % 250}.1"


def _x_seed(name: str) -> bytes:
    return key(f"{name}-x").seed


def _ring(name: str, *, issues: bool) -> MemoryKeyring:
    ring = MemoryKeyring()
    ring.create("node", key(name).seed, key(f"{name}-next").seed)
    if issues:
        ring.create(_ISSUER, key(_ISSUER).seed, key(f"{_ISSUER}-next").seed)
    return ring


async def _no_desk(stream: FrameStream, untrusted: bytes) -> bool:
    return False


def _no_socket() -> Path:
    raise CustodyUnavailable("no key of these peers is outside", hint="use `hive up`")


def _no_projection() -> Any:
    raise StateError("these peers recall nothing", hint="ask a node")
