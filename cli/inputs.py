"""Arguments checked before anything is opened or written; each says what would be right."""

from __future__ import annotations

import re
import sys
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from hive.errors import ConfigError, DeltaTooLarge
from hive.memory.namespaces import GRAMMAR_HINT, is_namespace
from hive.trust.capability import ACTIONS

TEXT_BYTES_MAX: Final = 64 * 1_024
SOURCE_BYTES_MAX: Final = 1_024
TAG_BYTES_MAX: Final = 128
INVITE_BYTES_MAX: Final = 65_536
TAG_COUNT_MAX: Final = 32
ID_CHARACTERS: Final = (6, 64)
CAPABILITY_HINT: Final = (
    "write PREFIX=ACTION,ACTION such as acme/research=remember,recall; actions are "
    + ", ".join(ACTIONS)
    + ", or all"
)


class _Checked(click.ParamType[Any]):
    """A text that must satisfy a rule."""

    def _refuse(self, value: str, hint: str, param: Any, ctx: Any) -> None:
        self.fail(f"{value!r}: {hint}", param, ctx)


class Namespace(_Checked):
    """A namespace's full name."""

    name = "namespace"

    def convert(self, value: str, param: Any, ctx: Any) -> str:
        """The name itself."""
        if not is_namespace(value):
            self._refuse(value, GRAMMAR_HINT, param, ctx)
        return value


class DeltaIdPrefix(_Checked):
    """The first hexadecimal digits of an id, at least six."""

    name = "id"

    def convert(self, value: str, param: Any, ctx: Any) -> str:
        """Lower case."""
        lowered = value.lower()
        low, high = ID_CHARACTERS
        if not re.fullmatch(rf"[0-9a-f]{{{low},{high}}}", lowered):
            self._refuse(value, f"an id is {low} to {high} hexadecimal digits", param, ctx)
        return lowered


class Moment(_Checked):
    """A day or moment in ISO form; without an offset it is UTC. Converts to milliseconds."""

    name = "moment"

    def convert(self, value: str | int, param: Any, ctx: Any) -> int:
        """Wall milliseconds."""
        if isinstance(value, int):
            return value
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r}: write 2026-05-17 or 2026-05-17T10:30:00+02:00", param, ctx)
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=UTC)
        moment_ms = int(parsed.timestamp() * 1_000)
        if moment_ms < 0:
            self._refuse(value, "moments before 1970 cannot be stored", param, ctx)
        return moment_ms


class Allow(_Checked):
    """`PREFIX=ACTION,ACTION`: one narrowed capability."""

    name = "capability"

    def convert(self, value: str | dict[str, Any], param: Any, ctx: Any) -> dict[str, Any]:
        """Prefix and names of actions."""
        if isinstance(value, dict):
            return value
        prefix, separator, names = value.partition("=")
        actions = list(ACTIONS) if names == "all" else [name for name in names.split(",") if name]
        if not separator or not actions or not set(actions) <= set(ACTIONS):
            self._refuse(value, CAPABILITY_HINT, param, ctx)
        if prefix and not is_namespace(prefix):
            self._refuse(value, GRAMMAR_HINT, param, ctx)
        return {"prefix": prefix, "actions": actions}


class Seed(_Checked):
    """`host:port`, numeric or a DNS name."""

    name = "host:port"

    def convert(self, value: str, param: Any, ctx: Any) -> str:
        """The text itself; `ConfigError` carries the hint."""
        from hive.transport.addresses import parse_seed

        try:
            parse_seed(value)
        except ConfigError as error:
            self._refuse(value, error.hint, param, ctx)
        return value


class Address(_Checked):
    """`host:port`, numeric."""

    name = "host:port"

    def convert(self, value: str, param: Any, ctx: Any) -> str:
        """The text itself; `ConfigError` carries the hint."""
        from hive.transport.addresses import parse_address

        try:
            parse_address(value)
        except ConfigError as error:
            self._refuse(value, error.hint, param, ctx)
        return value


NAMESPACE: Final = Namespace()
DELTA_ID: Final = DeltaIdPrefix()
MOMENT: Final = Moment()
ALLOW: Final = Allow()
ADDRESS: Final = Address()
SEED: Final = Seed()
NEW_FILE: Final = click.Path(path_type=Path, dir_okay=False)
OLD_FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True, readable=True)


def read_text(argument: str) -> str:
    """The text to remember: the argument, or stdin where it is `-`; checked."""
    if argument != "-":
        return checked_text(argument, "the text")
    untrusted = sys.stdin.buffer.read(TEXT_BYTES_MAX + 1)
    if len(untrusted) > TEXT_BYTES_MAX:
        raise too_large("the text on stdin")
    try:
        return checked_text(untrusted.decode("utf-8"), "the text on stdin")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the text on stdin is not UTF-8 at byte {error.start}", hint="convert it first"
        ) from None


def checked_text(text: str, what: str) -> str:
    """The text in normal form C; `ConfigError` where empty, `DeltaTooLarge` where too long."""
    try:
        normal = unicodedata.normalize("NFC", text)
        size = len(normal.encode("utf-8"))
    except UnicodeEncodeError:
        raise ConfigError(f"{what} is not valid text", hint="give UTF-8 text") from None
    if not normal.strip():
        raise ConfigError(f"{what} is empty", hint="there must be something to remember")
    if size > TEXT_BYTES_MAX:
        raise too_large(what, size)
    return normal


def too_large(what: str, size: int = 0) -> DeltaTooLarge:
    """The error for a text beyond the format's bound."""
    found = f"{size:,} bytes" if size else f"more than {TEXT_BYTES_MAX:,} bytes"
    return DeltaTooLarge(
        f"{what} has {found}; a memory holds {TEXT_BYTES_MAX:,}",
        hint="split it, or let `hive import` cut a file at its headings and paragraphs",
    )


def checked_prefix(prefix: str) -> str:
    """A namespace, or nothing for all."""
    if prefix and not is_namespace(prefix):
        raise ConfigError(f"{prefix!r} is no namespace", hint=GRAMMAR_HINT)
    return prefix


def checked_label(text: str, what: str, bytes_max: int) -> str:
    """A short text such as a source or a tag, in normal form C."""
    normal = unicodedata.normalize("NFC", text)
    if len(normal.encode("utf-8", "surrogateescape")) > bytes_max:
        raise ConfigError(f"{what} exceeds {bytes_max} bytes", hint="shorten it")
    return normal


def checked_tags(tags: tuple[str, ...]) -> list[str]:
    """Tags, bounded in number and size."""
    if len(tags) > TAG_COUNT_MAX:
        raise ConfigError(f"{len(tags)} tags; {TAG_COUNT_MAX} are the most", hint="use fewer")
    return [checked_label(tag, "a tag", TAG_BYTES_MAX) for tag in tags]


def read_file_bounded(path: Path, bytes_max: int) -> bytes:
    """A file's bytes, `-` being stdin; `ConfigError` where it cannot be read or is too long."""
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(bytes_max + 1)
        else:
            with path.open("rb") as file:
                content = file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", hint="check its name and rights"
        ) from None
    if len(content) > bytes_max:
        raise ConfigError(f"{path} exceeds {bytes_max:,} bytes", hint="is it the right file?")
    return content
