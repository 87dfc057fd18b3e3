"""The promises P1 to P14 as checks of a running world.

The checks know what is true (who may do what, which keys are whose) and judge what the machines
did by that, not by the machines' own means: signatures are verified again, capabilities looked
up, what was acknowledged is sought on the disk. A promise whose machinery is not there says so
and never counts as kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hive.errors import MalformedFrame
from hive.memory.bodies import ForgetBody, parse_body_untrusted
from hive.memory.delta import Delta, Header, Kind, commitment_of, parse_delta_untrusted
from hive.memory.log import State
from hive.memory.receipt import Receipt, parse_receipt_untrusted
from hive.protocol import events as ev
from hive.protocol.commands import Answer, Authored, Declined, Recalled
from hive.protocol.machine import Check
from hive.protocol.membership.messages import Standing
from hive.protocol.ports import PutDelta, PutForget, PutFork, Write
from hive.protocol.reconciliation.digests import replica_digest
from hive.trust.capability import covers_namespace
from hive.trust.keys import PublicKey
from hive.trust.records import AgentRecord, NodeRecord
from hive.wire.clock import MILLISECOND_US
from hive.wire.ids import DeltaId, Digest, Inception

from .faults import ClockFault, Fault, LyingDisk, OtherDisk
from .federation import COMMONS, START_US
from .nodes import Node
from .world import INBOX_COUNT_MAX, World

FRESHNESS_MS_MAX: Final = 50_000
"""40 s, and what honest clocks may differ by."""

PROMISES: Final[dict[str, str]] = {
    "P1": "nothing unproven is stored",
    "P2": "one content, one id",
    "P3": "rights only narrow",
    "P4": "who cannot hear of revocations writes nothing; revocations reach everybody",
    "P5": "forks are proven everywhere",
    "P6": "law before write",
    "P7": "data stays in its jurisdiction",
    "P8": "an acknowledged write survives",
    "P9": "replicas converge",
    "P10": "the past is fixed",
    "P11": "forgetting wins",
    "P12": "recall is honest",
    "P13": "no input kills a node, and its memory is bounded",
    "P14": "same seed, same history",
    "M1": "who lives and is reachable is not held dead",
}
NOT_BUILT: Final = ("P6", "P7", "P10", "P12")
"""Their machinery (rail, residency, frontier, hive-wide recall) is not there yet."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, when, and where."""

    promise: str
    at_us: int
    node: str
    text: str


@dataclass(slots=True)
class Truth:
    """Who is who, by record id."""

    agents: dict[bytes, AgentRecord] = field(default_factory=dict)
    orgs: dict[bytes, str] = field(default_factory=dict)
    nodes: dict[bytes, NodeRecord] = field(default_factory=dict)

    def learn(self, node: Node) -> None:
        """A node and its agents are genuine."""
        self.nodes[node.identity.record.id] = node.identity.record.record
        for agent in node.identity.agents:
            self.agents[agent.id] = agent.record
            self.orgs[agent.id] = node.identity.org


class Promises:
    """Watches one world."""

    def __init__(self, world: World, liars: Sequence[int] = ()) -> None:
        self.violations: list[Violation] = []
        self.checked: dict[str, int] = dict.fromkeys(PROMISES, 0)
        self.liars = frozenset(liars)
        self.truth = Truth()
        self._world = world
        self._bytes_of: dict[DeltaId, bytes] = {}
        self._proven: dict[bytes, None] = {}
        self._acknowledged: dict[tuple[int, DeltaId], int] = {}
        self._forks: dict[Digest, None] = {}
        self._forgets: dict[tuple[DeltaId, DeltaId], Header] = {}
        self._revoked: dict[Inception, int] = {}
        self._odd_clocks: dict[int, None] = {}
        for node in world.nodes:
            self.truth.learn(node)

    def expect(self, promise: str, holds: bool, node: Node | None, text: str) -> None:
        """One check."""
        self.checked[promise] += 1
        if not holds:
            name = "" if node is None else node.identity.name
            self.violations.append(Violation(promise, self._world.now_us, name, text))

    # What the world tells.

    def begun(self, fault: Fault) -> None:
        """A fault has begun; some of them no promise covers."""
        if isinstance(fault, OtherDisk | LyingDisk):
            node = self._world.nodes[fault.node]
            self.truth.learn(node)
            for at in [at for at in self._acknowledged if at[0] == fault.node]:
                del self._acknowledged[at]
        if isinstance(fault, ClockFault):
            self._odd_clocks[fault.node] = None

    def ended(self, fault: Fault) -> None:
        """A fault is over; what a lying disk took between was never safe."""
        if isinstance(fault, LyingDisk):
            self.begun(fault)

    def revoked(self, agent: Inception) -> None:
        """An agent was ended by its issuer."""
        self._revoked[agent] = self._world.now_us

    def committed(self, node: Node, writes: Sequence[Write]) -> None:
        """See `Watcher`."""
        if node.number in self.liars:
            return
        for write in writes:
            match write:
                case PutDelta():
                    self._stored(node, write.delta, write.state)
                case PutForget():
                    self._forgotten(node, DeltaId(write.forget.target))
                case PutFork():
                    self._forks[write.id] = None
                case _:
                    pass

    def answered(self, node: Node, request: int, answer: Answer) -> None:
        """See `Watcher`."""
        note = self._world.note
        note(type(answer).__name__.lower())
        if node.number in self.liars:
            return
        match answer:
            case Authored():
                for delta in answer.deltas:
                    self._acknowledged[node.number, delta.id] = self._world.now_us
                    self._is_fresh(node, delta)
            case Declined():
                note(f"declined: {answer.refusal.reason.code}")
            case Recalled():
                for hit in answer.hits:
                    self._forgotten(node, hit.held.delta.id)
            case _:
                pass

    def told(self, node: Node, news: ev.Effect) -> None:
        """See `Watcher`."""
        note = self._world.note
        match news:
            case ev.RefusedNews():
                note(f"refused: {news.refusal.reason.code}", news.count)
            case ev.MemberNews():
                note(f"member {news.state}")
            case ev.ForkNews():
                note("fork found")
            case ev.ReconciledNews() if news.received:
                note("reconciled deltas", news.received)
            case _:
                pass

    def failed(self, node: Node, event: ev.Event, error: Exception) -> None:
        """See `Watcher`."""
        kind, fault = type(event).__name__, type(error).__name__
        self.expect("P13", False, node, f"{kind} raised {fault}: {error}")

    # While it runs.

    def _stored(self, node: Node, delta: Delta, state: State) -> None:
        if delta.id not in self._bytes_of:
            self._bytes_of[delta.id] = delta.header_bytes
        is_same = self._bytes_of[delta.id] == delta.header_bytes
        is_canonical = DeltaId(Header.id_of(delta.header_bytes)) == delta.id and _is_parsed(delta)
        self.expect("P2", is_same and is_canonical, node, f"{delta.id.hex()[:16]} has two forms")
        if state is State.LIVE:
            self.expect("P1", self._is_proven(delta), node, f"{delta.id.hex()[:16]} is unproven")
            self.expect("P3", self._is_allowed(delta), node, f"wrote {delta.header.namespace}")
            self._note_forget(delta)
        if node.disk.store.forgets_of(delta.id):
            self._forgotten(node, delta.id)

    def _note_forget(self, delta: Delta) -> None:
        """What a forget says by its own body, whatever a machine makes of it."""
        if delta.header.kind == Kind.FORGET and delta.body:
            body = parse_body_untrusted(delta.header.kind, delta.body)
            for target in body.targets if isinstance(body, ForgetBody) else ():
                self._forgets[DeltaId(target), delta.id] = delta.header

    def _is_proven(self, delta: Delta) -> bool:
        if delta.body and commitment_of(delta.body) != delta.header.commitment:
            return False
        key = delta.id + delta.receipt
        if key not in self._proven:
            if not self._is_signed(delta):
                return False
            self._proven[key] = None
        return True

    def _is_signed(self, delta: Delta) -> bool:
        agent = self.truth.agents.get(delta.header.leaf)
        subject = delta.signed_subject()
        if agent is None or subject is None or not delta.receipt:
            return False
        try:
            proof = parse_receipt_untrusted(delta.receipt)
        except MalformedFrame:
            return False
        writer = self.truth.nodes.get(proof.receipt.node_record)
        if writer is None or writer.inception != delta.header.writer or not proof.covers(delta.id):
            return False
        return self._verifies(agent.key, *subject, delta.proof.signature) and self._verifies(
            writer.key, Receipt.LABEL, proof.subject, proof.signature
        )

    def _verifies(self, key: PublicKey, label: str, subject: Digest, signature: bytes) -> bool:
        return self._world.verdicts.of(Check(key.algorithm, key.octets, label, subject, signature))

    def _is_allowed(self, delta: Delta) -> bool:
        org = self.truth.orgs.get(delta.header.leaf)
        if org is None:
            return False
        namespace = delta.header.namespace
        return any(covers_namespace(prefix, namespace) for prefix in (org, COMMONS))

    def _forgotten(self, node: Node, target: DeltaId) -> None:
        held = node.disk.store.delta(target)
        if held is None:
            return
        binding = [f for f in node.disk.store.forgets_of(target) if f.binds(held.delta.header)]
        if binding:
            is_gone = held.state is not State.LIVE and not held.delta.body
            self.expect("P11", is_gone, node, f"{target.hex()[:16]} is back")

    def _is_fresh(self, node: Node, delta: Delta) -> None:
        if node.number in self._odd_clocks or not delta.receipt:
            return
        index = parse_receipt_untrusted(delta.receipt).receipt.freshness_index
        age_ms = (START_US + self._world.now_us) // MILLISECOND_US - index
        text = f"authored on knowledge {age_ms} ms old"
        self.expect("P4", age_ms <= FRESHNESS_MS_MAX, node, text)

    # When faults have ended.

    @property
    def honest(self) -> list[Node]:
        """The nodes whose word counts."""
        return [node for node in self._world.nodes if node.number not in self.liars]

    def unconverged(self) -> str:
        """What keeps the honest nodes from being one hive; "" when nothing does."""
        nodes = self.honest
        down = [node.identity.name for node in nodes if not node.is_up]
        if down:
            return f"{down} are down"
        names = sorted({name for node in nodes for name in node.store.namespaces()})
        digests = {replica_digest(node.store, names) for node in nodes}
        if len(digests) > 1:
            return f"{len(digests)} different replicas"
        lacking = [n.identity.name for n in nodes if any(n.store.missing_bodies(1))]
        if lacking:
            return f"{lacking} lack bodies"
        proofs = {tuple(sorted(f.chain for f in node.store.forks())) for node in nodes}
        if len(proofs) > 1:
            return "not everybody holds the same forks as proven"
        for node in nodes:
            for other in nodes:
                if node is not other and not self._is_alive(node, other):
                    return f"{node.identity.name} does not see {other.identity.name} alive"
        return self._unrevoked(nodes)

    def _is_alive(self, node: Node, other: Node) -> bool:
        peer = node.machine.core.own.peer
        if peer == other.id:
            return True
        hierarchy = node.machine.hierarchy
        member = hierarchy.member(other.id)
        if member is None:
            return hierarchy.place != other.machine.hierarchy.place
        return member.standing in (Standing.ALIVE, Standing.SUSPECT)

    def _unrevoked(self, nodes: Sequence[Node]) -> str:
        """A revocation that went down with the only disk that had it is nobody's to hear of."""
        counts = [node.machine.core.trust.revocation_index for node in nodes]
        for node, count in zip(nodes, counts, strict=True):
            if count < max(counts):
                return f"{node.identity.name} has not heard of every revocation"
        return ""

    def conclude(self, left: str) -> None:
        """The end: `left` is what kept the world from converging within its bound."""
        self.expect("P9", "replicas" not in left and "bodies" not in left, None, left)
        self.expect("M1", "alive" not in left and "down" not in left, None, left)
        if self._revoked:
            self.expect("P4", "revocation" not in left, None, left)
        if self._forks:
            self.expect("P5", "proven" not in left, None, left)
        for node in self.honest:
            self._has_forgotten(node)
        for (number, id), at_us in self._acknowledged.items():
            self._survives(self._world.nodes[number], id, at_us)
        for node in self.honest:
            self.checked["P13"] += 1
            is_bounded = node.inbox_count_max <= INBOX_COUNT_MAX
            self.expect("P13", is_bounded, node, f"{node.inbox_count_max} events waited")

    def _has_forgotten(self, node: Node) -> None:
        for (target, forgetting), said in self._forgets.items():
            forget, held = node.disk.store.delta(forgetting), node.disk.store.delta(target)
            if forget is None or held is None or forget.state is not State.LIVE:
                continue
            theirs = held.delta.header
            if (theirs.author, theirs.namespace) == (said.author, said.namespace):
                is_gone = held.state is not State.LIVE and not held.delta.body
                self.expect("P11", is_gone, node, f"{target.hex()[:16]} was not forgotten")

    def _survives(self, node: Node, id: DeltaId, at_us: int) -> None:
        held = node.disk.store.delta(id)
        if held is None and self._is_excused(id):
            return
        is_there = held is not None and held.state is not State.VOID
        text = f"{id.hex()[:16]}, acknowledged at {at_us / 1e6:.3f} s, is gone"
        self.expect("P8", is_there, node, text)

    def _is_excused(self, id: DeltaId) -> bool:
        """Whether its author was revoked: a seal takes what it does not call good."""
        header_bytes = self._bytes_of.get(id)
        if header_bytes is None:
            return False
        return Header.from_body_untrusted(header_bytes).author in self._revoked


def _is_parsed(delta: Delta) -> bool:
    try:
        return parse_delta_untrusted(delta.to_bytes()).id == delta.id
    except MalformedFrame:
        return False
