"""Constructors of frozen dataclasses at the price of open ones.

The constructor that `dataclass` makes for a frozen class goes round the lock field by field, seven
times what an open class pays; ingress makes a dozen such values for each delta. A brisk class
fills the slots of a new instance while it belongs to an open twin of the same layout, then closes
it. Nobody sees it open, and everything else about the class stays as it was.
"""

from __future__ import annotations

from dataclasses import MISSING, field, fields, make_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def brisk(cls: type[T]) -> type[T]:
    """Completes a frozen slotted dataclass whose constructor only fills its fields."""
    found = fields(cls)  # type: ignore[arg-type]
    if hasattr(cls, "__post_init__") or any(
        not each.init or each.default_factory is not MISSING for each in found
    ):
        raise TypeError(f"{cls.__name__} needs its own constructor")
    same = [(f.name, object, field(default=f.default, kw_only=f.kw_only)) for f in found]
    twin = make_dataclass(cls.__name__, same, bases=cls.__bases__, eq=False, slots=True)
    fill: Any = twin.__init__  # type: ignore[misc]
    lay_open = object.__setattr__

    def construct(self: Any, *values: object, **named: object) -> None:
        lay_open(self, "__class__", twin)
        fill(self, *values, **named)
        self.__class__ = cls

    cls.__init__ = construct  # type: ignore[method-assign]
    return cls
