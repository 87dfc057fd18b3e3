"""Invites: one use, one day, nothing else needed."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trust_federation import NOW_MS, build, capability, key

from hive.errors import ConfigError, MalformedFrame, StateError
from hive.trust.invite import (
    EnrolmentAnswer,
    EnrolmentRequest,
    Honoured,
    Invite,
    InviteLedger,
    InviteReason,
    InviteRefusal,
    open_answer,
    open_request,
    prove_possession,
    read_invite,
    seal_answer,
    seal_request,
    write_invite,
)
from hive.trust.records import DAY_MS
from hive.trust.secrets_at_rest import (
    RANDOM_PASSPHRASE,
    open_secret,
    seal_secret,
    stretch,
)

FED = build()
SECRET = b"s" * 32


def invite(**changes: object) -> Invite:
    plain = Invite(
        federation=FED.root.id,
        root=FED.root.id,
        org="acme",
        issuer=FED.issuer.record.inception,
        addresses=("127.0.0.1:4711",),
        kind="node",
        name="second",
        region="eu",
        capabilities=(capability(),),
        secret=SECRET,
        not_before_ms=NOW_MS,
        not_after_ms=NOW_MS + DAY_MS,
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def request(name: str = "second", secret: bytes = SECRET) -> EnrolmentRequest:
    return EnrolmentRequest(
        kind="node",
        name=name,
        key=key(name).public,
        next_key_digest=key(f"{name}-next").public.digest,
        datagram_key=bytes(32),
        region="eu",
        zone="z",
        cell="c",
        storage_backends=("lmdb",),
        custody_class="memory",
        possession=prove_possession(secret, key(name)),
    )


def sealed(name: str = "second", nonce: bytes = b"n" * 24) -> bytes:
    return seal_request(SECRET, request(name), nonce)


def test_invite_survives_a_file_and_ends_after_its_day() -> None:
    text = write_invite(invite())
    assert read_invite(text, NOW_MS) == invite()
    with pytest.raises(StateError, match="ended"):
        read_invite(text, NOW_MS + DAY_MS + 120_000)


@pytest.mark.parametrize("cut", range(1, 600, 41))
def test_truncated_invite_says_so(cut: int) -> None:
    text = write_invite(invite())
    with pytest.raises(MalformedFrame) as caught:
        read_invite(text[:-cut], NOW_MS) if cut > 1 else read_invite(text[:-2], NOW_MS)
    assert caught.value.hint


def test_invite_beyond_a_day_or_of_no_kind_is_not_written() -> None:
    for wrong in (invite(not_after_ms=NOW_MS + DAY_MS + 1), invite(kind="king")):
        with pytest.raises(ConfigError):
            write_invite(wrong)


def test_request_and_answer_pass_only_under_the_secret_and_in_their_direction() -> None:
    assert open_request(SECRET, sealed()) == request()
    answer = EnrolmentAnswer(records=(FED.node.to_bytes(),), refusal="")
    box = seal_answer(SECRET, answer, b"n" * 24)
    assert open_answer(SECRET, box) == answer
    for wrong in (lambda: open_request(b"t" * 32, sealed()), lambda: open_answer(SECRET, sealed())):
        with pytest.raises(MalformedFrame):
            wrong()


def test_enrolling_anothers_key_is_refused() -> None:
    stolen = dataclasses.replace(request(), key=key("victim").public)
    with pytest.raises(MalformedFrame, match="possession"):
        open_request(SECRET, seal_request(SECRET, stolen, b"n" * 24))


def ledger() -> InviteLedger:
    made = InviteLedger()
    made.issue(invite(), NOW_MS)
    return made


def test_second_use_is_refused_and_counted() -> None:
    issued = ledger()
    first = issued.spend(sealed(), NOW_MS)
    assert isinstance(first, Honoured)
    assert (first.request, first.is_repeat) == (request(), False)
    second = issued.spend(sealed("thief"), NOW_MS)
    assert isinstance(second, InviteRefusal)
    assert second.reason is InviteReason.USED


def test_retransmission_of_the_same_request_is_no_second_use() -> None:
    issued = ledger()
    issued.spend(sealed(), NOW_MS)
    again = issued.spend(sealed(), NOW_MS)
    assert isinstance(again, Honoured)
    assert again.is_repeat


def test_forged_request_does_not_spend_the_invite() -> None:
    issued = ledger()
    forged = bytearray(sealed())
    forged[-1] ^= 1
    with pytest.raises(MalformedFrame):
        issued.spend(bytes(forged), NOW_MS)
    assert isinstance(issued.spend(sealed(), NOW_MS), Honoured)


def test_unknown_and_expired_invites_are_refused() -> None:
    unknown = InviteLedger().spend(sealed(), NOW_MS)
    late = ledger().spend(sealed(), NOW_MS + DAY_MS + 1)
    assert isinstance(unknown, InviteRefusal)
    assert isinstance(late, InviteRefusal)
    assert (unknown.reason, late.reason) == (InviteReason.UNKNOWN, InviteReason.EXPIRED)


def test_spent_invite_stays_spent_over_a_restart() -> None:
    issued = ledger()
    issued.spend(sealed(), NOW_MS)
    again = InviteLedger()
    again.restore(issued.export())
    refusal = again.spend(sealed("thief"), NOW_MS)
    assert isinstance(refusal, InviteRefusal)
    with pytest.raises(MalformedFrame):
        again.restore([b"\x90"])
    assert again.find(invite().id) == invite()


def test_ledger_is_bounded_and_expired_invites_make_room() -> None:
    small = InviteLedger(1)
    small.issue(invite(), NOW_MS)
    other = invite(secret=b"t" * 32)
    with pytest.raises(StateError):
        small.issue(other, NOW_MS)
    small.issue(
        dataclasses.replace(
            other, not_before_ms=NOW_MS + 2 * DAY_MS, not_after_ms=NOW_MS + 3 * DAY_MS
        ),
        NOW_MS + 2 * DAY_MS,
    )


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(0, 255))
def test_no_bytes_do_more_than_raise_malformed(junk: bytes, at: int, value: int) -> None:
    mutated = bytearray(sealed())
    mutated[at % len(mutated)] = value
    for untrusted in (junk, bytes(mutated)):
        if untrusted == sealed():
            continue
        with contextlib.suppress(MalformedFrame):
            assert isinstance(ledger().spend(untrusted, NOW_MS), InviteRefusal)


def test_secret_opens_only_under_its_passphrase_salt_and_nonce() -> None:
    stretched = stretch(b"pass", b"0" * 16, RANDOM_PASSPHRASE)
    box = seal_secret(stretched, b"n" * 24, b"secret")
    assert open_secret(stretched, b"n" * 24, box) == b"secret"
    other = stretch(b"pass", b"1" * 16, RANDOM_PASSPHRASE)
    assert open_secret(other, b"n" * 24, box) is None
    assert open_secret(stretched, b"m" * 24, box) is None
    assert open_secret(stretched, b"n" * 24, box[:-1]) is None
    assert open_secret(stretched, b"n" * 24, b"") is None
