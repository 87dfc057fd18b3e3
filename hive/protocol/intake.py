"""Intake: takes arrivals through ingress, in flights, and turns verdicts into writes and news.

Theory of operation. Arrivals that came together are one flight: steps 0–9 at once, one `Verify`
for the signatures not proven before (a batch or receipt signature is verified once, however many
deltas it covers), then steps 10–13 in order. Flights conclude first in, first out, so a chain
that spans two flights stays in order whatever the workers do; own flights queue apart, so that
a flood of others delays no write. Deltas that waited for one that concluded board a flight of
their own. A flight of this node's own authors has one more stage: what passed steps 10–12 is
covered by one receipt that the node signs, then step 13 judges again and the write is stored.
The overlay (`PendingStore`) makes decided writes visible to later flights at once; a failed
store clears it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from hive.errors import MalformedFrame
from hive.memory.bodies import ForgetBody, parse_body_untrusted
from hive.memory.delta import Delta, Kind
from hive.memory.fork import fork_proof
from hive.memory.log import State
from hive.memory.receipt import Receipt, parse_receipt_untrusted, receipt_proofs
from hive.protocol import refusals
from hive.protocol.bounded import BoundedMap
from hive.protocol.ingress import Ingress
from hive.protocol.judgement import (
    Arrival,
    BodyBrought,
    Forked,
    Judgement,
    Passed,
    Verdict,
    Voided,
    Waiting,
)
from hive.protocol.machine import Check, Token, Verify
from hive.protocol.outcomes import (
    DeltaRefused,
    DeltasAdmitted,
    ForkFound,
    GapFound,
    Output,
    OwnConcluded,
    RecordsMissing,
    RevocationsMissing,
    SignReceipt,
    StoreWrites,
)
from hive.protocol.ports import Forget, PutBody, PutDelta, PutForget, Write
from hive.protocol.refusals import Refusal
from hive.protocol.waiting import WaitingConfig, WaitingRoom
from hive.trust.capability import FORGET_ANY
from hive.trust.chain import Chain
from hive.wire import merkle
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import DeltaId, Digest, Inception, PeerId, RecordId

ProofKey: TypeAlias = tuple[RecordId, Digest, bytes]


@dataclass(slots=True)
class _Flight:
    token: Token
    judgements: list[Judgement]
    keys: tuple[ProofKey, ...] = ()
    bytes_count: int = 0
    is_verified: bool = False
    is_own: bool = False
    passed: list[Judgement] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    receipt: Receipt | None = None
    is_signing: bool = False
    signature: bytes = b""

    @property
    def is_ready(self) -> bool:
        return self.is_verified and not self.is_signing


class Intake:
    """One door for deltas, from peers and from own authors alike."""

    def __init__(
        self, ingress: Ingress, config: WaitingConfig, next_token: Callable[[], Token]
    ) -> None:
        self._ingress = ingress
        self._view = ingress.view
        self._next_token = next_token
        self._flights: deque[_Flight] = deque()
        self._own_flights: deque[_Flight] = deque()
        self._verifying_bytes = 0
        self._released: list[Arrival] = []
        self.waiting = WaitingRoom(config)
        self._asked: BoundedMap[tuple[PeerId | None, RecordId], MonotonicUs] = BoundedMap(
            config.count_max
        )

    # Doors.

    def arrive(self, arrivals: Sequence[Arrival], now: Now) -> list[Output]:
        """Deltas from peers: steps 0–9, then a flight."""
        if self._verifying_bytes > self.waiting.config.verifying_bytes_max:
            refusal = Refusal(refusals.CROWDED, "too much waits to be verified")
            return [DeltaRefused(refusal, arrivals[0].sender, b"")] if arrivals else []
        fresh, known_count = self._ingress.sift(arrivals, now) if arrivals else (arrivals, 0)
        outputs: list[Output] = []
        if known_count:
            refusal = Refusal(refusals.DUPLICATE)
            outputs.append(DeltaRefused(refusal, arrivals[0].sender, b"", known_count))
        return [*outputs, *self._board(fresh, now), *self._drain(now)]

    def _board(self, arrivals: Sequence[Arrival], now: Now) -> list[Output]:
        outputs: list[Output] = []
        flight = _Flight(self._next_token(), [])
        for arrival in arrivals:
            judgement, verdict = self._ingress.begin(arrival, now)
            if isinstance(verdict, Passed | Voided):
                flight.judgements.append(judgement)
                flight.bytes_count += len(arrival.untrusted)
            else:
                outputs += self._settle(judgement, verdict)
        return [*outputs, *self._depart(flight)] if flight.judgements else outputs

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
        for flight in (*self._own_flights, *self._flights):
            if flight.token == token and not flight.is_verified:
                self._mark(flight, verdicts)
                break
        return self._drain(now)

    def receipt_signed(self, token: Token, signature: bytes, now: Now) -> list[Output]:
        """The receipt of an own flight was signed; empty where the key would not."""
        for flight in self._own_flights:
            if flight.token == token and flight.is_signing:
                flight.is_signing, flight.signature = False, signature
                break
        return self._drain(now)

    def stored(self, token: Token) -> None:
        """A flight's writes are durable."""
        self._view.store.settle(token)

    def store_failed(self, token: Token) -> None:
        """A write failed: nothing decided since counts; peers will send it again."""
        self._view.store.fail(token)

    def records_admitted(self, records: Sequence[RecordId], now: Now) -> list[Output]:
        """New trust records: deltas that waited for them are judged again."""
        self._released += [a for record in records for a in self.waiting.release_record(record)]
        return self._drain(now)

    def ticked(self, now: Now) -> list[Output]:
        """Deltas that waited for time."""
        self._released += self.waiting.release_due(now.wall_us)
        return self._drain(now)

    # Step 10: what must be verified, once each.

    def _depart(self, flight: _Flight) -> list[Output]:
        wanted: dict[ProofKey, Check] = {}
        for judgement in flight.judgements:
            for key, check, mark in _claims(judgement):
                if key in self._view.proven:
                    mark(judgement)
                else:
                    wanted.setdefault(key, check)
        flight.keys = tuple(wanted)
        (self._own_flights if flight.is_own else self._flights).append(flight)
        self._verifying_bytes += flight.bytes_count
        if not wanted:
            flight.is_verified = True
            return []
        return [Verify(flight.token, tuple(wanted.values()))]

    def _mark(self, flight: _Flight, verdicts: tuple[bool, ...]) -> None:
        valid = {key: None for key, is_valid in zip(flight.keys, verdicts, strict=True) if is_valid}
        for judgement in flight.judgements:
            for key, _, mark in _claims(judgement):
                if key in valid:
                    mark(judgement)
        for key in valid:
            self._view.proven.put(key, None)
        flight.is_verified = True

    # Steps 10–13, first in, first out.

    def _drain(self, now: Now) -> list[Output]:
        outputs: list[Output] = []
        while True:
            if self._own_flights and self._own_flights[0].is_ready:
                outputs += self._land(self._own_flights, now)
            elif self._flights and self._flights[0].is_ready:
                outputs += self._land(self._flights, now)
            elif self._released:
                released, self._released = self._released, []
                outputs += self._board(released, now)
            else:
                return outputs

    def _land(self, flights: deque[_Flight], now: Now) -> list[Output]:
        flight = flights[0]
        if flight.is_own and flight.receipt is None:
            outputs = self._conclude_own(flight, now)
            if flight.is_signing:
                return outputs
        elif flight.is_own:
            outputs = self._admit_own(flight, now)
        else:
            outputs = self._conclude(flight, now)
        flights.popleft()
        self._verifying_bytes -= flight.bytes_count
        return outputs

    def _conclude(self, flight: _Flight, now: Now) -> list[Output]:
        """Its writes first, then what forks among it cut away."""
        outputs: list[Output] = []
        writes: list[Write] = []
        admitted: dict[PeerId | None, list[Delta]] = {}
        for judgement in flight.judgements:
            verdict = self._ingress.conclude(judgement, now)
            if isinstance(verdict, Voided) and self._is_void(judgement):
                verdict = Refusal(refusals.DUPLICATE)
            if isinstance(verdict, Passed | Voided):
                delta = _kept(judgement.delta, verdict)
                writes += self._admit(judgement, verdict, delta)
                admitted.setdefault(judgement.arrival.sender, []).append(delta)
            if not isinstance(verdict, Passed):
                outputs += self._settle(judgement, verdict)
        deltas = [delta for brought in admitted.values() for delta in brought]
        told = [DeltasAdmitted(tuple(some), sender) for sender, some in admitted.items()]
        for delta in deltas:
            header = delta.header
            self._released += self.waiting.release_run(header.chain, header.sequence + 1)
        return [*self._store(flight.token, writes, deltas), *told, *outputs]

    def _is_void(self, judgement: Judgement) -> bool:
        return self._view.store.state(judgement.delta.id) is State.VOID

    def _admit(self, judgement: Judgement, verdict: Verdict, delta: Delta) -> list[Write]:
        state = State.LIVE if isinstance(verdict, Passed) else State.VOID
        is_fresh = judgement.is_own or not self._view.store.has(delta.id)
        if judgement.leaf is not None and is_fresh:
            self._view.shares.charge(judgement.leaf.org, delta)
        self._view.store.admit(delta, state)
        writes: list[Write] = [PutDelta(delta, state)]
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
        still = tuple(d.id for d in admitted if self._view.store.is_undecided(d.id))
        self._view.store.depart(token, still)
        return [StoreWrites(token, tuple(writes))]

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
        if not flight.signature:
            flight.refused.append(Refusal(refusals.RECEIPT_MISSING, "the node's key did not sign"))
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
                outputs += self._refuse_own(flight, judgement, verdict)
        if flight.refused:
            self._view.store.withdraw(ids[len(admitted) :])
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
                if sender is not None and refusal.is_blamed:
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
            return [refused, *self._ask_for(waiting.records, sender, judgement.now)]
        if waiting.until_us:
            self.waiting.until(delta.id, arrival, waiting.until_us)
            return [refused]
        chain, sequence = delta.header.chain, delta.header.sequence
        self.waiting.for_position(delta.id, arrival, (chain, sequence))
        head = self._view.store.head(chain)
        first = head.sequence + 1 if head else 1
        return [refused, GapFound(sender, delta, first, sequence - 1)]

    def _ask_for(
        self, records: Sequence[RecordId], sender: PeerId | None, now: Now
    ) -> list[Output]:
        """A peer is asked for a record once in a while, not once for every delta that waits."""
        wanted = []
        for record in records:
            asked_at = self._asked.get((sender, record))
            patience_us = self.waiting.config.record_retry_us
            if asked_at is None or now.monotonic_us - asked_at >= patience_us:
                self._asked.pop((sender, record))
                self._asked.put((sender, record), now.monotonic_us)
                wanted.append(record)
        return [RecordsMissing(sender, tuple(wanted))] if wanted else []

    def _fork(self, judgement: Judgement, other: DeltaId) -> list[Output]:
        """Quarantined and hidden at once, so that nothing in flight is built on it."""
        held = self._view.store.delta(other)
        if held is None or judgement.leaf is None:
            return []
        theirs = self._view.trust.chain_of(RecordId(held.header.leaf))
        generation = judgement.leaf.generation
        if theirs is None or theirs.generation != generation:
            return [RevocationsMissing(judgement.arrival.sender)]
        refusal = DeltaRefused(Refusal(refusals.FORK), judgement.arrival.sender, judgement.delta.id)
        proof = fork_proof(judgement.delta, held)
        if not self._view.quarantine.add(proof, generation):
            return [refusal]
        self._view.store.truncate(proof.chain, proof.sequence - 1)
        return [refusal, ForkFound(proof, generation)]

    def _bring_body(self, judgement: Judgement) -> list[Output]:
        """A body fits its commitment; proof and receipt beside it are unverified, ours are not."""
        held = self._view.store.delta(judgement.delta.id)
        if held is None:
            return []
        delta = replace(held, body=judgement.delta.body)
        writes: list[Write] = [PutBody(delta.id, delta.body), *self._forgets_of_held(delta)]
        return [
            StoreWrites(self._next_token(), tuple(writes)),
            DeltasAdmitted((delta,), judgement.arrival.sender),
        ]

    def _forgets_of_held(self, delta: Delta) -> list[Write]:
        receipt = parse_receipt_untrusted(delta.receipt).receipt if delta.receipt else None
        leaf = self._view.trust.chain_of(RecordId(delta.header.leaf))
        if leaf is None or receipt is None:
            return []
        writer = self._view.trust.chain_of(RecordId(receipt.node_record))
        return forgets_in(delta, leaf, writer.region if writer else "", receipt.admitted_at_ms)


_ABANDONED = Refusal(refusals.LAW_CHANGED, "an earlier delta of the same batch was refused")


def _claims(
    judgement: Judgement,
) -> list[tuple[ProofKey, Check, Callable[[Judgement], None]]]:
    """Each check under the record whose key it uses, and what its truth marks."""
    found: list[tuple[ProofKey, Check, Callable[[Judgement], None]]] = []
    for chain, check, mark in (
        (judgement.leaf, judgement.author_check, _mark_author),
        (judgement.writer, judgement.receipt_check, _mark_receipt),
    ):
        if chain is not None and check is not None:
            found.append(((chain.leaf, check.digest, check.signature), check, mark))
    return found


def _mark_author(judgement: Judgement) -> None:
    judgement.is_signed = True


def _mark_receipt(judgement: Judgement) -> None:
    judgement.is_receipt_signed = True


def _kept(delta: Delta, verdict: Verdict) -> Delta:
    """A void is a header only, here and wherever it is passed on to."""
    return replace(delta, body=b"") if isinstance(verdict, Voided) else delta


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
