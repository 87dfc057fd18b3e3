"""Disk and directory trouble: refused with a hint, nothing acknowledged lost."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest
from store_deltas import chain_of, forget_draft, inception, memory, put, signed

from hive.errors import ConfigError, HiveError, StateError, StoreError
from hive.memory.delta import Delta
from hive.memory.log import State, head_after
from hive.protocol.ports import Forget, PutDelta, PutForget, PutMeta, PutRecord, Row
from hive.store.backup import back_up
from hive.store.consistency import check
from hive.store.faults import StoreFull
from hive.store.lmdb_store import LmdbStore, LmdbStoreConfig
from hive.store.memory_store import MemoryStore, MemoryStoreConfig
from hive.wire.ids import RecordId, digest

MIB = 1 << 20
SMALL = LmdbStoreConfig(map_bytes_max=2 * MIB, reserve_bytes=MIB, is_durable=False)


def fill(store: LmdbStore | MemoryStore) -> list[Delta]:
    """Long memories until the store refuses; the ones it took."""
    taken: list[Delta] = []
    for number in range(1_000):
        head = head_after(taken[-1]) if taken else None
        (delta,) = signed([memory(f"{number} " * 4_000)], head)
        try:
            store.apply(put([delta]))
        except StoreFull:
            return taken
        taken.append(delta)
    raise AssertionError("the store never filled")


@pytest.fixture(params=["memory", "lmdb"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LmdbStore | MemoryStore]:
    made: LmdbStore | MemoryStore
    if request.param == "memory":
        made = MemoryStore(MemoryStoreConfig(bytes_max=2 * MIB))
    else:
        made = LmdbStore(tmp_path / "small", SMALL)
    yield made
    made.close()


def test_a_full_store_refuses_content_with_a_hint_and_still_answers(
    small: LmdbStore | MemoryStore,
) -> None:
    taken = fill(small)
    assert small.usage().is_full
    with pytest.raises(StoreFull) as refusal:
        small.apply(put(signed([memory("one more")], head_after(taken[-1]))))
    assert "map_bytes_max" in refusal.value.hint
    held = small.delta(taken[-1].id)
    assert held is not None
    assert held.delta == taken[-1]


def test_a_full_store_takes_forgets_and_then_content_again(
    small: LmdbStore | MemoryStore,
) -> None:
    taken = fill(small)
    head = head_after(taken[-1])
    for target in taken[: len(taken) // 2]:
        (delta,) = signed([forget_draft(target.id)], head)
        head = head_after(delta)
        forget = Forget(target.id, delta.id, inception("ann"), False, target.header.namespace)
        small.apply([PutDelta(delta, State.LIVE), PutForget(forget)])
    small.apply([PutRecord(RecordId(digest("r", b"")), b"a revocation"), PutMeta("boot", b"1")])
    assert not small.usage().is_full
    small.apply(put(signed([memory("room again")], head)))
    if isinstance(small, LmdbStore):
        assert check(small) == ()


def test_a_warning_comes_before_the_cap(small: LmdbStore | MemoryStore) -> None:
    assert not small.usage().is_warning
    fill(small)
    assert small.usage().is_warning


def test_a_full_store_can_be_backed_up(tmp_path: Path) -> None:
    with LmdbStore(tmp_path / "small", SMALL) as store:
        taken = fill(store)
        assert back_up(store, tmp_path / "backup").delta_count == len(taken)


@contextmanager
def no_file_larger_than(limit_bytes: int) -> Iterator[None]:
    """What a full disk does to every write beyond a point, without a disk to fill."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_loses_nothing_acknowledged_and_writing_resumes(tmp_path: Path) -> None:
    with LmdbStore(tmp_path / "store") as store:
        with no_file_larger_than(MIB):
            taken = fill(store)
            assert taken
            with pytest.raises(StoreFull) as refusal:
                store.apply(put(signed([memory("x" * 60_000)], head_after(taken[-1]))))
        assert "disk" in refusal.value.hint
        assert [held.delta for held in store.rows_after(Row(0), 999)] == taken
        store.apply(put(signed([memory("room again")], head_after(taken[-1]))))
        assert check(store) == ()
    with LmdbStore(tmp_path / "store") as store:
        assert store.last_row() == len(taken) + 1


def test_a_second_process_on_one_store_is_refused_and_names_the_first(tmp_path: Path) -> None:
    opening = (
        "import sys; from pathlib import Path; from hive.errors import StateError\n"
        "from hive.store.lmdb_store import LmdbStore\n"
        "try: LmdbStore(Path(sys.argv[1]))\n"
        "except StateError as error: print(error, '|', error.hint)\n"
    )
    with LmdbStore(tmp_path / "store"):
        said = subprocess.run(
            [sys.executable, "-c", opening, str(tmp_path / "store")],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        with pytest.raises(StateError, match=str(os.getpid())):
            LmdbStore(tmp_path / "store")
    assert f"in use by process {os.getpid()}" in said
    LmdbStore(tmp_path / "store").close()


def filled(directory: Path, count: int = 100) -> list[Delta]:
    deltas = chain_of(count)
    with LmdbStore(directory) as store:
        store.apply(put(deltas))
    return deltas


def refusal_of(directory: Path) -> StoreError:
    with pytest.raises(StoreError) as refusal:
        LmdbStore(directory)
    assert refusal.value.hint
    return refusal.value


def test_a_truncated_file_is_refused_before_it_is_mapped(tmp_path: Path) -> None:
    filled(tmp_path)
    data = tmp_path / "data.mdb"
    os.truncate(data, data.stat().st_size - 4_096)
    assert "truncated" in str(refusal_of(tmp_path))
    os.truncate(data, 100)
    assert "cannot be read" in str(refusal_of(tmp_path))


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_store_whose_data_is_gone_is_not_taken_for_a_new_one(
    tmp_path: Path, is_empty: bool
) -> None:
    filled(tmp_path)
    (tmp_path / "data.mdb").unlink()
    if is_empty:
        (tmp_path / "data.mdb").touch()
    assert "gone or empty" in str(refusal_of(tmp_path))


def test_a_file_that_is_not_lmdbs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"SQLite format 3\0" * 1_000)
    assert "not a hive store" in str(refusal_of(tmp_path))


def test_an_lmdb_file_that_is_not_hives_is_refused_and_left_alone(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), map_size=MIB) as env, env.begin(write=True) as txn:
        txn.put(b"key", b"value")
    before = (tmp_path / "data.mdb").read_bytes()
    assert "not a hive store" in str(refusal_of(tmp_path))
    assert (tmp_path / "data.mdb").read_bytes() == before


@pytest.mark.parametrize("page", [5, 9, 14])
def test_a_scribbled_page_is_found_at_open(tmp_path: Path, page: int) -> None:
    filled(tmp_path)
    with (tmp_path / "data.mdb").open("r+b") as file:
        file.seek(page * 4_096)
        file.write(b"\xa5" * 512)
    assert "damaged" in str(refusal_of(tmp_path))


def test_a_store_of_a_newer_hive_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    with lmdb.open(str(tmp_path), map_size=1 << 36, max_dbs=32) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True) as txn:
            txn.put(b"\0schema", (2).to_bytes(8), db=meta)
    refusal = refusal_of(tmp_path)
    assert "schema 2" in str(refusal)
    assert "upgrade" in refusal.hint


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/hive-store"])
def test_a_place_that_cannot_hold_a_store_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    refusal_of(tmp_path / place)


def test_a_refused_store_lets_go_of_its_lock(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"nonsense" * 2_000)
    refusal_of(tmp_path)
    (tmp_path / "data.mdb").unlink()
    LmdbStore(tmp_path).close()


def test_an_entry_that_does_not_decode_is_a_store_error(tmp_path: Path) -> None:
    (delta,) = filled(tmp_path, 1)
    with lmdb.open(str(tmp_path), map_size=1 << 36, max_dbs=32) as env:
        log = env.open_db(b"log")
        with env.begin(write=True) as txn:
            txn.put((1).to_bytes(8), b"\x01\xc1", db=log)
    with LmdbStore(tmp_path) as store:
        with pytest.raises(StoreError) as refusal:
            store.delta(delta.id)
        assert refusal.value.hint
        assert check(store)[0].table == "log"


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    store.close()
    store.close()
    with pytest.raises(StateError):
        store.apply([])
    with pytest.raises(HiveError):
        store.has(chain_of(1)[0].id)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError):
        LmdbStoreConfig(map_bytes_max=1)
    with pytest.raises(ConfigError):
        LmdbStoreConfig(group_batches_max=10, queue_batches_max=5)


def test_the_file_grows_with_its_content_and_not_with_its_map(tmp_path: Path) -> None:
    with LmdbStore(tmp_path, LmdbStoreConfig(map_bytes_max=1 << 40)):
        assert (tmp_path / "data.mdb").stat().st_size < MIB
