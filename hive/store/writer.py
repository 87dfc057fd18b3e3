"""One thread writes: it takes what waits, carries it out in one transaction and syncs once.

Group commit: a disk gives a few thousand syncs a second, so everything that arrived during one
sync shares the next. A batch that fails does not fail its neighbours: the transaction is given
up and each batch of the group gets one of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from hive.errors import HiveError, StateError, StoreError
from hive.protocol.ports import Write
from hive.store.faults import StoreFull
from hive.store.memory_store import Done, is_refused_when_full

BUSY_HINT: Final = "writes arrive faster than the disk takes them; send fewer at a time"

Commit = Callable[[Sequence[Sequence[Write]]], None]
"""Carries out batches in one durable transaction, or raises and changes nothing."""


class _Batch(NamedTuple):
    writes: Sequence[Write]
    done: Done

    @property
    def is_refused_when_full(self) -> bool:
        return any(map(is_refused_when_full, self.writes))


class Writer:
    """The writer thread of one store.

    `commit` is called in this thread only; so is every `done`, after the commit.
    """

    def __init__(self, commit: Commit, *, group_batches_max: int, queue_batches_max: int) -> None:
        self._commit = commit
        self._group_batches_max = group_batches_max
        self._queue_batches_max = queue_batches_max
        self._queue: SimpleQueue[_Batch | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._is_closed = False
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="hive-store-writer", daemon=True)
        self._thread.start()

    def submit(self, writes: Sequence[Write], done: Done) -> None:
        """Queues a batch; `done` hears None once it is durable, or why it is not.

        Never blocks: where the queue is full, `done` hears so at once, in the caller's thread.
        `done` must not raise.
        """
        with self._gate:
            if self._is_closed:
                raise StateError("the store is closed", hint="open it again")
            is_busy = self._queue.qsize() >= self._queue_batches_max
            if not is_busy:
                self._queue.put(_Batch(writes, done))
        if is_busy:
            done(StoreError("the writer's queue is full", hint=BUSY_HINT))

    def apply(self, writes: Sequence[Write]) -> None:
        """Writes and waits until it is durable; raises what `done` would hear."""
        outcome: list[HiveError | None] = []
        is_done = threading.Event()

        def done(error: HiveError | None) -> None:
            outcome.append(error)
            is_done.set()

        self.submit(writes, done)
        is_done.wait()
        if outcome[0] is not None:
            raise outcome[0]

    def close(self) -> None:
        """Writes what is queued and ends the thread; a fault of a `done` comes out here."""
        with self._gate:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)
        self._thread.join()
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise StateError(
                "a caller of the store failed when told", hint="report this"
            ) from fault

    def _run(self) -> None:
        group: list[_Batch] = []
        try:
            while self._take(group):
                self._write_group(group)
            self._write_group(group)
        finally:
            self._refuse_everything(group)

    def _take(self, group: list[_Batch]) -> bool:
        """Waits for a batch, then takes what else is there; False once the queue is closed."""
        batch = self._queue.get()
        while batch is not None:
            group.append(batch)
            if len(group) == self._group_batches_max:
                return True
            try:
                batch = self._queue.get_nowait()
            except Empty:
                return True
        return False

    def _write_group(self, group: list[_Batch]) -> None:
        """Leaves the group empty: each of its batches was written or refused."""
        if not group:
            return
        try:
            self._commit([batch.writes for batch in group])
        except HiveError as error:
            if len(group) == 1:
                self._tell(group, error)
            else:
                self._write_singly(group)
        else:
            self._tell(group, None)

    def _write_singly(self, group: list[_Batch]) -> None:
        full: StoreFull | None = None
        while group:
            outcome: HiveError | None = full if group[0].is_refused_when_full else None
            if outcome is None:
                try:
                    self._commit([group[0].writes])
                except StoreFull as error:
                    outcome = full = error
                except HiveError as error:
                    outcome = error
            self._tell([group.pop(0)], outcome)

    def _tell(self, batches: list[_Batch], outcome: HiveError | None) -> None:
        for batch in batches:
            try:
                batch.done(outcome)
            except Exception as fault:  # noqa: BLE001 - kept for close: the others still wait
                self._fault = self._fault or fault
        batches.clear()

    def _refuse_everything(self, group: list[_Batch]) -> None:
        """Nobody may wait for ever: after a bug of ours, whoever waits is told."""
        with self._gate:
            self._is_closed = True
        while not self._queue.empty():
            batch = self._queue.get_nowait()
            if batch is not None:
                group.append(batch)
        self._tell(group, StoreError("the store's writer has stopped", hint="restart hive"))
