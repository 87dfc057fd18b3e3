"""One real attack for every way an ingress step can refuse, with what stops it.

A case runs the attack against a gate and says whether it succeeded. `removed` names the checks
that stop it; where several back each other up (defence in depth) all of them are named and `also`
says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack
from ingress_gate import ADMITTED_MS, SENDER, START_MS, Gate, Pen, with_step, without

from hive.memory.delta import Delta, Header, Proof, Undecoded
from hive.memory.receipt import parse_receipt_untrusted
from hive.protocol.budget import BudgetConfig
from hive.protocol.judgement import (
    Judgement,
    Step,
    View,
)
from hive.protocol.ports import Truncate
from hive.protocol.quota import QuotaConfig
from hive.trust.capability import FOREVER_MS, RECALL, REMEMBER, Capability
from hive.trust.chain import STEPS as TRUST_STEPS
from hive.trust.envelope import sign_record
from hive.trust.issuing import issue_agent
from hive.trust.keys import ED25519, PublicKey
from hive.trust.records import AGENT_LIFE_MS, SealEntry
from hive.trust.revocation import COMPROMISED, make_revocation
from hive.trust.state import TrustState
from hive.trust.verdicts import Reason
from hive.wire.codec import encode
from hive.wire.ids import DeltaId, FederationId, Inception, PeerId, digest
from tests.protocol.peer.peer_federation import NOW_MS, key

Attack = Callable[[Gate], bool]


@dataclass(frozen=True)
class Case:
    """An attack, the reason that refuses it, and its mutation twin."""

    name: str
    code: str
    attack: Attack
    twin: tuple[Step, ...]
    gate: dict[str, Any] = field(default_factory=dict)
    twin_gate: dict[str, Any] = field(default_factory=dict)
    also: str = ""


CASES: list[Case] = []


def case(code: str, *removed: str, also: str = "", **options: Any) -> Callable[[Attack], Attack]:
    """Registers an attack; its name is the function's."""

    def register(attack: Attack) -> Attack:
        twin = options.pop("twin", None) or without(*removed)
        name = attack.__name__.replace("_", " ")
        CASES.append(Case(name, code, attack, twin, also=also, **options))
        return attack

    return register


def succeeds(gate: Gate, *deltas: Delta) -> bool:
    """Sends them one by one; whether the last came through."""
    for delta in deltas:
        gate.send(delta)
    return gate.is_live(deltas[-1])


# 0


@case("no_session", "session")
def bytes_over_a_link_without_a_session(gate: Gate) -> bool:
    delta = gate.pen().write()
    gate.send(delta, sender=PeerId(b"x" * 20))
    return gate.is_live(delta)


_POOR = BudgetConfig(verifications_per_second=1, burst_seconds=1)


@case("over_budget", "budget", gate={"budget": _POOR}, twin_gate={"budget": _POOR})
def a_flood_beyond_the_budget(gate: Gate) -> bool:
    first = gate.pen().write()
    return succeeds(gate, first, gate.pen().write("more", after=first))


_SHARED = BudgetConfig(verifications_per_second=1, burst_seconds=1, org_multiple=1)


@case("crowded", "budget", gate={"budget": _SHARED}, twin_gate={"budget": _SHARED})
def a_flood_by_many_peers_of_one_organisation(gate: Gate) -> bool:
    other = PeerId(b"t" * 20)
    gate.view.sessions = lambda peer: peer in (SENDER, other)
    for peer in (SENDER, other):
        now = gate.now().monotonic_us
        gate.view.budgets.place(peer, Inception(bytes(32)), "10.0.0.0/24", now)
    first = gate.pen().write()
    gate.send(first, sender=other)
    return succeeds(gate, gate.pen().write("more", after=first))


@case("shunned", "budget")
def a_peer_that_sent_one_forgery_after_another(gate: Gate) -> bool:
    good = gate.pen().write()
    for _ in range(30):
        gate.send(replace(good, proof=replace(good.proof, signature=bytes(64))))
    return succeeds(gate, good)


def _decodes_anything(judgement: Judgement, view: View) -> None:
    """Step 1 without arity, types and sizes: msgpack and nothing else."""
    envelope = msgpack.unpackb(judgement.arrival.untrusted, use_list=False)
    header_bytes, proof, body, receipt = envelope
    plain = msgpack.unpackb(header_bytes, use_list=False)
    header = Header(*plain[2:])
    id = DeltaId(digest(plain[0], header_bytes))
    delta = Delta(id, header, header_bytes, Proof(*proof), body, receipt)
    judgement.undecoded = Undecoded(delta, envelope, plain)
    judgement.delta, judgement.header = delta, header
    judgement.receipt = parse_receipt_untrusted(receipt)


@case(
    "frame_too_large",
    twin=with_step("typed decode", _decodes_anything, "frame cap"),
    also="the typed decode has bounds of its own",
)
def a_body_of_a_megabyte(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write(body=_Plain(bytes(1 << 20))))  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Plain:
    octets: bytes

    def to_body(self) -> bytes:
        return self.octets


# 1, 2, 3


def _unchecked(header: Header) -> bytes:
    return encode((Header.LABEL, Header.VERSION, *header.to_plain()))


@case("malformed", twin=with_step("typed decode", _decodes_anything))
def more_parents_than_the_format_has_room_for(gate: Gate) -> bool:
    parents = tuple(bytes([n]) * 32 for n in range(33))
    return succeeds(gate, gate.pen().write(parents=parents, encode_header=_unchecked))


@case(
    "malformed",
    twin=with_step("typed decode", _decodes_anything, "own region", "residency by law"),
)
def a_region_name_longer_than_its_bound(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write(residency=("r" * 65,), encode_header=_unchecked))


def _wide(header: Header) -> bytes:
    """The sequence in nine bytes where one says the same."""
    plain = header.to_body()
    before = (Header.LABEL, Header.VERSION, *header.to_plain()[:5])
    at = 3 + sum(len(encode(each)) for each in before)
    assert plain[at] == header.sequence
    return plain[:at] + b"\xcf" + header.sequence.to_bytes(8, "big") + plain[at + 1 :]


@case("not_canonical", "canonical form")
def one_content_under_a_second_id_by_an_over_wide_integer(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write(encode_header=_wide))


@case("not_canonical", "canonical form")
def an_envelope_with_an_over_wide_integer_around_signed_bytes(gate: Gate) -> bool:
    delta = gate.pen().write()
    narrow, wide = encode(delta.proof.to_plain()), b"\x94" + encode(delta.proof.signature)
    envelope = delta.to_bytes().replace(narrow, wide + b"\xcc\x00\x00\x90")
    assert envelope != delta.to_bytes()
    gate.send(envelope)
    return gate.is_live(delta)


@case("wrong_label", "label and version")
def a_delta_of_another_version(gate: Gate) -> bool:
    def versioned(header: Header) -> bytes:
        return encode((Header.LABEL, 2, *header.to_plain()))

    return succeeds(gate, gate.pen().write(encode_header=versioned))


@case("wrong_federation", "federation")
def a_replay_under_another_federation(gate: Gate) -> bool:
    other = FederationId(digest("test", b"another federation"))
    ours = {"federation": gate.federation.id}
    return succeeds(gate, gate.pen().write(federation=other, receipt_changes=ours))


# 4


@case("duplicate", "verified-seen set", "log", also="a held position is no news to step 11 either")
def the_same_delta_twice(gate: Gate) -> bool:
    delta = gate.pen().write()
    gate.send(delta)
    gate.send(delta)
    return gate.admitted == [delta.id, delta.id]


# 5


@case("bad_namespace", "namespace grammar")
def a_namespace_in_capitals(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write(namespace="acme/NOTES"))


@case("bad_namespace", "namespace grammar")
def a_namespace_with_an_empty_segment(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write(namespace="acme//notes"))


@case("not_covered", "capability")
def a_write_in_another_organisations_namespace(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write(namespace="bell/secrets"))


def _agent_with(gate: Gate, *capabilities: Capability) -> Pen:
    return gate.pen(gate.acme.agent("narrow", capabilities=capabilities))


@case("not_covered", "capability")
def a_namespace_that_only_begins_like_the_prefix(gate: Gate) -> bool:
    narrow = Capability("acme/eu", REMEMBER, (), (), FOREVER_MS)
    return succeeds(gate, _agent_with(gate, narrow).write(namespace="acme/europe"))


@case("not_covered", "capability")
def an_action_that_was_not_given(gate: Gate) -> bool:
    narrow = Capability("acme", RECALL, (), (), FOREVER_MS)
    return succeeds(gate, _agent_with(gate, narrow).write())


@case("not_covered", "capability")
def a_region_that_was_not_given(gate: Gate) -> bool:
    narrow = Capability("acme", REMEMBER, ("us",), (), FOREVER_MS)
    return succeeds(gate, _agent_with(gate, narrow).write())


@case("not_covered", "capability")
def a_record_of_somebody_else(gate: Gate) -> bool:
    thief, victim = gate.acme.agent("thief"), gate.acme.agent("victim")
    gate.knows(victim)
    pen = gate.pen(thief)
    return succeeds(gate, pen.write(author=victim.record.inception))


@case("outside_residency", "own region", "residency by law", also="the law names no regions either")
def a_delta_whose_author_signed_that_it_stays_elsewhere(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write(residency=("us",)))


@case("residency_unlawful", "residency by law")
def regions_that_the_law_does_not_name(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write(residency=("eu",)))


# 6


@case("receipt_missing", "receipt present")
def a_delta_through_a_node_that_never_admitted_it(gate: Gate) -> bool:
    return succeeds(gate, gate.own_pen().write(has_receipt=False))


@case("receipt_foreign", "receipt by writer")
def a_receipt_by_another_node(gate: Gate) -> bool:
    bell = gate.bell.node("bell-1", "eu")
    gate.knows(bell)
    changes = {"node": bell.record.inception, "node_record": bell.id}
    delta = gate.pen().write(receipt_changes=changes, receipt_key=key("bell-1"))
    return succeeds(gate, delta)


@case("receipt_foreign", "receipt by writer")
def a_receipt_of_another_delta(gate: Gate) -> bool:
    pen = gate.pen()
    return succeeds(gate, pen.write("unseen by its node", receipt_of=[pen.write("seen")]))


@case("leaf_not_valid", "leaf validity")
def an_expired_agent(gate: Gate) -> bool:
    expired = gate.acme.agent("ann", now_ms=START_MS - AGENT_LIFE_MS - 10_000)
    gate.knows(expired)
    expired_pen = gate.pen(expired, is_known=False, node=_known_node(gate))
    return succeeds(gate, expired_pen.write())


def _known_node(gate: Gate, **changes: Any) -> Any:
    node = gate.acme.node("acme-1", "eu", **changes)
    gate.knows(node)
    return node


@case("leaf_not_valid", "leaf validity")
def a_stamp_before_the_agents_record_began(gate: Gate) -> bool:
    agent = gate.acme.agent("ann", now_ms=START_MS - 10_000)
    return succeeds(gate, gate.pen(agent).write(hlc=(START_MS - 20_000) << 16))


@case("writer_not_valid", "writer validity")
def an_expired_node(gate: Gate) -> bool:
    node = _known_node(gate, now_ms=START_MS - 24 * 3_600_000 - 10_000)
    return succeeds(gate, gate.pen(node=node).write())


@case("stamp_ahead", "stamp against admission")
def a_stamp_after_its_own_admission(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write(hlc=START_MS << 16, admitted_at_ms=START_MS - 6_000))


@case("from_the_future", "future")
def a_delta_of_ten_minutes_ahead(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write(admitted_at_ms=START_MS + 600_000))


@case(
    "clock_ahead",
    "own clock",
    "freshness",
    "7 and 8 again",
    also="what looks old to a clock ahead is not fresh either",
)
def an_own_write_with_a_clock_ten_minutes_ahead(gate: Gate) -> bool:
    for _ in range(2):
        gate.state_fresh(at_ms=START_MS - 600_000)
    delta = gate.own_pen().write(has_receipt=False)
    return bool(gate.submit(delta).admitted)


# 7, 8


@case("wrong_epoch", "epochs and lease")
def a_delta_under_an_epoch_that_is_not_in_force(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write(epochs=(2,)))


@case("wrong_epoch", "epochs and lease")
def a_receipt_under_another_epoch_than_its_delta(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write(receipt_changes={"epochs": (1, 2)}))


@case("not_fresh", "freshness", "7 and 8 again", also="step 13 asks step 8 once more")
def an_own_write_when_no_statement_was_heard(gate: Gate) -> bool:
    return bool(gate.submit(gate.own_pen().write(has_receipt=False)).admitted)


def _revoke(gate: Gate, signed: Any, signer: Any, *keys: Any, seal: Any = ()) -> None:
    record = signed.record
    revocation = make_revocation(
        federation=gate.federation.id,
        org=Inception(gate.acme.record.record.inception),
        signer_record=signer.id,
        subject=Inception(record.inception),
        generation=record.generation,
        reason=COMPROMISED,
        at_ms=ADMITTED_MS,
        seal=seal,
    )
    gate.knows(sign_record(revocation, *keys))


@case("revoked", "revocations and seals")
def a_revoked_agent(gate: Gate) -> bool:
    pen = gate.pen()
    _revoke(gate, pen.agent, gate.acme.issuer, gate.acme.issuer_key)
    return succeeds(gate, pen.write())


@case("revoked", "revocations and seals")
def a_revoked_node(gate: Gate) -> bool:
    pen = gate.pen()
    _revoke(gate, pen.node, gate.acme.issuer, gate.acme.issuer_key)
    return succeeds(gate, pen.write())


@case("revoked", "revocations and seals")
def an_agent_of_a_revoked_issuer(gate: Gate) -> bool:
    pen = gate.pen()
    _revoke(gate, gate.acme.issuer, gate.acme.record, key("acme-org"))
    return succeeds(gate, pen.write())


@case("revoked", "revocations and seals")
def a_delta_beyond_the_seal(gate: Gate) -> bool:
    pen = gate.pen()
    good = pen.write("good")
    seal = (SealEntry(good.header.chain, 1, good.id),)
    _revoke(gate, pen.agent, gate.acme.issuer, gate.acme.issuer_key, seal=seal)
    gate.send(good)
    assert gate.is_live(good)
    return succeeds(gate, pen.write("bad", after=good))


@case("revoked", "revocations and seals")
def another_delta_than_the_one_under_the_seal(gate: Gate) -> bool:
    pen = gate.pen()
    good = pen.write("good")
    seal = (SealEntry(good.header.chain, 1, good.id),)
    _revoke(gate, pen.agent, gate.acme.issuer, gate.acme.issuer_key, seal=seal)
    return succeeds(gate, pen.write("bad"))


@case("quarantined", "quarantine")
def a_branch_of_a_proven_fork(gate: Gate) -> bool:
    pen = gate.pen()
    one, other = pen.write("to one"), pen.write("to the other")
    gate.send(one)
    gate.send(other)
    assert "fork" in gate.refused
    gate.admitted.clear()
    _cut(gate, one)
    return succeeds(gate, other)


def _cut(gate: Gate, delta: Delta) -> None:
    """What the peer does with a fork: the log ends before it."""
    gate.store.apply((Truncate(delta.header.chain, 0),))


# 9


@case(
    "chain_unknown",
    "chains",
    "author's signature",
    "receipt's signature",
    also="without records there is no key to verify with",
)
def an_author_nobody_has_heard_of(gate: Gate) -> bool:
    return succeeds(gate, gate.pen(is_known=False).write())


def _forged_agent(gate: Gate) -> Any:
    honest = gate.acme.agent("ann")
    return sign_record(honest.record, key("bell-issuer"))


@case(
    "chain_refused",
    "chains",
    "author's signature",
    "receipt's signature",
    also="without records there is no key to verify with",
)
def an_agent_record_by_a_foreign_issuer(gate: Gate) -> bool:
    forged = _forged_agent(gate)
    assert gate.refuses(forged) != "admitted"
    pen = gate.pen(forged, _known_node(gate), is_known=False)
    return succeeds(gate, pen.write())


def _trust_without(*reasons: Reason) -> type[TrustState]:
    steps = tuple(step for step in TRUST_STEPS if step.reason not in reasons)
    return type("LaxTrust", (TrustState,), {"STEPS": steps})


@case(
    "chain_refused",
    "author's signature",
    twin_gate={"trust_class": _trust_without(Reason.UNSOUND_KEY)},
    also="libsodium refuses a small-order key once more when it verifies",
)
def a_key_of_small_order(gate: Gate) -> bool:
    torsion = PublicKey(ED25519, b"\x01" + bytes(31))
    agent = issue_agent(
        gate.acme.issuer,
        gate.acme.issuer_key,
        name="ann",
        key=torsion,
        next_key_digest=key("next").public.digest,
        custody_class="memory",
        capabilities=(Capability("acme", REMEMBER, (), (), FOREVER_MS),),
        not_before_ms=NOW_MS,
    )
    gate.refuses(agent)
    return succeeds(gate, gate.pen(agent, _known_node(gate), is_known=False).write())


@case(
    "chain_refused",
    twin_gate={"trust_class": _trust_without(Reason.RIGHTS_AMPLIFIED)},
)
def an_agent_record_with_more_rights_than_its_issuer(gate: Gate) -> bool:
    honest = gate.acme.agent("ann")
    wide = Capability("bell", REMEMBER, (), (), FOREVER_MS)
    amplified = sign_record(replace(honest.record, capabilities=(wide,)), gate.acme.issuer_key)
    gate.refuses(amplified)
    pen = gate.pen(amplified, _known_node(gate), is_known=False)
    return succeeds(gate, pen.write(namespace="bell/secrets"))


# 10


@case("forged_signature", "author's signature")
def a_delta_signed_by_another_key(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write(author_key=key("mallory")))


@case("forged_signature", "author's signature")
def a_batch_path_that_leads_nowhere(gate: Gate) -> bool:
    delta = gate.pen().write()
    return succeeds(gate, replace(delta, proof=Proof(delta.proof.signature, 1, 5, ())))


@case("forged_receipt", "receipt's signature")
def a_receipt_signed_by_another_key(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write(receipt_key=key("mallory")))


@case("body_mismatch", "body")
def a_swapped_body(gate: Gate) -> bool:
    pen = gate.pen()
    return succeeds(gate, replace(pen.write("true"), body=pen.write("false").body))


# 11


@case("gap", "log", also="the store refuses what does not continue its chain once more")
def a_delta_that_leaves_a_gap(gate: Gate) -> bool:
    pen = gate.pen()
    first = pen.write()
    return succeeds(gate, pen.write("third", after=pen.write("second", after=first)))


@case("fork", "log", also="the store refuses what does not continue its chain once more")
def two_deltas_at_one_position(gate: Gate) -> bool:
    pen = gate.pen()
    return succeeds(gate, pen.write("to one"), pen.write("to the other"))


@case("broken_chain", "log", also="the store refuses what does not continue its chain once more")
def a_next_delta_that_names_another_previous(gate: Gate) -> bool:
    pen = gate.pen()
    first = pen.write()
    return succeeds(gate, first, pen.write("second", after=first, previous=b"p" * 32))


@case("broken_chain", "log", also="the store refuses what does not continue its chain once more")
def a_next_delta_whose_stamp_goes_back(gate: Gate) -> bool:
    pen = gate.pen()
    first = pen.write()
    return succeeds(gate, first, pen.write("second", after=first, hlc=first.header.hlc))


# 12, 13


class NoLawButOurs:
    """A law that forbids everything."""

    name = "denies"

    def denial(self, delta: Delta, region: str) -> str:
        return "forbidden"

    def regions(self, namespace: str) -> tuple[str, ...]:
        return ()


@case("law_denied", "law", gate={"law": NoLawButOurs()}, twin_gate={"law": NoLawButOurs()})
def a_delta_that_the_law_forbids(gate: Gate) -> bool:
    return succeeds(gate, gate.pen().write())


class NothingDurable:
    """A durability class that is never met."""

    name = "never"

    def classes(self) -> tuple[str, ...]:
        return ("never",)

    def is_met(self, namespace: str, receipts: int) -> bool:
        return False


_FRAIL = {"durability": NothingDurable()}


@case("durability_not_met", "durability", gate=_FRAIL, twin_gate=_FRAIL)
def an_acknowledgement_that_too_few_copies_stand_behind(gate: Gate) -> bool:
    gate.state_fresh()
    return bool(gate.submit(gate.own_pen().write(has_receipt=False)).admitted)


_SLOW = {"delay_receipt_us": 60_000_000}


@case("law_changed", "7 and 8 again", gate=_SLOW, twin_gate=_SLOW)
def a_write_whose_freshness_lapses_before_its_acknowledgement(gate: Gate) -> bool:
    gate.state_fresh()
    return bool(gate.submit(gate.own_pen().write(has_receipt=False)).admitted)


_SMALL = QuotaConfig(namespace_bytes_max=1_500)


@case("over_quota", "quota", gate={"quota": _SMALL}, twin_gate={"quota": _SMALL})
def a_log_beyond_what_its_organisation_may_take_of_the_store(gate: Gate) -> bool:
    log = [gate.pen().write("0")]
    for number in range(1, 6):
        log.append(gate.pen().write(str(number), after=log[-1]))
    return succeeds(gate, *log)
