"""The store that forgets at exit: tests, simulations and the model that LMDB is held to."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from hive.errors import HiveError
from hive.memory.delta import Delta, Kind
from hive.memory.log import Head, Held, State, head_after
from hive.protocol.ports import (
    Forget,
    KeptFork,
    PutBody,
    PutDelta,
    PutForget,
    PutFork,
    PutMeta,
    PutRecord,
    Row,
    Summary,
    Truncate,
    Usage,
    Write,
)
from hive.store.faults import full
from hive.store.outlook import Outlook
from hive.wire.clock import Hlc
from hive.wire.ids import DeltaId, Digest, Inception

Done = Callable[[HiveError | None], None]

_ROW_OVERHEAD_BYTES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStoreConfig:
    """`bytes_max`: payload bytes after which new deltas and bodies are refused."""

    bytes_max: int = 1 << 30


class MemoryStore:
    """A `StoreReader` with `apply`: the contract in dictionaries and sorted lists."""

    def __init__(self, config: MemoryStoreConfig | None = None) -> None:
        self._config = config or MemoryStoreConfig()
        self._bytes_used = 0
        self._last_row = 0
        self._rows: dict[int, Held] = {}
        self._order: list[int] = []
        self._row_of: dict[DeltaId, int] = {}
        self._ids: list[DeltaId] = []
        self._chains: dict[Digest, list[DeltaId]] = {}
        self._heads: dict[Digest, Head] = {}
        self._heads_by: dict[str | Inception, dict[Digest, Head]] = {}
        self._times: dict[str, list[tuple[int, DeltaId]]] = {}
        self._missing: dict[DeltaId, None] = {}
        self._erased: dict[int, None] = {}
        self._forgets: dict[DeltaId, dict[DeltaId, Forget]] = {}
        self._forks: dict[Digest, KeptFork] = {}
        self._records: dict[bytes, bytes] = {}
        self._meta: dict[str, bytes] = {}

    def apply(self, writes: Sequence[Write]) -> None:
        """Carries out the writes in order, all or nothing; `StateError` or `StoreFull`."""
        if self.usage().is_full and any(map(is_refused_when_full, writes)):
            raise full()
        Outlook(self._heads, self._chains, self.delta).require_fit(writes)
        for write in writes:
            self._carry_out(write)

    def submit(self, writes: Sequence[Write], done: Done) -> None:
        """`apply` for drivers: `done` hears None or the error, here at once."""
        try:
            self.apply(writes)
        except HiveError as error:
            done(error)
        else:
            done(None)

    def close(self) -> None:
        """Nothing to release."""

    def _carry_out(self, write: Write) -> None:
        match write:
            case PutDelta():
                self._put_delta(write.delta, write.state)
            case PutBody():
                self._put_body(write)
            case PutForget():
                self._put_forget(write.forget)
            case Truncate():
                self._truncate(write)
            case PutRecord():
                self._records.setdefault(write.id, write.envelope)
            case PutFork():
                kept = KeptFork(
                    write.id, write.chain, write.sequence, write.generation, write.proof
                )
                self._forks.setdefault(write.id, kept)
            case PutMeta():
                self._meta[write.name] = write.value
            case _:
                assert_never(write)

    def _put_delta(self, delta: Delta, state: State) -> None:
        row = self._row_of.get(delta.id)
        if row is None:
            self._append_to_chain(delta)
        elif self._rows[row].state is State.VOID and state is not State.VOID:
            self._take_row(row)
        else:
            return
        if state is State.LIVE and self._is_bound(delta):
            state = State.FORGOTTEN
        self._give_row(delta if state is State.LIVE else replace(delta, body=b""), state)

    def _put_body(self, write: PutBody) -> None:
        row = self._row_of.get(write.delta)
        if row is None:
            return
        held = self._rows[row]
        if held.state is State.LIVE and not held.delta.body and write.body:
            self._take_row(row)
            self._give_row(replace(held.delta, body=write.body), State.LIVE)

    def _put_forget(self, forget: Forget) -> None:
        kept = self._forgets.setdefault(forget.target, {})
        earlier = kept.get(forget.forgetting)
        if earlier is None or (forget.is_any and not earlier.is_any):
            kept[forget.forgetting] = forget
        row = self._row_of.get(forget.target)
        if row is None:
            return
        held = self._rows[row]
        if held.state is State.LIVE and forget.binds(held.delta.header):
            bare = replace(held.delta, body=b"")
            self._bytes_used += _bytes_of(bare) - _bytes_of(held.delta)
            self._rows[row] = Held(row, bare, State.FORGOTTEN)
            self._missing.pop(forget.target, None)
            self._erased[row] = None

    def _truncate(self, write: Truncate) -> None:
        chain = self._chains.get(write.chain, [])
        for id in chain[write.last_sequence :]:
            row = self._row_of[id]
            header, state = self._rows[row].delta.header, self._rows[row].state
            self._take_row(row)
            if state is State.LIVE:
                self._erased[row] = None
            del self._row_of[id]
            self._ids.pop(bisect_left(self._ids, id))
            times = self._times[header.namespace]
            times.pop(bisect_left(times, (header.hlc, id)))
        del chain[write.last_sequence :]
        if chain:
            self._set_head(head_after(self._rows[self._row_of[chain[-1]]].delta))
        elif write.chain in self._heads:
            head = self._heads.pop(write.chain)
            del self._chains[write.chain]
            del self._heads_by[head.namespace][head.chain]
            del self._heads_by[head.author][head.chain]

    def _set_head(self, head: Head) -> None:
        self._heads[head.chain] = head
        self._heads_by.setdefault(head.namespace, {})[head.chain] = head
        self._heads_by.setdefault(head.author, {})[head.chain] = head

    def _append_to_chain(self, delta: Delta) -> None:
        head = head_after(delta)
        self._chains.setdefault(head.chain, []).append(delta.id)
        self._set_head(head)
        insort(self._ids, delta.id)
        insort(self._times.setdefault(head.namespace, []), (head.hlc, delta.id))

    def _give_row(self, delta: Delta, state: State) -> None:
        self._last_row += 1
        self._rows[self._last_row] = Held(self._last_row, delta, state)
        self._order.append(self._last_row)
        self._row_of[delta.id] = self._last_row
        self._bytes_used += _bytes_of(delta)
        if state is State.LIVE and not delta.body:
            self._missing[delta.id] = None

    def _take_row(self, row: int) -> None:
        held = self._rows.pop(row)
        self._missing.pop(held.delta.id, None)
        self._bytes_used -= _bytes_of(held.delta)
        if len(self._order) > 2 * len(self._rows) + 64:
            self._order = list(self._rows)

    def _is_bound(self, delta: Delta) -> bool:
        return any(forget.binds(delta.header) for forget in self.forgets_of(delta.id))

    def delta(self, id: DeltaId) -> Held | None:
        """See `StoreReader`; so for every method below."""
        row = self._row_of.get(id)
        return None if row is None else self._rows[row]

    def has(self, id: DeltaId) -> bool:
        return id in self._row_of

    def ids_with_prefix(self, prefix: bytes, count_max: int) -> tuple[DeltaId, ...]:
        found: list[DeltaId] = []
        for position in range(bisect_left(self._ids, prefix), len(self._ids)):
            if len(found) == count_max or not self._ids[position].startswith(prefix):
                break
            found.append(self._ids[position])
        return tuple(found)

    def head(self, chain: Digest) -> Head | None:
        return self._heads.get(chain)

    def at(self, chain: Digest, sequence: int) -> DeltaId | None:
        ids = self._chains.get(chain, [])
        return ids[sequence - 1] if 1 <= sequence <= len(ids) else None

    def chain_slice(self, chain: Digest, first: int, count_max: int) -> tuple[Held, ...]:
        start = max(first, 1) - 1
        ids = self._chains.get(chain, [])[start : start + count_max]
        return tuple(self._rows[self._row_of[id]] for id in ids)

    def heads(self, namespace: str, count_max: int | None = None) -> tuple[Head, ...]:
        return self._sorted_heads(namespace)[:count_max]

    def heads_of(self, author: Inception) -> tuple[Head, ...]:
        return self._sorted_heads(author)

    def _sorted_heads(self, owner: str | Inception) -> tuple[Head, ...]:
        heads = self._heads_by.get(owner, {})
        return tuple(heads[chain] for chain in sorted(heads))

    def namespaces(self) -> tuple[str, ...]:
        return tuple(sorted(name for name, times in self._times.items() if times))

    def lines(self, namespace: str, first: Hlc, last: Hlc, count_max: int) -> bytes:
        return b"".join(
            line.hlc.to_bytes(8, "big") + line.id + bytes((line.state,))
            for line in self.summaries(namespace, first, last, count_max)
        )

    def summaries(
        self, namespace: str, first: Hlc, last: Hlc, count_max: int
    ) -> tuple[Summary, ...]:
        times = self._times.get(namespace, [])
        start = bisect_left(times, (first, b""))
        end = min(bisect_right(times, (last, b"\xff" * 33)), start + count_max)
        return tuple(
            Summary(Hlc(hlc), id, self._rows[self._row_of[id]].state)
            for hlc, id in times[start:end]
        )

    def missing_bodies(self, count_max: int) -> tuple[DeltaId, ...]:
        return tuple(self._missing)[:count_max]

    def newest_hlc(self) -> Hlc:
        return max((head.hlc for head in self._heads.values()), default=Hlc(0))

    def forgets_of(self, target: DeltaId) -> tuple[Forget, ...]:
        kept = self._forgets.get(target, {})
        return tuple(kept[forgetting] for forgetting in sorted(kept))

    def forks(self) -> tuple[KeptFork, ...]:
        return tuple(self._forks[id] for id in sorted(self._forks))

    def records(self) -> Iterator[bytes]:
        return iter(tuple(self._records.values()))

    def rows_after(self, row: Row, count_max: int) -> Sequence[Held]:
        found: list[Held] = []
        for position in range(bisect_right(self._order, row), len(self._order)):
            if len(found) == count_max:
                break
            held = self._rows.get(self._order[position])
            if held is not None:
                found.append(held)
        return found

    def erased_rows(self, row: Row, count_max: int) -> tuple[Row, ...]:
        erased = sorted(self._erased)
        start = bisect_right(erased, row)
        return tuple(Row(each) for each in erased[start : start + count_max])

    def last_row(self) -> Row:
        return Row(self._last_row)

    def meta(self, name: str) -> bytes | None:
        return self._meta.get(name)

    def usage(self) -> Usage:
        return Usage(self._bytes_used, self._config.bytes_max)


def is_refused_when_full(write: Write) -> bool:
    """Whether a write waits for space: content does; forgets, records and proofs do not."""
    match write:
        case PutDelta():
            return write.delta.header.kind != Kind.FORGET
        case PutBody():
            return True
        case _:
            return False


def _bytes_of(delta: Delta) -> int:
    return len(delta.header_bytes) + len(delta.body) + len(delta.receipt) + _ROW_OVERHEAD_BYTES
