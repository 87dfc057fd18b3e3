"""What a replica holds in some time buckets, as session ids beside full ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hive.protocol.ports import LINE_BYTES, StoreReader
from hive.protocol.reconciliation.digests import (
    PAGE,
    STAMP_BYTES,
    lines_between,
    number_last,
    span_of,
)
from hive.protocol.reconciliation.iblt import Symbols, Walk
from hive.protocol.reconciliation.short_ids import Numbers, rows_of, session_ids
from hive.protocol.reconciliation.slices import Slice, Work
from hive.wire.clock import Hlc
from hive.wire.ids import DIGEST_BYTES

Toll = Callable[[int], bool]
"""Charges lines of work to the peer that caused it; False where it may cause no more."""

WALK_ITEMS: Final = 16_384
"""Items coded in one step: fewer cost calls, more a longer slice."""

_HASHED_COST: Final = 2
"""What hashing a line to a session id costs, in lines read."""
_NO_NUMBERS: Final = np.zeros(0, np.uint64)


@dataclass(slots=True)
class Elements:
    """Session ids and full ids (32 bytes each), in the order of (hlc, id)."""

    shorts: Numbers
    ids: bytes

    def __len__(self) -> int:
        return len(self.shorts)

    def ids_at(self, mask: NDArray[np.bool_]) -> bytes:
        """The full ids where a mask is set, in order."""
        rows = np.frombuffer(self.ids, np.uint8).reshape(-1, DIGEST_BYTES)
        return rows[mask].tobytes()


@dataclass(slots=True)
class Window:
    """Some dirty buckets whose ids are compared; the counts are what both sides claimed."""

    namespace: str
    level: int
    numbers: tuple[int, ...]
    own_count: int = 0
    their_count: int = 0
    differences_min: int = 0
    elements: Elements | None = None
    walks: list[Walk] = field(default_factory=list)
    symbols: Symbols = field(default_factory=lambda: Symbols.empty(0))
    heard: Symbols = field(default_factory=lambda: Symbols.empty(0))
    pages: list[Numbers] = field(default_factory=list)

    @property
    def listed(self) -> Numbers:
        """The session ids listed so far by the other side."""
        return np.concatenate(self.pages) if self.pages else _NO_NUMBERS


def steps_of(numbers: Sequence[int]) -> tuple[int, ...]:
    """Ascending numbers as distances, which travel in a byte each."""
    return tuple(number - before for before, number in zip((0, *numbers), numbers, strict=False))


def numbers_of_untrusted(untrusted_steps: Sequence[int], level: int) -> tuple[int, ...]:
    """The ascending numbers behind distances, as far as they name a time and do not repeat."""
    found, number, last = list[int](), 0, number_last(level)
    for place, step in enumerate(untrusted_steps):
        number += step
        if number > last or (place and not step):
            break
        found.append(number)
    return tuple(found)


def read(
    reader: StoreReader, window: Window, key: bytes, slice: Slice, toll: Toll, count_max: int
) -> Work[Elements | None]:
    """What is held in the buckets of a window; None where that is too much, or too dear."""
    shorts, ids, count = [_NO_NUMBERS], list[bytes](), 0
    for lines in _batches(reader, window):
        rows = rows_of(lines)
        count += len(rows)
        if count > count_max or not toll(_HASHED_COST * len(rows)):
            return None
        shorts.append(session_ids(key, rows))
        ids.append(rows[:, STAMP_BYTES:-1].tobytes())
        slice.spend(_HASHED_COST * len(rows))
        if slice.is_spent:
            yield
    return Elements(np.concatenate(shorts), b"".join(ids))


def _batches(reader: StoreReader, window: Window) -> Iterator[bytes]:
    """The lines of all buckets, small ones joined: hashing pays by the page."""
    waiting, size = list[bytes](), 0
    for first, last in _spans(window.numbers, window.level):
        for lines in lines_between(reader, window.namespace, first, last):
            waiting.append(lines)
            size += len(lines)
            if size >= PAGE * LINE_BYTES:
                yield b"".join(waiting)
                waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _spans(numbers: Sequence[int], level: int) -> Iterator[tuple[Hlc, Hlc]]:
    """Buckets that touch are read in one."""
    start = 0
    for place, number in enumerate(numbers):
        if place + 1 == len(numbers) or numbers[place + 1] != number + 1:
            yield span_of(numbers[start], level)[0], span_of(number, level)[1]
            start = place + 1


def code(window: Window, count: int, slice: Slice, toll: Toll) -> Work[bool]:
    """Brings the window's own symbols to this number; False where that is too dear."""
    assert window.elements is not None
    shorts = window.elements.shorts
    if not window.walks:
        window.walks = [
            Walk.begin(shorts[start : start + WALK_ITEMS])
            for start in range(0, len(shorts), WALK_ITEMS)
        ]
    window.symbols.extend(Symbols.empty(count - len(window.symbols)))
    for walk in window.walks:
        if not toll(len(walk.items)):
            return False
        walk.fold(window.symbols)
        slice.spend(len(walk.items))
        if slice.is_spent:
            yield
    return True
