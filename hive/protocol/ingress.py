"""Ingress: steps 0–13, the only way in (P1).

Theory of operation. A delta arrives as bytes, from a peer or from this node's own authors. The
checks below run in the order of `STEPS`, cheap first; the numbers are the same in DESIGN, in
`refusals`, in metrics and in tests. Steps 0–9 judge without a signature (`begin`), the driver
verifies what step 10 needs, and steps 10–13 conclude (`conclude`).

    0  session, budget, frame cap          7  epochs and lease          (void)
    1  typed decode                        8  freshness, revocations, seals, forks
    2  canonical form                      9  chain of records known and verified
    3  label, version, federation         10  signatures, body against commitment
    4  not in the verified-seen set       11  continues its log, else gap or fork
    5  namespace, capability, region      12  law                       (void)
    6  receipt, validity window, clock    13  durability; 7 and 8 again

Time-dependent steps use the receipt's inputs for deltas from peers and this node's own now only
for deltas that it admits itself, so all honest peers reach one verdict whenever they hear of a
delta (P9). A verdict is one of: `Passed`, `Refusal` (never stored, never forwarded), `Waiting`
(a piece is missing and asked for), `Voided` (validly signed and in position, refused for law or
epoch: kept as a header without effect), `Forked`, `BodyBrought` (a held delta gets its body).

A check is a plain function in the tuple `STEPS`; the product composes that tuple and nothing else.
Tests compose others to prove that each check bites.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from hive.errors import MalformedFrame
from hive.memory.delta import (
    ACTION_OF,
    Header,
    commitment_of,
    decode_delta_typed,
    id_in_untrusted,
    is_delta_canonical,
)
from hive.memory.log import Continuation, State, continuation
from hive.memory.receipt import Receipt, parse_receipt_untrusted
from hive.protocol import refusals
from hive.protocol.capacity import budget_lasts, frame_is_small, quota_lasts, session_is_live
from hive.protocol.judgement import (
    PASSED,
    Arrival,
    BodyBrought,
    Forked,
    Judgement,
    Passed,
    Step,
    Verdict,
    View,
    Voided,
    Waiting,
)
from hive.protocol.locality import (
    namespace_is_well_formed,
    region_is_admissible,
    residency_is_lawful,
)
from hive.protocol.machine import Check
from hive.protocol.refusals import Refusal
from hive.trust.chain import Chain
from hive.trust.verdicts import Sealed
from hive.wire.clock import HLC_AHEAD_MS_MAX, MILLISECOND_US, Now, is_too_far_ahead
from hive.wire.ids import Digest, RecordId

FIRST_CONCLUDING_STEP: Final = 10
LAST_STEP: Final = 13


# ── 1 · typed decode  2 · canonical form  3 · label, version, federation ───────────────────


def decodes(judgement: Judgement, view: View) -> Verdict | None:
    try:
        undecoded = decode_delta_typed(judgement.arrival.untrusted)
        delta = undecoded.delta
        judgement.undecoded, judgement.delta, judgement.header = undecoded, delta, delta.header
        if delta.receipt:
            judgement.receipt = parse_receipt_untrusted(delta.receipt)
    except MalformedFrame as error:
        return Refusal(refusals.MALFORMED, str(error))
    return None


def is_canonical(judgement: Judgement, view: View) -> Verdict | None:
    assert judgement.undecoded is not None
    if is_delta_canonical(judgement.arrival.untrusted, judgement.undecoded):
        return None
    return Refusal(refusals.NOT_CANONICAL)


def label_is_ours(judgement: Judgement, view: View) -> Verdict | None:
    assert judgement.undecoded is not None
    if judgement.undecoded.plain_header[:2] == (Header.LABEL, Header.VERSION):
        return None
    return Refusal(refusals.WRONG_LABEL)


def federation_is_ours(judgement: Judgement, view: View) -> Verdict | None:
    if judgement.header.federation == view.federation:
        return None
    return Refusal(refusals.WRONG_FEDERATION)


# ── 4 · not in the verified-seen set ───────────────────────────────────────────────────────


def is_new(judgement: Judgement, view: View) -> Verdict | None:
    """Chains have no holes, so nothing is held above the head of its own."""
    delta, header = judgement.delta, judgement.header
    head = view.store.head(header.chain)
    if head is None or header.sequence > head.sequence:
        return None
    held = view.store.delta(delta.id)
    if held is None:
        return None
    state = view.store.state(delta.id)
    if state is State.LIVE and not held.body and delta.body:
        fits = commitment_of(delta.body) == delta.header.commitment
        return BodyBrought() if fits else Refusal(refusals.BODY_MISMATCH)
    if state is State.VOID and delta.receipt != held.receipt:
        return None
    return Refusal(refusals.DUPLICATE)


# ── 5 · namespace grammar; the leaf covers namespace, action, region ───────────────────────


def records_are_resolved(judgement: Judgement, view: View) -> Verdict | None:
    """Finds the chains that are cached; step 9 asks for the others and comes back here."""
    judgement.leaf = view.trust.chain_of(RecordId(judgement.header.leaf))
    judgement.writer = view.trust.chain_of(_writer_record(judgement, view))
    judgement.snapshot = view.snapshot
    return None


def leaf_covers(judgement: Judgement, view: View) -> Verdict | None:
    header = judgement.header
    leaf, writer = judgement.leaf, judgement.writer
    if leaf is None or writer is None:
        return None
    if leaf.kind not in ("agent", "session") or leaf.identity != header.author:
        return Refusal(refusals.NOT_COVERED, "the leaf is not a record of the author")
    action = ACTION_OF[header.kind]
    if any(
        capability.allows(action, header.namespace, writer.region, judgement.admitted_at_ms)
        for capability in leaf.capabilities
    ):
        return None
    return Refusal(refusals.NOT_COVERED, f"{leaf.name} in {header.namespace}")


def _writer_record(judgement: Judgement, view: View) -> RecordId:
    if judgement.receipt is not None:
        return RecordId(judgement.receipt.receipt.node_record)
    return view.writer_record()


# ── 6 · receipt, validity window, clocks ───────────────────────────────────────────────────


def receipt_is_there(judgement: Judgement, view: View) -> Verdict | None:
    if judgement.is_own or judgement.receipt is not None:
        return None
    return Refusal(refusals.RECEIPT_MISSING)


def receipt_is_the_writers(judgement: Judgement, view: View) -> Verdict | None:
    header, proof, writer = judgement.header, judgement.receipt, judgement.writer
    if writer is not None and (writer.kind != "node" or writer.identity != header.writer):
        return Refusal(refusals.RECEIPT_FOREIGN, "not admitted by the writer")
    if proof is None:
        return None
    is_same = proof.receipt.federation == view.federation and proof.receipt.node == header.writer
    if is_same and proof.covers(judgement.delta.id):
        return None
    return Refusal(refusals.RECEIPT_FOREIGN)


def leaf_was_valid(judgement: Judgement, view: View) -> Verdict | None:
    leaf, stamp_ms = judgement.leaf, judgement.header.hlc >> 16
    if leaf is None:
        return None
    if leaf.is_valid_at(judgement.admitted_at_ms) and leaf.is_valid_at(stamp_ms):
        return None
    return Refusal(refusals.LEAF_NOT_VALID, leaf.name)


def writer_was_valid(judgement: Judgement, view: View) -> Verdict | None:
    writer = judgement.writer
    if writer is None or writer.is_valid_at(judgement.admitted_at_ms):
        return None
    return Refusal(refusals.WRITER_NOT_VALID, writer.name)


def stamp_fits_admission(judgement: Judgement, view: View) -> Verdict | None:
    if judgement.header.hlc >> 16 <= judgement.admitted_at_ms + HLC_AHEAD_MS_MAX:
        return None
    return Refusal(refusals.STAMP_AHEAD)


def is_not_from_the_future(judgement: Judgement, view: View) -> Verdict | None:
    wall_us = judgement.now.wall_us
    ahead_us = judgement.admitted_at_ms * MILLISECOND_US - wall_us
    if is_too_far_ahead(judgement.header.stamp, wall_us):
        return Refusal(refusals.FROM_THE_FUTURE)
    if ahead_us > HLC_AHEAD_MS_MAX * MILLISECOND_US:
        return Refusal(refusals.FROM_THE_FUTURE)
    due_us = max(judgement.admitted_at_ms, judgement.header.hlc >> 16) * MILLISECOND_US
    if not judgement.is_own and due_us > wall_us:
        return Waiting(refusals.FROM_THE_FUTURE, until_us=due_us)
    return None


def own_clock_is_sane(judgement: Judgement, view: View) -> Verdict | None:
    if not judgement.is_own or not view.freshness.is_clock_ahead(judgement.now):
        return None
    return Refusal(refusals.CLOCK_AHEAD)


# ── 7 · epochs and the writer's lease ──────────────────────────────────────────────────────


def epochs_are_in_force(judgement: Judgement, view: View) -> Verdict | None:
    header = judgement.header
    if judgement.receipt is not None:
        receipt = judgement.receipt.receipt
        if (receipt.epochs, receipt.lease) != (header.epochs, header.lease):
            return Voided(refusals.WRONG_EPOCH)
    if view.epochs.permits(header.epochs, header.lease):
        return None
    return Voided(refusals.WRONG_EPOCH)


# ── 8 · freshness, revocations, seals, forks ───────────────────────────────────────────────


def is_fresh(judgement: Judgement, view: View) -> Verdict | None:
    if not judgement.is_own or view.freshness.is_fresh(judgement.now):
        return None
    age_s = view.freshness.age_us(judgement.now) // 1_000_000
    return Refusal(refusals.NOT_FRESH, f"the newest statement is {age_s} s old")


def is_not_revoked(judgement: Judgement, view: View) -> Verdict | None:
    header = judgement.header
    if not view.trust.revocation_index:
        return None
    for chain in (judgement.leaf, judgement.writer):
        if chain is None:
            continue
        standing = view.trust.standing(chain, header.chain, header.sequence, judgement.delta.id)
        if isinstance(standing, Sealed):
            return Refusal(refusals.REVOKED, standing.reason)
    return None


def is_not_quarantined(judgement: Judgement, view: View) -> Verdict | None:
    header, leaf = judgement.header, judgement.leaf
    if leaf is None:
        return None
    if judgement.is_own and view.quarantine.has_author(leaf.identity, leaf.generation):
        return Refusal(refusals.QUARANTINED)
    if view.quarantine.excludes(header.chain, header.sequence, leaf.generation):
        return Refusal(refusals.QUARANTINED)
    return None


# ── 9 · the chains of author and writer ────────────────────────────────────────────────────


def chains_are_known(judgement: Judgement, view: View) -> Verdict | None:
    missing = []
    for chain, record in (
        (judgement.leaf, RecordId(judgement.header.leaf)),
        (judgement.writer, _writer_record(judgement, view)),
    ):
        if chain is not None:
            continue
        sender = judgement.arrival.sender
        if sender is not None and (sender, record) in view.refused_leaves:
            return Refusal(refusals.CHAIN_REFUSED)
        missing.append(record)
    return Waiting(refusals.CHAIN_UNKNOWN, records=tuple(missing)) if missing else None


# ── 10 · signatures, then the body against its commitment ──────────────────────────────────


def is_signed_by_author(judgement: Judgement, view: View) -> Verdict | None:
    return None if judgement.is_signed else Refusal(refusals.FORGED_SIGNATURE)


def receipt_is_signed(judgement: Judgement, view: View) -> Verdict | None:
    if judgement.receipt is None or judgement.is_receipt_signed:
        return None
    return Refusal(refusals.FORGED_RECEIPT)


def body_fits(judgement: Judgement, view: View) -> Verdict | None:
    delta = judgement.delta
    if not delta.body or commitment_of(delta.body) == delta.header.commitment:
        return None
    return Refusal(refusals.BODY_MISMATCH)


# ── 11 · continues its log ─────────────────────────────────────────────────────────────────


def continues_log(judgement: Judgement, view: View) -> Verdict | None:
    delta = judgement.delta
    chain, sequence = delta.header.chain, delta.header.sequence
    head = view.store.head(chain)
    held_here = view.store.at(chain, sequence) if head and sequence <= head.sequence else None
    match continuation(delta, head, held_here):
        case Continuation.NEXT:
            return None
        case Continuation.GAP:
            return Waiting(refusals.GAP)
        case Continuation.FORK:
            assert held_here is not None
            return Forked(held_here)
        case Continuation.BROKEN:
            return Refusal(refusals.BROKEN_CHAIN)
        case Continuation.HELD:
            if view.store.state(delta.id) is State.VOID:
                return None
            return is_new(judgement, view) or Refusal(refusals.DUPLICATE)


# ── 12 · law   13 · durability; 7 and 8 again ──────────────────────────────────────────────


def law_allows(judgement: Judgement, view: View) -> Verdict | None:
    region = judgement.writer.region if judgement.writer else ""
    return Voided(refusals.LAW_DENIED) if view.law.denial(judgement.delta, region) else None


def durability_is_met(judgement: Judgement, view: View) -> Verdict | None:
    if view.durability.is_met(judgement.header.namespace, 1):
        return None
    return Refusal(refusals.DURABILITY_NOT_MET)


def law_still_holds(judgement: Judgement, view: View) -> Verdict | None:
    """7 and 8 once more, for a write that this node is about to acknowledge."""
    if not judgement.is_own:
        return None
    for check in (epochs_are_in_force, is_fresh, is_not_revoked, is_not_quarantined):
        if check(judgement, view) is not None:
            return Refusal(refusals.LAW_CHANGED)
    return None


STEPS: Final[tuple[Step, ...]] = (
    Step(0, "session", session_is_live),
    Step(0, "frame cap", frame_is_small),
    Step(0, "budget", budget_lasts),
    Step(1, "typed decode", decodes),
    Step(2, "canonical form", is_canonical),
    Step(3, "label and version", label_is_ours),
    Step(3, "federation", federation_is_ours),
    Step(4, "verified-seen set", is_new),
    Step(5, "namespace grammar", namespace_is_well_formed),
    Step(5, "own region", region_is_admissible),
    Step(5, "residency by law", residency_is_lawful),
    Step(5, "records", records_are_resolved),
    Step(5, "capability", leaf_covers),
    Step(6, "receipt present", receipt_is_there),
    Step(6, "receipt by writer", receipt_is_the_writers),
    Step(6, "leaf validity", leaf_was_valid),
    Step(6, "writer validity", writer_was_valid),
    Step(6, "stamp against admission", stamp_fits_admission),
    Step(6, "future", is_not_from_the_future),
    Step(6, "own clock", own_clock_is_sane),
    Step(7, "epochs and lease", epochs_are_in_force),
    Step(8, "freshness", is_fresh),
    Step(8, "revocations and seals", is_not_revoked),
    Step(8, "quarantine", is_not_quarantined),
    Step(9, "chains", chains_are_known),
    Step(10, "author's signature", is_signed_by_author),
    Step(10, "receipt's signature", receipt_is_signed),
    Step(10, "body", body_fits),
    Step(11, "log", continues_log),
    Step(12, "law", law_allows),
    Step(13, "quota", quota_lasts),
    Step(13, "durability", durability_is_met),
    Step(13, "7 and 8 again", law_still_holds),
)


class Ingress:
    """Runs the steps over judgements.

    `sift` is steps 0 and 4 for what came before and is held whole: most of what gossip brings
    again, told by one hash each.
    """

    def __init__(self, view: View, steps: tuple[Step, ...]) -> None:
        self.view = view
        self._opening = tuple(s.run for s in steps if s.number < FIRST_CONCLUDING_STEP)
        self._concluding = tuple(s.run for s in steps if s.number >= FIRST_CONCLUDING_STEP)
        self._acknowledging = tuple(s.run for s in steps if s.number == LAST_STEP)
        self._repeated = tuple(s.run for s in steps if 5 <= s.number < FIRST_CONCLUDING_STEP)
        self._sifts = any(step.run is is_new for step in steps)

    def sift(self, arrivals: Sequence[Arrival], now: Now) -> tuple[Sequence[Arrival], int]:
        """The arrivals of one sender that must be judged, and how many others were duplicates."""
        sender = arrivals[0].sender
        if not self._sifts or sender is None or not self.view.sessions(sender):
            return arrivals, 0
        whole = self.view.store.are_whole([id_in_untrusted(one.untrusted) for one in arrivals])
        if not any(whole):
            return arrivals, 0
        size = sum(
            [len(one.untrusted) for one, is_whole in zip(arrivals, whole, strict=True) if is_whole]
        )
        if self.view.budgets.pay(sender, size, 0, now.monotonic_us) is not None:
            return arrivals, 0
        return [one for one, is_whole in zip(arrivals, whole, strict=True) if not is_whole], sum(
            whole
        )

    def begin(self, arrival: Arrival, now: Now) -> tuple[Judgement, Verdict]:
        """Steps 0–9. `Passed` or `Voided`: what must be verified stands in the judgement."""
        judgement = Judgement(arrival, now)
        verdict = self._run(self._opening, judgement)
        if isinstance(verdict, Passed | Voided):
            self._require_signatures(judgement)
        return judgement, verdict

    def conclude(self, judgement: Judgement, now: Now) -> Verdict:
        """Steps 10–13; steps 5–9 first where trust or quarantine moved since `begin`."""
        judgement.now = now
        if judgement.snapshot != self.view.snapshot:
            judgement.void = None
            verdict = self._run(self._repeated, judgement)
            if not isinstance(verdict, Passed | Voided):
                return verdict
        return self._run(self._concluding, judgement)

    def acknowledge(self, judgement: Judgement) -> Verdict:
        """Step 13 once more, with the receipt in hand, just before a write is acknowledged."""
        return self._run(self._acknowledging, judgement)

    def _run(
        self, checks: tuple[Callable[[Judgement, View], Verdict | None], ...], judgement: Judgement
    ) -> Verdict:
        """The first verdict that is not "go on"; a void is remembered and goes on."""
        for check in checks:
            verdict = check(judgement, self.view)
            if verdict is None:
                continue
            if not isinstance(verdict, Voided):
                return verdict
            judgement.void = judgement.void or verdict
        return judgement.void or PASSED

    def _require_signatures(self, judgement: Judgement) -> None:
        """Step 10's signatures: the author's, and the receipt's where there is one."""
        leaf, writer = judgement.leaf, judgement.writer
        subject = judgement.delta.signed_subject(judgement.root_by_receipt())
        if leaf is not None and subject is not None:
            signature = judgement.delta.proof.signature
            judgement.author_check = _check(leaf, *subject, signature)
        if judgement.receipt is not None and writer is not None:
            proof = judgement.receipt
            judgement.receipt_check = _check(writer, Receipt.LABEL, proof.subject, proof.signature)


def _check(chain: Chain, label: str, subject: Digest, signature: bytes) -> Check:
    return Check(chain.key.algorithm, chain.key.octets, label, subject, signature)
