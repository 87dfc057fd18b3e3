"""Backups: taken while the store is written, verified before they count, restored with care.

A restored store is older than what its node has signed since. It is marked as restored, so that
the node learns its own heads from peers, or starts a new log, before it authors. What must never
be undone, forgets above all, is carried over from the newer store where that is at hand.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from hive.errors import StateError, StoreError
from hive.protocol.ports import PutForget, PutFork, PutMeta, PutRecord, Write
from hive.store.consistency import check
from hive.store.faults import DAMAGED_HINT, fault_of
from hive.store.integrity import mark_directory, require_sound_file, require_sound_pages
from hive.store.layout import load_counters
from hive.store.lmdb_reader import LmdbReader
from hive.store.lmdb_store import DATA_FILE, LmdbStore, LmdbStoreConfig, open_environment
from hive.wire.codec import Fields, Integer, decode_untrusted, encode

RESTORED: Final = "restored"
"""Name of the meta value that a restored store carries; see `restored_mark`."""

_MARK: Final = Fields((Integer(), Integer()))
_WRITES_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Contents:
    """What a verified backup holds."""

    delta_count: int
    chain_count: int
    last_row: int
    newest_hlc: int
    file_bytes: int


def back_up(store: LmdbStore, destination: Path) -> Contents:
    """Copies one consistent state of a running store into a new directory and verifies it.

    Raises `StateError` where the directory holds something and `StoreError` where the copy
    cannot be written or does not verify; nothing is left behind then.
    """
    partial = _require_free(destination)
    try:
        partial.mkdir(parents=True, mode=0o700)
        store.copy_to(partial)
        contents = verify_backup(partial)
        mark_directory(partial)
        _settle(partial, destination)
    except OSError as error:
        raise fault_of(error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return contents


def compact(store: LmdbStore, settle: Callable[[Path], Sequence[Write]]) -> tuple[int, int]:
    """Replaces the file of a store by a compacted, verified copy; its bytes before and after.

    The copy holds no page and no gap with what was erased. `settle` says what else to write into
    it, told where it lies. The swap is one rename: a kill leaves the old file or the new one. The
    store is to be closed next: what it wrote from now on would be lost with the old file.
    """
    data = store.directory / DATA_FILE
    partial = store.directory.with_name(store.directory.name + ".compact")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(mode=0o700)
        store.copy_to(partial)
        (partial / DATA_FILE).chmod(0o600)
        verify_backup(partial)
        with LmdbStore(partial) as copy:
            copy.apply(settle(partial / DATA_FILE))
        before, after = data.stat().st_size, (partial / DATA_FILE).stat().st_size
        _sync(partial / DATA_FILE)
        (partial / DATA_FILE).replace(data)
        _sync(store.directory)
    except OSError as error:
        raise fault_of(error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return before, after


def verify_backup(backup: Path) -> Contents:
    """Walks every page, then every entry; raises `StoreError` with the first things found."""
    data = backup / DATA_FILE
    if not data.is_file():
        raise StoreError(f"{backup} holds no backup", hint="name the directory of a backup")
    require_sound_file(data, was_killed=False)
    require_sound_pages(data)
    config = LmdbStoreConfig()
    env, tables = open_environment(backup, config, is_readonly=True)
    try:
        reader = LmdbReader(env, tables, config.map_bytes_max)
        findings = check(reader)
        if findings:
            shown = "; ".join(f"{each.table}: {each.text}" for each in findings[:3])
            raise StoreError(f"{backup} does not verify: {shown}", hint=DAMAGED_HINT)
        with reader.snapshot() as txn:
            counters = load_counters(txn, tables)
            delta_count = txn.stat(tables.log)["entries"]
            chain_count = txn.stat(tables.chains)["entries"]
    finally:
        env.close()
    size = data.stat().st_size
    return Contents(delta_count, chain_count, counters.row, counters.newest_hlc, size)


def restore(
    backup: Path,
    directory: Path,
    *,
    newer: LmdbReader | None = None,
    config: LmdbStoreConfig | None = None,
) -> Contents:
    """Puts a verified backup into a new directory and marks it as restored.

    `newer` is the store that the backup is older than, where it still opens: its forgets,
    records and fork proofs are carried over, so that nothing forgotten or revoked since comes
    back. Raises `StateError` where the directory holds something.
    """
    partial = _require_free(directory)
    contents = verify_backup(backup)
    try:
        partial.mkdir(parents=True, mode=0o700)
        shutil.copyfile(backup / DATA_FILE, partial / DATA_FILE)
        with LmdbStore(partial, config) as restored:
            for writes in _in_portions(_what_stays(newer) if newer else iter(())):
                restored.apply(writes)
            mark = encode((contents.last_row, contents.newest_hlc))
            restored.apply([PutMeta(RESTORED, mark)])
        _settle(partial, directory)
    except OSError as error:
        raise fault_of(error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return contents


def restored_mark(value: bytes) -> tuple[int, int]:
    """Last row and newest stamp of the backup that a store was restored from."""
    last_row, newest_hlc = decode_untrusted(value, _MARK, bytes_max=32)
    return last_row, newest_hlc


def _what_stays(newer: LmdbReader) -> Iterator[Write]:
    for id, envelope in newer.records_by_id():
        yield PutRecord(id, envelope)
    for forget in newer.forgets():
        yield PutForget(forget)
    for fork in newer.forks():
        yield PutFork(fork.id, fork.chain, fork.sequence, fork.generation, fork.proof)


def _in_portions(writes: Iterator[Write]) -> Iterator[list[Write]]:
    while portion := list(islice(writes, _WRITES_AT_ONCE)):
        yield portion


def _require_free(directory: Path) -> Path:
    """The directory to work in beside an absent or empty one."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise StateError(
            f"{directory} is not empty", hint="name a new directory; nothing is overwritten"
        )
    return directory.with_name(directory.name + ".partial")


def _settle(partial: Path, directory: Path) -> None:
    """Syncs what was written and gives it its name."""
    for path in (*sorted(partial.iterdir()), partial):
        _sync(path)
    partial.replace(directory)
    _sync(directory.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
