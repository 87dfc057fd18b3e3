"""A small deterministic network of whole hierarchies: cells, clusters and regions.

Everybody is in contact with whom it was introduced to; who is sought is introduced a moment
later, as the composer would by the DHT.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace

from membership_network import SECOND, Identity, now_at, signature_holds

from hive.protocol.machine import Send, Sign, SignatureMade, Verified, Verify
from hive.protocol.membership.config import SwimConfig
from hive.protocol.membership.events import Event, MemberDied, PeerUnknown
from hive.protocol.membership.hierarchy import Hierarchy
from hive.protocol.membership.place import Level, Place
from hive.protocol.membership.rings import Effects, HierarchyConfig
from hive.protocol.membership.swim import Swim
from hive.wire.ids import PeerId
from hive.wire.randomness import Stream

LATENCY = 2_000


@dataclass
class Node:
    identity: Identity
    hierarchy: Hierarchy
    is_up: bool = True
    tick_at: int | None = None
    deaths: list[tuple[Level, PeerId]] = field(default_factory=list)
    bytes_sent: dict[Level, int] = field(default_factory=dict)


class HierarchyNetwork:
    """Nodes by name; `run` advances virtual time."""

    def __init__(self, seed: bytes = b"seed", loss_per_mille: int = 0) -> None:
        self.now = SECOND
        self.nodes: dict[str, Node] = {}
        self.names: dict[PeerId, str] = {}
        self._seed = seed
        self._loss = loss_per_mille
        self._stream = Stream(seed, "hierarchy-network")
        self._heap: list[tuple[int, int, str, tuple[object, ...]]] = []
        self._count = 0

    def add(self, name: str, place: Place, org: str, incarnation: int = 1 << 20) -> Node:
        identity = Identity.named(name, org)
        own = replace(identity.introduction, place=place)
        identity.introduction = own
        cell = Swim(
            SwimConfig.for_lan(),
            own,
            seed=self._seed,
            incarnation=incarnation,
            scope=place.cell_scope,
        )
        hierarchy = Hierarchy(
            HierarchyConfig.for_lan(), cell, own, seed=self._seed, incarnation=incarnation
        )
        node = self.nodes[name] = Node(identity, hierarchy)
        self.names[own.peer] = name
        self._feed(name, "tick")
        return node

    def introduce(self, one: str, other: str) -> None:
        for name, to in ((one, other), (other, one)):
            self._feed(to, "join", self.nodes[name].identity.introduction)

    def kill(self, name: str) -> None:
        self.nodes[name].is_up = False

    def run(self, duration: int) -> None:
        end = self.now + duration
        while self._heap and self._heap[0][0] <= end:
            self.now, _, name, what = heapq.heappop(self._heap)
            if what[0] == "tick":
                self.nodes[name].tick_at = None
            self._feed(name, *what)
        self.now = end

    def tell(self, name: str, event: Event) -> None:
        node = self.nodes[name]
        self._perform(name, node.hierarchy.tell(event, now_at(self.now)))

    def peers(self, *names: str) -> set[PeerId]:
        return {self.nodes[name].identity.peer for name in names}

    def named(self, peers: tuple[PeerId, ...]) -> set[str]:
        return {self.names[peer] for peer in peers}

    def _feed(self, name: str, *what: object) -> None:
        node = self.nodes[name]
        if not node.is_up:
            return
        door, now = node.hierarchy, now_at(self.now)
        match what:
            case ("tick",):
                effects = door.ticked(now)
            case ("join", introduction):
                effects = door.joined(introduction, now)  # type: ignore[arg-type]
            case ("datagram", Level.ASIDE, sender, payload):
                effects = door.told(sender, payload, now)  # type: ignore[arg-type]
            case ("datagram", level, sender, payload):
                effects = door.received(level, sender, payload, now)  # type: ignore[arg-type]
            case _:
                raise AssertionError(what)
        self._perform(name, effects)

    def _perform(self, name: str, effects: Effects) -> None:
        node, waiting = self.nodes[name], list(effects)
        while waiting:
            level, effect = waiting.pop(0)
            event: Event | None = None
            match effect:
                case Send(receiver, payload):
                    self._carry(node, level, receiver, payload)
                case Verify(token, checks):
                    event = Verified(token, tuple(signature_holds(check) for check in checks))
                case Sign(token, label, digest):
                    event = SignatureMade(token, node.identity.signature(label, digest))
                case PeerUnknown(peer):
                    known = self.nodes[self.names[peer]]
                    if known.is_up:
                        self._push(50_000, name, ("join", known.identity.introduction))
                        own = node.identity.introduction
                        self._push(60_000, self.names[peer], ("join", own))
                case MemberDied(peer):
                    node.deaths.append((level, peer))
                case _:
                    pass
            if event is not None:
                waiting += node.hierarchy.tell(event, now_at(self.now))
        due = node.hierarchy.deadline
        if due is not None and (node.tick_at is None or due < node.tick_at):
            node.tick_at = max(due, self.now)
            self._push(node.tick_at - self.now, name, ("tick",))

    def _carry(self, node: Node, level: Level, receiver: PeerId, payload: bytes) -> None:
        assert len(payload) <= 1_094
        node.bytes_sent[level] = node.bytes_sent.get(level, 0) + len(payload) + 134
        if self._stream.below(1_000) >= self._loss and receiver in self.names:
            sender = node.identity.peer
            self._push(LATENCY, self.names[receiver], ("datagram", level, sender, payload))

    def _push(self, delay: int, name: str, what: tuple[object, ...]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self.now + delay, self._count, name, what))
