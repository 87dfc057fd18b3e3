"""Files cut into memories: markdown at headings and paragraphs, text at blank lines, JSONL by line.

Everything is read and checked before anything is remembered, so a fault in the last file leaves
the store as it was. A paragraph of markdown carries the trail of its headings in front, because
recall finds it without its neighbours. The source of each is `file:line`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hive.errors import ConfigError, HiveError

from .inputs import (
    SOURCE_BYTES_MAX,
    TEXT_BYTES_MAX,
    checked_label,
    checked_tags,
    checked_text,
)

MARKDOWN: Final = (".md", ".markdown")
TEXTS: Final = (".txt", ".text", ".rst", ".log")
LINES: Final = (".jsonl", ".ndjson")
BUNDLE: Final = ".bundle"
FILE_BYTES_MAX: Final = 256 * 1_024 * 1_024
_HEADING: Final = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE: Final = re.compile(r"\s*(`{3,}|~{3,})")


@dataclass(frozen=True, slots=True)
class Item:
    """One memory of a file."""

    text: str
    source: str
    tags: tuple[str, ...] = ()

    def as_argument(self) -> dict[str, Any]:
        """As the verb takes it."""
        return {"text": self.text, "source": self.source, "tags": list(self.tags)}

    def digest(self, where: str) -> str:
        """What marks it as taken, wherever its file lies: its content and where it goes."""
        parts = "\0".join((where, self.text, *self.tags))
        return hashlib.sha256(parts.encode("utf-8")).hexdigest()


def files_of(path: Path) -> tuple[list[Path], list[Path]]:
    """The files to read, sorted, and those of unknown kinds that a folder holds besides."""
    if not path.is_dir():
        return [path], []
    known = (*MARKDOWN, *TEXTS, *LINES)
    try:
        found = sorted(
            each
            for each in path.rglob("*")
            if each.is_file() and not any(p.startswith(".") for p in each.relative_to(path).parts)
        )
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="check it") from None
    taken = [each for each in found if each.suffix.lower() in known]
    return taken, [each for each in found if each.suffix.lower() not in known]


def items_of(path: Path, name: str) -> Iterator[Item]:
    """The memories of one file; `name` is what their sources say."""
    text = _read(path)
    suffix = path.suffix.lower()
    if suffix in LINES:
        yield from _of_lines(text, name)
        return
    parts = _of_markdown(text) if suffix in MARKDOWN else _of_paragraphs(text)
    for number, part in parts:
        source = f"{name}:{number}"
        checked = checked_text(part, source)
        yield Item(checked, checked_label(source, f"the name of {source}", SOURCE_BYTES_MAX))


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(f"{path} exceeds {FILE_BYTES_MAX:,} bytes", hint="split the file")
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", hint="check its name and rights"
        ) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{number} is not UTF-8", hint="convert the file, or leave it out"
        ) from None


def _of_paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Runs of lines between blank ones, with the number of their first line."""
    gathered: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            gathered.append(line.rstrip())
        elif gathered:
            yield number - len(gathered), "\n".join(gathered)
            gathered = []
    if gathered:
        yield len(text.splitlines()) - len(gathered) + 1, "\n".join(gathered)


class _Markdown:
    """The trail of headings, and the paragraph being gathered; a fence keeps its blank lines."""

    def __init__(self) -> None:
        self._trail: list[tuple[int, str]] = []
        self._gathered: list[str] = []
        self._start = 0
        self._fence = ""

    def take(self, number: int, line: str) -> tuple[int, str] | None:
        """One line; gives the paragraph that it ends, if any."""
        found = _FENCE.match(line)
        if self._fence:
            if found and found[1].startswith(self._fence):
                self._fence = ""
            self._gathered.append(line)
            return None
        if found:
            self._fence = found[1]
        heading = None if found else _HEADING.match(line)
        if heading or not line.strip():
            done = self.finish()
            if heading:
                level = len(heading[1])
                self._trail = [each for each in self._trail if each[0] < level]
                self._trail.append((level, heading[2]))
            return done
        if not self._gathered:
            self._start = number
        self._gathered.append(line)
        return None

    def finish(self) -> tuple[int, str] | None:
        """What was gathered last, under its trail."""
        if not self._gathered:
            return None
        trail = " > ".join(title for _, title in self._trail if title)
        text = "\n".join(each.rstrip() for each in self._gathered)
        self._gathered = []
        return self._start, f"{trail}\n\n{text}" if trail else text


def _of_markdown(text: str) -> Iterator[tuple[int, str]]:
    reader = _Markdown()
    for number, line in enumerate(text.splitlines(), 1):
        done = reader.take(number, line)
        if done:
            yield done
    last = reader.finish()
    if last:
        yield last


def _of_lines(text: str, name: str) -> Iterator[Item]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _of_object(_parsed(line, f"{name}:{number}"), f"{name}:{number}")


def _parsed(line: str, place: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        raise ConfigError(f"{place} is not JSON", hint=_LINE_HINT) from None
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        raise ConfigError(f"{place} has no `text`", hint=_LINE_HINT)
    return found


_LINE_HINT: Final = 'each line is an object such as {"text": "…", "source": "…", "tags": ["…"]}'


def _of_object(found: dict[str, Any], place: str) -> Item:
    source, tags = found.get("source", place), found.get("tags", [])
    is_list = isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)
    if not isinstance(source, str) or not is_list:
        raise ConfigError(f"{place}: `source` or `tags` is of a wrong type", hint=_LINE_HINT)
    text = checked_text(found["text"], place)
    try:
        return Item(
            text,
            checked_label(source, "source", SOURCE_BYTES_MAX),
            tuple(checked_tags(tuple(tags))),
        )
    except HiveError as error:
        raise ConfigError(f"{place}: {error}", hint=error.hint) from None


def batches(items: Iterable[Item], count_max: int = 256) -> Iterator[list[Item]]:
    """Portions for one call each, bounded in number and in bytes."""
    portion: list[Item] = []
    size = 0
    for item in items:
        item_size = len(item.text.encode("utf-8"))
        if portion and (len(portion) >= count_max or size + item_size > 16 * TEXT_BYTES_MAX):
            yield portion
            portion, size = [], 0
        portion.append(item)
        size += item_size
    if portion:
        yield portion
