"""Judges deltas as evidence: what of ingress needs neither a store nor this node's own now.

The steps carry ingress's numbers and its reason codes. A delta is `valid`, `forgotten` (a forget
in the same evidence binds it; its text is withheld), `void` (signed and in position, judged under
another epoch than its receipt says), or `refused` at a step. `is_continuous` says whether the
delta before it is in the evidence too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from hive.errors import MalformedFrame
from hive.memory.bodies import ForgetBody, parse_body_untrusted, searchable_text
from hive.memory.delta import ACTION_OF, Delta, Kind, commitment_of
from hive.memory.fork import ForkProof, fork_proof
from hive.memory.namespaces import is_namespace
from hive.memory.receipt import Receipt, ReceiptProof, parse_receipt_untrusted
from hive.trust.capability import FORGET_ANY
from hive.trust.chain import Chain
from hive.trust.keys import verify
from hive.trust.state import TrustState
from hive.trust.verdicts import Sealed
from hive.wire.clock import HLC_AHEAD_MS_MAX
from hive.wire.ids import ZERO_DIGEST, Digest, RecordId

Forks: TypeAlias = dict[tuple[Digest, int], int]
"""The lowest forked position by chain and generation."""


@dataclass(frozen=True, slots=True)
class DeltaReport:
    """One delta: its verdict, whose word it is, and what it says."""

    id: str
    verdict: str
    step: int
    reason: str
    namespace: str
    sequence: int
    kind: str
    author: str
    org: str
    writer: str
    attested_at_ms: int
    is_continuous: bool
    text: str


@dataclass(slots=True)
class _Case:
    delta: Delta
    trust: TrustState
    forks: Forks
    now_ms: int
    before: Delta | None
    receipt: ReceiptProof | None = None
    leaf: Chain | None = None
    writer: Chain | None = None

    def resolve(self) -> None:
        self.leaf = self.trust.chain_of(RecordId(self.delta.header.leaf))
        if self.receipt is not None:
            self.writer = self.trust.chain_of(RecordId(self.receipt.receipt.node_record))

    @property
    def admitted_at_ms(self) -> int:
        return self.receipt.receipt.admitted_at_ms if self.receipt else 0


_Check: TypeAlias = Callable[[_Case], bool]


def _is_decoded(case: _Case) -> bool:
    try:
        if case.delta.receipt:
            case.receipt = parse_receipt_untrusted(case.delta.receipt)
    except MalformedFrame:
        return False
    return True


def _is_of_federation(case: _Case) -> bool:
    return case.delta.header.federation == case.trust.federation


def _has_namespace(case: _Case) -> bool:
    return is_namespace(case.delta.header.namespace)


def _has_receipt(case: _Case) -> bool:
    return case.receipt is not None


def _has_chains(case: _Case) -> bool:
    case.resolve()
    return case.leaf is not None and case.writer is not None


def _is_covered(case: _Case) -> bool:
    header, leaf, writer = case.delta.header, case.leaf, case.writer
    if leaf is None or writer is None:
        return False
    if leaf.kind not in ("agent", "session") or leaf.identity != header.author:
        return False
    action = ACTION_OF[header.kind]
    return any(
        capability.allows(action, header.namespace, writer.region, case.admitted_at_ms)
        for capability in leaf.capabilities
    )


def _is_writers_receipt(case: _Case) -> bool:
    header, proof, writer = case.delta.header, case.receipt, case.writer
    if proof is None or writer is None or writer.kind != "node":
        return False
    receipt = proof.receipt
    is_same = writer.identity == header.writer == receipt.node
    return is_same and receipt.federation == header.federation and proof.covers(case.delta.id)


def _was_leaf_valid(case: _Case) -> bool:
    stamp_ms = case.delta.header.hlc >> 16
    leaf = case.leaf
    return leaf is not None and leaf.is_valid_at(case.admitted_at_ms) and leaf.is_valid_at(stamp_ms)


def _was_writer_valid(case: _Case) -> bool:
    return case.writer is not None and case.writer.is_valid_at(case.admitted_at_ms)


def _is_stamp_before_admission(case: _Case) -> bool:
    return case.delta.header.hlc >> 16 <= case.admitted_at_ms + HLC_AHEAD_MS_MAX


def _is_past(case: _Case) -> bool:
    at_ms = max(case.delta.header.hlc >> 16, case.admitted_at_ms)
    return at_ms <= case.now_ms + HLC_AHEAD_MS_MAX


def _is_not_revoked(case: _Case) -> bool:
    header = case.delta.header
    standings = [
        case.trust.standing(chain, header.chain, header.sequence, case.delta.id)
        for chain in (case.leaf, case.writer)
        if chain is not None
    ]
    return not any(isinstance(standing, Sealed) for standing in standings)


def _is_not_forked(case: _Case) -> bool:
    header, leaf = case.delta.header, case.leaf
    return leaf is not None and not any(
        chain == header.chain and header.sequence >= at and leaf.generation <= generation
        for (chain, generation), at in case.forks.items()
    )


def _is_signed(case: _Case) -> bool:
    return case.leaf is not None and _is_signed_by(case.delta, case.leaf)


def _is_signed_by(delta: Delta, leaf: Chain) -> bool:
    subject = delta.signed_subject()
    return subject is not None and verify(leaf.key, *subject, delta.proof.signature)


def _is_receipt_signed(case: _Case) -> bool:
    proof, writer = case.receipt, case.writer
    if proof is None or writer is None:
        return False
    return verify(writer.key, Receipt.LABEL, proof.subject, proof.signature)


def _has_own_body(case: _Case) -> bool:
    delta = case.delta
    return not delta.body or commitment_of(delta.body) == delta.header.commitment


def _continues(case: _Case) -> bool:
    header, before = case.delta.header, case.before
    if header.sequence == 1:
        return header.previous == ZERO_DIGEST
    return before is None or (header.previous == before.id and header.hlc > before.header.hlc)


CHECKS: Final[tuple[tuple[int, str, _Check], ...]] = (
    (1, "malformed", _is_decoded),
    (3, "wrong_federation", _is_of_federation),
    (5, "bad_namespace", _has_namespace),
    (6, "receipt_missing", _has_receipt),
    (9, "chain_unknown", _has_chains),
    (5, "not_covered", _is_covered),
    (6, "receipt_foreign", _is_writers_receipt),
    (6, "leaf_not_valid", _was_leaf_valid),
    (6, "writer_not_valid", _was_writer_valid),
    (6, "stamp_ahead", _is_stamp_before_admission),
    (6, "from_the_future", _is_past),
    (8, "revoked", _is_not_revoked),
    (8, "quarantined", _is_not_forked),
    (10, "forged_signature", _is_signed),
    (10, "forged_receipt", _is_receipt_signed),
    (10, "body_mismatch", _has_own_body),
    (11, "broken_chain", _continues),
)


@dataclass(slots=True)
class _Forgets:
    """Valid forgets of the evidence, by target."""

    by_target: dict[bytes, list[tuple[Delta, bool]]] = field(default_factory=dict)

    def take(self, case: _Case) -> None:
        delta, leaf = case.delta, case.leaf
        if delta.header.kind != Kind.FORGET or not delta.body or leaf is None:
            return
        body = _body_of(delta)
        region = case.writer.region if case.writer else ""
        is_any = leaf.allows(FORGET_ANY, delta.header.namespace, region, case.admitted_at_ms)
        for target in body.targets if isinstance(body, ForgetBody) else ():
            self.by_target.setdefault(target, []).append((delta, is_any))

    def bind(self, delta: Delta) -> bool:
        if delta.header.kind == Kind.FORGET:
            return False
        return any(
            forget.header.namespace == delta.header.namespace
            and (is_any or forget.header.author == delta.header.author)
            for forget, is_any in self.by_target.get(delta.id, ())
        )


def proven_forks(trust: TrustState, proofs: Iterable[ForkProof], deltas: Sequence[Delta]) -> Forks:
    """The forks that proofs, or the deltas themselves, show with two valid signatures."""
    forks: Forks = {}
    for proof in (*proofs, *_forks_among(deltas)):
        generation = _forked_generation(trust, proof)
        if generation is not None:
            key = (proof.chain, generation)
            forks[key] = min(proof.sequence, forks.get(key, proof.sequence))
    return forks


def _forks_among(deltas: Sequence[Delta]) -> Iterable[ForkProof]:
    first: dict[tuple[bytes, int], Delta] = {}
    for delta in deltas:
        other = first.setdefault((delta.header.chain, delta.header.sequence), delta)
        if other.id != delta.id and other.header.federation == delta.header.federation:
            yield fork_proof(delta, other)


def _forked_generation(trust: TrustState, proof: ForkProof) -> int | None:
    generations: list[int] = []
    for delta in (proof.first, proof.second):
        leaf = trust.chain_of(RecordId(delta.header.leaf))
        if leaf is None or leaf.identity != delta.header.author:
            return None
        if delta.header.federation != trust.federation or not _is_signed_by(delta, leaf):
            return None
        generations.append(leaf.generation)
    return generations[0] if generations[0] == generations[1] else None


def judge_deltas(
    trust: TrustState, deltas: Sequence[Delta], forks: Forks, now_ms: int
) -> tuple[DeltaReport, ...]:
    """One report a delta, in the order given; what is refused is no link of a chain."""
    forgets = _Forgets()
    judged: list[tuple[_Case, tuple[int, str] | None]] = []
    last_good: dict[tuple[bytes, int], Delta] = {}
    for delta in sorted(deltas, key=lambda each: each.header.sequence):
        header = delta.header
        case = _Case(
            delta, trust, forks, now_ms, last_good.get((header.chain, header.sequence - 1))
        )
        refusal = next(((n, reason) for n, reason, holds in CHECKS if not holds(case)), None)
        if refusal is None:
            last_good[header.chain, header.sequence] = delta
            forgets.take(case)
        judged.append((case, refusal))
    reports = {case.delta.id: _report(case, refusal, forgets) for case, refusal in judged}
    return tuple(reports[delta.id] for delta in deltas)


def _report(case: _Case, refusal: tuple[int, str] | None, forgets: _Forgets) -> DeltaReport:
    header = case.delta.header
    verdict, (step, reason) = _verdict(case, refusal, forgets)
    return DeltaReport(
        case.delta.id.hex(),
        verdict,
        step,
        reason,
        header.namespace,
        header.sequence,
        Kind(header.kind).name.lower(),
        case.leaf.name if case.leaf else "",
        case.leaf.org_name if case.leaf else "",
        case.writer.name if case.writer else "",
        case.admitted_at_ms,
        header.sequence == 1 or case.before is not None,
        _text_of(case.delta) if verdict == "valid" else "",
    )


def _verdict(
    case: _Case, refusal: tuple[int, str] | None, forgets: _Forgets
) -> tuple[str, tuple[int, str]]:
    if refusal is not None:
        return "refused", refusal
    header, proof = case.delta.header, case.receipt
    if proof and (proof.receipt.epochs, proof.receipt.lease) != (header.epochs, header.lease):
        return "void", (7, "wrong_epoch")
    return ("forgotten" if forgets.bind(case.delta) else "valid"), (0, "")


def _body_of(delta: Delta) -> object:
    try:
        return parse_body_untrusted(delta.header.kind, delta.body)
    except MalformedFrame:
        return None


def _text_of(delta: Delta) -> str:
    try:
        body = parse_body_untrusted(delta.header.kind, delta.body) if delta.body else None
    except MalformedFrame:
        return ""
    return searchable_text(body) if body else ""
