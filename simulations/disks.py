"""A node's disk: writes wait for a sync, and a crash shows which of them it had.

Batches become durable in groups, as the LMDB writer does it. A batch is all or nothing, like a
transaction, so one that was torn by a crash is found whole in neither half and is not there.
The history of durable batches is kept: a disk that lied about syncing, an old snapshot put back,
or another node's disk are a prefix of some history.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hive.errors import HiveError, StoreError
from hive.protocol import events as ev
from hive.protocol.ports import Write
from hive.store.faults import full
from hive.store.memory_store import MemoryStore, is_refused_when_full

SYNC_US: Final = 400
GROUP_COUNT_MAX: Final = 64

Batch = tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch that is not durable yet, and what must not happen before it is."""

    store: ev.Store
    behind: tuple[ev.Effect, ...]


class Disk:
    """What a node keeps: `store` shows what is durable, `waiting` what is not."""

    __slots__ = (
        "_is_syncing",
        "history",
        "is_failing",
        "is_full",
        "slowness",
        "store",
        "unsafe_from",
        "waiting",
    )

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.history: list[Batch] = []
        self.waiting: deque[Waiting] = deque()
        self.is_full = False
        self.is_failing = False
        self.slowness = 1
        self.unsafe_from: int | None = None
        self._is_syncing = False

    def submit(self, waiting: Waiting) -> int | None:
        """Queues a batch; gives the time to the sync that must now be waited for, if any."""
        self.waiting.append(waiting)
        return self.next_sync_us()

    def next_sync_us(self) -> int | None:
        """Begins the next sync where something waits and none is under way."""
        if self._is_syncing or not self.waiting:
            return None
        self._is_syncing = True
        return SYNC_US * self.slowness

    def synced(self) -> list[Waiting]:
        """The group whose sync has ended, to be committed one by one."""
        self._is_syncing = False
        count = min(len(self.waiting), GROUP_COUNT_MAX)
        return [self.waiting.popleft() for _ in range(count)]

    def commit(self, batch: Batch) -> HiveError | None:
        """Makes a batch durable, or says why not."""
        if self.is_failing:
            return StoreError("the disk is gone")
        if self.is_full and any(map(is_refused_when_full, batch)):
            return full()
        try:
            self.store.apply(batch)
        except HiveError as error:
            return error
        self.history.append(batch)
        return None

    def crash(self, survivors: int) -> int:
        """Power is lost: the first `survivors` waiting batches had reached the disk; the rest
        are gone, with whatever the disk only claimed to have. Gives how many were lost."""
        kept = [waiting.store.writes for waiting in self.waiting][:survivors]
        lost = len(self.waiting) - len(kept)
        self.waiting.clear()
        self._is_syncing = False
        if self.unsafe_from is not None:
            lost += len(self.history) - self.unsafe_from
            self.put(self.history[: self.unsafe_from])
            self.unsafe_from = None
        for batch in kept:
            self.commit(batch)
        return lost

    def lie(self) -> None:
        """From now on the disk says that it synced and does not."""
        if self.unsafe_from is None:
            self.unsafe_from = len(self.history)

    def put(self, history: Sequence[Batch]) -> None:
        """The content becomes that of another time or place."""
        self.store = MemoryStore()
        self.history = []
        for batch in history:
            self.store.apply(batch)
            self.history.append(batch)
