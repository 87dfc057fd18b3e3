"""Brisk constructors, and conditions that agree with checks."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive.errors import MalformedFrame
from hive.wire.brisk import brisk
from hive.wire.codec import Array, Constant, Fields, Flag, Integer, Octets, Shape, Text

PARTS: tuple[Shape, ...] = (
    Integer(1, 300),
    Octets(2, 2),
    Octets(0, 3),
    Text(4),
    Flag(),
    Constant("label"),
    Constant(1),
    Array(Integer(0, 5), 2),
    Fields((Integer(), Text(2))),
)
VALUES = st.recursive(
    st.integers(-2, 2**65)
    | st.binary(max_size=4)
    | st.sampled_from(["", "abcd", "abcde", "é", "e\u0301", "ééé", "label", True, False, 1, None]),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)


@brisk
@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 7


def test_a_brisk_value_is_frozen_equal_and_replaceable_like_any_other():
    point = Point(1)
    assert (point.x, point.y, repr(point)) == (1, 7, "Point(x=1, y=7)")
    assert point == Point(x=1, y=7)
    assert hash(point) == hash(Point(1, 7))
    assert replace(point, y=2) == Point(1, 2)
    assert type(point) is Point
    with pytest.raises(FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Point()  # type: ignore[call-arg]


def test_a_class_whose_constructor_does_more_is_not_made_brisk():
    @dataclass(frozen=True, slots=True)
    class Listing:
        items: list[int] = field(default_factory=list)

    with pytest.raises(TypeError):
        brisk(Listing)


def _passes(shape: Shape, value: object) -> bool:
    try:
        shape.check(value)
    except MalformedFrame:
        return False
    return True


@given(part=st.sampled_from(PARTS), value=VALUES)
def test_the_compiled_condition_of_a_shape_agrees_with_its_check(part: Shape, value: object):
    assert _passes(Fields((part,)), (value,)) == _passes(part, value)
