"""Replicas over memory stores, joined by an instant, lossless, ordered network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hive.memory.authoring import Draft, Pen, attach, compose
from hive.memory.bodies import ForgetBody, MemoryBody
from hive.memory.delta import Delta, Kind, parse_delta_untrusted
from hive.memory.fork import fork_proof, parse_fork_untrusted
from hive.memory.log import Continuation, Head, State, continuation, head_after
from hive.protocol.machine import Received, Send, Ticked
from hive.protocol.messages import Deltas, Forks
from hive.protocol.ports import Forget, PutBody, PutDelta, PutForget, PutFork, Truncate
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.digests import replica_digest
from hive.protocol.reconciliation.events import (
    Agreed,
    Changed,
    Effect,
    Event,
    PeerConnected,
    Reconciled,
    ReconcileRequested,
    Taken,
)
from hive.protocol.reconciliation.reconciler import Reconciler
from hive.store.memory_store import MemoryStore
from hive.wire.clock import Hlc, MonotonicUs, Now, WallUs
from hive.wire.ids import DeltaId, Digest, FederationId, Inception, PeerId, RecordId
from hive.wire.randomness import Stream

FEDERATION = FederationId(b"f" * 32)
START_US = 1_800_000_000_000_000


def peer(number: int) -> PeerId:
    return PeerId(bytes([number]) * 20)


def pen_of(author: int, namespace: str = "acme/notes", writer: int = 1) -> Pen:
    return Pen(
        federation=FEDERATION,
        namespace=namespace,
        author=Inception(author.to_bytes(32, "big")),
        writer=Inception(writer.to_bytes(32, "big")),
        leaf=RecordId(b"l" * 32),
        epochs=(0,),
        lease=0,
        residency=(),
    )


def memory(text: str) -> Draft:
    body = MemoryBody(text.encode().ljust(32, b"s")[:32], text, "", (), 0, 0)
    return Draft(Kind.MEMORY, body)


def forget(*targets: DeltaId) -> Draft:
    return Draft(Kind.FORGET, ForgetBody(b"s" * 32, targets, ""))


def chain_of(
    pen: Pen, drafts: Sequence[Draft], head: Head | None = None, wall_us: int = START_US
) -> list[Delta]:
    """Deltas chained behind a head, one signature each; the signatures are dummies."""
    deltas: list[Delta] = []
    for draft in drafts:
        unsigned = compose(pen, [draft], head, Hlc(0), wall_us)
        deltas += attach(unsigned, b"\0" * 64)
        head = head_after(deltas[-1])
    return deltas


@dataclass
class Replica:
    """A store, its reconciler, and an ingress that trusts every signature."""

    id: PeerId
    admissible: Callable[[PeerId, str], bool] = lambda peer, namespace: True
    config: ReconciliationConfig = field(default_factory=ReconciliationConfig)
    refuses: Callable[[Delta], bool] = lambda delta: False

    def __post_init__(self) -> None:
        self.store = MemoryStore()
        self.machine = Reconciler(
            self.config, self.store, self.admissible, Stream(b"seed", "reconcile", self.id)
        )
        self.news: list[Effect] = []
        self.fork_proofs = 0

    def admit(self, delta: Delta, state: State = State.LIVE, *, body: bool = True) -> list[Event]:
        """What ingress would do with a verified delta; gives the events the composer makes."""
        header = delta.header
        head = self.store.head(header.chain)
        match continuation(delta, head, self.store.at(header.chain, header.sequence)):
            case Continuation.HELD:
                return self._admit_again(delta, state)
            case Continuation.FORK:
                return self._admit_fork(delta)
            case Continuation.NEXT:
                if self.refuses(delta) or self._is_quarantined(delta):
                    return []
                return self._admit_next(delta, state, body=body)
            case Continuation.GAP | Continuation.BROKEN:
                return []

    def _is_quarantined(self, delta: Delta) -> bool:
        header = delta.header
        return any(
            fork.chain == header.chain and fork.sequence <= header.sequence
            for fork in self.store.forks()
        )

    def _admit_next(self, delta: Delta, state: State, *, body: bool) -> list[Event]:
        header = delta.header
        changed: list[Event] = [Changed(header.namespace, header.stamp)]
        kept = delta if body else Delta(delta.id, header, delta.header_bytes, delta.proof, b"", b"")
        self.store.apply([PutDelta(kept, state)])
        return changed + (self._carry_out_forget(kept) if state is State.LIVE else [])

    def _carry_out_forget(self, delta: Delta) -> list[Event]:
        header = delta.header
        if header.kind != Kind.FORGET or not delta.body:
            return []
        changed: list[Event] = []
        for target in ForgetBody.from_body_untrusted(delta.body).targets:
            entry = Forget(
                DeltaId(target), delta.id, Inception(header.author), True, header.namespace
            )
            self.store.apply([PutForget(entry)])
            held = self.store.delta(DeltaId(target))
            if held is not None:
                changed.append(Changed(header.namespace, held.delta.header.stamp))
        return changed

    def _admit_again(self, delta: Delta, state: State) -> list[Event]:
        held = self.store.delta(delta.id)
        if held is None:
            return []
        if held.state is State.VOID and state is State.LIVE:
            self.store.apply([PutDelta(delta, State.LIVE)])
        elif delta.body and not held.delta.body:
            self.store.apply([PutBody(delta.id, delta.body)])
        changed: list[Event] = [Changed(delta.header.namespace, delta.header.stamp)]
        return changed + self._carry_out_forget(delta)

    def _admit_fork(self, delta: Delta) -> list[Event]:
        header = delta.header
        held_id = self.store.at(header.chain, header.sequence)
        assert held_id is not None
        held = self.store.delta(held_id)
        assert held is not None
        return self.learn_fork(fork_proof(delta, held.delta).to_bytes())

    def learn_fork(self, untrusted_proof: bytes) -> list[Event]:
        proof = parse_fork_untrusted(untrusted_proof)
        self.fork_proofs += 1
        kept = PutFork(proof.id, proof.chain, proof.sequence, 0, proof.to_bytes())
        self.store.apply([kept, Truncate(proof.chain, proof.sequence - 1)])
        return [Changed(proof.first.header.namespace, None)]

    def intake(self, sender: PeerId, payload: bytes) -> list[Event] | None:
        """The composer's part: deltas and proofs go to ingress; None for other payloads."""
        if payload[2:8] == b"deltas" and payload[1] == 0xA6:
            events: list[Event] = []
            for envelope in Deltas.from_body_untrusted(payload).envelopes:
                changed = self.admit(parse_delta_untrusted(envelope))
                events += [*changed, Taken(sender, 1)] if changed else []
            return events
        if payload[2:7] == b"forks" and payload[1] == 0xA5:
            proofs = Forks.from_body_untrusted(payload).proofs
            return [event for proof in proofs for event in self.learn_fork(proof)]
        return None

    def digest(self) -> Digest:
        return replica_digest(self.store, self.store.namespaces())


class World:
    """Delivers at once every message it does not lose; moves time from deadline to deadline."""

    def __init__(self, *replicas: Replica) -> None:
        self.replicas = {replica.id: replica for replica in replicas}
        self.now_us = 1_000_000
        self.sent: list[tuple[PeerId, Send]] = []
        self.loses: Callable[[], bool] = lambda: False
        self._queue: deque[tuple[PeerId, Send]] = deque()

    def now(self) -> Now:
        return Now(MonotonicUs(self.now_us), WallUs(START_US + self.now_us))

    def feed(self, replica: Replica, event: Event) -> None:
        for effect in replica.machine.handle(event, self.now()):
            if isinstance(effect, Send):
                self._queue.append((replica.id, effect))
                self.sent.append((replica.id, effect))
            else:
                replica.news.append(effect)

    def settle(self) -> None:
        while self._queue:
            sender, send = self._queue.popleft()
            receiver = self.replicas.get(send.receiver)
            if receiver is None or self.loses():
                continue
            events = receiver.intake(sender, send.payload)
            for event in events if events is not None else [Received(sender, send.payload)]:
                self.feed(receiver, event)

    def connect(self) -> None:
        for replica in self.replicas.values():
            for other in self.replicas:
                if other != replica.id:
                    self.feed(replica, PeerConnected(other))
        self.settle()

    def run(self, span_us: int) -> None:
        end_us = self.now_us + span_us
        while True:
            times = [each.machine.deadline for each in self.replicas.values()]
            next_us = min((at for at in times if at is not None), default=end_us)
            if next_us > end_us:
                self.now_us = end_us
                return
            self.now_us = max(self.now_us, next_us)
            for replica in self.replicas.values():
                self.feed(replica, Ticked())
                self.settle()

    def reconcile(self, replica: Replica, other: Replica) -> None:
        self.feed(replica, ReconcileRequested(other.id))
        self.settle()

    def give(self, replica: Replica, deltas: Sequence[Delta], **how: object) -> None:
        for delta in deltas:
            for event in replica.admit(delta, **how):  # type: ignore[arg-type]
                self.feed(replica, event)

    def bytes_sent(self) -> int:
        return sum(len(send.payload) for _, send in self.sent)

    def bytes_of_talk(self) -> int:
        """Without the deltas themselves."""
        return sum(len(send.payload) for _, send in self.sent if send.payload[2:8] != b"deltas")


def agreements(replica: Replica) -> int:
    return sum(isinstance(news, Agreed) for news in replica.news)


def reconciled(replica: Replica) -> list[Reconciled]:
    return [news for news in replica.news if isinstance(news, Reconciled)]
