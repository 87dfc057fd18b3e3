"""Real texts that every machine has: the standard library's docstrings, whole."""

from __future__ import annotations

from dataclasses import dataclass

from ..bench.docstrings import docstrings


@dataclass(frozen=True, slots=True)
class Text:
    """One memory to be, and the question that it should answer."""

    text: str
    question: str


@dataclass(frozen=True, slots=True)
class Memory:
    """A text that an organisation's agent remembered, by its id."""

    id: str
    org: str
    question: str


def texts(count: int) -> list[Text]:
    """The first `count` of them in the order of files, always the same ones on one machine."""
    return [Text(f"{each.sentence} {each.rest}", each.sentence) for each in docstrings(count)]
