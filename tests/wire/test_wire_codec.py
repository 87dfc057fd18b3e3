"""The decoder takes any bytes and raises one kind of error (P13)."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.errors import MalformedFrame
from hive.trust.envelope import parse_untrusted
from hive.wire.codec import (
    Array,
    Constant,
    Fields,
    Flag,
    Integer,
    Octets,
    Shape,
    Text,
    decode_typed,
    decode_untrusted,
    encode,
)

SHAPES: tuple[Shape, ...] = (
    Integer(),
    Octets(0, 64),
    Text(64),
    Flag(),
    Constant("x"),
    Array(Integer(), 8),
    Fields((Integer(), Array(Fields((Text(8), Octets(0, 8))), 4))),
)
TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=20)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=800, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_decode_or_raise_malformed_frame(untrusted: bytes) -> None:
    for shape in SHAPES:
        try:
            value = decode_untrusted(untrusted, shape, bytes_max=256)
        except MalformedFrame:
            continue
        assert encode(value) == untrusted


@settings(max_examples=250, deadline=None)
@given(TREES, st.integers(0, 400), st.integers(0, 255))
def test_any_msgpack_decodes_or_raises_malformed_frame(tree: object, at: int, value: int) -> None:
    packed = bytearray(msgpack.packb(tree))
    packed[at % len(packed)] = value
    for untrusted in (bytes(packed), msgpack.packb(tree)):
        for shape in SHAPES:
            try:
                assert encode(decode_untrusted(untrusted, shape, bytes_max=1_000)) == untrusted
            except MalformedFrame:
                continue
        with pytest.raises(MalformedFrame):
            parse_untrusted(untrusted)


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xc7\x00\x05",
        b"\x81\xc0\xc0",
        b"\xa1\xff",
        b"\xa3\xed\xa0\x80",
        b"",
        b"\xc1",
        b"\x00\x00",
    ],
    ids=lambda bomb: bomb[:6].hex(),
)
def test_bombs_and_oddities_are_malformed(bomb: bytes) -> None:
    for shape in SHAPES:
        if bomb == b"\x00\x00":
            shape = Octets(0, 64)
        with pytest.raises(MalformedFrame):
            decode_typed(bomb, shape, bytes_max=200_000)


def test_text_that_is_not_in_normal_form_is_refused() -> None:
    with pytest.raises(MalformedFrame):
        decode_untrusted(encode("e\u0301"), Text(16), bytes_max=64)
    assert decode_untrusted(encode("\u00e9"), Text(16), bytes_max=64) == "\u00e9"


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        (Integer(1, 5), 0),
        (Integer(1, 5), 6),
        (Integer(), True),
        (Octets(2, 3), b"x"),
        (Octets(2, 3), b"xxxx"),
        (Octets(0, 3), "x"),
        (Text(3), "éé"),
        (Text(3), "xxxx"),
        (Text(3), b"x"),
        (Flag(), 1),
        (Constant(1), True),
        (Constant("a"), "b"),
        (Array(Flag(), 1), (True, True)),
        (Array(Flag(), 1), True),
        (Fields((Flag(),)), ()),
        (Fields((Flag(),)), "x"),
    ],
)
def test_shape_refuses_what_is_outside_it(shape: Shape, value: object) -> None:
    with pytest.raises(MalformedFrame):
        shape.check(value)
    with pytest.raises(MalformedFrame):
        decode_untrusted(msgpack.packb(value), shape, bytes_max=64)


def test_frame_beyond_its_cap_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(MalformedFrame, match="cap"):
        decode_typed(b"\xc1" * 65, Octets(0, 64), bytes_max=64)
