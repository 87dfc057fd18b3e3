"""Canonical msgpack: typed shapes, arity and size caps, re-encode and compare.

Signed bytes are fixed-arity arrays of integers, octets, NFC text, booleans and arrays; no
maps, floats, nil or extensions. A decode has two halves that ingress counts as two steps:
`decode_typed` (bounds, types, arity) and `is_canonical` (the bytes are the only encoding of
the value). `decode_untrusted` does both and raises `MalformedFrame` and nothing else.

A shape says twice what fits it: as `check`, which walks and explains, and as `condition`, a
Python expression. `Fields` joins the conditions of all its fields into one compiled function
and walks only what that refuses: a header of 16 fields is checked in the time of one call.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import msgpack

from hive.errors import MalformedFrame

Plain: TypeAlias = "int | bytes | str | bool | Sequence[Plain]"

INTEGER_MAX = 2**64 - 1


class Checker(Protocol):
    """What a decoded value is checked by; `check` raises `MalformedFrame` where it does not fit."""

    def check(self, value: object) -> None: ...


class Shape(Checker, Protocol):
    """What a decoded value must look like."""

    def condition(self, it: str) -> str:
        """An expression over the expression `it`: true exactly where `check` does not raise."""


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer in `lowest..highest`, both included; a boolean is not an integer."""

    lowest: int = 0
    highest: int = INTEGER_MAX

    def check(self, value: object) -> None:
        if type(value) is not int:
            raise MalformedFrame("an integer was expected")
        if not self.lowest <= value <= self.highest:
            raise MalformedFrame("an integer is out of range")

    def condition(self, it: str) -> str:
        return f"type({it}) is int and {self.lowest} <= {it} <= {self.highest}"


@dataclass(frozen=True, slots=True)
class Octets:
    """Bytes whose length lies in `bytes_min..bytes_max`."""

    bytes_min: int
    bytes_max: int

    def check(self, value: object) -> None:
        if type(value) is not bytes:
            raise MalformedFrame("octets were expected")
        if not self.bytes_min <= len(value) <= self.bytes_max:
            raise MalformedFrame("octets have a wrong length")

    def condition(self, it: str) -> str:
        if self.bytes_min == self.bytes_max:
            return f"type({it}) is bytes and len({it}) == {self.bytes_min}"
        return f"type({it}) is bytes and {self.bytes_min} <= len({it}) <= {self.bytes_max}"


@dataclass(frozen=True, slots=True)
class Text:
    """NFC text whose UTF-8 form is at most `bytes_max` long."""

    bytes_max: int

    def check(self, value: object) -> None:
        if type(value) is not str:
            raise MalformedFrame("text was expected")
        if value.isascii():
            if len(value) > self.bytes_max:
                raise MalformedFrame("text is too long")
            return
        if len(value.encode("utf-8", "surrogatepass")) > self.bytes_max:
            raise MalformedFrame("text is too long")
        if not unicodedata.is_normalized("NFC", value):
            raise MalformedFrame("text is not in normal form C")

    def condition(self, it: str) -> str:
        wide = f"is_wide_text({it}, {self.bytes_max})"
        return f"type({it}) is str and ({it}.isascii() and len({it}) <= {self.bytes_max} or {wide})"


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean."""

    def check(self, value: object) -> None:
        if type(value) is not bool:
            raise MalformedFrame("a boolean was expected")

    def condition(self, it: str) -> str:
        return f"type({it}) is bool"


@dataclass(frozen=True, slots=True)
class Constant:
    """Exactly this integer or text: type labels and versions."""

    value: int | str

    def check(self, value: object) -> None:
        if type(value) is not type(self.value) or value != self.value:
            raise MalformedFrame(f"{self.value!r} was expected")

    def condition(self, it: str) -> str:
        return f"type({it}) is {type(self.value).__name__} and {it} == {self.value!r}"


@dataclass(frozen=True, slots=True)
class Array:
    """At most `count_max` values of one shape."""

    item: Shape
    count_max: int

    def check(self, value: object) -> None:
        if type(value) is not tuple:
            raise MalformedFrame("an array was expected")
        if len(value) > self.count_max:
            raise MalformedFrame("an array is too long")
        check = self.item.check
        for item in value:
            check(item)

    def condition(self, it: str) -> str:
        items = f"all([{self.item.condition('item')} for item in {it}])"
        return f"type({it}) is tuple and (not {it} or len({it}) <= {self.count_max} and {items})"


@dataclass(frozen=True, slots=True)
class Fields:
    """A fixed-arity array, one shape a field."""

    fields: tuple[Shape, ...]
    _fits: Callable[[object], bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_fits", _compiled(self.fields))

    def check(self, value: object) -> None:
        if not self._fits(value):
            self._explain(value)

    def condition(self, it: str) -> str:
        each = [shape.condition(f"{it}[{place}]") for place, shape in enumerate(self.fields)]
        return " and ".join((f"type({it}) is tuple and len({it}) == {len(each)}", *each))

    def _explain(self, value: object) -> None:
        if type(value) is not tuple:
            raise MalformedFrame("an array was expected")
        if len(value) != len(self.fields):
            raise MalformedFrame(f"{len(self.fields)} fields were expected, {len(value)} came")
        for shape, item in zip(self.fields, value, strict=True):
            shape.check(item)
        raise MalformedFrame("the fields do not fit")


def _is_wide_text(text: str, bytes_max: int) -> bool:
    """Whether a text is short enough and in normal form C, by the long way."""
    is_short = len(text.encode("utf-8", "surrogatepass")) <= bytes_max
    return is_short and unicodedata.is_normalized("NFC", text)


def _compiled(fields: Sequence[Shape]) -> Callable[[object], bool]:
    """The condition of all fields as a function; its text is made of shapes, never of input."""
    names = [f"field_{place}" for place in range(len(fields))]
    conditions = [shape.condition(name) for shape, name in zip(fields, names, strict=True)]
    source = f"lambda {', '.join(names)}: {' and '.join(conditions) or True}"
    fit: Callable[..., bool] = eval(source, {"is_wide_text": _is_wide_text})
    count = len(names)

    def fits(value: object) -> bool:
        return type(value) is tuple and len(value) == count and fit(*value)

    return fits


def _refuse_extension(code: int, data: bytes) -> object:
    raise MalformedFrame("extension types are not part of the format")


_PACKER: Final = msgpack.Packer(use_bin_type=True)
"""Kept, since making one costs as much as packing a header; `pack` leaves nothing behind in it."""


def encode(value: Plain) -> bytes:
    """The one canonical encoding of a plain value; the caller has checked it against a shape."""
    packed: bytes = _PACKER.pack(value)
    return packed


def decode_typed(untrusted: bytes, shape: Checker, *, bytes_max: int) -> Any:
    """Decodes within `bytes_max` and checks types, arity and bounds; not yet canonical form."""
    if len(untrusted) > bytes_max:
        raise MalformedFrame(f"{len(untrusted)} bytes exceed the cap of {bytes_max}")
    try:
        value = msgpack.unpackb(
            untrusted,
            use_list=False,
            raw=False,
            strict_map_key=True,
            max_map_len=0,
            max_ext_len=0,
            ext_hook=_refuse_extension,
        )
    except MalformedFrame:
        raise
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.UnpackException) as error:
        raise MalformedFrame(f"not msgpack: {type(error).__name__}") from None
    shape.check(value)
    return value


def is_canonical(untrusted: bytes, value: Plain) -> bool:
    """Whether `untrusted` is the very encoding that `encode` gives for the decoded value."""
    return encode(value) == untrusted


def decode_untrusted(untrusted: bytes, shape: Checker, *, bytes_max: int) -> Any:
    """Decodes typed and canonical bytes from outside; raises `MalformedFrame`, nothing else."""
    value = decode_typed(untrusted, shape, bytes_max=bytes_max)
    if not is_canonical(untrusted, value):
        raise MalformedFrame("the bytes are not the canonical encoding")
    return value
