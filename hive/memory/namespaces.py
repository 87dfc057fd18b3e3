"""Namespace names: `org/topic/…`, lower-case segments, a legal boundary each."""

from __future__ import annotations

import re
from typing import Final

from hive.trust.capability import NAMESPACE_BYTES_MAX

SEGMENT_COUNT_MAX: Final = 8
_SEGMENT: Final = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
_GRAMMAR: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,{SEGMENT_COUNT_MAX - 1}}}")

GRAMMAR_HINT: Final = (
    "a namespace is 1 to 8 segments joined by '/', each of a-z, 0-9, '.', '_' or '-', "
    "beginning and ending with a letter or digit, e.g. acme/research"
)


def is_namespace(name: str) -> bool:
    """Whether the name follows the grammar."""
    return len(name) <= NAMESPACE_BYTES_MAX and _GRAMMAR.fullmatch(name) is not None
