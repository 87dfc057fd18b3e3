"""Messages fit their datagram, have one form, and hostile ones raise one error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.errors import MalformedFrame
from hive.protocol.membership.messages import (
    BUCKET_DIGEST_BYTES,
    BUCKETS,
    ENTRIES_MAX,
    INCARNATION_MAX,
    PATH_MAX,
    PAYLOAD_BYTES_MAX,
    STATEMENTS_BYTES_MAX,
    STATEMENTS_MAX,
    SUBJECTS_MAX,
    Ack,
    Buckets,
    DigestOffer,
    Entry,
    Gossip,
    Message,
    Nack,
    Ping,
    PingRequest,
    Pull,
    Signed,
    Standing,
    Statement,
    Summary,
    message_from_untrusted,
)
from hive.wire.codec import encode
from hive.wire.ids import Digest, PeerId

PEER = PeerId(b"\xff" * 20)
BIG = INCARNATION_MAX
SIGNED = Signed(PEER, PEER, 3, BIG, b"s" * 72)
FULL = (SIGNED,) * STATEMENTS_MAX
BATCHED = Signed(PEER, PEER, 3, BIG, b"s" * 72, 7, 8, (Digest(b"d" * 32),) * PATH_MAX)
LONG = (BATCHED,) * (STATEMENTS_BYTES_MAX // BATCHED.size)
LARGEST: list[Message] = [
    Ping(BIG, BIG, FULL),
    PingRequest(BIG, PEER),
    Ack(BIG, PEER, BIG, FULL),
    Nack(BIG, PEER, (SIGNED,)),
    Gossip(FULL),
    Ack(BIG, PEER, BIG, LONG),
    DigestOffer(Digest(b"d" * 32)),
    Buckets(b"b" * BUCKETS * BUCKET_DIGEST_BYTES),
    Summary(PEER, PEER, (Entry(PEER, BIG, 3),) * ENTRIES_MAX),
    Pull((PEER,) * SUBJECTS_MAX),
]


@pytest.mark.parametrize("message", LARGEST, ids=lambda message: message.LABEL)
def test_the_largest_message_fits_its_payload_and_returns(message: Message) -> None:
    body = message.to_body()
    assert len(body) <= PAYLOAD_BYTES_MAX
    assert message_from_untrusted(body) == message


def test_no_statement_is_larger_than_the_room_it_takes() -> None:
    for signed in (SIGNED, BATCHED):
        assert len(Gossip((signed,)).to_body()) - len(Gossip(()).to_body()) <= signed.size
    assert SIGNED.size * STATEMENTS_MAX <= STATEMENTS_BYTES_MAX


def test_golden_bytes_of_a_statement() -> None:
    statement = Statement.of(
        Digest(b"s" * 32), PeerId(b"a" * 20), PeerId(b"b" * 20), Standing.SUSPECT, 7
    )
    assert statement.to_body().hex() == (
        "97a973746174656d656e7402c420" + "73" * 32 + "c4146161616161616161616161616161616161616161"
        "c414626262626262626262626262626262626262626201" + "07"
    )


@pytest.mark.parametrize("message", LARGEST, ids=lambda message: message.LABEL)
def test_a_cut_or_lengthened_message_is_malformed(message: Message) -> None:
    body = message.to_body()
    for wrong in (body[:-1], body + b"\0", body[1:]):
        with pytest.raises(MalformedFrame):
            message_from_untrusted(wrong)


@pytest.mark.parametrize(
    "plain",
    [
        (),
        7,
        ("statement", 1),
        ("ping", 2, 1, 1, ()),
        ("ping", 1, -1, 1, ()),
        ("ping", 1, True, 1, ()),
        ("pull", 1, (b"short",)),
        ("gossip", 1, ((PEER, PEER, 4, 1, b"s" * 64),)),
        ("gossip", 1, ((PEER, PEER, 0, 0, b"s" * 64),)),
    ],
)
def test_a_wrong_shape_is_malformed(plain: object) -> None:
    with pytest.raises(MalformedFrame):
        message_from_untrusted(encode(plain))  # type: ignore[arg-type]


def test_a_longer_encoding_of_the_same_message_is_malformed() -> None:
    body = Ping(5, 0, ()).to_body()
    longer = body.replace(b"\x05\x00\x90", b"\xcc\x05\x00\x90")
    with pytest.raises(MalformedFrame):
        message_from_untrusted(longer)


@given(st.binary(max_size=1_200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_raise_malformed_frame_and_nothing_else(untrusted: bytes) -> None:
    try:
        message_from_untrusted(untrusted)
    except MalformedFrame:
        return
