"""Carries out writes inside one LMDB transaction: the log and every index of it, or nothing.

Heads and counters change with almost every write of a group, so they are kept here and written
once by `flush`, which must come before the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, assert_never

from hive.errors import StateError
from hive.memory.delta import Delta, Header
from hive.memory.log import Continuation, Head, State, continuation
from hive.protocol.ports import (
    Forget,
    KeptFork,
    PutBody,
    PutDelta,
    PutForget,
    PutFork,
    PutMeta,
    PutRecord,
    Truncate,
    Write,
)
from hive.store.entries import STATE_BYTES, EntryWriter, identity_in
from hive.store.layout import (
    Tables,
    Transaction,
    load_counters,
    meta_key,
    number_key,
    pack_forget,
    pack_fork,
    pack_head,
    position_key,
    save_counters,
    space_key,
    space_name,
    time_key,
    under,
    unpack_forget,
    unpack_head,
)
from hive.trust.records import chain_digest
from hive.wire.clock import Hlc
from hive.wire.ids import DeltaId, Digest, Inception

CHAINS_KEPT: Final = 4_096
"""Chains whose name and head are remembered between transactions; some 1 kB each."""

_chain_digest = lru_cache(maxsize=CHAINS_KEPT)(chain_digest)

Heads = dict[Digest, tuple[int, Head]]
"""Number and head of chains."""


class Ledger:
    """The writes of one transaction; useless once one of them failed.

    `heads` are what earlier transactions left, so that they need not be read again; `changed`
    are those that this one leaves, None where it cut chains.
    """

    def __init__(self, txn: Transaction, tables: Tables, heads: Heads | None = None) -> None:
        self._txn = txn
        self._known_heads = heads if heads is not None else {}
        self._tables = tables
        self._counters = load_counters(txn, tables)
        self._entries = EntryWriter(txn, tables, self._counters)
        self._heads: Heads = {}
        self._has_cut = False
        self._spaces: dict[str, bytes] = {}

    @property
    def changed(self) -> Heads | None:
        """The heads to remember once the transaction is committed."""
        return None if self._has_cut else self._heads

    def carry_out(self, writes: Sequence[Write]) -> None:
        """The writes in order; raises `StateError` where a delta does not fit its chain."""
        for write in writes:
            self._carry_out(write)

    def flush(self) -> None:
        """Writes heads, groves and counters."""
        for chain, (number, head) in self._heads.items():
            self._put(chain, pack_head(number, head), self._tables.chains)
        self._entries.flush()
        save_counters(self._txn, self._tables, self._counters)

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
                self._put_record(write)
            case PutFork():
                fork = KeptFork(
                    write.id, write.chain, write.sequence, write.generation, write.proof
                )
                self._put(write.id, pack_fork(fork), self._tables.forks, is_new=True)
            case PutMeta():
                self._put(meta_key(write.name), write.value, self._tables.meta)
            case _:
                assert_never(write)

    # deltas

    def _put_delta(self, delta: Delta, state: State) -> None:
        row = self._get(delta.id, self._tables.ids)
        if row is not None:
            if self._state_of(row) is not State.VOID or state is State.VOID:
                return
            self._delete(row, self._tables.log)
            number, _ = self._chain(delta.header.chain) or (0, None)
        else:
            number = self._append_to_chain(delta)
        if state is State.LIVE and self._is_bound(delta):
            state = State.FORGOTTEN
        body = delta.body if state is State.LIVE else b""
        self._give_row(
            delta.id, delta.header, self._entries.pack(delta, state, number), body, number
        )

    def _append_to_chain(self, delta: Delta) -> int:
        head = _head_at(delta.id, delta.header)
        known = self._chain(head.chain)
        if continuation(delta, known[1] if known else None, None) is not Continuation.NEXT:
            raise StateError("a delta does not continue its chain", hint="report this as a bug")
        number = known[0] if known else self._begin_chain(head)
        self._heads[head.chain] = number, head
        self._counters.newest_hlc = max(self._counters.newest_hlc, head.hlc)
        return number

    def _begin_chain(self, head: Head) -> int:
        self._counters.chain += 1
        space = self._space(head.namespace)
        self._put(space + head.chain, b"", self._tables.by_space)
        self._put(head.author + head.chain, b"", self._tables.by_author)
        return self._counters.chain

    def _give_row(self, id: DeltaId, header: Header, entry: bytes, body: bytes, chain: int) -> None:
        """Puts an entry at the end of the log and points every index to it."""
        self._counters.row += 1
        row, tables, put = number_key(self._counters.row), self._tables, self._txn.put
        put(row, entry, db=tables.log, append=True)
        if body:
            put(row, body, db=tables.bodies, append=True)
        elif entry[0] == State.LIVE:
            put(row, id, db=tables.missing)
        put(id, row, db=tables.ids)
        put(position_key(chain, header.sequence), row, db=tables.positions)
        times = time_key(self._space(header.namespace), header.hlc, id)
        put(times, entry[:STATE_BYTES], db=tables.times)

    def _put_body(self, write: PutBody) -> None:
        """The delta moves to the end of the log, where projections come by."""
        row = self._get(write.delta, self._tables.ids)
        if row is None or not write.body or self._get(row, self._tables.missing) is None:
            return
        entry = self._txn.pop(row, db=self._tables.log)
        self._delete(row, self._tables.missing)
        _, header = identity_in(entry)
        number, _ = self._chain(header.chain) or (0, None)
        self._give_row(write.delta, header, entry, write.body, number)

    # forgets

    def _put_forget(self, forget: Forget) -> None:
        key = forget.target + forget.forgetting
        earlier = self._get(key, self._tables.forgets)
        if earlier is None or (forget.is_any and not unpack_forget(key, earlier).is_any):
            self._put(key, pack_forget(forget), self._tables.forgets)
        row = self._get(forget.target, self._tables.ids)
        if row is None or self._state_of(row) is not State.LIVE:
            return
        entry = self._txn.get(row, db=self._tables.log)
        _, header = identity_in(entry)
        if forget.binds(header):
            self._erase(row)
            state = bytes((State.FORGOTTEN,))
            self._put(row, state + entry[STATE_BYTES:], self._tables.log)
            times = time_key(self._space(header.namespace), header.hlc, forget.target)
            self._put(times, state, self._tables.times)

    def _erase(self, row: bytes) -> None:
        self._delete(row, self._tables.bodies)
        self._delete(row, self._tables.missing)
        self._put(row, b"", self._tables.erased)

    def _is_bound(self, delta: Delta) -> bool:
        kept = under(self._txn, self._tables.forgets, delta.id)
        return any(unpack_forget(key, value).binds(delta.header) for key, value in kept)

    # the rest

    def _truncate(self, write: Truncate) -> None:
        self._has_cut, self._known_heads = True, {}
        known = self._chain(write.chain)
        if known is None:
            return
        number, head = known
        for sequence in range(head.sequence, write.last_sequence, -1):
            self._drop(position_key(number, sequence))
        if write.last_sequence <= 0:
            self._end_chain(head)
        elif write.last_sequence < head.sequence:
            row = self._get(position_key(number, write.last_sequence), self._tables.positions)
            id, header = identity_in(self._txn.get(row, db=self._tables.log))
            self._heads[write.chain] = number, _head_at(id, header)
        self._counters.newest_hlc = self._newest_hlc()

    def _drop(self, position: bytes) -> None:
        row = self._txn.pop(position, db=self._tables.positions)
        entry = self._txn.pop(row, db=self._tables.log)
        id, header = identity_in(entry)
        if entry[0] == State.LIVE:
            self._erase(row)
        self._delete(id, self._tables.ids)
        space = self._space(header.namespace)
        self._delete(time_key(space, header.hlc, id), self._tables.times)

    def _end_chain(self, head: Head) -> None:
        self._heads.pop(head.chain, None)
        self._delete(head.chain, self._tables.chains)
        self._delete(self._space(head.namespace) + head.chain, self._tables.by_space)
        self._delete(head.author + head.chain, self._tables.by_author)

    def _put_record(self, write: PutRecord) -> None:
        if self._get(write.id, self._tables.record_ids) is None:
            self._counters.record += 1
            order = number_key(self._counters.record)
            self._put(order, write.envelope, self._tables.records)
            self._put(write.id, order, self._tables.record_ids)

    # tables

    def _newest_hlc(self) -> int:
        with self._txn.cursor(db=self._tables.chains) as cursor:
            kept = [unpack_head(Digest(chain), value)[1] for chain, value in cursor]
        hlcs = {head.chain: head.hlc for head in kept}
        hlcs |= {chain: head.hlc for chain, (_, head) in self._heads.items()}
        return max(hlcs.values(), default=0)

    def _chain(self, chain: Digest) -> tuple[int, Head] | None:
        known = self._heads.get(chain) or self._known_heads.get(chain)
        if known is None:
            value = self._get(chain, self._tables.chains)
            known = None if value is None else unpack_head(chain, value)
        return known

    def _space(self, namespace: str) -> bytes:
        known = self._spaces.get(namespace)
        if known is not None:
            return known
        name = space_name(namespace)
        value = self._get(name, self._tables.spaces)
        if value is None:
            self._counters.space += 1
            value = space_key(self._counters.space)
            self._put(name, value, self._tables.spaces)
        self._spaces[namespace] = value
        return value

    def _state_of(self, row: bytes) -> State:
        return State(self._txn.get(row, db=self._tables.log)[0])

    def _get(self, key: bytes, table: object) -> bytes | None:
        value: bytes | None = self._txn.get(key, db=table)
        return value

    def _put(self, key: bytes, value: bytes, table: object, *, is_new: bool = False) -> None:
        self._txn.put(key, value, db=table, overwrite=not is_new)

    def _delete(self, key: bytes, table: object) -> None:
        self._txn.delete(key, db=table)


def _head_at(id: DeltaId, header: Header) -> Head:
    author, writer = Inception(header.author), Inception(header.writer)
    chain = _chain_digest(author, writer, header.namespace)
    return Head(chain, header.namespace, author, writer, header.sequence, id, Hlc(header.hlc))
