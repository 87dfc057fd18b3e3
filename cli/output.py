"""What a command says: data on stdout, talk on stderr, errors with hints, exit codes.

Texts come from other organisations: what could steer a terminal is never printed raw.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import click

from hive.errors import HiveError

OK, FAILED, USAGE, REFUSED, UNREACHABLE, STORE, KEY = range(7)

EXIT_CODES: Final[dict[int, str]] = {
    OK: "done",
    FAILED: "failed; the error says why",
    USAGE: "bad input: flags, texts, names, settings; nothing was written",
    REFUSED: "refused: by ingress, by missing rights, or (`doctor`) the node refuses writes",
    UNREACHABLE: "no node is running, or a peer cannot be reached",
    STORE: "store or disk: full, damaged, in use or not writable",
    KEY: "key or passphrase: wrong, missing, damaged or readable by others",
}

_EXITS: Final[dict[str, int]] = {
    **dict.fromkeys(("WrongPassphrase", "MissingKey", "KeyExists", "ExposedKeys"), KEY),
    **dict.fromkeys(("CorruptKeyFile", "CustodyUnavailable", "MissingPassphrase"), KEY),
    **dict.fromkeys(("Refused", "NotPermitted"), REFUSED),
    **dict.fromkeys(("ConfigError", "DeltaTooLarge"), USAGE),
    "TransportError": UNREACHABLE,
    "StoreError": STORE,
}
"""By name of class, so that no command loads the floor that defines it."""

_KEPT: Final = "\n\t"


class Failure(click.ClickException):
    """A `HiveError` on its way to the person, with its exit code."""

    def __init__(self, error: HiveError) -> None:
        super().__init__(str(error))
        self.hint = error.hint
        self.exit_code = exit_code_of(error)  # type: ignore[misc]

    def show(self, file: object = None) -> None:
        """`error: …`, then `hint: …`, on stderr."""
        click.echo(f"error: {plain(self.message)}", err=True)
        if self.hint:
            click.echo(f"hint: {plain(self.hint)}", err=True)


def exit_code_of(error: BaseException) -> int:
    """The documented exit code of an error: that of the nearest class that has one."""
    for cls in type(error).__mro__:
        if cls.__name__ in _EXITS:
            return _EXITS[cls.__name__]
    return FAILED


def plain(text: str) -> str:
    """The text without what could steer a terminal or turn its direction."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char in _KEPT or unicodedata.category(char) not in ("Cc", "Cf", "Cs") else "�"
        for char in text
    )


def line(text: str, width: int) -> str:
    """The text on one line of at most `width` characters."""
    flat = " ".join(plain(text).split())
    return flat if len(flat) <= width else flat[: max(width - 1, 0)] + "…"


def as_json(data: Mapping[str, Any]) -> str:
    """One JSON document."""
    return json.dumps(data, ensure_ascii=False, indent=2)


def table(rows: Iterable[Sequence[object]]) -> str:
    """Columns side by side; the last one is not padded."""
    texts = [[plain(str(cell)) for cell in row] for row in rows]
    if not texts:
        return ""
    widths = [max(len(row[at]) for row in texts) for at in range(len(texts[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    )


def outline(data: Mapping[str, Any], depth: int = 0) -> str:
    """A nested mapping as indented lines of `name: value`."""
    lines: list[str] = []
    for name, value in data.items():
        label = "  " * depth + name.replace("_", " ")
        if isinstance(value, Mapping):
            lines += [f"{label}:", outline(value, depth + 1)] if value else [f"{label}: none"]
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            lines.append(f"{label}:")
            lines += [_item(item, depth + 1) for item in value]
        elif isinstance(value, list):
            lines.append(f"{label}: {', '.join(plain(str(item)) for item in value) or 'none'}")
        else:
            lines.append(f"{label}: {_value(value)}")
    return "\n".join(lines)


def _item(item: Mapping[str, Any], depth: int) -> str:
    """One of several mappings, its first line marked by a dash."""
    text = outline(item, depth + 1)
    return "  " * depth + "- " + text[2 * depth + 2 :]


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain(str(value))
