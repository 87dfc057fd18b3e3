"""Real text that every machine has: the docstrings of Python's standard library."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SKIPPED = ("site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "__pycache__")
SENTENCE_WORDS_MIN = 5
DOCUMENT_WORDS_MIN = 8
DOCUMENT_CHARACTERS_MAX = 1_500

_FIRST_SENTENCE = re.compile(r"(.+?[.!?])\s+(.+)$")
_Documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring cut in two: its first sentence, and the rest of it."""

    sentence: str
    rest: str


def docstrings(count: int | None = None) -> list[Docstring]:
    """Docstrings of at least two sentences, in the order of files and lines, no repeats.

    All of them, or the first `count`: parsing every file takes seconds.
    """
    found: dict[str, Docstring] = {}
    for text in _texts(Path(sysconfig.get_paths()["stdlib"])):
        match = _FIRST_SENTENCE.match(text)
        if match is None:
            continue
        sentence, rest = match.group(1), match.group(2)[:DOCUMENT_CHARACTERS_MAX]
        if len(sentence.split()) < SENTENCE_WORDS_MIN or len(rest.split()) < DOCUMENT_WORDS_MIN:
            continue
        found.setdefault(rest, Docstring(sentence, rest))
        if len(found) == count:
            break
    return list(found.values())


def _texts(root: Path) -> Iterator[str]:
    for path in sorted(root.rglob("*.py")):
        if any(part in SKIPPED for part in path.relative_to(root).parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, _Documented) and (text := ast.get_docstring(node)):
                yield " ".join(text.split())
