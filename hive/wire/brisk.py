"""Constructors of frozen dataclasses at the price of open ones.

The constructor that `dataclass` makes for a frozen class goes round the lock field by field, seven
times what an open class pays; ingress makes a dozen such values for each delta. A brisk class
fills the slots of a new instance while it belongs to an open twin of the same layout, then closes
it. Nobody sees it open, and everything else about the class stays as it was.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

T = TypeVar("T")


def brisk(cls: type[T]) -> type[T]:
    """Completes a frozen slotted dataclass whose constructor only fills its fields."""
    found = fields(cls)  # type: ignore[arg-type]
    if hasattr(cls, "__post_init__") or any(
        not field.init or field.default_factory is not MISSING for field in found
    ):
        raise TypeError(f"{cls.__name__} needs its own constructor")
    twin = type(cls.__name__, cls.__bases__, {"__slots__": tuple(field.name for field in found)})
    names: dict[str, Any] = {"closed": cls, "twin": twin, "lay_open": object.__setattr__}
    names |= {f"default_{f.name}": f.default for f in found if f.default is not MISSING}
    exec(_source(found), names)
    cls.__init__ = names["__init__"]  # type: ignore[method-assign]
    return cls


def _source(found: tuple[Field[Any], ...]) -> str:
    arguments = ["self", *(_argument(field) for field in found if not field.kw_only)]
    by_name = [_argument(field) for field in found if field.kw_only]
    if by_name:
        arguments += ["*", *by_name]
    filled = [f"self.{field.name} = {field.name}" for field in found]
    lines = ["lay_open(self, '__class__', twin)", *filled, "self.__class__ = closed"]
    return f"def __init__({', '.join(arguments)}):\n    " + "\n    ".join(lines)


def _argument(field: Field[Any]) -> str:
    return field.name if field.default is MISSING else f"{field.name}=default_{field.name}"
