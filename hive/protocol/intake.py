"""Intake: takes arrivals through ingress, in flights, and turns verdicts into writes and news.

Theory of operation. Arrivals that came together are one flight: steps 0–9 at once, one `Verify`
for the signatures not proven before (a batch or receipt signature is verified once, however many
deltas it covers), then steps 10–13 in order. Flights conclude first in, first out, so a chain
that spans two flights stays in order whatever the workers do. A flight of this node's own authors
has one more stage: what passed steps 10–12 is covered by one receipt that the node signs, then
step 13 judges again and the write is stored. The overlay (`PendingStore`) makes decided writes
visible to later flights at once; a failed store clears it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from hive.errors import MalformedFrame
from hive.memory.bodies import ForgetBody, parse_body_untrusted
from hive.memory.delta import Delta, Kind
from hive.memory.fork import ForkProof, fork_proof
from hive.memory.log import State
from hive.memory.receipt import Receipt, receipt_proofs
from hive.protocol import refusals
from hive.protocol.ingress import (
    Arrival,
    BodyBrought,
    Forked,
    Ingress,
    Judgement,
    Passed,
    Verdict,
    Voided,
    Waiting,
)
from hive.protocol.machine import Check, Token, Verify
from hive.protocol.ports import Forget, PutBody, PutDelta, PutForget, Write
from hive.protocol.refusals import Refusal
from hive.protocol.waiting import WaitingConfig, WaitingRoom
from hive.trust.capability import FORGET_ANY
from hive.trust.chain import Chain
from hive.wire import merkle
from hive.wire.clock import Now
from hive.wire.ids import DeltaId, Digest, Inception, PeerId, RecordId


@dataclass(frozen=True, slots=True)
class SignReceipt:
    """Asks for the node's signature over a receipt."""

    token: Token
    label: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class StoreWrites:
    """Asks for these writes to become durable, all or none."""

    token: Token
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class DeltasAdmitted:
    """These passed and are stored; `sender` brought them (None: admitted here)."""

    deltas: tuple[Delta, ...]
    sender: PeerId | None


@dataclass(frozen=True, slots=True)
class DeltaRefused:
    """One arrival was refused, kept void or set aside; `delta` is empty where undecoded."""

    refusal: Refusal
    sender: PeerId | None
    delta: bytes


@dataclass(frozen=True, slots=True)
class RecordsMissing:
    """A delta waits for trust records that its sender should have."""

    sender: PeerId | None
    records: tuple[RecordId, ...]


@dataclass(frozen=True, slots=True)
class GapFound:
    """A delta waits for earlier ones of its chain: `first..last` are missing."""

    sender: PeerId | None
    delta: Delta
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ForkFound:
    """Two signed deltas at one position; verified, to be kept and told."""

    proof: ForkProof
    generation: int


@dataclass(frozen=True, slots=True)
class RevocationsMissing:
    """A delta of a newer generation stands where an older one is held: a seal is missing."""

    sender: PeerId | None


@dataclass(frozen=True, slots=True)
class OwnConcluded:
    """A flight of own deltas ended: those admitted, and why the others were not."""

    token: Token
    admitted: tuple[Delta, ...]
    refused: tuple[Refusal, ...]


Output: TypeAlias = (
    Verify
    | SignReceipt
    | StoreWrites
    | DeltasAdmitted
    | DeltaRefused
    | RecordsMissing
    | GapFound
    | ForkFound
    | RevocationsMissing
    | OwnConcluded
)

ProofKey: TypeAlias = tuple[RecordId, Digest, bytes]


@dataclass(slots=True)
class _Flight:
    token: Token
    judgements: list[Judgement]
    keys: tuple[ProofKey, ...] = ()
    is_verified: bool = False
    is_own: bool = False
    passed: list[Judgement] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    receipt: Receipt | None = None
    is_signing: bool = False
    signature: bytes = b""

    @property
    def is_ready(self) -> bool:
        return self.is_verified and not (self.is_signing and not self.signature)


class Intake:
    """One door for deltas, from peers and from own authors alike."""

    def __init__(
        self, ingress: Ingress, config: WaitingConfig, next_token: Callable[[], Token]
    ) -> None:
        self._ingress = ingress
        self._view = ingress.view
        self._next_token = next_token
        self._flights: deque[_Flight] = deque()
        self.waiting = WaitingRoom(config)

    # Doors.

    def arrive(self, arrivals: Sequence[Arrival], now: Now) -> list[Output]:
        """Deltas from peers: steps 0–9, then a flight."""
        outputs: list[Output] = []
        flight = _Flight(self._next_token(), [])
        for arrival in arrivals:
            judgement, verdict = self._ingress.begin(arrival, now)
            if isinstance(verdict, Passed | Voided):
                flight.judgements.append(judgement)
            else:
                outputs += self._settle(judgement, verdict)
        if flight.judgements:
            outputs += self._depart(flight)
            outputs += self._drain(now)
        return outputs

    def arrive_own(self, deltas: Sequence[Delta], token: Token, now: Now) -> list[Output]:
        """Deltas of this node's own authors; ends with `OwnConcluded` under this token."""
        flight = _Flight(token, [], is_own=True)
        outputs: list[Output] = []
        for delta in deltas:
            judgement, verdict = self._ingress.begin(Arrival(delta.to_bytes(), None), now)
            if isinstance(verdict, Passed | Voided):
                flight.judgements.append(judgement)
            else:
                outputs += self._refuse_own(flight, judgement, verdict)
        outputs += self._depart(flight)
        outputs += self._drain(now)
        return outputs

    def verified(self, token: Token, verdicts: tuple[bool, ...], now: Now) -> list[Output]:
        """The signatures of a flight were checked."""
        for flight in self._flights:
            if flight.token == token:
                self._mark(flight, verdicts)
                break
        return self._drain(now)

    def receipt_signed(self, token: Token, signature: bytes, now: Now) -> list[Output]:
        """The receipt of an own flight was signed."""
        for flight in self._flights:
            if flight.token == token:
                flight.signature = signature
                break
        return self._drain(now)

    def stored(self, token: Token) -> None:
        """A flight's writes are durable."""
        self._view.store.settle(token)

    def store_failed(self) -> None:
        """A write failed: nothing decided since counts; peers will send it again."""
        self._view.store.clear()

    def records_admitted(self, records: Sequence[RecordId], now: Now) -> list[Output]:
        """New trust records: deltas that waited for them are judged again."""
        released = [a for record in records for a in self.waiting.release_record(record)]
        return self.arrive(released, now) if released else []

    def ticked(self, now: Now) -> list[Output]:
        """Deltas that waited for time."""
        due = self.waiting.release_due(now.wall_us)
        return self.arrive(due, now) if due else []

    # Step 10: what must be verified, once each.

    def _depart(self, flight: _Flight) -> list[Output]:
        wanted: dict[ProofKey, Check] = {}
        for judgement in flight.judgements:
            for key, check in _keyed(judgement):
                if key not in self._view.proven:
                    wanted.setdefault(key, check)
        flight.keys = tuple(wanted)
        self._flights.append(flight)
        if not wanted:
            self._mark(flight, ())
            return []
        return [Verify(flight.token, tuple(wanted.values()))]

    def _mark(self, flight: _Flight, verdicts: tuple[bool, ...]) -> None:
        valid = {key for key, is_valid in zip(flight.keys, verdicts, strict=True) if is_valid}
        for judgement in flight.judgements:
            proven = [key in valid or key in self._view.proven for key, _ in _keyed(judgement)]
            judgement.is_signed = bool(proven) and proven[0]
            judgement.is_receipt_signed = len(proven) > 1 and proven[1]
            for key, _ in _keyed(judgement):
                if key in valid:
                    self._view.proven.put(key, None)
        flight.is_verified = True

    # Steps 10–13, first in, first out.

    def _drain(self, now: Now) -> list[Output]:
        outputs: list[Output] = []
        while self._flights and self._flights[0].is_ready:
            flight = self._flights[0]
            if flight.is_own and flight.receipt is None:
                outputs += self._conclude_own(flight, now)
                if flight.is_signing:
                    continue
            elif flight.is_own:
                outputs += self._admit_own(flight, now)
            else:
                outputs += self._conclude(flight, now)
            self._flights.popleft()
        return outputs

    def _conclude(self, flight: _Flight, now: Now) -> list[Output]:
        outputs: list[Output] = []
        writes: list[Write] = []
        admitted: list[Delta] = []
        sender = flight.judgements[0].arrival.sender
        for judgement in flight.judgements:
            verdict = self._ingress.conclude(judgement, now)
            if isinstance(verdict, Passed | Voided):
                writes += self._admit(judgement, verdict, judgement.delta)
                admitted.append(judgement.delta)
            if not isinstance(verdict, Passed):
                outputs += self._settle(judgement, verdict)
        outputs += self._store(flight.token, writes, admitted)
        if admitted:
            outputs.append(DeltasAdmitted(tuple(admitted), sender))
            outputs += self._release_successors(admitted, now)
        return outputs

    def _admit(self, judgement: Judgement, verdict: Verdict, delta: Delta) -> list[Write]:
        state = State.LIVE if isinstance(verdict, Passed) else State.VOID
        kept = delta if state is State.LIVE else replace(delta, body=b"")
        self._view.store.admit(kept, state)
        self._view.seen.put(delta.id, None)
        writes: list[Write] = [PutDelta(kept, state)]
        if state is State.LIVE and judgement.leaf is not None:
            writes += forgets_in(
                delta, judgement.leaf, _region(judgement), judgement.admitted_at_ms
            )
        return writes

    def _store(
        self, token: Token, writes: Sequence[Write], admitted: Sequence[Delta]
    ) -> list[Output]:
        if not writes:
            return []
        self._view.store.depart(token, tuple(delta.id for delta in admitted))
        return [StoreWrites(token, tuple(writes))]

    def _release_successors(self, admitted: Sequence[Delta], now: Now) -> list[Output]:
        released = []
        for delta in admitted:
            position = (delta.header.chain, delta.header.sequence + 1)
            successor = self.waiting.release_position(position)
            if successor is not None:
                released.append(successor)
        return self.arrive(released, now) if released else []

    # Own flights.

    def _conclude_own(self, flight: _Flight, now: Now) -> list[Output]:
        outputs: list[Output] = []
        for judgement in flight.judgements:
            verdict = self._ingress.conclude(judgement, now)
            if isinstance(verdict, Passed):
                self._view.store.admit(judgement.delta, State.LIVE)
                flight.passed.append(judgement)
            else:
                outputs += self._refuse_own(flight, judgement, verdict)
        if not flight.passed:
            return [*outputs, OwnConcluded(flight.token, (), tuple(flight.refused))]
        flight.receipt = self._receipt_for(flight.passed, now)
        flight.is_signing = True
        subject = Receipt.id_of(flight.receipt.to_body())
        return [*outputs, SignReceipt(flight.token, Receipt.LABEL, subject)]

    def _receipt_for(self, passed: Sequence[Judgement], now: Now) -> Receipt:
        first = passed[0]
        ids = [judgement.delta.id for judgement in passed]
        return Receipt(
            self._view.federation,
            first.header.writer,
            self._view.writer_record(),
            first.now.wall_us // 1_000,
            first.header.epochs,
            first.header.lease,
            self._view.freshness.index(now),
            len(ids),
            merkle.root(ids),
        )

    def _admit_own(self, flight: _Flight, now: Now) -> list[Output]:
        assert flight.receipt is not None
        ids = [judgement.delta.id for judgement in flight.passed]
        proofs = receipt_proofs(flight.receipt, flight.signature, ids)
        writes: list[Write] = []
        admitted: list[Delta] = []
        outputs: list[Output] = []
        for judgement, proof in zip(flight.passed, proofs, strict=True):
            judgement.is_receipt_signed = True
            verdict = self._recheck(judgement, now) if not flight.refused else _ABANDONED
            if isinstance(verdict, Passed):
                delta = replace(judgement.delta, receipt=proof.to_bytes())
                writes += self._admit(judgement, verdict, delta)
                admitted.append(delta)
            else:
                self._view.store.drop_chain(judgement.header.chain)
                outputs += self._refuse_own(flight, judgement, verdict)
        outputs += self._store(flight.token, writes, admitted)
        if admitted:
            outputs.append(DeltasAdmitted(tuple(admitted), None))
        outputs.append(OwnConcluded(flight.token, tuple(admitted), tuple(flight.refused)))
        return outputs

    def _recheck(self, judgement: Judgement, now: Now) -> Verdict:
        judgement.now = now
        return self._ingress.acknowledge(judgement)

    def _refuse_own(self, flight: _Flight, judgement: Judgement, verdict: Verdict) -> list[Output]:
        refusal = _as_refusal(verdict)
        flight.refused.append(refusal)
        return [DeltaRefused(refusal, None, _delta_id(judgement))]

    # What a verdict other than `Passed` leads to.

    def _settle(self, judgement: Judgement, verdict: Verdict) -> list[Output]:
        sender = judgement.arrival.sender
        match verdict:
            case Waiting():
                return self._wait(judgement, verdict)
            case Forked():
                return self._fork(judgement, verdict.other)
            case BodyBrought():
                return self._bring_body(judgement)
            case Refusal() | Voided():
                refusal = _as_refusal(verdict)
                if refusal.reason.fault is refusals.Fault.SENDER and sender is not None:
                    self._view.budgets.blame(sender, judgement.now.monotonic_us)
                return [DeltaRefused(refusal, sender, _delta_id(judgement))]
            case Passed():
                return []

    def _wait(self, judgement: Judgement, waiting: Waiting) -> list[Output]:
        arrival = replace(judgement.arrival, is_charged=True)
        delta, sender = judgement.delta, judgement.arrival.sender
        refused = DeltaRefused(Refusal(waiting.reason), sender, delta.id)
        if waiting.records:
            self.waiting.for_record(delta.id, arrival, waiting.records[0])
            return [refused, RecordsMissing(sender, waiting.records)]
        if waiting.until_us:
            self.waiting.until(delta.id, arrival, waiting.until_us)
            return [refused]
        chain, sequence = delta.header.chain, delta.header.sequence
        self.waiting.for_position(delta.id, arrival, (chain, sequence))
        head = self._view.store.head(chain)
        first = head.sequence + 1 if head else 1
        return [refused, GapFound(sender, delta, first, sequence - 1)]

    def _fork(self, judgement: Judgement, other: DeltaId) -> list[Output]:
        held = self._view.store.delta(other)
        if held is None or judgement.leaf is None:
            return []
        theirs = self._view.trust.chain_of(RecordId(held.header.leaf))
        generation = judgement.leaf.generation
        if theirs is None or theirs.generation != generation:
            return [RevocationsMissing(judgement.arrival.sender)]
        refusal = DeltaRefused(Refusal(refusals.FORK), judgement.arrival.sender, judgement.delta.id)
        return [refusal, ForkFound(fork_proof(judgement.delta, held), generation)]

    def _bring_body(self, judgement: Judgement) -> list[Output]:
        delta = judgement.delta
        leaf = self._view.trust.chain_of(RecordId(delta.header.leaf))
        writes: list[Write] = [PutBody(delta.id, delta.body)]
        held = self._view.store.delta(delta.id)
        if leaf is not None and held is not None and judgement.receipt is not None:
            writer = self._view.trust.chain_of(RecordId(judgement.receipt.receipt.node_record))
            region = writer.region if writer else ""
            writes += forgets_in(delta, leaf, region, judgement.admitted_at_ms)
        return [
            StoreWrites(self._next_token(), tuple(writes)),
            DeltasAdmitted((delta,), judgement.arrival.sender),
        ]


_ABANDONED = Refusal(refusals.LAW_CHANGED, "an earlier delta of the same batch was refused")


def _keyed(judgement: Judgement) -> list[tuple[ProofKey, Check]]:
    """Each check under the record whose key it uses: author first, then receipt."""
    records = (judgement.leaf, judgement.writer)
    return [
        ((chain.leaf, check.digest, check.signature), check)
        for chain, check in zip(records, judgement.checks, strict=False)
        if chain is not None
    ]


def _region(judgement: Judgement) -> str:
    return judgement.writer.region if judgement.writer else ""


def _delta_id(judgement: Judgement) -> bytes:
    return judgement.delta.id if judgement.undecoded is not None else b""


def _as_refusal(verdict: Verdict) -> Refusal:
    match verdict:
        case Refusal():
            return verdict
        case Waiting() | Voided():
            return Refusal(verdict.reason)
        case Forked():
            return Refusal(refusals.FORK)
        case Passed() | BodyBrought():
            return Refusal(refusals.DUPLICATE)


def forgets_in(delta: Delta, leaf: Chain, region: str, at_ms: int) -> list[Write]:
    """What a forget delta asks the store to keep for ever; nothing for other kinds."""
    if delta.header.kind != Kind.FORGET or not delta.body:
        return []
    try:
        body = parse_body_untrusted(Kind.FORGET, delta.body)
    except MalformedFrame:
        return []
    assert isinstance(body, ForgetBody)
    namespace = delta.header.namespace
    is_any = leaf.allows(FORGET_ANY, namespace, region, at_ms)
    author = Inception(delta.header.author)
    return [
        PutForget(Forget(DeltaId(target), delta.id, author, is_any, namespace))
        for target in body.targets
    ]
