"""Labelled, versioned records declared as dataclasses.

A record class is a frozen slotted dataclass, decorated with `@record(label, version)`, whose
fields carry their shapes: `key: Annotated[bytes, Octets(32, 32)]`. Nested parts are decorated
with `@part` and written as bare class names or `Annotated[tuple[Part, ...], Many(n)]`. The
encoded form is `[label, version, *fields]` (a part: `[*fields]`), in the order of declaration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_args, get_origin, get_type_hints

from hive.errors import MalformedFrame
from hive.wire.brisk import brisk
from hive.wire.codec import Array, Constant, Fields, Shape, decode_typed, encode, is_canonical
from hive.wire.ids import Digest, digest


@dataclass(frozen=True, slots=True)
class Many:
    """Marks a tuple of parts, at most `count_max`."""

    count_max: int


class Part:
    """A fixed-arity array inside a record; subclasses are decorated with `@part`."""

    __slots__ = ()
    SHAPE: ClassVar[Fields]
    _PARTS: ClassVar[tuple[tuple[int, bool, type[Part]], ...]]
    _NAMES: ClassVar[tuple[str, ...]]

    def to_plain(self) -> tuple[Any, ...]:
        """The fields as plain values, nested parts as arrays."""
        values = [getattr(self, name) for name in self._NAMES]
        for position, is_many, _ in self._PARTS:
            value = values[position]
            values[position] = (
                tuple(item.to_plain() for item in value) if is_many else value.to_plain()
            )
        return tuple(values)

    @classmethod
    def from_plain(cls, plain: tuple[Any, ...]) -> Self:
        """The part of a plain value that `SHAPE` has already checked."""
        values = list(plain)
        for position, is_many, nested in cls._PARTS:
            value = values[position]
            values[position] = (
                tuple(nested.from_plain(item) for item in value)
                if is_many
                else nested.from_plain(value)
            )
        return cls(**dict(zip(cls._NAMES, values, strict=True)))


class Record(Part):
    """A part with a type label and a version before its fields; its digest is its id."""

    __slots__ = ()
    LABEL: ClassVar[str]
    VERSION: ClassVar[int]
    BODY_BYTES_MAX: ClassVar[int]
    BODY_SHAPE: ClassVar[Fields]

    def to_body(self) -> bytes:
        """The canonical `[label, version, *fields]`; raises `MalformedFrame` out of bounds."""
        plain = (self.LABEL, self.VERSION, *self.to_plain())
        self.BODY_SHAPE.check(plain)
        body = encode(plain)
        if len(body) > self.BODY_BYTES_MAX:
            raise MalformedFrame(f"a {self.LABEL} record exceeds {self.BODY_BYTES_MAX} bytes")
        return body

    @classmethod
    def from_body_untrusted(cls, untrusted: bytes) -> Self:
        """Decodes canonical bytes of this label and version; raises `MalformedFrame`."""
        plain = decode_typed(untrusted, cls.BODY_SHAPE, bytes_max=cls.BODY_BYTES_MAX)
        if not is_canonical(untrusted, plain):
            raise MalformedFrame(f"a {cls.LABEL} record is not canonically encoded")
        return cls.from_plain(plain[2:])

    @classmethod
    def id_of(cls, body: bytes) -> Digest:
        """SHA-256(label ‖ 0 ‖ body)."""
        return digest(cls.LABEL, body)


P = TypeVar("P", bound=Part)
R = TypeVar("R", bound=Record)


def _field_shape(hint: Any) -> tuple[Shape, bool, type[Part] | None]:
    if isinstance(hint, type) and issubclass(hint, Part):
        return hint.SHAPE, False, hint
    if get_origin(hint) is not Annotated:
        raise TypeError(f"{hint!r} carries no shape")
    inner, mark = get_args(hint)[:2]
    if not isinstance(mark, Many):
        return mark, False, None
    nested = get_args(inner)[0]
    return Array(nested.SHAPE, mark.count_max), True, nested


def part(cls: type[P]) -> type[P]:
    """Completes a frozen slotted dataclass into a part."""
    brisk(cls)
    hints = get_type_hints(cls, include_extras=True)
    names = tuple(field.name for field in dataclasses.fields(cls))  # type: ignore[arg-type]
    found = [_field_shape(hints[name]) for name in names]
    cls._NAMES = names
    cls.SHAPE = Fields(tuple(shape for shape, _, _ in found))
    cls._PARTS = tuple(
        (position, is_many, nested)
        for position, (_, is_many, nested) in enumerate(found)
        if nested is not None
    )
    return cls


def record(label: str, version: int, *, bytes_max: int) -> Callable[[type[R]], type[R]]:
    """Completes a frozen slotted dataclass into a record whose body is at most `bytes_max` long."""

    def complete(cls: type[R]) -> type[R]:
        part(cls)
        cls.LABEL, cls.VERSION, cls.BODY_BYTES_MAX = label, version, bytes_max
        cls.BODY_SHAPE = Fields((Constant(label), Constant(version), *cls.SHAPE.fields))
        return cls

    return complete


def label_of_untrusted(body: bytes) -> str:
    """The label in front of a record's body, read without decoding the rest; "" where none is.

    Labels are at most 31 ASCII bytes; the array in front has at most 15 or 65,535 fields.
    """
    start = 3 if body[:1] == b"\xdc" else 1
    mark = body[start] if len(body) > start else 0
    if mark >> 5 != 0b101:
        return ""
    return body[start + 1 : start + 1 + (mark & 0x1F)].decode("ascii", "replace")
