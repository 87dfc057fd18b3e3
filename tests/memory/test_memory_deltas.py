"""Deltas, batches, receipts, logs, forks: round trips, proofs, no second encoding (P2, P5)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import of_record

from hive.errors import MalformedFrame
from hive.memory.authoring import Draft, Pen, Unsigned, attach, compose
from hive.memory.bodies import BODY_OF, MemoryBody, parse_body_untrusted, searchable_text
from hive.memory.delta import (
    BATCH_COUNT_MAX,
    Batch,
    Delta,
    Header,
    Kind,
    commitment_of,
    parse_delta_untrusted,
)
from hive.memory.fork import fork_proof, parse_fork_untrusted
from hive.memory.log import Continuation, continuation, head_after
from hive.memory.namespaces import is_namespace
from hive.memory.receipt import Receipt, parse_receipt_untrusted, receipt_proofs
from hive.trust.keys import Ed25519Key, verify
from hive.wire import merkle
from hive.wire.clock import Hlc
from hive.wire.ids import ZERO_DIGEST, DeltaId, FederationId, Inception, RecordId, digest

KEY = Ed25519Key(b"a" * 32)
AT_US = 1_700_000_000_000_000
GOLDEN = Path(__file__).with_name("golden_envelopes.txt")
quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def pen(namespace: str = "acme/notes") -> Pen:
    return Pen(
        federation=FederationId(digest("test", b"federation")),
        namespace=namespace,
        author=Inception(digest("test", b"ann")),
        writer=Inception(digest("test", b"node")),
        leaf=RecordId(digest("test", b"leaf")),
        epochs=(1,),
        lease=0,
        residency=(),
    )


def memory(text: str) -> Draft:
    return Draft(Kind.MEMORY, MemoryBody(digest("salt", text.encode()), text, "", (), 0, 0))


def sign(unsigned: Unsigned) -> tuple[Delta, ...]:
    return attach(unsigned, KEY.sign(unsigned.label, unsigned.subject))


def written(*texts: str, after: Delta | None = None) -> tuple[Delta, ...]:
    head = head_after(after) if after else None
    return sign(compose(pen(), [memory(text) for text in texts], head, Hlc(0), AT_US))


def receipted(delta: Delta) -> Delta:
    header = delta.header
    receipt = Receipt(
        header.federation, header.writer, bytes(32), 7, (1,), 0, 9, 1, merkle.root([delta.id])
    )
    signature = KEY.sign(Receipt.LABEL, Receipt.id_of(receipt.to_body()))
    return replace(delta, receipt=receipt_proofs(receipt, signature, [delta.id])[0].to_bytes())


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 17, 33, 63, 64])
def test_every_delta_of_a_batch_travels_alone_with_its_proof(count: int) -> None:
    deltas = written(*(str(n) for n in range(count)))
    for delta in deltas:
        alone = parse_delta_untrusted(delta.to_bytes())
        assert alone == delta
        subject = alone.signed_subject()
        assert subject is not None
        assert verify(KEY.public, *subject, alone.proof.signature)


def test_all_batches_of_2_to_64_share_one_signature_each() -> None:
    for count in range(2, BATCH_COUNT_MAX + 1):
        deltas = written(*(str(n) for n in range(count)))
        subjects = {delta.signed_subject() for delta in deltas}
        assert len(subjects) == 1
        assert {delta.proof.signature for delta in deltas} == {deltas[0].proof.signature}


def test_a_batch_has_at_most_64_deltas_and_at_least_one() -> None:
    for count in (0, BATCH_COUNT_MAX + 1):
        with pytest.raises(ValueError, match="1 to 64"):
            compose(pen(), [memory(str(n)) for n in range(count)], None, Hlc(0), AT_US)


@pytest.mark.parametrize("wrong", [{"count": 4}, {"first_sequence": 2}, {"path": ()}])
def test_a_proof_that_claims_another_place_in_its_batch_proves_nothing(wrong: dict) -> None:
    delta = written("a", "b", "c")[1]
    bent = replace(delta, proof=replace(delta.proof, **wrong))
    subject = bent.signed_subject()
    assert subject is None or not verify(KEY.public, *subject, bent.proof.signature)


def test_a_batch_proof_is_no_proof_in_another_chain() -> None:
    delta = written("a", "b")[0]
    moved = replace(delta, header=replace(delta.header, namespace="acme/other"))
    assert moved.signed_subject() != delta.signed_subject()


@quick
@given(data=st.data())
def test_one_changed_bit_of_an_envelope_is_refused_or_is_another_content(
    data: st.DataObject,
) -> None:
    delta = receipted(data.draw(st.sampled_from(written("one", "two", "three"))))
    envelope = bytearray(delta.to_bytes())
    at = data.draw(st.integers(0, len(envelope) - 1))
    envelope[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        other = parse_delta_untrusted(bytes(envelope))
    except MalformedFrame:
        return
    assert other.to_bytes() == bytes(envelope)
    assert other != delta
    is_same_content = other.header_bytes == delta.header_bytes
    assert (other.id == delta.id) == is_same_content


@quick
@given(junk=st.binary(max_size=400))
def test_parsers_of_memory_raise_one_kind_of_error(junk: bytes) -> None:
    for parse in (parse_delta_untrusted, parse_receipt_untrusted, parse_fork_untrusted):
        with pytest.raises(MalformedFrame):
            parse(junk)
    for kind in Kind:
        with pytest.raises(MalformedFrame):
            parse_body_untrusted(kind, junk)


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name.lower())
@quick
@given(data=st.data())
def test_a_body_says_the_same_after_its_travel(kind: Kind, data: st.DataObject) -> None:
    body = data.draw(of_record(BODY_OF[kind]))
    again = parse_body_untrusted(kind, body.to_body())
    assert again == body
    assert searchable_text(again) == searchable_text(body)
    assert commitment_of(again.to_body()) == commitment_of(body.to_body())


def test_a_header_commits_to_its_body_and_its_id_does_not_cover_the_proof() -> None:
    (delta,) = written("one")
    assert delta.header.commitment == commitment_of(delta.body)
    bare = replace(delta, body=b"", receipt=b"")
    assert parse_delta_untrusted(bare.to_bytes()).id == delta.id


def test_a_chain_counts_from_one_and_each_delta_names_the_one_before() -> None:
    first, second, third = written("a", "b", "c")
    assert (first.header.sequence, first.header.previous) == (1, ZERO_DIGEST)
    assert second.header.previous == first.id
    assert third.header.hlc > second.header.hlc > first.header.hlc
    (fourth,) = written("d", after=third)
    assert fourth.header.sequence == 4
    assert fourth.header.hlc > third.header.hlc


def test_a_stamp_exceeds_the_head_and_everything_named_newest() -> None:
    (first,) = written("a")
    newest = Hlc(first.header.hlc + (1 << 40))
    later = compose(pen(), [memory("b")], head_after(first), newest, AT_US)
    assert later.headers[0].hlc == newest + 1


def test_continuation_tells_next_held_gap_fork_and_broken_apart() -> None:
    first, second, third = written("a", "b", "c")
    (rival,) = written("rival")
    head = head_after(first)
    assert continuation(first, None, None) is Continuation.NEXT
    assert continuation(second, head, None) is Continuation.NEXT
    assert continuation(third, head, None) is Continuation.GAP
    assert continuation(second, None, None) is Continuation.GAP
    assert continuation(first, head, first.id) is Continuation.HELD
    assert continuation(rival, head, first.id) is Continuation.FORK
    strange = replace(second, header=replace(second.header, previous=bytes(32)))
    stale = replace(second, header=replace(second.header, hlc=first.header.hlc))
    assert continuation(strange, head, None) is Continuation.BROKEN
    assert continuation(stale, head, None) is Continuation.BROKEN


def test_a_fork_has_one_proof_whoever_makes_it_and_it_carries_no_body() -> None:
    (one,), (other,) = written("to one"), written("to the other")
    proof = fork_proof(receipted(one), other)
    assert proof == fork_proof(other, one)
    assert parse_fork_untrusted(proof.to_bytes()) == proof
    assert (proof.chain, proof.sequence) == (one.header.chain, 1)
    assert one.body not in proof.to_bytes()


def test_what_is_no_fork_is_no_proof() -> None:
    first, second = written("a", "b")
    for one, other in ((first, first), (first, second)):
        with pytest.raises(MalformedFrame):
            fork_proof(one, other)
    elsewhere = sign(compose(pen("acme/b"), [memory("x")], None, Hlc(0), AT_US))[0]
    with pytest.raises(MalformedFrame):
        fork_proof(first, elsewhere)


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_a_receipt_covers_each_of_its_deltas_and_no_other(count: int) -> None:
    ids = [DeltaId(digest("delta", bytes([n]))) for n in range(count)]
    receipt = Receipt(bytes(32), bytes(32), bytes(32), 7, (1,), 0, 9, count, merkle.root(ids))
    for id, proof in zip(ids, receipt_proofs(receipt, bytes(64), ids), strict=True):
        again = parse_receipt_untrusted(proof.to_bytes())
        assert again == proof
        assert again.covers(id)
        assert not again.covers(DeltaId(digest("delta", b"another")))
        assert again.subject == Receipt.id_of(receipt.to_body())


@pytest.mark.parametrize(
    ("name", "is_good"),
    [
        ("acme", True),
        ("acme/research", True),
        ("a/b/c/d/e/f/g/h", True),
        ("a/b/c/d/e/f/g/h/i", False),
        ("acme/r-1.x_y", True),
        ("", False),
        ("/acme", False),
        ("acme/", False),
        ("acme//x", False),
        ("Acme", False),
        ("acme/é", False),
        ("acme/-x", False),
        ("acme/x-", False),
        ("acme/..", False),
        ("acme/x\n", False),
        ("a" * 64, True),
        ("a" * 65, False),
        ("/".join(["a" * 62] * 4), True),
        ("/".join(["a" * 64] * 4), False),
    ],
)
def test_namespaces_follow_the_grammar(name: str, is_good: bool) -> None:
    assert is_namespace(name) is is_good


def envelopes() -> str:
    """Golden forms that travel: a lone delta, one of a batch, a receipt, a batch, a fork."""
    (lone,) = written("lone")
    batched = written("a", "b", "c")[1]
    proof = fork_proof(lone, written("rival")[0])
    label, subject = batched.signed_subject() or ("", b"")
    lines = {
        "lone": lone.to_bytes(),
        "lone-with-receipt": receipted(lone).to_bytes(),
        "batched": batched.to_bytes(),
        "fork": proof.to_bytes(),
        f"subject-{label}": subject,
        "header": Header.id_of(lone.header_bytes),
        "chain": lone.header.chain,
    }
    assert label == Batch.LABEL
    return "".join(f"{name} {octets.hex()}\n" for name, octets in lines.items())


def test_golden_bytes_of_what_travels_have_not_moved(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--rewrite"):
        GOLDEN.write_text(envelopes(), encoding="utf-8")
    assert GOLDEN.read_text(encoding="utf-8") == envelopes()
