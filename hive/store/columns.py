"""The rows of one namespace as columns: row ids, delta ids, vectors and hashed terms.

Rows come in ascending order and are appended; a slot is a position. A forgotten row keeps its
slot, but vector and terms are overwritten with zeros and nothing finds it any more. The exact
path scans these columns with integers only; graph and full text are made from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hive.store.snapshots import Chunk, SnapshotBroken

DELTA_ID_BYTES = 32
CAPACITY_MIN = 16
# small enough for the cache, and for BLAS not to wake (and wait for) a second thread: 13x
SCAN_ROWS = 256
FORGOTTEN_TERM = 0

Scalar = TypeVar("Scalar", bound=np.generic)


class Columns:
    """Append-only columns with tombstones; the caller holds the lock."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.count = 0
        self.live_count = 0
        self._rows = np.zeros(CAPACITY_MIN, dtype=np.int64)
        self._ids = np.zeros((CAPACITY_MIN, DELTA_ID_BYTES), dtype=np.uint8)
        self._vectors = np.zeros((CAPACITY_MIN, dimensions), dtype=np.int8)
        self._live = np.zeros(CAPACITY_MIN, dtype=np.bool_)
        self._ends = np.zeros(CAPACITY_MIN, dtype=np.int64)
        self._terms = np.zeros(CAPACITY_MIN, dtype=np.uint32)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Row ids, ascending; one a slot."""
        return self._rows[: self.count]

    @property
    def vectors(self) -> NDArray[np.int8]:
        """One vector a slot."""
        return self._vectors[: self.count]

    @property
    def live(self) -> NDArray[np.bool_]:
        """Whether the row of a slot may be found."""
        return self._live[: self.count]

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where the terms of each slot end in `terms`."""
        return self._ends[: self.count]

    @property
    def terms(self) -> NDArray[np.uint32]:
        """The terms of all slots, one after another."""
        return self._terms[: self._terms_count]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many terms each slot has."""
        return np.diff(self.ends, prepend=0)

    @property
    def last_row(self) -> int:
        """The newest row id, forgotten or not; 0 where there is none."""
        return int(self._rows[self.count - 1]) if self.count else 0

    @property
    def _terms_count(self) -> int:
        return int(self._ends[self.count - 1]) if self.count else 0

    def append(
        self, row_id: int, delta_id: bytes, vector: NDArray[np.int8], terms: NDArray[np.uint32]
    ) -> int:
        """Adds a row newer than all others; returns its slot."""
        slot, start = self.count, self._terms_count
        end = start + len(terms)
        self._reserve(slot + 1, end)
        self._rows[slot] = row_id
        self._ids[slot] = np.frombuffer(delta_id, dtype=np.uint8)
        self._vectors[slot] = vector
        self._live[slot] = True
        self._terms[start:end] = terms
        self._ends[slot] = end
        self.count += 1
        self.live_count += 1
        return slot

    def forget(self, slot: int) -> None:
        """Overwrites what the row said; its ids stay so that order and slots stay."""
        start = int(self._ends[slot - 1]) if slot else 0
        self._terms[start : int(self._ends[slot])] = FORGOTTEN_TERM
        self._vectors[slot] = 0
        self._live[slot] = False
        self.live_count -= 1

    def delta_id(self, slot: int) -> bytes:
        """The 32-byte id of the delta in a slot."""
        return bytes(self._ids[slot])

    def terms_of(self, slot: int) -> list[int]:
        """The terms of one slot, in the order of the text."""
        start = int(self._ends[slot - 1]) if slot else 0
        terms: list[int] = self._terms[start : int(self._ends[slot])].tolist()
        return terms

    def dots(self, vector: NDArray[np.int8]) -> NDArray[np.int32]:
        """Inner products with every slot, exact.

        BLAS works in 32-bit floats, yet every partial sum is an integer of at most
        127 · 127 · dimensions < 2^24, so nothing is ever rounded whatever its order of addition.
        """
        query = vector.astype(np.float32)
        found = np.empty(self.count, dtype=np.int32)
        for start in range(0, self.count, SCAN_ROWS):
            block = self.vectors[start : start + SCAN_ROWS].astype(np.float32)
            found[start : start + SCAN_ROWS] = block @ query
        return found

    def chunks(self) -> Iterator[Chunk]:
        """What `from_bytes` reads back."""
        header = json.dumps([self.dimensions, self.count, self._terms_count]).encode()
        yield len(header).to_bytes(4, "little") + header
        for column in (self.rows, self._ids[: self.count], self.vectors, self.live):
            yield np.ascontiguousarray(column).tobytes()
        yield self.ends.tobytes()
        yield self.terms.tobytes()

    @classmethod
    def from_bytes(cls, content: memoryview, dimensions: int) -> Columns:
        """Reads our own checksummed snapshot; raises `SnapshotBroken` for another shape."""
        header_end = 4 + int.from_bytes(content[:4], "little")
        saved_dimensions, count, terms_count = json.loads(bytes(content[4:header_end]))
        if saved_dimensions != dimensions:
            raise SnapshotBroken("the snapshot has vectors of another length")
        columns = cls(dimensions)
        columns.count = count
        reader = _Reader(content, header_end)
        columns._rows = reader.take(np.int64, count)
        columns._ids = reader.take(np.uint8, count * DELTA_ID_BYTES).reshape(-1, DELTA_ID_BYTES)
        columns._vectors = reader.take(np.int8, count * dimensions).reshape(-1, dimensions)
        columns._live = reader.take(np.bool_, count)
        columns._ends = reader.take(np.int64, count)
        columns._terms = reader.take(np.uint32, terms_count)
        columns.live_count = int(np.count_nonzero(columns._live))
        return columns

    def _reserve(self, count: int, terms_count: int) -> None:
        if count > len(self._rows):
            capacity = max(CAPACITY_MIN, count + count // 2)
            self._rows = _grown(self._rows, capacity)
            self._ids = _grown(self._ids, capacity)
            self._vectors = _grown(self._vectors, capacity)
            self._live = _grown(self._live, capacity)
            self._ends = _grown(self._ends, capacity)
        if terms_count > len(self._terms):
            self._terms = _grown(self._terms, terms_count + terms_count // 2)


class Places:
    """Where each row of a node lies: row id → (namespace number, slot), rows ascending."""

    def __init__(self) -> None:
        self.count = 0
        self._rows = np.zeros(CAPACITY_MIN, dtype=np.int64)
        self._numbers = np.zeros(CAPACITY_MIN, dtype=np.int32)
        self._slots = np.zeros(CAPACITY_MIN, dtype=np.int32)

    def append(self, row_id: int, number: int, slot: int) -> None:
        """Adds a row newer than all others."""
        if self.count == len(self._rows):
            capacity = self.count + self.count // 2
            self._rows = _grown(self._rows, capacity)
            self._numbers = _grown(self._numbers, capacity)
            self._slots = _grown(self._slots, capacity)
        self._rows[self.count] = row_id
        self._numbers[self.count] = number
        self._slots[self.count] = slot
        self.count += 1

    def find(self, row_id: int) -> tuple[int, int] | None:
        """Namespace number and slot of a row, None where it was never held."""
        at = int(np.searchsorted(self._rows[: self.count], row_id))
        if at < self.count and self._rows[at] == row_id:
            return int(self._numbers[at]), int(self._slots[at])
        return None

    def above(self, row_id: int) -> Iterator[tuple[int, int, int]]:
        """(row id, namespace number, slot) of every row above `row_id`, ascending."""
        start = int(np.searchsorted(self._rows[: self.count], row_id, side="right"))
        for at in range(start, self.count):
            yield int(self._rows[at]), int(self._numbers[at]), int(self._slots[at])

    @classmethod
    def of(cls, columns: Sequence[Columns]) -> Places:
        """The places of rows that lie in several columns."""
        places = cls()
        if not columns:
            return places
        rows = np.concatenate([each.rows for each in columns])
        order = np.argsort(rows, kind="stable")
        numbers = np.repeat(np.arange(len(columns)), [each.count for each in columns])
        slots = np.concatenate([np.arange(each.count) for each in columns])
        places.count = len(rows)
        places._rows = np.concatenate([rows[order], np.zeros(CAPACITY_MIN, dtype=np.int64)])
        places._numbers = _grown(numbers[order].astype(np.int32), len(places._rows))
        places._slots = _grown(slots[order].astype(np.int32), len(places._rows))
        return places


class _Reader:
    """Takes typed columns from a snapshot, one after another, as private copies."""

    def __init__(self, content: memoryview, offset: int) -> None:
        self._content = content
        self._offset = offset

    def take(self, scalar: type[Scalar], count: int) -> NDArray[Scalar]:
        column = np.frombuffer(self._content, dtype=scalar, count=count, offset=self._offset)
        self._offset += column.nbytes
        return column.copy()


def _grown(column: NDArray[Scalar], capacity: int) -> NDArray[Scalar]:
    grown = np.zeros((capacity, *column.shape[1:]), dtype=column.dtype)
    grown[: len(column)] = column
    return grown
