"""The writer thread: group commit, neighbours, queue, closing."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from store_deltas import chain_of, pen, put

from hive.errors import HiveError, StateError, StoreError
from hive.protocol.ports import PutMeta, Row, Write
from hive.store.faults import StoreFull
from hive.store.lmdb_store import LmdbStore, LmdbStoreConfig
from hive.store.writer import Writer

Outcomes = list[HiveError | None]


class Disk:
    """A `commit` that waits for a gate, remembers its groups and fails on demand."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.is_waiting = threading.Event()
        self.groups: list[list[str]] = []
        self.faults: dict[str, HiveError] = {}

    def __call__(self, batches: Sequence[Sequence[Write]]) -> None:
        self.is_waiting.set()
        self.gate.wait()
        names = [write.name for batch in batches for write in batch if isinstance(write, PutMeta)]
        self.groups.append(names)
        for name in names:
            if name in self.faults:
                raise self.faults[name]


def batch(name: str) -> list[Write]:
    return [PutMeta(name, b"")]


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def writer(disk: Disk) -> Iterator[Writer]:
    made = Writer(disk, group_batches_max=4, queue_batches_max=8)
    yield made
    disk.gate.set()
    made.close()


def hold(writer: Writer, disk: Disk) -> Outcomes:
    """Gets the writer to wait for its disk with one batch in hand."""
    outcomes: Outcomes = []
    writer.submit(batch("held"), outcomes.append)
    disk.is_waiting.wait()
    return outcomes


def test_what_waits_for_one_sync_shares_the_next(writer: Writer, disk: Disk) -> None:
    outcomes = hold(writer, disk)
    for name in "abcdef":
        writer.submit(batch(name), outcomes.append)
    assert outcomes == []
    disk.gate.set()
    writer.apply(batch("last"))
    assert disk.groups[:2] == [["held"], ["a", "b", "c", "d"]]
    assert outcomes == [None] * 7


def test_a_failing_batch_does_not_fail_its_neighbours(writer: Writer, disk: Disk) -> None:
    hold(writer, disk)
    told: dict[str, HiveError | None] = {}
    disk.faults["b"] = StateError("bad")
    for name in "abcd":
        writer.submit(batch(name), lambda error, name=name: told.update({name: error}))  # type: ignore[misc]
    disk.gate.set()
    writer.apply(batch("last"))
    assert told == {"a": None, "b": disk.faults["b"], "c": None, "d": None}


def test_a_full_queue_refuses_at_once(writer: Writer, disk: Disk) -> None:
    outcomes = hold(writer, disk)
    for number in range(8):
        writer.submit(batch(str(number)), outcomes.append)
    writer.submit(batch("too many"), outcomes.append)
    assert len(outcomes) == 1
    assert isinstance(outcomes[0], StoreError)
    assert outcomes[0].hint
    disk.gate.set()


def test_after_a_full_disk_small_writes_are_still_tried(writer: Writer, disk: Disk) -> None:
    hold(writer, disk)
    disk.faults["a"] = StoreFull("the disk is full")
    outcomes: Outcomes = []
    contents = put(chain_of(1))
    for writes in (batch("a"), contents, batch("b")):
        writer.submit(writes, outcomes.append)
    disk.gate.set()
    writer.apply(batch("last"))
    assert [type(outcome) for outcome in outcomes] == [StoreFull, StoreFull, type(None)]
    assert ["b"] in disk.groups


def test_closing_writes_what_waits_and_takes_nothing_more(disk: Disk) -> None:
    writer = Writer(disk, group_batches_max=4, queue_batches_max=8)
    outcomes = hold(writer, disk)
    for name in "abc":
        writer.submit(batch(name), outcomes.append)
    disk.gate.set()
    writer.close()
    assert outcomes == [None] * 4
    with pytest.raises(StateError, match="closed"):
        writer.submit(batch("late"), outcomes.append)


def test_a_caller_that_fails_when_told_harms_nobody_and_comes_out_at_close(disk: Disk) -> None:
    writer = Writer(disk, group_batches_max=4, queue_batches_max=8)
    outcomes = hold(writer, disk)

    def fail(_: HiveError | None) -> None:
        raise RuntimeError("the driver is gone")

    writer.submit(batch("a"), fail)
    writer.submit(batch("b"), outcomes.append)
    disk.gate.set()
    with pytest.raises(StateError) as fault:
        writer.close()
    assert outcomes == [None, None]
    assert isinstance(fault.value.__cause__, RuntimeError)


def test_done_is_told_after_the_write_can_be_read(tmp_path: Path) -> None:
    with LmdbStore(tmp_path) as store:
        seen: list[bool] = []
        deltas = chain_of(50)
        for delta in deltas:
            store.submit(put([delta]), lambda _, id=delta.id: seen.append(store.has(id)))  # type: ignore[misc]
        store.apply([])
        assert seen == [True] * 50


def test_many_threads_write_and_read_at_once(tmp_path: Path) -> None:
    chains = [chain_of(60, by=pen(f"author {number}")) for number in range(6)]
    faults: list[BaseException] = []
    with LmdbStore(tmp_path, LmdbStoreConfig(is_durable=False)) as store:

        def write(number: int) -> None:
            try:
                for delta in chains[number]:
                    store.apply(put([delta]))
                    held = store.delta(delta.id)
                    assert held is not None
                    assert held.delta == delta
            except BaseException as fault:  # noqa: BLE001 - shown by the test's own thread
                faults.append(fault)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        assert len(store.rows_after(Row(0), 999)) == 360


def test_a_batch_that_cannot_be_encoded_is_refused_alone(tmp_path: Path) -> None:
    with LmdbStore(tmp_path) as store:
        with pytest.raises(HiveError):
            store.apply([PutMeta("name" * 1_000, b"")])
        store.apply([PutMeta("name", b"1")])
        assert store.meta("name") == b"1"
