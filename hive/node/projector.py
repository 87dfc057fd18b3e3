"""Feeds the store's tail to the recall projections, and takes out what was erased.

Projections are never on the ingest path: they follow the log by row. A search first catches up
with a short tail, so what was acknowledged a moment ago is found. Nothing of them is loaded before
they are needed: a command that only writes leaves the tail to whoever searches next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio

from hive.errors import MalformedFrame, StoreError
from hive.memory.bodies import parse_body_untrusted, searchable_text
from hive.memory.log import Held, State
from hive.protocol.ports import Row, StoreReader
from hive.wire.ids import DeltaId

if TYPE_CHECKING:
    from hive.store.projection import Entry, Projection

FEED_ROWS: Final = 256
GATHER_S: Final = 0.1
"""New rows are fed together, away from the moment in which they spread; a search waits for none."""
RETRY_S: Final = 2
"""Between two tries to put on disk what it did not take."""
SAVE_AFTER_ROWS: Final = 5_000


class Projector:
    """One projection and how far it has followed the store."""

    def __init__(
        self,
        reader: StoreReader,
        make: Callable[[], Projection],
        failed: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """`make` opens the projection, once, at its first use and in a worker thread."""
        self._reader = reader
        self._make = make
        self._failed = failed
        self._unforgotten: list[int] = []
        self._projection: Projection | None = None
        self._opening = threading.Lock()
        self._started = trio.Event()
        self._row = Row(0)
        self._erased_row = Row(0)
        self._wake = trio.Event()
        self._lock = trio.Lock()

    @property
    def projection(self) -> Projection:
        """The projection, opened where it is not yet."""
        with self._opening:
            if self._projection is None:
                made = self._make()
                self._row = Row(made.last_row)
                self._projection = made
            return self._projection

    def start(self) -> None:
        """Follows the store from now on, not only from the first search."""
        self._started.set()

    def wake(self) -> None:
        """The store has new rows."""
        self._wake.set()

    async def run(self) -> None:
        """Follows the store once started; what a full disk refused is tried again."""
        await self._started.wait()
        while True:
            self._wake = trio.Event()
            try:
                await self.forget([])
                await self.catch_up()
            except (OSError, StoreError) as error:
                self._failed(str(error))
                await trio.sleep(RETRY_S)
                continue
            await self._wake.wait()
            await trio.sleep(GATHER_S)

    async def catch_up(self) -> None:
        """Feeds everything up to the store's last row."""
        self.start()
        async with self._lock:
            projection = await trio.to_thread.run_sync(lambda: self.projection)
            while self._row < self._reader.last_row():
                await trio.to_thread.run_sync(self._feed_some)
            if projection.unsaved_count > SAVE_AFTER_ROWS:
                await trio.to_thread.run_sync(projection.snapshot)

    def _feed_some(self) -> None:
        held = self._reader.rows_after(self._row, FEED_ROWS)
        if not held:
            self._row = self._reader.last_row()
            return
        entries = [entry for each in held if (entry := _entry(each)) is not None]
        if entries:
            self.projection.feed(entries)
        self._row = Row(held[-1].row)

    async def forget(self, rows: list[int]) -> None:
        """Takes erased rows out of every index; what the disk refused is remembered for `run`."""
        self._unforgotten += rows
        if not self._unforgotten:
            return
        self.start()
        wanted = list(self._unforgotten)
        try:
            await trio.to_thread.run_sync(lambda: self.projection.forget(wanted))
        except OSError as error:
            self.wake()
            raise StoreError(f"the recall index could not forget: {error}") from error
        del self._unforgotten[: len(wanted)]

    def close(self) -> None:
        """Saves what the disk takes; what it does not take is rebuilt from the store."""
        if self._projection is None:
            return
        try:
            self._projection.close()
        except (OSError, StoreError) as error:
            self._failed(str(error))

    async def forget_erased(self) -> None:
        """Takes out what was erased while nobody told the projections (a crash, a restore)."""
        while rows := self._reader.erased_rows(self._erased_row, FEED_ROWS):
            await self.forget(list(rows))
            self._erased_row = rows[-1]

    async def search(
        self, text: str, namespaces: tuple[str, ...], count: int, is_exact: bool
    ) -> tuple[tuple[tuple[DeltaId, int], ...], bool]:
        """Ids and scores, best first, and whether the search was exact."""
        try:
            await self.catch_up()
        except OSError as error:
            raise StoreError(f"the recall index cannot be written: {error}") from error

        def ask() -> tuple[tuple[tuple[DeltaId, int], ...], bool]:
            self.projection.flush()
            found = self.projection.search(text, namespaces, count, is_exact)
            return tuple((DeltaId(hit.delta_id), hit.score) for hit in found.hits), found.exact

        return await trio.to_thread.run_sync(ask)


def _entry(held: Held) -> Entry | None:
    if held.state is not State.LIVE or not held.delta.body:
        return None
    from hive.store.projection import Entry

    header = held.delta.header
    try:
        text = searchable_text(parse_body_untrusted(header.kind, held.delta.body))
    except MalformedFrame:
        return None
    return Entry(held.row, held.delta.id, header.namespace, text) if text else None
