"""The engine: integer time, one order of events, a running hash of the whole history.

Theory of operation. Whatever lives in a world is an *entity* with a small number. An event is due
at a tick (microsecond) at one entity and comes from another, which numbered it. The engine always
hands out the pending event with the least key (tick, destination, source, number). That key says
nothing about when the event was put in or who else is being simulated, so what one entity sees
does not depend on how entities are divided among processes.

The queue is a calendar: events of one span of time lie unsorted in one page; a heap holds the
numbers of the pages that are not empty; a page is sorted when its time has come. An event for
the page that is open is put into its place in it. Adding and taking cost about the same at ten
entities and at a million.

The trace is one number an entity: each event folds its key and its mark into the number of its
destination. The mark says what kind of event it is, and is the world's to choose. The digest
over all numbers is equal for equal histories, whoever computed which part.
"""

from __future__ import annotations

import hashlib
from bisect import insort
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final, TypeAlias

PAGE_US: Final = 128
"""Span of one page. More: fewer pages, longer sorts. Sane: 1 at ten entities to 1,024."""

Item: TypeAlias = tuple[int, int, int, int, int, Any]
"""Tick, destination, source, the source's number, mark, event."""

Deliver: TypeAlias = Callable[[int, int, Any], None]
"""Takes (destination, source, event) at the engine's `now_us`."""

Journal: TypeAlias = Callable[[Item], None]


class Engine:
    """Pending events in order, and the time."""

    __slots__ = (
        "_counts",
        "_cursor",
        "_deliver",
        "_end",
        "_journal",
        "_open",
        "_page_us",
        "_pages",
        "_turns",
        "event_count",
        "now_us",
        "traces",
    )

    def __init__(
        self,
        deliver: Deliver,
        entities: int = 0,
        *,
        page_us: int = PAGE_US,
        journal: Journal | None = None,
    ) -> None:
        self.now_us = 0
        self.event_count = 0
        self.traces: list[int] = [0] * entities
        self._counts: list[int] = [0] * entities
        self._deliver = deliver
        self._journal = journal
        self._page_us = page_us
        self._pages: dict[int, list[Item]] = {}
        self._turns: list[int] = []
        self._open: list[Item] = []
        self._cursor = 0
        self._end = 0

    def add_entity(self) -> int:
        """The number of one more entity."""
        self.traces.append(0)
        self._counts.append(0)
        return len(self.traces) - 1

    def post(self, delay_us: int, destination: int, source: int, event: Any, mark: int = 0) -> None:
        """Puts an event in; a delay below zero counts as none."""
        at_us = self.now_us + delay_us if delay_us > 0 else self.now_us
        number = self._counts[source] = self._counts[source] + 1
        self.accept((at_us, destination, source, number, mark, event))

    def post_away(
        self,
        delay_us: int,
        destination: int,
        source: int,
        event: Any,
        crossing: list[Item],
        mark: int = 0,
    ) -> None:
        """Numbers an event for an entity of another process and lays it beside the others."""
        number = self._counts[source] = self._counts[source] + 1
        crossing.append((self.now_us + delay_us, destination, source, number, mark, event))

    def accept(self, item: Item) -> None:
        """Puts in an item that already has its number: one from another process."""
        if item[0] < self._end:
            insort(self._open, item, self._cursor)
            return
        page = item[0] // self._page_us
        held = self._pages.get(page)
        if held is None:
            self._pages[page] = [item]
            heappush(self._turns, page)
        else:
            held.append(item)

    def run(self, until_us: int) -> int:
        """Hands out everything due before `until_us`, which is then the time; gives how many."""
        before = self.event_count
        while self._open_page(until_us):
            self._run_page(until_us)
        if until_us > self.now_us:
            self.now_us = until_us
        return self.event_count - before

    def _open_page(self, until_us: int) -> bool:
        """Whether the open page holds something due; opens the next where it is used up."""
        if self._cursor < len(self._open):
            return self._open[self._cursor][0] < until_us
        if not self._turns or self._turns[0] * self._page_us >= until_us:
            return False
        page = heappop(self._turns)
        self._open = self._pages.pop(page)
        self._open.sort()
        self._cursor = 0
        self._end = (page + 1) * self._page_us
        return self._open[0][0] < until_us

    def _run_page(self, until_us: int) -> None:
        items, traces, deliver, journal = self._open, self.traces, self._deliver, self._journal
        cursor = first = self._cursor
        try:
            # The list may grow behind the cursor while it runs.
            while cursor < len(items):
                item = items[cursor]
                at_us, destination, source, number, mark, event = item
                if at_us >= until_us:
                    break
                cursor += 1
                self._cursor = cursor
                self.now_us = at_us
                # Tuples of integers hash the same in every process; nothing here is salted.
                traces[destination] = hash((traces[destination], at_us, source, number, mark))
                if journal is not None:
                    journal(item)
                deliver(destination, source, event)
        finally:
            self.event_count += cursor - first

    @property
    def next_us(self) -> int | None:
        """When the next event is due; None: nothing is pending."""
        if self._cursor < len(self._open):
            return self._open[self._cursor][0]
        if not self._turns:
            return None
        return min(item[0] for item in self._pages[self._turns[0]])

    @property
    def pending_count(self) -> int:
        """How many events wait."""
        return len(self._open) - self._cursor + sum(map(len, self._pages.values()))

    def digest(self) -> str:
        """The digest of the whole history so far, in hex."""
        return digest_of(self.traces)


def digest_of(traces: list[int]) -> str:
    """One digest over the traces of all entities, in their order."""
    folded = hashlib.sha256()
    for trace in traces:
        folded.update(trace.to_bytes(8, "big", signed=True))
    return folded.hexdigest()
