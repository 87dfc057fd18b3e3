"""The reading side of the LMDB store: each question is answered from one snapshot.

Any thread may ask; readers wait for nobody and hold a snapshot for one question only, so that
the writer can reuse pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from types import TracebackType
from typing import Any

import lmdb

from hive.memory.log import Head, Held, State
from hive.protocol.ports import Forget, KeptFork, Row, Summary, Usage
from hive.store.entries import EntryReader
from hive.store.faults import fault_of
from hive.store.layout import (
    TABLE_NAMES,
    Tables,
    Transaction,
    load_counters,
    meta_key,
    number_key,
    number_of,
    position_key,
    space_name,
    split_time_key,
    time_key,
    under,
    unpack_forget,
    unpack_fork,
    unpack_head,
)
from hive.wire.clock import HLC_MAX, Hlc
from hive.wire.ids import DIGEST_BYTES, DeltaId, Digest, Inception, RecordId

_PAGE = 256
_ID_LAST = DeltaId(b"\xff" * DIGEST_BYTES)


class Snapshot:
    """A read transaction whose errors are of the family; `with` ends it."""

    __slots__ = ("_env", "_txn")

    def __init__(self, env: Any) -> None:
        self._env = env

    def __enter__(self) -> Transaction:
        try:
            self._txn = self._env.begin()
        except lmdb.Error as error:
            raise fault_of(error) from None
        return self._txn

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._txn.abort()
        if isinstance(error, lmdb.Error):
            raise fault_of(error) from None


class LmdbReader:
    """A `StoreReader` over open tables; `bytes_max` is the cap that `usage` reports."""

    def __init__(self, env: Any, tables: Tables, bytes_max: int) -> None:
        self._env = env
        self._tables = tables
        self._bytes_max = bytes_max
        self._page_bytes: int = env.stat()["psize"]

    @property
    def tables(self) -> Tables:
        """The tables, for checks and measurements."""
        return self._tables

    def snapshot(self) -> Snapshot:
        """A read transaction, for checks and measurements; end it soon."""
        return Snapshot(self._env)

    def delta(self, id: DeltaId) -> Held | None:
        """See `StoreReader`; so for every method below."""
        with Snapshot(self._env) as txn:
            row = txn.get(id, db=self._tables.ids)
            return None if row is None else EntryReader(txn, self._tables).held(row, id)

    def has(self, id: DeltaId) -> bool:
        with Snapshot(self._env) as txn:
            return txn.get(id, db=self._tables.ids) is not None

    def ids_with_prefix(self, prefix: bytes, count_max: int) -> tuple[DeltaId, ...]:
        found: list[DeltaId] = []
        prefix = prefix[: DIGEST_BYTES + 1]
        with Snapshot(self._env) as txn, txn.cursor(db=self._tables.ids) as cursor:
            is_there = cursor.set_range(prefix) if prefix else cursor.first()
            while is_there and len(found) < count_max and cursor.key().startswith(prefix):
                found.append(DeltaId(cursor.key()))
                is_there = cursor.next()
        return tuple(found)

    def head(self, chain: Digest) -> Head | None:
        with Snapshot(self._env) as txn:
            value = txn.get(chain, db=self._tables.chains)
            return None if value is None else unpack_head(chain, value)[1]

    def at(self, chain: Digest, sequence: int) -> DeltaId | None:
        held = self.chain_slice(chain, sequence, 1) if sequence >= 1 else ()
        return held[0].delta.id if held else None

    def chain_slice(self, chain: Digest, first: int, count_max: int) -> tuple[Held, ...]:
        found: list[Held] = []
        with Snapshot(self._env) as txn:
            value = txn.get(chain, db=self._tables.chains)
            if value is None:
                return ()
            number, head = unpack_head(chain, value)
            entries, first = EntryReader(txn, self._tables), max(first, 1)
            for sequence in range(first, min(first + count_max, head.sequence + 1)):
                row = txn.get(position_key(number, sequence), db=self._tables.positions)
                held = entries.held(row)
                assert held is not None
                found.append(held)
        return tuple(found)

    def heads(self, namespace: str, count_max: int | None = None) -> tuple[Head, ...]:
        with Snapshot(self._env) as txn:
            space = txn.get(space_name(namespace), db=self._tables.spaces)
            if space is None:
                return ()
            return self._heads_under(txn, self._tables.by_space, space, count_max)

    def heads_of(self, author: Inception) -> tuple[Head, ...]:
        with Snapshot(self._env) as txn:
            return self._heads_under(txn, self._tables.by_author, author)

    def _heads_under(
        self, txn: Transaction, table: Any, prefix: bytes, count_max: int | None = None
    ) -> tuple[Head, ...]:
        entries = islice(under(txn, table, prefix), count_max)
        chains = [Digest(key[len(prefix) :]) for key, _ in entries]
        values = [(chain, txn.get(chain, db=self._tables.chains)) for chain in chains]
        return tuple(unpack_head(chain, value)[1] for chain, value in values)

    def namespaces(self) -> tuple[str, ...]:
        with Snapshot(self._env) as txn, txn.cursor(db=self._tables.spaces) as cursor:
            return tuple(name[1:].decode() for name, space in cursor if self._has_chain(txn, space))

    def _has_chain(self, txn: Transaction, space: bytes) -> bool:
        return next(under(txn, self._tables.by_space, space), None) is not None

    def summaries(
        self, namespace: str, first: Hlc, last: Hlc, count_max: int
    ) -> tuple[Summary, ...]:
        found: list[Summary] = []
        with Snapshot(self._env) as txn, txn.cursor(db=self._tables.times) as cursor:
            space = txn.get(space_name(namespace), db=self._tables.spaces)
            if space is None or first > last:
                return ()
            end = time_key(space, min(last, HLC_MAX), _ID_LAST)
            is_there = cursor.set_range(time_key(space, first, DeltaId(b"")))
            while is_there and len(found) < count_max and cursor.key() <= end:
                _, hlc, id = split_time_key(cursor.key())
                found.append(Summary(hlc, id, State(cursor.value()[0])))
                is_there = cursor.next()
        return tuple(found)

    def lines(self, namespace: str, first: Hlc, last: Hlc, count_max: int) -> bytes:
        with Snapshot(self._env) as txn, txn.cursor(db=self._tables.times) as cursor:
            space = txn.get(space_name(namespace), db=self._tables.spaces)
            if space is None or first > last:
                return b""
            if not cursor.set_range(time_key(space, first, DeltaId(b""))):
                return b""
            end, skipped = time_key(space, min(last, HLC_MAX), _ID_LAST), len(space)
            page = islice(takewhile(lambda entry: entry[0] <= end, cursor), count_max)
            return b"".join([key[skipped:] + value for key, value in page])

    def missing_bodies(self, count_max: int) -> tuple[DeltaId, ...]:
        with Snapshot(self._env) as txn, txn.cursor(db=self._tables.missing) as cursor:
            wanted = zip(range(count_max), cursor, strict=False)
            return tuple(DeltaId(id) for _, (_, id) in wanted)

    def newest_hlc(self) -> Hlc:
        with Snapshot(self._env) as txn:
            return Hlc(load_counters(txn, self._tables).newest_hlc)

    def forgets_of(self, target: DeltaId) -> tuple[Forget, ...]:
        with Snapshot(self._env) as txn:
            kept = under(txn, self._tables.forgets, target)
            return tuple(unpack_forget(key, value) for key, value in kept)

    def forgets(self) -> Iterator[Forget]:
        """Every kept forget, by target."""
        after = b""
        while page := self._forget_page(after):
            for key, value in page:
                after = key
                yield unpack_forget(key, value)

    def _forget_page(self, after: bytes) -> list[tuple[bytes, bytes]]:
        with Snapshot(self._env) as txn, txn.cursor(db=self._tables.forgets) as cursor:
            if not cursor.set_range(after + b"\0"):
                return []
            return [entry for _, entry in zip(range(_PAGE), cursor, strict=False)]

    def forks(self) -> tuple[KeptFork, ...]:
        with Snapshot(self._env) as txn, txn.cursor(db=self._tables.forks) as cursor:
            return tuple(unpack_fork(id, value) for id, value in cursor)

    def records(self) -> Iterator[bytes]:
        after = 0
        while page := self._record_page(after):
            for number, envelope in page:
                after = number
                yield envelope

    def records_by_id(self) -> list[tuple[RecordId, bytes]]:
        """Every kept trust record with its id, in order of admission."""
        with Snapshot(self._env) as txn, txn.cursor(db=self._tables.record_ids) as cursor:
            orders = sorted((order, id) for id, order in cursor)
            return [(RecordId(id), txn.get(key, db=self._tables.records)) for key, id in orders]

    def _record_page(self, after: int) -> list[tuple[int, bytes]]:
        with Snapshot(self._env) as txn, txn.cursor(db=self._tables.records) as cursor:
            if not cursor.set_range(number_key(after + 1)):
                return []
            page = zip(range(_PAGE), cursor, strict=False)
            return [(number_of(key), value) for _, (key, value) in page]

    def rows_after(self, row: Row, count_max: int) -> Sequence[Held]:
        with Snapshot(self._env) as txn, txn.cursor(db=self._tables.log) as cursor:
            if not cursor.set_range(number_key(row + 1)):
                return []
            entries = EntryReader(txn, self._tables)
            page = zip(range(count_max), cursor, strict=False)
            return [entries.unpack(key, value) for _, (key, value) in page]

    def erased_rows(self, row: Row, count_max: int) -> tuple[Row, ...]:
        with Snapshot(self._env) as txn, txn.cursor(db=self._tables.erased) as cursor:
            if not cursor.set_range(number_key(row + 1)):
                return ()
            page = zip(range(count_max), cursor.iternext(values=False), strict=False)
            return tuple(Row(number_of(key)) for _, key in page)

    def last_row(self) -> Row:
        with Snapshot(self._env) as txn:
            return Row(load_counters(txn, self._tables).row)

    def meta(self, name: str) -> bytes | None:
        with Snapshot(self._env) as txn:
            value: bytes | None = txn.get(meta_key(name), db=self._tables.meta)
            return value

    def usage(self) -> Usage:
        with Snapshot(self._env) as txn:
            return Usage(self._bytes_used(txn), self._bytes_max)

    def _bytes_used(self, txn: Transaction) -> int:
        return sum(self.table_bytes(txn).values())

    def table_bytes(self, txn: Transaction) -> dict[str, int]:
        """What each table takes, in pages of the file, by name."""
        return {
            name: self._page_bytes * _page_count(txn.stat(getattr(self._tables, name)))
            for name in TABLE_NAMES
        }


def _page_count(stat: dict[str, int]) -> int:
    return stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
