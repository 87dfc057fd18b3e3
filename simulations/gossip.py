"""Dissemination alone in the virtual world: the shipped views and trees, everything else modelled.

Each node runs `Disseminator` as the peer composes it. Modelled are: membership (everybody knows a
bounded random part of the others, deaths are told `DETECTION_US` later), streams (opened when
wanted, in order, at the network's latency), ingress (each push is stored `INGRESS_US` later), and
reconciliation (each `ROUND_US` an exact exchange with a few neighbours, where asked for). Payloads
are an id and filling; whether a payload is genuine is not asked here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from hive.protocol.dissemination.config import DisseminationConfig
from hive.protocol.dissemination.disseminator import Disseminator
from hive.protocol.dissemination.events import (
    Blamed,
    DeltasStored,
    Effect,
    InterestHeard,
    LinkClosed,
    LinkOpened,
    LinkUnwanted,
    LinkWanted,
    Locate,
    MemberKnown,
    MemberLost,
    Place,
    Pushed,
    Say,
    StoredDelta,
)
from hive.protocol.dissemination.messages import ID_BYTES, Push
from hive.protocol.machine import Received, Send, Ticked
from hive.protocol.messages import Interest
from hive.wire.clock import MILLISECOND_US, SECOND_US, MonotonicUs, Now, WallUs
from hive.wire.ids import PeerId
from hive.wire.schema import label_of_untrusted

from .draws import MILLION, Draws, entity_key
from .engine import Engine
from .network import Network
from .topology import Topology

DETECTION_US: Final = 5 * SECOND_US
INGRESS_US: Final = 2 * MILLISECOND_US
ROUND_US: Final = 15 * SECOND_US
DIAL_US: Final = 20 * MILLISECOND_US
KNOWN_MAX: Final = 512
PAYLOAD_BYTES: Final = 600

TICK, DATAGRAM, FRAME, STORE, OPEN, CLOSE, KNOW, LOSE = range(1, 9)


@dataclass(slots=True)
class Fate:
    """What became of one delta."""

    author: int
    made_at_us: int
    namespace: str
    residency: tuple[str, ...]
    copies: int = 0
    crossings: dict[tuple[str, str], int] = field(default_factory=dict)
    hops: dict[int, int] = field(default_factory=dict)
    arrived_at_us: dict[int, int] = field(default_factory=dict)
    repaired: int = 0


@dataclass(slots=True)
class GossipNode:
    """One node: the machine and what its driver would keep."""

    number: int
    peer: PeerId
    place: Place
    machine: Disseminator
    is_up: bool = True
    is_silent: bool = False
    """A hostile neighbour: takes what it is sent, passes nothing on."""
    links: dict[int, None] = field(default_factory=dict)
    held: dict[bytes, None] = field(default_factory=dict)
    tick_at: int | None = None


class GossipWorld:
    """Nodes, links and deltas."""

    def __init__(
        self,
        topology: Topology,
        seed: bytes,
        config: DisseminationConfig | None = None,
        *,
        frame_loss_ppm: int = 0,
        is_repaired: bool = False,
    ) -> None:
        self.network = Network(topology, seed)
        self.engine = Engine(self._deliver)
        self.nodes: list[GossipNode] = []
        self.fates: dict[bytes, Fate] = {}
        self.leaks: list[tuple[int, str]] = []
        """Receivers and namespaces of what residency forbids: always empty."""
        self.blamed_count = 0
        self.frame_bytes = 0
        self.payload_bytes = 0
        self.restricted: dict[str, tuple[str, ...]] = {}
        self._config = config or DisseminationConfig.for_simulation()
        self._seed = seed
        self._draws = Draws(seed, "gossip")
        self._loss = Draws(seed, "frame loss", b"")
        self._loss_ppm = frame_loss_ppm
        self._is_repaired = is_repaired
        self._numbers: dict[PeerId, int] = {}
        self._round_at = ROUND_US

    # Building.

    def add(self, place: Place, interest: tuple[str, ...] = ("",), *, silent: bool = False) -> int:
        """One more node, knowing nobody; gives its number."""
        number = self.engine.add_entity()
        peer = PeerId(hashlib.sha256(self._seed + entity_key(number)).digest()[:20])
        machine = Disseminator(self._config, peer, place, interest, self._may, self._seed + b"node")
        self.nodes.append(GossipNode(number, peer, place, machine, is_silent=silent))
        self._numbers[peer] = number
        return number

    def acquaint(self, number: int, others: list[int] | None = None) -> None:
        """Membership tells a node of others, and them of it; at random, at most `KNOWN_MAX`."""
        up = [node.number for node in self.nodes if node.is_up and node.number != number]
        for other in others if others is not None else self._sample(up, KNOWN_MAX):
            self._know(number, other)
            self._know(other, number)

    def _know(self, number: int, other: int) -> None:
        layer = self.layer(self.nodes[number], self.nodes[other])
        if layer is None:
            return
        there = self.nodes[other]
        place = Place(there.place.org, there.place.region, layer)
        self._post(self._draws.below(200_000), number, number, KNOW, (there.peer, place))

    def layer(self, one: GossipNode, other: GossipNode) -> int | None:
        """The layer on which two nodes may be neighbours; everybody's cell is one here."""
        return 0

    def _sample(self, pool: list[int], count: int) -> list[int]:
        count = min(count, len(pool))
        for first in range(count):
            other = first + self._draws.below(len(pool) - first)
            pool[first], pool[other] = pool[other], pool[first]
        return pool[:count]

    def _may(self, peer: PeerId, namespace: str, residency: tuple[str, ...]) -> bool:
        regions = self.restricted.get(namespace, ())
        region = self.nodes[self._numbers[peer]].place.region
        return (not regions or region in regions) and (not residency or region in residency)

    # What users and faults do.

    def publish(self, number: int, namespace: str = "commons/x", count: int = 1) -> list[bytes]:
        """A node's author writes deltas; one batch."""
        node, ids = self.nodes[number], []
        residency = self.restricted.get(namespace, ())
        for _ in range(count):
            id = hashlib.sha256(b"delta" + len(self.fates).to_bytes(8, "big")).digest()[:ID_BYTES]
            self.fates[id] = Fate(number, self.engine.now_us, namespace, residency)
            node.held[id] = None
            ids.append(id)
        self._handle(node, DeltasStored(tuple(map(self._stored, ids)), None))
        return ids

    def kill(self, number: int) -> None:
        """The node is gone without a word."""
        node = self.nodes[number]
        node.is_up = False
        for other in list(node.links):
            self._post(DETECTION_US, other, number, CLOSE, number)
            node.links.pop(other, None)
        for other_node in self.nodes:
            if other_node.is_up:
                self._post(DETECTION_US, other_node.number, number, LOSE, node.peer)

    def run(self, seconds: float) -> None:
        """Virtual time goes on, with reconciliation where the world has it."""
        end = self.engine.now_us + int(seconds * SECOND_US)
        while self._is_repaired and self._round_at <= end:
            self.engine.run(self._round_at)
            self._round_at += ROUND_US
            for node in self.nodes:
                if node.is_up:
                    self._reconcile(node)
        self.engine.run(end)

    def _reconcile(self, node: GossipNode) -> None:
        """An exact exchange with up to three neighbours, both ways."""
        for other in self._sample(list(node.links), 3):
            there = self.nodes[other]
            if not there.is_up or there.is_silent:
                continue
            for giver, taker in ((node, there), (there, node)):
                lacks = [id for id in giver.held if id not in taker.held and self._fits(id, taker)]
                if lacks:
                    self._store(taker, lacks, giver.peer, is_repair=True)

    def _fits(self, id: bytes, node: GossipNode) -> bool:
        fate = self.fates[id]
        return self._may(node.peer, fate.namespace, fate.residency)

    # Events.

    def _post(self, delay_us: int, to: int, source: int, kind: int, what: Any) -> None:
        self.engine.post(delay_us, to, source, (kind, what), kind)

    def _now(self) -> Now:
        return Now(MonotonicUs(self.engine.now_us), WallUs(self.engine.now_us))

    def _deliver(self, destination: int, source: int, event: tuple[int, Any]) -> None:
        node, (kind, what) = self.nodes[destination], event
        if not node.is_up:
            return
        if kind == TICK:
            if node.tick_at == self.engine.now_us:
                node.tick_at = None
                self._handle(node, Ticked())
        elif kind == FRAME:
            if source in node.links:
                self._frame(node, source, what)
        elif kind == DATAGRAM:
            self._handle(node, Received(self.nodes[source].peer, what))
        elif kind == STORE:
            self._store(node, what, self.nodes[source].peer)
        elif kind == OPEN:
            self._opened(node, what)
        elif kind == CLOSE:
            if node.links.pop(what, 0) is None:
                self._handle(node, LinkClosed(self.nodes[what].peer))
        elif kind == KNOW:
            self._handle(node, MemberKnown(*what))
        else:
            self._handle(node, MemberLost(what))

    def _handle(self, node: GossipNode, event: Any) -> None:
        for effect in node.machine.handle(event, self._now()):
            self._perform(node, effect)
        deadline = node.machine.deadline
        if deadline is not None and (node.tick_at is None or deadline < node.tick_at):
            wait_us = max(0, deadline - self.engine.now_us)
            node.tick_at = self.engine.now_us + wait_us
            self._post(wait_us, node.number, node.number, TICK, None)

    def _perform(self, node: GossipNode, effect: Effect) -> None:
        now_us = self.engine.now_us
        match effect:
            case Send():
                self._send(node, self._numbers[effect.receiver], effect.payload)
            case Say():
                to = self._numbers[effect.receiver]
                packet = self.network.packet(node.number, to, len(effect.payload), now_us)
                if not packet.is_lost:
                    wait = packet.at_us - now_us
                    self._post(wait, to, node.number, DATAGRAM, effect.payload)
            case LinkWanted():
                to = self._numbers[effect.peer]
                if to not in node.links and self.nodes[to].is_up:
                    self._post(DIAL_US, node.number, node.number, OPEN, to)
                    self._post(DIAL_US, to, node.number, OPEN, node.number)
            case LinkUnwanted():
                to = self._numbers[effect.peer]
                self._post(0, node.number, node.number, CLOSE, to)
                self._post(DIAL_US, to, node.number, CLOSE, node.number)
            case Locate():
                self._know(node.number, self._numbers[effect.peer])
            case Blamed():
                self.blamed_count += 1

    def _opened(self, node: GossipNode, other: int) -> None:
        there = self.nodes[other]
        layer = self.layer(node, there)
        if other in node.links or not there.is_up or layer is None:
            return
        node.links[other] = None
        place = Place(there.place.org, there.place.region, layer)
        self._handle(node, LinkOpened(there.peer, place))

    def _send(self, node: GossipNode, to: int, payload: bytes) -> None:
        if to not in node.links:
            return
        label = label_of_untrusted(payload)
        if node.is_silent and label != Interest.LABEL:
            return
        self.frame_bytes += len(payload)
        self._look_for_leaks(to, label, payload)
        if (
            self._loss_ppm
            and label != Interest.LABEL
            and self._loss.below(MILLION) < self._loss_ppm
        ):
            return
        now_us = self.engine.now_us
        packet = self.network.frame(node.number, to, len(payload), now_us)
        if not packet.is_lost:
            self._post(packet.at_us - now_us, to, node.number, FRAME, payload)

    def _look_for_leaks(self, to: int, label: str, payload: bytes) -> None:
        """Every byte that leaves is searched for names and ids that its receiver may not have."""
        if not self.restricted or label == Interest.LABEL:
            return
        there = self.nodes[to]
        for namespace in self.restricted:
            if not self._may(there.peer, namespace, ()):
                is_named = namespace.encode() in payload
                ids = [id for id, fate in self.fates.items() if fate.namespace == namespace]
                if is_named or any(id in payload for id in ids):
                    self.leaks.append((to, namespace))

    # Frames.

    def _frame(self, node: GossipNode, source: int, payload: bytes) -> None:
        label = label_of_untrusted(payload)
        sender = self.nodes[source].peer
        if label == Interest.LABEL:
            message = Interest.from_body_untrusted(payload)
            self._handle(node, InterestHeard(sender, message.prefixes))
        elif label == Push.LABEL:
            self._pushed(node, source, Push.from_body_untrusted(payload))
        else:
            self._handle(node, Received(sender, payload))

    def _pushed(self, node: GossipNode, source: int, push: Push) -> None:
        sender = self.nodes[source]
        ids = tuple(envelope[:ID_BYTES] for envelope in push.envelopes)
        for id in ids:
            fate = self.fates[id]
            fate.copies += 1
            self.payload_bytes += PAYLOAD_BYTES
            here, there = sender.place.region, node.place.region
            if here != there:
                fate.crossings[here, there] = fate.crossings.get((here, there), 0) + 1
            fate.hops.setdefault(node.number, push.hops)
        self._handle(node, Pushed(sender.peer, push.hops, bool(push.is_aside), push.gateway, ids))
        fresh = [id for id in ids if id not in node.held]
        if fresh:
            self._post(INGRESS_US, node.number, source, STORE, fresh)

    def _store(
        self, node: GossipNode, ids: list[bytes], source: PeerId, *, is_repair: bool = False
    ) -> None:
        fresh = [id for id in ids if id not in node.held]
        for id in fresh:
            fate = self.fates[id]
            node.held[id] = None
            fate.arrived_at_us[node.number] = self.engine.now_us
            fate.repaired += is_repair
        if fresh:
            self._handle(node, DeltasStored(tuple(map(self._stored, fresh)), source))

    def _stored(self, id: bytes) -> StoredDelta:
        fate = self.fates[id]
        filling = bytes(PAYLOAD_BYTES - ID_BYTES)
        return StoredDelta(id, fate.namespace, fate.residency, fate.made_at_us, id + filling)

    # Figures.

    def missed(self, ids: list[bytes]) -> int:
        """Pairs of a node that is up and may hold a delta, and the delta it lacks."""
        up = [node for node in self.nodes if node.is_up and not node.is_silent]
        return sum(1 for id in ids for node in up if id not in node.held and self._fits(id, node))

    def redundancy(self, ids: list[bytes]) -> float:
        """RMR: payload copies over those that were needed, less one; over all deltas."""
        needed = sum(len(self.fates[id].arrived_at_us) for id in ids)
        return sum(self.fates[id].copies for id in ids) / max(1, needed) - 1

    def last_hops(self, ids: list[bytes]) -> list[int]:
        """For each delta the hops of its farthest delivery, ascending."""
        return sorted(max(self.fates[id].hops.values(), default=0) for id in ids)

    def latencies_us(self, ids: list[bytes]) -> list[int]:
        """Times from writing to each delivery, ascending."""
        return sorted(
            at - self.fates[id].made_at_us
            for id in ids
            for at in self.fates[id].arrived_at_us.values()
        )
