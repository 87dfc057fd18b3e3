"""Backups are consistent, verified, and bring nothing back that was forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import lmdb
import pytest
from store_deltas import chain_name, chain_of, inception, put

from hive.errors import StateError, StoreError
from hive.memory.log import State, head_after
from hive.protocol.ports import Forget, PutForget, PutFork, PutRecord, Row, Write
from hive.store.backup import RESTORED, back_up, compact, restore, restored_mark, verify_backup
from hive.store.consistency import check
from hive.store.lmdb_store import LmdbStore, LmdbStoreConfig
from hive.wire.ids import DeltaId, RecordId, digest

FAST = LmdbStoreConfig(is_durable=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    with LmdbStore(tmp_path / "store", FAST) as opened:
        yield opened


def own_forget(delta_id: bytes) -> Forget:
    target = DeltaId(delta_id)
    forgetting = DeltaId(digest("forget", delta_id))
    return Forget(target, forgetting, inception("ann"), False, "acme/notes")


def test_a_backup_taken_while_the_store_is_written_is_consistent(
    store: LmdbStore, tmp_path: Path
) -> None:
    deltas = chain_of(600, together=8)
    store.apply(put(deltas[:40]))
    is_done = threading.Event()
    for delta in deltas[40:]:
        store.submit(put([delta]), lambda error: None)
    store.submit([], lambda error: is_done.set())
    contents = back_up(store, tmp_path / "backup")
    is_done.wait()
    assert 40 <= contents.delta_count <= 600
    assert verify_backup(tmp_path / "backup") == contents
    with LmdbStore(tmp_path / "backup", FAST) as opened:
        assert opened.head(chain_name(deltas[0])) == head_after(deltas[contents.delta_count - 1])


def test_a_backup_is_never_written_over_anything(store: LmdbStore, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("keep me")
    with pytest.raises(StateError, match="not empty"):
        back_up(store, tmp_path / "full")
    with pytest.raises(StateError, match="not empty"):
        back_up(store, tmp_path / "full" / "letter")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "store"]


def test_a_failed_backup_leaves_nothing_behind(store: LmdbStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        back_up(store, tmp_path / "file" / "backup")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "store"]


def test_a_restored_store_holds_what_the_backup_held_and_says_so(
    store: LmdbStore, tmp_path: Path
) -> None:
    deltas = chain_of(20, together=4)
    store.apply(put(deltas))
    back_up(store, tmp_path / "backup")
    assert store.meta(RESTORED) is None
    restore(tmp_path / "backup", tmp_path / "again", config=FAST)
    with LmdbStore(tmp_path / "again", FAST) as again:
        assert [held.delta for held in again.rows_after(Row(0), 99)] == deltas
        mark = again.meta(RESTORED)
        assert mark is not None
        assert restored_mark(mark) == (20, deltas[-1].header.hlc)
        assert check(again) == ()


def test_what_was_forgotten_since_the_backup_stays_forgotten(
    store: LmdbStore, tmp_path: Path
) -> None:
    deltas = chain_of(3)
    store.apply(put(deltas))
    back_up(store, tmp_path / "backup")
    later = PutRecord(RecordId(digest("r", b"")), b"a revocation")
    fork = PutFork(digest("f", b""), chain_name(deltas[0]), 9, 0, b"proof")
    store.apply([PutForget(own_forget(deltas[1].id)), later, fork])
    restore(tmp_path / "backup", tmp_path / "again", newer=store, config=FAST)
    with LmdbStore(tmp_path / "again", FAST) as again:
        held = again.delta(deltas[1].id)
        assert held is not None
        assert (held.state, held.delta) == (State.FORGOTTEN, replace(deltas[1], body=b""))
        assert list(again.records()) == [b"a revocation"]
        assert [kept.id for kept in again.forks()] == [fork.id]
        assert check(again) == ()


def test_forgets_survive_a_restore(store: LmdbStore, tmp_path: Path) -> None:
    early, late = chain_of(2)
    store.apply([*put([early]), PutForget(own_forget(early.id)), PutForget(own_forget(late.id))])
    back_up(store, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "again", config=FAST)
    with LmdbStore(tmp_path / "again", FAST) as again:
        again.apply(put([early, late]))
        assert [held.state for held in again.rows_after(Row(0), 9)] == [State.FORGOTTEN] * 2


def test_a_restore_goes_into_an_empty_directory_only(store: LmdbStore, tmp_path: Path) -> None:
    back_up(store, tmp_path / "backup")
    with pytest.raises(StateError, match="not empty"):
        restore(tmp_path / "backup", tmp_path / "store", config=FAST)
    (tmp_path / "empty").mkdir()
    restore(tmp_path / "backup", tmp_path / "empty", config=FAST)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "absent"])
def test_a_damaged_backup_is_refused_before_anything_is_replaced(
    store: LmdbStore, tmp_path: Path, damage: str
) -> None:
    store.apply(put(chain_of(200)))
    back_up(store, tmp_path / "backup")
    data = tmp_path / "backup" / "data.mdb"
    whole = bytearray(data.read_bytes())
    if damage == "truncated":
        data.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        at = whole.index(b"memory 77")
        whole[at] ^= 1
        data.write_bytes(whole)
    elif damage == "foreign":
        data.unlink()
        with (
            lmdb.open(str(tmp_path / "other"), map_size=1 << 20) as env,
            env.begin(write=True) as txn,
        ):
            txn.put(b"key", b"value")
        data.write_bytes((tmp_path / "other" / "data.mdb").read_bytes())
    else:
        data.unlink()
    with pytest.raises(StoreError) as refusal:
        restore(tmp_path / "backup", tmp_path / "again", config=FAST)
    assert refusal.value.hint
    assert not (tmp_path / "again").exists()
    assert not (tmp_path / "again.partial").exists()


def test_a_compacted_store_holds_everything_but_what_was_erased(tmp_path: Path) -> None:
    deltas = chain_of(400)
    gone = deltas[100:200]
    with LmdbStore(tmp_path / "store", FAST) as store:
        for delta in deltas:
            store.apply(put([delta]))
        for delta in gone:
            store.apply([PutForget(own_forget(delta.id))])
        places: list[Path] = []
        before, after = compact(store, lambda data: places.append(data) or [])
    assert after <= before
    content = (tmp_path / "store" / "data.mdb").read_bytes()
    assert [delta for delta in gone if delta.body and delta.body in content] == []
    assert len(content) == after
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    with LmdbStore(tmp_path / "store", FAST) as again:
        assert check(again) == ()
        assert again.head(chain_name(deltas[0])) == head_after(deltas[-1])
        assert all(again.forgets_of(DeltaId(delta.id)) for delta in gone)


def test_a_compaction_that_fails_changes_nothing(store: LmdbStore, tmp_path: Path) -> None:
    store.apply(put(chain_of(20)))
    before = (tmp_path / "store" / "data.mdb").stat()

    def fail(data: Path) -> list[Write]:
        raise StateError("no")

    with pytest.raises(StateError, match="no"):
        compact(store, fail)
    after = (tmp_path / "store" / "data.mdb").stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
