"""The store that lasts: LMDB behind one writer thread, one process to a directory.

The map is opened at its configured maximum plus a reserve and never resized: it is sparse, and
resizing under an open reader kills a process. At the cap new content is refused; forgets,
truncations, records and proofs go on into the reserve. An acknowledged write was synced; a
crash at any instant needs no repair, since LMDB never overwrites a page that is in use.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lmdb

from hive.errors import ConfigError, HiveError, StateError, StoreError
from hive.memory.delta import DELTA_BYTES_MAX
from hive.protocol.ports import Write
from hive.store.faults import fault_of, full
from hive.store.integrity import mark_directory, require_sound_file
from hive.store.layout import TABLE_COUNT_MAX, Tables, open_tables
from hive.store.ledger import CHAINS_KEPT, Heads, Ledger
from hive.store.lmdb_reader import LmdbReader
from hive.store.lock import StoreLock
from hive.store.memory_store import Done, is_refused_when_full
from hive.store.writer import Writer

DATA_FILE: Final = "data.mdb"
_MAP_UNIT: Final = 1 << 20
_WRITE_BYTES_MAX: Final = 2 * DELTA_BYTES_MAX
"""More than one write can add to the file, its index pages included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LmdbStoreConfig:
    """How an LMDB store is opened.

    `map_bytes_max`: cap on what the store holds, in bytes; more costs address space only, as the
    file grows with its content. Sane: 64 MiB to 1 TiB.
    `reserve_bytes`: map beyond the cap, for forgets, records and proofs in a full store.
    `is_durable`: sync every commit; off only where losing the newest writes at power loss is
    fine (simulations, benchmarks).
    `group_batches_max`: batches that may share one commit; more gives throughput and costs
    latency. Sane: 64 to 256.
    `queue_batches_max`: batches that may wait for the writer before new ones are refused.
    `readers_max`: questions that may be open at once over all threads.
    """

    map_bytes_max: int = 64 << 30
    reserve_bytes: int = 1 << 30
    is_durable: bool = True
    group_batches_max: int = 256
    queue_batches_max: int = 4_096
    readers_max: int = 512

    def __post_init__(self) -> None:
        if self.map_bytes_max < _MAP_UNIT or self.reserve_bytes < _MAP_UNIT:
            raise ConfigError(
                "map_bytes_max and reserve_bytes must be at least 1 MiB",
                hint="a store of one laptop is well served by the default",
            )
        if not 1 <= self.group_batches_max <= self.queue_batches_max:
            raise ConfigError(
                "group_batches_max must lie between 1 and queue_batches_max",
                hint="256 and 4096 are the defaults",
            )

    @property
    def map_bytes(self) -> int:
        """The size of the sparse map, in bytes."""
        return (self.map_bytes_max + self.reserve_bytes + _MAP_UNIT - 1) // _MAP_UNIT * _MAP_UNIT


class LmdbStore(LmdbReader):
    """A `StoreReader` on disk that takes writes from any thread.

    Raises `StateError` where another process holds the directory and `StoreError` where it
    cannot be written, is damaged, or was written by a newer hive.
    """

    def __init__(self, directory: Path, config: LmdbStoreConfig | None = None) -> None:
        self._config = config or LmdbStoreConfig()
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise fault_of(error) from None
        self._lock = StoreLock(directory)
        try:
            require_sound_file(directory / DATA_FILE, was_killed=self._lock.was_killed)
            env, tables = open_environment(directory, self._config)
            mark_directory(directory)
        except BaseException:
            self._lock.release()
            raise
        super().__init__(env, tables, self._config.map_bytes_max)
        self._is_lost = False
        self._heads: Heads = {}
        self._writes_until_count = 0
        self._writer = Writer(
            self._commit,
            group_batches_max=self._config.group_batches_max,
            queue_batches_max=self._config.queue_batches_max,
        )

    def __enter__(self) -> LmdbStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, writes: Sequence[Write], done: Done) -> None:
        """Queues writes that stand or fall together; `done(None)` once they are durable.

        `done` is called in the writer's thread and must neither block nor raise. Where the queue
        is full it hears a `StoreError` at once, in the caller's thread.
        """
        self._writer.submit(writes, done)

    def apply(self, writes: Sequence[Write]) -> None:
        """Writes and waits for the disk; raises `StoreFull`, `StoreError` or `StateError`."""
        self._writer.apply(writes)

    def copy_to(self, directory: Path) -> None:
        """Writes one consistent, compacted state into an empty directory; writing goes on."""
        try:
            self._env.copy(str(directory), compact=True)
        except (lmdb.Error, OSError) as error:
            raise fault_of(error) from None

    def close(self) -> None:
        """Writes what is queued, then lets go of the directory."""
        try:
            self._writer.close()
        finally:
            self._env.close()
            self._lock.release()

    def _commit(self, batches: Sequence[Sequence[Write]]) -> None:
        if self._is_lost:
            raise StoreError("the disk failed in mid-commit", hint="restart hive")
        try:
            with self._env.begin(write=True) as txn:
                changed = self._carry_out(txn, batches)
        except HiveError:
            raise
        except lmdb.PanicError as error:
            self._is_lost = True
            raise fault_of(error) from None
        except (lmdb.Error, OSError) as error:
            raise fault_of(error) from None
        except (ArithmeticError, LookupError, TypeError, ValueError, struct.error) as error:
            raise StateError(f"a write cannot be kept: {error}", hint="report this") from error
        self._remember(changed)

    def _carry_out(self, txn: Any, batches: Sequence[Sequence[Write]]) -> Heads | None:
        ledger = Ledger(txn, self._tables, self._heads)
        is_full = self._is_full(txn, sum(map(len, batches)))
        for writes in batches:
            if is_full and any(map(is_refused_when_full, writes)):
                raise full()
            ledger.carry_out(writes)
        ledger.flush()
        return ledger.changed

    def _remember(self, changed: Heads | None) -> None:
        if changed is None or len(self._heads) + len(changed) > CHAINS_KEPT:
            self._heads.clear()
        self._heads.update(changed or {})

    def _is_full(self, txn: Any, write_count: int) -> bool:
        """Whether the cap is reached; counts pages only once it may have come near."""
        self._writes_until_count -= write_count
        if self._writes_until_count < 0:
            room = self._config.map_bytes_max - self._bytes_used(txn)
            self._writes_until_count = max(room, 0) // _WRITE_BYTES_MAX - write_count
            return room <= 0
        return False


def open_environment(
    directory: Path, config: LmdbStoreConfig, *, is_readonly: bool = False
) -> tuple[Any, Tables]:
    """The LMDB environment of a directory and its tables; the caller holds the lock."""
    try:
        env = lmdb.open(
            str(directory),
            map_size=config.map_bytes,
            max_dbs=TABLE_COUNT_MAX,
            max_readers=config.readers_max,
            max_spare_txns=8,
            sync=config.is_durable,
            metasync=True,
            writemap=False,
            readonly=is_readonly,
            lock=not is_readonly,
            create=not is_readonly,
            mode=0o600,
        )
    except (lmdb.Error, OSError) as error:
        raise fault_of(error) from None
    try:
        return env, open_tables(env, is_writable=not is_readonly)
    except lmdb.Error as error:
        env.close()
        raise fault_of(error) from None
    except BaseException:
        env.close()
        raise
