"""Evidence bundles: what anybody verifies offline, and what they refuse and why."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hive.errors import MalformedFrame
from hive.memory.bundle import MAGIC, needed_records, verify_bundle, write_bundle
from hive.memory.delta import Delta
from hive.memory.evidence import CHECKS
from hive.memory.fork import fork_proof
from hive.protocol import refusals
from hive.trust.envelope import sign_record
from hive.trust.records import SealEntry
from hive.trust.revocation import COMPROMISED, make_revocation
from hive.trust.state import TrustState
from hive.wire.ids import Digest, Inception
from tests.protocol.ingress.ingress_gate import ADMITTED_MS, START_MS, Gate, Pen
from tests.protocol.peer.peer_federation import key


@cache
def scene() -> tuple[Gate, Pen]:
    gate = Gate()
    return gate, gate.pen()


def bundle(*deltas: Delta, forks=(), trust: TrustState | None = None) -> bytes:  # type: ignore[no-untyped-def]
    gate, _ = scene()
    return write_bundle(needed_records(trust or gate.trust, deltas), deltas, forks)


def verdicts(untrusted: bytes) -> list[tuple[str, str]]:
    gate, _ = scene()
    report = verify_bundle(untrusted, Digest(gate.federation.id), START_MS)
    return [(delta.verdict, delta.reason) for delta in report.deltas]


def test_a_bundle_says_who_wrote_what_through_whom_and_when() -> None:
    gate, pen = scene()
    first = pen.write("the aurora is green")
    second = pen.write("otters hold hands", after=first)
    report = verify_bundle(bundle(second, first), Digest(gate.federation.id), START_MS)
    assert report.is_valid
    assert report.is_root_trusted
    assert report.totals == {"valid": 2}
    told = report.deltas[0]
    assert (told.author, told.org, told.writer) == ("ann", "acme", "acme-1")
    assert told.attested_at_ms == ADMITTED_MS
    assert told.text == "the aurora is green"
    assert [delta.is_continuous for delta in report.deltas] == [True, True]
    assert json.loads(report.to_json())["totals"] == {"valid": 2}


def test_a_bundle_agrees_with_itself_alone_where_no_root_is_named() -> None:
    _, pen = scene()
    report = verify_bundle(bundle(pen.write()), None, START_MS)
    assert report.is_valid
    assert not report.is_root_trusted


def test_another_federations_bundle_proves_nothing() -> None:
    _, pen = scene()
    report = verify_bundle(bundle(pen.write()), Digest(bytes(32)), START_MS)
    assert not report.is_valid
    assert not report.is_root_trusted
    assert report.refused_records[0].reason == "foreign_federation"


def test_one_bundle_has_one_encoding() -> None:
    gate, pen = scene()
    first = pen.write("a")
    second = pen.write("b", after=first)
    records = needed_records(gate.trust, [first, second])
    assert write_bundle(records, [first, second]) == write_bundle(records, [second, first, first])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"author_key": key("mallory")}, "forged_signature"),
        ({"receipt_key": key("mallory")}, "forged_receipt"),
        ({"namespace": "bell/secrets"}, "not_covered"),
        ({"namespace": "acme//x"}, "bad_namespace"),
        ({"has_receipt": False}, "receipt_missing"),
        ({"receipt_changes": {"node": bytes(32)}}, "receipt_foreign"),
        ({"federation": bytes(32)}, "wrong_federation"),
        ({"leaf": bytes(32)}, "chain_unknown"),
        ({"hlc": 1}, "leaf_not_valid"),
        ({"admitted_at_ms": START_MS + 600_000}, "from_the_future"),
        ({"hlc": (ADMITTED_MS + 6_000) << 16}, "stamp_ahead"),
        ({"previous": b"p" * 32}, "broken_chain"),
    ],
)
def test_a_delta_is_refused_for_its_reason(changes: dict, reason: str) -> None:
    _, pen = scene()
    assert verdicts(bundle(pen.write(**changes))) == [("refused", reason)]


def test_a_swapped_body_is_refused() -> None:
    _, pen = scene()
    swapped = replace(pen.write("true"), body=pen.write("false").body)
    assert verdicts(bundle(swapped)) == [("refused", "body_mismatch")]


def test_an_expired_node_vouches_for_nothing() -> None:
    gate, _ = scene()
    node = gate.acme.node("acme-9", "eu", START_MS - 25 * 3_600_000)
    pen = gate.pen(node=node)
    assert verdicts(bundle(pen.write())) == [("refused", "writer_not_valid")]


def test_a_receipt_under_another_epoch_makes_a_void_and_voids_do_not_spoil_a_bundle() -> None:
    _, pen = scene()
    void = pen.write(receipt_changes={"epochs": (1, 2)})
    assert verdicts(bundle(void)) == [("void", "wrong_epoch")]


def test_a_forget_in_the_evidence_withholds_the_text() -> None:
    gate, pen = scene()
    secret = pen.write("a secret")
    forget = pen.forget(secret.id, after=secret)
    report = verify_bundle(bundle(secret, forget), Digest(gate.federation.id), START_MS)
    assert [delta.verdict for delta in report.deltas] == ["forgotten", "valid"]
    assert "a secret" not in report.to_json()


def test_a_fork_excludes_its_position_and_what_is_behind() -> None:
    _, pen = scene()
    first = pen.write("stem")
    one, other = pen.write("one", after=first), pen.write("other", after=first)
    behind = pen.write("behind", after=one)
    good, bad = ("valid", ""), ("refused", "quarantined")
    assert verdicts(bundle(first, one, behind)) == [good] * 3
    with_proof = bundle(first, one, behind, forks=[fork_proof(one, other)])
    assert verdicts(with_proof) == [good, bad, bad]
    assert sorted(verdicts(bundle(first, one, other))) == sorted([good, bad, bad])


def test_a_forged_fork_proof_excludes_nothing() -> None:
    _, pen = scene()
    one, forged = pen.write("one"), pen.write("other", author_key=key("mallory"))
    assert verdicts(bundle(one, forks=[fork_proof(one, forged)])) == [("valid", "")]


def test_a_seal_excludes_what_is_beyond_it() -> None:
    gate = Gate()
    pen = gate.pen()
    good = pen.write("good")
    bad = pen.write("bad", after=good)
    revocation = make_revocation(
        federation=gate.federation.id,
        org=Inception(gate.acme.record.record.inception),
        signer_record=gate.acme.issuer.id,
        subject=Inception(pen.agent.record.inception),
        generation=0,
        reason=COMPROMISED,
        at_ms=ADMITTED_MS,
        seal=[SealEntry(good.header.chain, 1, good.id)],
    )
    gate.knows(sign_record(revocation, gate.acme.issuer_key))
    sealed = bundle(good, bad, trust=gate.trust)
    assert verdicts(sealed) == [("valid", ""), ("refused", "revoked")]


def test_a_missing_delta_in_between_is_said() -> None:
    gate, pen = scene()
    first = pen.write("a")
    third = pen.write("c", after=pen.write("b", after=first))
    report = verify_bundle(bundle(first, third), Digest(gate.federation.id), START_MS)
    assert [delta.is_continuous for delta in report.deltas] == [True, False]
    assert report.is_valid


def test_a_record_that_was_forged_is_named_and_its_deltas_are_refused() -> None:
    gate, _ = scene()
    forged = sign_record(gate.acme.agent("eve").record, key("mallory"))
    pen = Pen(gate.federation, forged, gate.node, key("eve"), key("gate"))
    delta = pen.write()
    whole = write_bundle((*needed_records(gate.trust, [delta]), forged.to_bytes()), [delta])
    report = verify_bundle(whole, Digest(gate.federation.id), START_MS)
    assert [record.label for record in report.refused_records] == ["agent"]
    assert [delta.reason for delta in report.deltas] == ["chain_unknown"]


def test_an_empty_bundle_proves_nothing() -> None:
    assert not verify_bundle(write_bundle((), ()), None, START_MS).is_valid


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: whole[:-1], "truncated or damaged"),
        (lambda whole: whole + b"x", "truncated or damaged"),
        (lambda whole: whole[:20], "truncated or damaged"),
        (lambda whole: b"", "not a hive bundle"),
        (lambda whole: b"PK" + whole, "not a hive bundle"),
    ],
)
def test_damage_is_named(damage, message: str) -> None:  # type: ignore[no-untyped-def]
    _, pen = scene()
    with pytest.raises(MalformedFrame, match=message):
        verify_bundle(damage(bundle(pen.write())), None, START_MS)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_bytes_behind_a_right_checksum_raise_anything_else(data: st.DataObject) -> None:
    _, pen = scene()
    true = bundle(pen.write())
    body = bytearray(true[len(MAGIC) + 32 :])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    whole = MAGIC + hashlib.sha256(body).digest() + bytes(body)
    try:
        report = verify_bundle(whole, Digest(scene()[0].federation.id), START_MS)
    except MalformedFrame:
        return
    assert not report.is_valid or whole == true


def test_steps_and_codes_are_those_of_ingress() -> None:
    for number, code, _ in CHECKS:
        assert refusals.REASONS[code].step == number
