"""A virtual world: real peers, virtual time, in-memory stores, real signatures.

It performs effects as the driver contract says (store, then what stands behind it) and delivers
frames and datagrams after a latency; links can be cut, nodes stopped and started again.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from hive.errors import HiveError
from hive.law.durability import LocalDurability
from hive.law.epochs import OneEpoch
from hive.law.rules import CapabilityRules
from hive.memory.authoring import Draft
from hive.memory.bodies import ForgetBody, MemoryBody, parse_body_untrusted, searchable_text
from hive.memory.delta import Kind
from hive.memory.log import State
from hive.protocol import events as ev
from hive.protocol.commands import AdmitRecords, Answer, Author, Command, Join, Recall
from hive.protocol.core import OwnNode
from hive.protocol.discovery.contact import Address
from hive.protocol.discovery.records import PeerRecord, SignedRecord
from hive.protocol.ingress import (
    STEPS,
)
from hive.protocol.judgement import (
    Step,
)
from hive.protocol.machine import SignatureMade, Ticked, Verified, Verify
from hive.protocol.peer import Peer
from hive.protocol.peer_config import PeerConfig, PeerPorts
from hive.protocol.reconciliation.digests import replica_digest
from hive.store.memory_store import MemoryStore
from hive.trust.envelope import Signed
from hive.trust.keys import PublicKey, SigningKey, verify
from hive.trust.records import AgentRecord, NodeRecord
from hive.wire.clock import MILLISECOND_US, MonotonicUs, Now, WallUs
from hive.wire.ids import DeltaId, Digest, Inception, PeerId, peer_id
from tests.protocol.peer.peer_federation import NOW_MS, Federation, key

LATENCY_US = 5 * MILLISECOND_US


class Keys:
    """The keys a node can sign with."""

    def __init__(self, *signers: SigningKey) -> None:
        self.by_digest = {signer.public.digest: signer for signer in signers}

    def holds(self, digest: Digest) -> bool:
        return digest in self.by_digest


@dataclass
class Node:
    """One peer of the world and what the driver keeps for it."""

    name: str
    peer: Peer
    store: MemoryStore
    keys: Keys
    endpoint: ev.Endpoint
    records: tuple[bytes, ...]
    datagram_key: bytes
    is_up: bool = True
    skew_us: int = 0
    admitted: dict[PeerId, bytes] = field(default_factory=dict)
    answers: dict[int, Answer] = field(default_factory=dict)
    news: list[ev.Effect] = field(default_factory=list)
    store_fails: bool = False
    ticked_at: int | None = None


class World:
    """Nodes, links, time."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.now_us = 0
        self.nodes: dict[PeerId, Node] = {}
        self.cut: dict[tuple[PeerId, PeerId], None] = {}
        self.streams: dict[tuple[PeerId, PeerId], None] = {}
        self._queue: list[tuple[int, int, PeerId, ev.Event]] = []
        self._sequence = 0
        self._request = 0
        self._greetings: dict[bytes, tuple[PeerId, PeerId]] = {}

    # Building.

    def add(
        self,
        org: str,
        name: str,
        region: str = "eu",
        agents: Sequence[Signed[AgentRecord]] = (),
        is_issuer: bool = False,
        steps: tuple[Step, ...] = STEPS,
        config: PeerConfig | None = None,
        store: MemoryStore | None = None,
        boot: int = 1,
        skew_us: int = 0,
        is_recovered: bool = False,
    ) -> Node:
        """A node of an org with its agents' keys, knowing the federation's records."""
        record = self.federation.orgs[org].node(name, region)
        signers: list[SigningKey] = [key(name), *(key(a.record.name) for a in agents)]
        if is_issuer:
            signers.append(self.federation.orgs[org].issuer_key)
        endpoint = ev.Endpoint(name, 7000)
        store = store or MemoryStore()
        keys = Keys(*signers)
        own = _own(record, region, boot)
        signed = _peer_record(record, own, endpoint)
        ports = PeerPorts(
            reader=store,
            custody=keys,
            epochs=OneEpoch(),
            law=CapabilityRules(),
            durability=LocalDurability(),
        )
        peer = Peer(
            config or PeerConfig(),
            self.federation.id,
            own,
            signed,
            ports,
            seed=name.encode(),
            steps=steps,
        )
        records = (record.to_bytes(), *_chain(self.federation, org))
        node = Node(name, peer, store, keys, endpoint, records, record.record.datagram_key)
        node.skew_us = skew_us
        self.nodes[own.peer] = node
        peer.recover(self.now(node))
        if not is_recovered:
            known = (*self.federation.records, record.to_bytes(), *(a.to_bytes() for a in agents))
            self.ask(node, AdmitRecords(known))
        self._put(0, own.peer, Ticked())
        return node

    # Time.

    def now(self, node: Node) -> Now:
        wall = NOW_MS * MILLISECOND_US + 1_000_000 + self.now_us + node.skew_us
        return Now(MonotonicUs(self.now_us), WallUs(wall))

    def _put(self, delay_us: int, peer: PeerId, event: ev.Event) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (self.now_us + delay_us, self._sequence, peer, event))

    def run(self, seconds: float) -> None:
        """Runs virtual time forward."""
        end = self.now_us + int(seconds * 1_000_000)
        while self._queue and self._queue[0][0] <= end:
            self.now_us, _, peer, event = heapq.heappop(self._queue)
            node = self.nodes[peer]
            if not node.is_up:
                continue
            if isinstance(event, Ticked):
                node.ticked_at = None
            self._perform(node, node.peer.handle(event, self.now(node)))
            self._arm(node)
        self.now_us = end

    def _arm(self, node: Node) -> None:
        deadline = node.peer.deadline
        if deadline is None or (node.ticked_at is not None and node.ticked_at <= deadline):
            return
        node.ticked_at = deadline
        self._put(max(0, deadline - self.now_us), node.peer.core.own.peer, Ticked())

    # Effects.

    def _perform(self, node: Node, effects: Sequence[ev.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, ev.Store):
                if not self._store(node, effect):
                    return
            else:
                self._perform_one(node, effect)

    def _store(self, node: Node, effect: ev.Store) -> bool:
        own = node.peer.core.own.peer
        try:
            if node.store_fails:
                raise HiveError("the disk is gone")
            node.store.apply(effect.writes)
        except HiveError as error:
            self._put(0, own, ev.StoreFailed(effect.token, False, str(error)))
            return False
        self._put(0, own, ev.Stored(effect.token))
        return True

    def _perform_one(self, node: Node, effect: ev.Effect) -> None:
        own = node.peer.core.own.peer
        match effect:
            case Verify():
                verdicts = tuple(
                    verify(
                        PublicKey(check.algorithm, check.public_key),
                        check.label,
                        check.digest,
                        check.signature,
                    )
                    for check in effect.checks
                )
                self._put(0, own, Verified(effect.token, verdicts))
            case ev.SignAs():
                signature = node.keys.by_digest[effect.key].sign(effect.label, effect.digest)
                self._put(0, own, SignatureMade(effect.token, signature))
            case ev.SendDatagram():
                if effect.receiver in node.admitted and self.is_linked(own, effect.receiver):
                    opened = ev.DatagramOpened(own, effect.kind, effect.payload)
                    self._put(LATENCY_US, effect.receiver, opened)
            case ev.SendFrame():
                if (own, effect.receiver) in self.streams:
                    frame = ev.FrameReceived(own, effect.payload)
                    self._put(LATENCY_US, effect.receiver, frame)
            case ev.Dial():
                self._dial(own, effect.endpoint)
            case ev.AdmitContact():
                self._admit(node, effect)
            case ev.WantChain():
                self._greet(effect.conversation, whole=True)
            case ev.OpenStream():
                self._open(own, effect.peer)
            case ev.RetireContact() | ev.CloseStream():
                self._close(own, effect.peer)
            case ev.Search():
                self._put(0, own, ev.Searched(effect.request, _search(node, effect), True))
            case ev.Reply():
                node.answers[effect.request] = effect.answer
            case ev.RefuseContact() | ev.IssuersChanged() | ev.Store():
                pass
            case _:
                node.news.append(effect)

    # Links.

    def is_linked(self, one: PeerId, other: PeerId) -> bool:
        node = self.nodes.get(other)
        return node is not None and node.is_up and (one, other) not in self.cut

    def _dial(self, own: PeerId, endpoint: ev.Endpoint) -> None:
        for other, node in self.nodes.items():
            if node.endpoint == endpoint and other != own and self.is_linked(own, other):
                for here, there in ((own, other), (other, own)):
                    conversation = here + there
                    self._greetings[conversation] = (here, there)
                    self._greet(conversation, whole=False)

    def _greet(self, conversation: bytes, whole: bool) -> None:
        here, there = self._greetings[conversation]
        node = self.nodes[there]
        records = node.records if whole else node.records[:1]
        self._put(LATENCY_US, here, ev.Greeted(conversation, node.endpoint, records))

    def _admit(self, node: Node, effect: ev.AdmitContact) -> None:
        own = node.peer.core.own.peer
        node.admitted[effect.peer] = effect.datagram_key
        other = self.nodes[effect.peer]
        if own in other.admitted:
            self._put(0, own, ev.Reached(effect.peer, other.endpoint))
            self._put(0, effect.peer, ev.Reached(own, node.endpoint))

    def _open(self, own: PeerId, other: PeerId) -> None:
        if not self.is_linked(own, other) or (own, other) in self.streams:
            return
        for here, there in ((own, other), (other, own)):
            self.streams[here, there] = None
            self._put(LATENCY_US, here, ev.StreamOpened(there))

    def _close(self, own: PeerId, other: PeerId) -> None:
        for here, there in ((own, other), (other, own)):
            if self.streams.pop((here, there), 0) is None:
                self._put(0, here, ev.StreamClosed(there))

    def partition(self, ones: Sequence[Node], others: Sequence[Node]) -> None:
        """Cuts every link between two groups."""
        for one in ones:
            for other in others:
                a, b = one.peer.core.own.peer, other.peer.core.own.peer
                self.cut[a, b] = self.cut[b, a] = None
                self._close(a, b)

    def heal(self) -> None:
        """Mends every link."""
        self.cut.clear()

    def stop(self, node: Node) -> None:
        """Kills a node: its memory is gone, its store stays."""
        own = node.peer.core.own.peer
        node.is_up = False
        for other in list(self.nodes):
            self._close(own, other)
            self.nodes[other].admitted.pop(own, None)

    # Users.

    def ask(self, node: Node, command: Command) -> int:
        """Puts a command to a node; the answer stands in `node.answers` once it came."""
        self._request += 1
        request = ev.RequestId(self._request)
        self._put(0, node.peer.core.own.peer, ev.Asked(request, command))
        return self._request

    def join_all(self, *nodes: Node) -> None:
        """Everybody greets the first."""
        for node in nodes[1:]:
            first = nodes[0].endpoint
            self.ask(node, Join(((first.host, first.port),)))

    def remember(
        self, node: Node, agent: Signed[AgentRecord], *texts: str, namespace: str = "commons/notes"
    ) -> int:
        """An agent of the node remembers texts."""
        drafts = tuple(
            Draft(Kind.MEMORY, MemoryBody(_salt(text), text, "test", (), 0, 0)) for text in texts
        )
        return self.ask(node, Author(Inception(agent.record.inception), namespace, drafts))

    def forget(
        self,
        node: Node,
        agent: Signed[AgentRecord],
        *targets: DeltaId,
        namespace: str = "commons/notes",
    ) -> int:
        """An agent of the node forgets ids."""
        draft = Draft(Kind.FORGET, ForgetBody(_salt("forget"), targets, "test"))
        return self.ask(node, Author(Inception(agent.record.inception), namespace, (draft,)))

    def recall(self, node: Node, agent: Signed[AgentRecord], text: str, prefix: str = "") -> int:
        """An agent of the node recalls."""
        return self.ask(node, Recall(Inception(agent.record.inception), text, prefix, 10))

    def digests(self) -> list[bytes]:
        """The replica digest of every node that is up."""
        names = sorted({ns for node in self.nodes.values() for ns in node.store.namespaces()})
        return [replica_digest(node.store, names) for node in self.nodes.values() if node.is_up]


def _salt(text: str) -> bytes:
    return text.encode().ljust(32, b"-")[:32]


def _own(record: Signed[NodeRecord], region: str, boot: int) -> OwnNode:
    node = record.record
    return OwnNode(
        peer=peer_id(Inception(node.inception), Inception(node.org)),
        inception=Inception(node.inception),
        org=Inception(node.org),
        name=node.name,
        region=region,
        key=node.key,
        record=record.id,
        boot=boot,
        cell=node.cell,
    )


def _peer_record(record: Signed[NodeRecord], own: OwnNode, at: ev.Endpoint) -> SignedRecord:
    address = Address(at.host, at.port, at.port)
    listing = PeerRecord(own.inception, own.org, own.record, (address,), own.boot)
    body = listing.to_body()
    return SignedRecord(body, key(own.name).sign(PeerRecord.LABEL, listing.id_of(body)))


def _chain(federation: Federation, org: str) -> tuple[bytes, ...]:
    held = federation.orgs[org]
    return (held.issuer.to_bytes(), held.record.to_bytes(), federation.root.to_bytes())


def _search(node: Node, search: ev.Search) -> tuple[tuple[DeltaId, int], ...]:
    found = []
    for held in node.store.rows_after(0, 10_000):  # type: ignore[arg-type]
        header = held.delta.header
        if held.state is not State.LIVE or header.namespace not in search.namespaces:
            continue
        text = searchable_text(parse_body_untrusted(header.kind, held.delta.body))
        score = sum(word in text for word in search.text.split())
        if score:
            found.append((held.delta.id, score))
    return tuple(sorted(found, key=lambda hit: (-hit[1], hit[0])))[: search.count]
