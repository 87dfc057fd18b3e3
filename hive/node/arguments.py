"""What a verb takes, told from its signature: wrong names and types are refused beforehand."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_type_hints

from hive.errors import ConfigError

HINT: Final = "see `hive --help`"
_ITEM_TYPES: Final[Mapping[str, Any]] = {"text": str, "source": str, "tags": Sequence[str]}


def require_fitting(verb: str, function: Callable[..., object], arguments: object) -> None:
    """Raises `ConfigError` where a verb cannot be called so."""
    if not isinstance(arguments, Mapping):
        raise ConfigError(f"{verb}: arguments must be named", hint=HINT)
    hints = get_type_hints(function)
    parameters = inspect.signature(function).parameters
    for name, value in arguments.items():
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise ConfigError(f"{verb}: unknown argument {name!r}", hint=f"known: {known}")
        if not _fits(value, hints[name]):
            raise ConfigError(f"{verb}: {name} is not {_said(hints[name])}", hint=HINT)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments:
            raise ConfigError(f"{verb}: the argument {name!r} is missing", hint=HINT)


def require_items(items: Sequence[Mapping[str, Any]]) -> None:
    """Raises `ConfigError` where an item of `remember_many` is not one."""
    for position, item in enumerate(items):
        wrong = [name for name in item if not _fits(item[name], _ITEM_TYPES.get(name, None))]
        if wrong or "text" not in item:
            what = f"{wrong[0]!r} does not fit" if wrong else "it has no text"
            raise ConfigError(f"item {position}: {what}", hint="text, source and tags")


def _fits(value: object, expected: Any) -> bool:
    if expected is str:
        return isinstance(value, str) and _is_text(value)
    if expected in (int, bool):
        return type(value) is expected
    if expected == str | None:
        return value is None or _fits(value, str)
    if expected == Sequence[str]:
        return isinstance(value, list | tuple) and all(_fits(each, str) for each in value)
    if expected == Sequence[Mapping[str, Any]]:
        return isinstance(value, list | tuple) and all(isinstance(m, Mapping) for m in value)
    return False


def _is_text(value: str) -> bool:
    """Half a surrogate pair is no text: no encoding can say it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _said(expected: Any) -> str:
    if expected in (str, str | None):
        return "a text"
    if expected == Sequence[str]:
        return "a list of texts"
    return {int: "a whole number", bool: "true or false"}.get(expected, "a list of objects")
