"""Long work cut into slices, so that no call of `handle` takes long.

A job is a generator that notes what it did by `Slice.spend` and yields when its slice is used up.
Jobs take turns; between two slices passes `slice_pause_us`, in which the driver does everything
else. What fits into one slice is done at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TypeVar

from hive.wire.clock import MonotonicUs

T = TypeVar("T")
Work = Generator[None, None, T]
"""Work that yields at the end of each slice and returns a result."""


class Slice:
    """What is left of the present slice, in lines of the time index."""

    def __init__(self) -> None:
        self._left = 0
        self.spent_count = 0

    def begin(self, lines: int) -> None:
        """Opens the next slice."""
        self._left = lines

    def spend(self, lines: int) -> None:
        """Notes work done."""
        self._left -= lines
        self.spent_count += lines

    @property
    def is_spent(self) -> bool:
        """Whether a job must yield now."""
        return self._left <= 0


class Jobs:
    """Jobs in turn, one slice a call."""

    def __init__(self, slice: Slice, lines: int, pause_us: int) -> None:
        self._slice = slice
        self._lines = lines
        self._pause_us = pause_us
        self._jobs: deque[Work[None]] = deque()
        self._next_at = MonotonicUs(0)

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def deadline(self) -> MonotonicUs | None:
        """When the next slice is due; None: nothing is to be done."""
        return self._next_at if self._jobs else None

    def add(self, job: Work[None]) -> None:
        """Queues a job."""
        self._jobs.append(job)

    def run(self, now_us: MonotonicUs) -> None:
        """One slice of what is queued, if one is due."""
        if now_us < self._next_at:
            return
        self._slice.begin(self._lines)
        while self._jobs and not self._slice.is_spent:
            job = self._jobs.popleft()
            try:
                next(job)
            except StopIteration:
                continue
            self._jobs.append(job)
        if self._slice.is_spent:
            self._next_at = MonotonicUs(now_us + self._pause_us)


def finish(work: Work[T], slice: Slice, lines: int = 1 << 30) -> T:
    """Does all of a work at once, for tools and tests."""
    slice.begin(lines)
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: T = done.value
            return result
        slice.begin(lines)
