"""Whether every index agrees with the log, entry by entry; what `hive doctor` runs.

The walk goes along the chains, position by position: each must lead to a row, each row to a
delta whose id, place in time, state and body are what the indexes say. Equal counts then prove
that no index holds anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from hive.errors import HiveError
from hive.memory.delta import commitment_of
from hive.memory.log import Head, Held, State
from hive.store.entries import EntryReader
from hive.store.layout import (
    Counters,
    Tables,
    Transaction,
    load_counters,
    number_of,
    position_key,
    space_name,
    time_key,
    under,
    unpack_forget,
    unpack_head,
)
from hive.store.lmdb_reader import LmdbReader
from hive.wire.ids import ZERO_DIGEST, Digest

FINDING_COUNT_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement: the table that is wrong and what is wrong with it."""

    table: str
    text: str


def check(store: LmdbReader) -> tuple[Finding, ...]:
    """Everything that is wrong with a store, at most `FINDING_COUNT_MAX`; reads all of it."""
    found: list[Finding] = []
    with store.snapshot() as txn:
        for finding in _Walk(txn, store.tables).findings():
            found.append(finding)
            if len(found) == FINDING_COUNT_MAX:
                break
    return tuple(found)


class _Walk:
    def __init__(self, txn: Transaction, tables: Tables) -> None:
        self._txn = txn
        self._tables = tables
        self._entries = EntryReader(txn, tables)
        self._counters: Counters = load_counters(txn, tables)
        self._delta_count = 0
        self._body_count = 0
        self._missing_count = 0
        self._last_row = 0
        self._newest_hlc = 0

    def findings(self) -> Iterator[Finding]:
        with self._txn.cursor(db=self._tables.chains) as cursor:
            for chain, value in cursor:
                number, head = unpack_head(Digest(chain), value)
                yield from self._chain(number, head)
        yield from self._counts()
        yield from self._records()

    def _chain(self, number: int, head: Head) -> Iterator[Finding]:
        space = self._txn.get(space_name(head.namespace), db=self._tables.spaces)
        if space is None or self._txn.get(space + head.chain, db=self._tables.by_space) is None:
            yield Finding("by_space", f"chain {head.chain.hex()} is not under its namespace")
        if self._txn.get(head.author + head.chain, db=self._tables.by_author) is None:
            yield Finding("by_author", f"chain {head.chain.hex()} is not under its author")
        previous: bytes = ZERO_DIGEST
        for sequence in range(1, head.sequence + 1):
            row = self._txn.get(position_key(number, sequence), db=self._tables.positions)
            held = None if row is None else self._held(row)
            if not isinstance(held, Held):
                fault = held or "no entry"
                yield Finding("log", f"chain {head.chain.hex()} at {sequence}: {fault}")
                return
            header = held.delta.header
            if (header.chain, header.sequence, header.previous) != (head.chain, sequence, previous):
                yield Finding("positions", f"row {held.row} is not at its place in its chain")
            previous = held.delta.id
            yield from self._delta(row, held, space or b"")
        if (previous, header.hlc) != (head.delta, head.hlc):
            yield Finding("chains", f"the head of {head.chain.hex()} is not its last delta")

    def _held(self, row: bytes) -> Held | str | None:
        try:
            return self._entries.held(row)
        except (HiveError, ValueError) as error:
            return str(error)

    def _delta(self, row: bytes, held: Held, space: bytes) -> Iterator[Finding]:
        delta, tables = held.delta, self._tables
        self._delta_count += 1
        self._body_count += bool(delta.body)
        self._last_row = max(self._last_row, held.row)
        self._newest_hlc = max(self._newest_hlc, delta.header.hlc)
        if self._txn.get(delta.id, db=tables.ids) != row:
            yield Finding("ids", f"{delta.id.hex()} does not lead to row {held.row}")
        when = self._txn.get(time_key(space, delta.header.hlc, delta.id), db=tables.times)
        if when != bytes((held.state,)):
            yield Finding("times", f"{delta.id.hex()} is not at its time with its state")
        if delta.body and held.state is not State.LIVE:
            yield Finding("bodies", f"row {held.row} is {held.state.name} and has a body")
        if delta.body and commitment_of(delta.body) != delta.header.commitment:
            yield Finding("bodies", f"the body of row {held.row} is not the one committed to")
        is_missing = held.state is State.LIVE and not delta.body
        self._missing_count += is_missing
        if is_missing != (self._txn.get(row, db=tables.missing) == delta.id):
            yield Finding("missing", f"row {held.row} is not listed as it should be")
        if held.state is State.LIVE and self._is_bound(held):
            yield Finding("forgets", f"row {held.row} is live and bound by a forget")

    def _is_bound(self, held: Held) -> bool:
        kept = under(self._txn, self._tables.forgets, held.delta.id)
        return any(unpack_forget(key, value).binds(held.delta.header) for key, value in kept)

    def _counts(self) -> Iterator[Finding]:
        wanted = dict.fromkeys(("log", "ids", "positions", "times"), self._delta_count)
        wanted |= {"bodies": self._body_count, "missing": self._missing_count}
        wanted |= dict.fromkeys(("by_space", "by_author"), self._count("chains"))
        wanted |= {"record_ids": self._count("records"), "receipt_ids": self._count("receipts")}
        for table, count in wanted.items():
            if self._count(table) != count:
                yield Finding(table, f"holds {self._count(table)} entries instead of {count}")
        if self._last_row > self._counters.row:
            yield Finding("meta", "a row is above the last one given")
        if self._newest_hlc != self._counters.newest_hlc:
            yield Finding("meta", "the highest stamp is not the one remembered")

    def _records(self) -> Iterator[Finding]:
        with self._txn.cursor(db=self._tables.record_ids) as cursor:
            for id, order in cursor:
                if self._txn.get(order, db=self._tables.records) is None:
                    yield Finding("records", f"record {id.hex()} is listed and absent")
        with self._txn.cursor(db=self._tables.erased) as cursor:
            for row in cursor.iternext(values=False):
                if self._txn.get(row, db=self._tables.bodies) is not None:
                    yield Finding("erased", f"row {number_of(row)} is erased and has a body")

    def _count(self, table: str) -> int:
        handle: Any = getattr(self._tables, table)
        count: int = self._txn.stat(handle)["entries"]
        return count
