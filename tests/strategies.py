"""Hypothesis strategies derived from the shapes of records: what decodes is what is drawn."""

from __future__ import annotations

import unicodedata
from typing import Any, TypeVar

from hypothesis import strategies as st

from hive.wire.codec import Array, Constant, Fields, Flag, Integer, Octets, Shape, Text
from hive.wire.schema import Part

P = TypeVar("P", bound=Part)


def of_shape(shape: Shape) -> st.SearchStrategy[Any]:
    """Plain values that the shape accepts."""
    match shape:
        case Integer():
            return st.integers(shape.lowest, shape.highest)
        case Octets():
            return st.binary(min_size=shape.bytes_min, max_size=min(shape.bytes_max, 96))
        case Text():
            return texts(shape.bytes_max)
        case Flag():
            return st.booleans()
        case Constant():
            return st.just(shape.value)
        case Array():
            return st.lists(of_shape(shape.item), max_size=min(shape.count_max, 3)).map(tuple)
        case Fields():
            return st.tuples(*(of_shape(field) for field in shape.fields))
    raise TypeError(f"no strategy for {shape!r}")


def texts(bytes_max: int) -> st.SearchStrategy[str]:
    """NFC texts whose UTF-8 form fits."""
    characters = st.characters(exclude_categories=("Cs",))
    raw = st.text(characters, max_size=min(bytes_max, 24))
    normal = raw.map(lambda text: unicodedata.normalize("NFC", text))
    return normal.filter(lambda text: len(text.encode()) <= bytes_max)


def of_record(cls: type[P]) -> st.SearchStrategy[P]:
    """Instances of a record or part."""
    return of_shape(cls.SHAPE).map(cls.from_plain)
