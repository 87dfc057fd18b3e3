"""Text to the ids of word pieces: the greedy cutting that BERT models were trained with.

A text is decomposed, freed of accents and control characters and lowered; punctuation and CJK
ideographs stand alone. Each word is then cut from its left into the longest pieces known.
"""

from __future__ import annotations

import re
import string
import unicodedata
from functools import lru_cache
from typing import Final

UNKNOWN: Final = "[UNK]"
INNER: Final = "##"
WORD_CHARACTERS_MAX: Final = 100
"""A longer word is one unknown piece, as in training."""
WORDS_CACHED_MAX: Final = 16_384

_CAMEL: Final = re.compile(r"([a-z])([A-Z])")
_IDEOGRAPHS: Final = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


class WordPieces:
    """Cuts words by a vocabulary of pieces and remembers the words of late."""

    def __init__(self, pieces: list[str]) -> None:
        """`pieces` in the order of their ids."""
        self._ids = {piece: number for number, piece in enumerate(pieces)}
        self._unknown = self._ids[UNKNOWN]
        self._cached: dict[str, tuple[int, ...]] = {}

    def ids(self, text: str, count_max: int) -> list[int]:
        """At most the first `count_max` pieces; words within words in camel case count as two."""
        found: list[int] = []
        for word in words(_CAMEL.sub(r"\1 \2", text)):
            known = self._cached.get(word)
            found += self._remembered(word) if known is None else known
            if len(found) >= count_max:
                break
        return found[:count_max]

    def _remembered(self, word: str) -> tuple[int, ...]:
        if len(self._cached) >= WORDS_CACHED_MAX:
            self._cached.clear()
        cut = self._cached[word] = tuple(self._cut(word))
        return cut

    def _cut(self, word: str) -> list[int]:
        if len(word) > WORD_CHARACTERS_MAX:
            return [self._unknown]
        pieces: list[int] = []
        start, lead = 0, ""
        while start < len(word):
            for end in range(len(word), start, -1):
                if (piece := self._ids.get(lead + word[start:end])) is not None:
                    break
            else:
                return [self._unknown]
            pieces.append(piece)
            start, lead = end, INNER
        return pieces


def words(text: str) -> list[str]:
    """The words of a text as the model counts them."""
    return unicodedata.normalize("NFD", text).translate(_SPACING).lower().split()


class _Spacing:
    """What each character becomes before a text is split at its spaces."""

    @staticmethod
    @lru_cache(maxsize=8192)
    def __getitem__(code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if character in "\t\n\r" or category == "Zs":
            return " "
        if category == "Mn" or category[0] == "C" or character == "\N{REPLACEMENT CHARACTER}":
            return ""
        if category[0] == "P" or character in string.punctuation or _is_ideograph(code):
            return f" {character} "
        return character


def _is_ideograph(code: int) -> bool:
    return any(first <= code <= last for first, last in _IDEOGRAPHS)


_SPACING: Final = _Spacing()
