"""A world of whole peers: real bytes, real signatures, virtual time.

Theory of operation. Each node has a number, which is also its entity in engine and network.
What happens to a node comes out of the engine as a happening; the peer inside is told, and its
effects are performed as the driver of a real node performs them: a `Store` and everything behind
it wait for the disk, the rest happens at once. A busy processor lets happenings wait in the
node's inbox. What the world itself does (faults, users) stands in a timeline between runs of the
engine, so that it is no event and moves no other.

A watcher sees what became durable, what users were told, what peers report, and what an event
did to a machine that could not take it; that node then stays down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from hive.law.durability import LocalDurability
from hive.law.epochs import OneEpoch
from hive.law.rules import CapabilityRules
from hive.memory.bodies import parse_body_untrusted, searchable_text
from hive.memory.log import State
from hive.protocol import events as ev
from hive.protocol.commands import AdmitRecords, Answer, Command, Join
from hive.protocol.core import OwnNode
from hive.protocol.discovery.records import SignedRecord
from hive.protocol.machine import SignatureMade, Ticked, Verified, Verify
from hive.protocol.peer import Peer
from hive.protocol.peer_config import PeerConfig, PeerPorts
from hive.protocol.ports import Row, Write
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import DeltaId, FederationId, PeerId

from .disks import Waiting
from .engine import Engine, Journal
from .federation import Federation, own_node, peer_record
from .happenings import Alarm, Happening, Inside, KnockAgain, Redial, Synced, Turn, mark_of
from .links import Links
from .network import Network, NetworkConfig
from .nodes import Custody, Identity, Machine, Node
from .signatures import Verdicts
from .topology import Place, Topology

VERIFY_US: Final = 60
SIGN_US: Final = 25
"""What a check and a signature cost a node of ordinary speed."""
INBOX_COUNT_MAX: Final = 4_096
"""As the driver's queue; what comes beyond it is dropped and counted."""

Wrap = Callable[[Peer, Node], Machine]


class Make(Protocol):
    """Makes a peer from what it is made of; the product's own constructor is one."""

    def __call__(
        self,
        config: PeerConfig,
        federation: FederationId,
        own: OwnNode,
        own_record: SignedRecord,
        ports: PeerPorts,
        *,
        seed: bytes,
    ) -> Peer:
        """The peer, before it recovers."""


class Watcher(Protocol):
    """Who checks promises while the world runs."""

    def committed(self, node: Node, writes: Sequence[Write]) -> None:
        """These writes are durable at a node."""

    def answered(self, node: Node, request: int, answer: Answer) -> None:
        """A user of a node was told."""

    def told(self, node: Node, news: ev.Effect) -> None:
        """A peer reports."""

    def failed(self, node: Node, event: ev.Event, error: Exception) -> None:
        """A machine raised where it must not."""


class World:
    """Nodes, links, time."""

    def __init__(
        self,
        federation: Federation,
        topology: Topology,
        seed: bytes,
        *,
        network: NetworkConfig | None = None,
        config: PeerConfig | None = None,
        make: Make = Peer,
        journal: Journal | None = None,
    ) -> None:
        self.federation = federation
        self.network = Network(topology, seed, network)
        self.engine = Engine(self._deliver, journal=journal)
        self.links = Links(self)
        self.nodes: list[Node] = []
        self.sometimes: dict[str, int] = {}
        self.verdicts = Verdicts()
        self.watchers: list[Watcher] = []
        self.wraps: dict[int, Wrap] = {}
        self.seed = seed
        self._config = config or PeerConfig()
        self._make = make
        self._numbers: dict[PeerId, int] = {}

    # Building.

    def add(self, identity: Identity, place: Place) -> Node:
        """A node that does not run yet."""
        number = self.engine.add_entity()
        assert self.network.topology.add(place) == number
        org = self.federation.orgs[identity.org]
        signers = [org.key(identity.name)]
        signers += [org.key(agent.record.name) for agent in identity.agents]
        if identity.is_issuer:
            signers.append(org.issuer_key)
        node = Node(
            number=number,
            identity=identity,
            id=own_node(identity.record, 1).peer,
            custody=Custody(*signers),
            records=(identity.record.to_bytes(), *self.federation.chain(identity.org)),
        )
        self.nodes.append(node)
        self._numbers[node.id] = number
        self.links.add(node)
        return node

    def rename(self, node: Node, identity: Identity) -> None:
        """A node that is down will come back as somebody else, with the old agents' keys."""
        del self._numbers[node.id]
        for other in self.nodes:
            for table in (other.admitted, other.knocked, other.reached):
                table.pop(node.number, None)
        node.identity = identity
        node.id = own_node(identity.record, 1).peer
        signer = self.federation.orgs[identity.org].key(identity.name)
        node.custody.by_digest[signer.public.digest] = signer
        node.records = (identity.record.to_bytes(), *node.records[1:])
        self._numbers[node.id] = node.number

    def start(self, node: Node, bootstrap: Sequence[ev.Endpoint] = ()) -> None:
        """A life begins: what is durable is all it knows."""
        node.boot += 1
        node.forget_links()
        own = own_node(node.identity.record, node.boot)
        org = self.federation.orgs[node.identity.org]
        signed = peer_record(own, org.key(node.identity.name), node.identity.endpoint)
        ports = PeerPorts(
            reader=node.store,
            custody=node.custody,
            epochs=OneEpoch(),
            law=CapabilityRules(),
            durability=LocalDurability(),
        )
        seed = self.seed + node.boot.to_bytes(4, "big")
        peer = self._make(self._config, self.federation.id, own, signed, ports, seed=seed)
        wrap = self.wraps.get(node.number)
        node.peer = peer if wrap is None else wrap(peer, node)
        try:
            node.peer.recover(self.now(node))
        except Exception as error:  # noqa: BLE001 (told to the watchers)
            # What a node kept must never keep it from starting: the watchers say so.
            self._tell_failed(node, Ticked(), error)
            return
        agents = (agent.to_bytes() for agent in node.identity.agents)
        known = (*self.federation.records, node.records[0], *agents)
        self.ask(node, AdmitRecords(known))
        self.put(0, node.number, node.number, Inside(node.boot, Ticked()))
        if bootstrap:
            self.ask(node, Join(tuple((at.host, at.port) for at in bootstrap)))

    def stop(self, node: Node, survivors: int = 0) -> int:
        """A life ends without warning: memory is gone, and of what waited for the disk all but
        the first `survivors` batches. Gives how many batches were lost."""
        self.links.hang_up(node)
        node.peer = None
        waiting = [waiting.store.writes for waiting in node.disk.waiting][:survivors]
        lost = node.disk.crash(survivors)
        for writes in waiting:
            self._watch_commit(node, writes)
        node.forget_links()
        return lost

    def note(self, name: str, count: int = 1) -> None:
        """Something worth knowing happened: "sometimes" it must, or nothing was tried."""
        self.sometimes[name] = self.sometimes.get(name, 0) + count

    # Time.

    @property
    def now_us(self) -> int:
        """Virtual time."""
        return self.engine.now_us

    def now(self, node: Node) -> Now:
        """The node's own clocks."""
        return node.clock.read(self.engine.now_us)

    def put(self, delay_us: int, destination: int, source: int, what: Happening) -> None:
        """Something will happen at a node."""
        self.engine.post(delay_us, destination, source, what, mark_of(what))

    def run(self, until_us: int) -> None:
        """Runs virtual time forward."""
        self.engine.run(until_us)

    def number_of(self, peer: PeerId) -> int | None:
        """The number of a peer of this world."""
        return self._numbers.get(peer)

    # Happenings.

    def _deliver(self, destination: int, source: int, what: Happening) -> None:
        node = self.nodes[destination]
        if node.peer is None:
            return
        if isinstance(what, Turn):
            if what.boot == node.boot:
                self._turn(node)
        elif node.free_us > self.now_us:
            self._wait(node, source, what)
        else:
            self._happen(node, source, what)

    def _wait(self, node: Node, source: int, what: Happening) -> None:
        inbox = node.inbox
        if len(inbox) >= INBOX_COUNT_MAX and not isinstance(what, Inside | Alarm | Synced):
            node.dropped_count += 1
            return
        if not inbox:
            self.put(node.free_us - self.now_us, node.number, node.number, Turn(node.boot))
        inbox.append((source, what))
        node.inbox_count_max = max(node.inbox_count_max, len(inbox))

    def _turn(self, node: Node) -> None:
        while node.inbox and node.peer is not None:
            if node.free_us > self.now_us:
                left = node.free_us - self.now_us
                self.put(left, node.number, node.number, Turn(node.boot))
                return
            source, what = node.inbox.popleft()
            self._happen(node, source, what)

    def _happen(self, node: Node, source: int, what: Happening) -> None:
        if node.cost_us:
            node.free_us = self.now_us + node.cost_us
        match what:
            case Inside():
                if what.boot == node.boot:
                    self.handle(node, what.event)
            case Alarm():
                is_stale = node.alarm_us is None or node.alarm_us > self.now_us
                if what.boot == node.boot and not is_stale:
                    node.alarm_us = None
                    self.handle(node, Ticked())
            case Synced():
                if what.boot == node.boot:
                    self._synced(node)
            case Turn():
                pass
            case Redial():
                if what.boot == node.boot:
                    self.links.redial(node, what)
            case KnockAgain():
                if what.boot == node.boot:
                    self.links.knock_again(node, what)
            case _:
                self.links.arrived(node, source, what)

    def handle(self, node: Node, event: ev.Event) -> None:
        """Tells the peer and performs what it asks for."""
        if node.peer is None:
            return
        try:
            effects = node.peer.handle(event, self.now(node))
            deadline = node.peer.deadline
        except Exception as error:  # noqa: BLE001 (told to the watchers)
            # A promise (P13): the watchers say so, and the node is gone as a process would be.
            self._tell_failed(node, event, error)
            return
        self._perform(node, effects)
        if deadline is not None:
            self._arm(node, deadline)

    def _tell_failed(self, node: Node, event: ev.Event, error: Exception) -> None:
        for watcher in self.watchers:
            watcher.failed(node, event, error)
        self.stop(node)

    def _arm(self, node: Node, deadline: MonotonicUs) -> None:
        delay_us = node.clock.delay_us(deadline, self.now_us)
        due_us = self.now_us + delay_us
        if node.alarm_us is None or due_us < node.alarm_us:
            node.alarm_us = due_us
            self.put(delay_us, node.number, node.number, Alarm(node.boot))

    # Effects.

    def _perform(self, node: Node, effects: Sequence[ev.Effect]) -> None:
        for position, effect in enumerate(effects):
            if isinstance(effect, ev.Store):
                self._sync(node, node.disk.submit(Waiting(effect, tuple(effects[position + 1 :]))))
                return
            self._perform_one(node, effect)

    def _sync(self, node: Node, delay_us: int | None) -> None:
        if delay_us is not None:
            self.put(delay_us, node.number, node.number, Synced(node.boot))

    def _synced(self, node: Node) -> None:
        for waiting in node.disk.synced():
            token = waiting.store.token
            error = node.disk.commit(waiting.store.writes)
            if error is not None:
                self.note("store failed")
                self._inside(node, ev.StoreFailed(token, node.disk.is_full, str(error)))
                continue
            self._watch_commit(node, waiting.store.writes)
            self._perform(node, waiting.behind)
            self._inside(node, ev.Stored(token))
        self._sync(node, node.disk.next_sync_us())

    def _watch_commit(self, node: Node, writes: Sequence[Write]) -> None:
        for watcher in self.watchers:
            watcher.committed(node, writes)

    def _inside(self, node: Node, event: ev.Event, delay_us: int = 0) -> None:
        self.put(delay_us, node.number, node.number, Inside(node.boot, event))

    def _perform_one(self, node: Node, effect: ev.Effect) -> None:
        match effect:
            case Verify():
                verdicts = tuple(self.verdicts.of(check) for check in effect.checks)
                delay_us = VERIFY_US * len(verdicts)
                self._inside(node, Verified(effect.token, verdicts), delay_us)
            case ev.SignAs():
                signer = node.custody.by_digest.get(effect.key)
                signature = b"" if signer is None else signer.sign(effect.label, effect.digest)
                self._inside(node, SignatureMade(effect.token, signature), SIGN_US)
            case ev.Search():
                self._inside(node, ev.Searched(effect.request, _found(node, effect), True))
            case ev.Reply():
                node.answers[effect.request] = effect.answer
                for watcher in self.watchers:
                    watcher.answered(node, effect.request, effect.answer)
            case ev.IssuersChanged():
                pass
            case _ if not self.links.perform(node, effect):
                for watcher in self.watchers:
                    watcher.told(node, effect)

    # Users.

    def ask(self, node: Node, command: Command) -> int:
        """Puts a command to a node that runs; its answer will stand in `node.answers`."""
        node.asked_count += 1
        request = ev.RequestId(node.asked_count)
        self._inside(node, ev.Asked(request, command))
        return request


def _found(node: Node, search: ev.Search) -> tuple[tuple[DeltaId, int], ...]:
    """What an exact projection would find: memories by how many of the words they hold."""
    found = []
    words = search.text.split()
    for held in node.store.rows_after(Row(0), 100_000):
        header = held.delta.header
        if held.state is not State.LIVE or header.namespace not in search.namespaces:
            continue
        if not held.delta.body:
            continue
        text = searchable_text(parse_body_untrusted(header.kind, held.delta.body))
        score = sum(word in text for word in words)
        if score:
            found.append((held.delta.id, score))
    return tuple(sorted(found, key=lambda hit: (-hit[1], hit[0])))[: search.count]
