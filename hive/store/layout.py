"""Tables, keys and values of the LMDB store; schema version and migrations.

Payloads stand under a row, a number that only grows, so they are appended; random keys hold
nothing but rows. A body has its own table, so erasing it leaves the header where it is.

    meta        name -> value; names that begin with a zero byte are the store's own
    log         row -> state, header, proof, reference to receipt (see `hive.store.entries`)
    bodies      row -> body
    ids         delta id -> row
    chains      chain digest -> number, head
    positions   chain number, sequence -> row
    spaces      namespace -> number
    by_space    namespace number, chain digest -> nothing
    by_author   author, chain digest -> nothing
    times       namespace number, hlc, delta id -> state
    missing     row -> delta id
    erased      row that was live and was forgotten or truncated -> nothing
    forgets     target, forgetting id -> forget
    forks       id -> fork proof
    records     order of admission -> envelope
    record_ids  record id -> order of admission
    receipts    receipt number -> signed body and signature
    receipt_ids SHA-256 of a receipt -> receipt number
    groves      tree key -> known hashes (see `hive.store.paths`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from struct import Struct
from typing import Any, Final

import lmdb

from hive.errors import StoreError
from hive.memory.log import Head
from hive.protocol.ports import Forget, KeptFork
from hive.store.faults import DAMAGED_HINT
from hive.wire.clock import Hlc
from hive.wire.ids import DIGEST_BYTES, DeltaId, Digest, Inception

SCHEMA_VERSION: Final = 1
TABLE_COUNT_MAX: Final = 32

Transaction = Any
"""`lmdb.Transaction`; the library's stubs are generic over what its versions disagree on."""

_NUMBER: Final = Struct(">Q")
_SPACE: Final = Struct(">I")
_POSITION: Final = Struct(">IQ")
_HEAD: Final = Struct(">IQ32sQ32s32s")
_FORK: Final = Struct(">32sQQ")
_COUNTERS: Final = Struct(">6Q")
_FORGET: Final = Struct(">32s?")

_SCHEMA_NAME: Final = b"\0schema"
_COUNTERS_NAME: Final = b"\0counters"

number_key: Final = _NUMBER.pack
space_key: Final = _SPACE.pack
position_key: Final = _POSITION.pack


@dataclass(frozen=True, slots=True)
class Tables:
    """A handle for each table."""

    meta: Any
    log: Any
    bodies: Any
    ids: Any
    chains: Any
    positions: Any
    spaces: Any
    by_space: Any
    by_author: Any
    times: Any
    missing: Any
    erased: Any
    forgets: Any
    forks: Any
    records: Any
    record_ids: Any
    receipts: Any
    receipt_ids: Any
    groves: Any


TABLE_NAMES: Final = tuple(field.name for field in fields(Tables))


@dataclass(slots=True)
class Counters:
    """The last number given of each kind, and the highest stamp held."""

    row: int = 0
    chain: int = 0
    space: int = 0
    receipt: int = 0
    record: int = 0
    newest_hlc: int = 0


Migration = Callable[[Transaction, Tables], None]
MIGRATIONS: Final[dict[int, Migration]] = {}
"""From schema version n to n + 1, carried out in the transaction that opens the store."""


def open_tables(env: Any, *, is_writable: bool) -> Tables:
    """Opens the tables, makes them in an empty store, migrates; refuses what is not ours."""
    is_empty = env.stat()["entries"] == 0
    if is_empty and not is_writable:
        raise StoreError("the store is empty: no tables", hint=DAMAGED_HINT)
    if not is_empty:
        _require_known_schema(env)
    if not is_writable:
        return Tables(*(env.open_db(name.encode(), create=False) for name in TABLE_NAMES))
    with env.begin(write=True) as txn:
        tables = Tables(*(env.open_db(name.encode(), txn=txn) for name in TABLE_NAMES))
        if is_empty:
            txn.put(_SCHEMA_NAME, number_key(SCHEMA_VERSION), db=tables.meta)
            save_counters(txn, tables, Counters())
        else:
            _migrate(txn, tables)
    return tables


def _require_known_schema(env: Any) -> None:
    try:
        meta = env.open_db(b"meta", create=False)
    except (lmdb.NotFoundError, lmdb.ReadonlyError, lmdb.IncompatibleError):
        raise StoreError("the file is not a hive store", hint=DAMAGED_HINT) from None
    with env.begin() as txn:
        value = txn.get(_SCHEMA_NAME, db=meta)
    if value is None or len(value) != _NUMBER.size:
        raise StoreError("the file is not a hive store: no schema version", hint=DAMAGED_HINT)
    (version,) = _NUMBER.unpack(value)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the store has schema {version}, this hive knows up to {SCHEMA_VERSION}",
            hint="open it with the newer hive that wrote it, or upgrade this one",
        )


def _migrate(txn: Transaction, tables: Tables) -> None:
    (version,) = _NUMBER.unpack(txn.get(_SCHEMA_NAME, db=tables.meta))
    for step in range(version, SCHEMA_VERSION):
        MIGRATIONS[step](txn, tables)
        txn.put(_SCHEMA_NAME, number_key(step + 1), db=tables.meta)


def meta_key(name: str) -> bytes:
    """The key of a caller's small value; cannot clash with the store's own."""
    return b"=" + name.encode()


def space_name(namespace: str) -> bytes:
    """The key of a namespace's number; never empty, as LMDB refuses empty keys."""
    return b"=" + namespace.encode()


def number_of(value: bytes) -> int:
    """The number that `number_key` packed."""
    number: int = _NUMBER.unpack(value)[0]
    return number


def load_counters(txn: Transaction, tables: Tables) -> Counters:
    """The counters as of this transaction."""
    return Counters(*_COUNTERS.unpack(txn.get(_COUNTERS_NAME, db=tables.meta)))


def save_counters(txn: Transaction, tables: Tables, counters: Counters) -> None:
    """Writes the counters."""
    packed = _COUNTERS.pack(
        counters.row,
        counters.chain,
        counters.space,
        counters.receipt,
        counters.record,
        counters.newest_hlc,
    )
    txn.put(_COUNTERS_NAME, packed, db=tables.meta)


def pack_head(number: int, head: Head) -> bytes:
    """The value of a chain."""
    fixed = _HEAD.pack(number, head.sequence, head.delta, head.hlc, head.author, head.writer)
    return fixed + head.namespace.encode()


def unpack_head(chain: Digest, value: bytes) -> tuple[int, Head]:
    """A chain's number and head."""
    number, sequence, delta, hlc, author, writer = _HEAD.unpack_from(value)
    namespace = value[_HEAD.size :].decode()
    return number, Head(
        chain, namespace, Inception(author), Inception(writer), sequence, DeltaId(delta), Hlc(hlc)
    )


def time_key(space: bytes, hlc: int, delta: DeltaId) -> bytes:
    """The place of a delta in its namespace's time index."""
    return space + _NUMBER.pack(hlc) + delta


def split_time_key(key: bytes) -> tuple[bytes, Hlc, DeltaId]:
    """Namespace key, stamp and id."""
    end = _SPACE.size + _NUMBER.size
    return key[: _SPACE.size], Hlc(number_of(key[_SPACE.size : end])), DeltaId(key[end:])


def pack_forget(forget: Forget) -> bytes:
    """The value of a forget under target and forgetting id."""
    return _FORGET.pack(forget.author, forget.is_any) + forget.namespace.encode()


def unpack_forget(key: bytes, value: bytes) -> Forget:
    """A kept forget."""
    author, is_any = _FORGET.unpack_from(value)
    target, forgetting = DeltaId(key[:DIGEST_BYTES]), DeltaId(key[DIGEST_BYTES:])
    return Forget(target, forgetting, Inception(author), is_any, value[_FORGET.size :].decode())


def pack_fork(fork: KeptFork) -> bytes:
    """The value of a fork proof under its id."""
    return _FORK.pack(fork.chain, fork.sequence, fork.generation) + fork.proof


def unpack_fork(id: bytes, value: bytes) -> KeptFork:
    """A kept fork proof."""
    chain, sequence, generation = _FORK.unpack_from(value)
    return KeptFork(Digest(id), Digest(chain), sequence, generation, value[_FORK.size :])


def under(txn: Transaction, table: Any, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The entries whose keys begin with `prefix`, in order."""
    with txn.cursor(db=table) as cursor:
        if not cursor.set_range(prefix):
            return
        for key, value in cursor:
            if not key.startswith(prefix):
                return
            yield key, value
