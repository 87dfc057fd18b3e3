"""Worker processes for sweeps: each task is known to the parent while it runs.

A worker that dies takes one task with it, and that task is the finding: it is told with its exit
code and never tried again. The others go on, and a new worker takes the dead one's place.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Died(Generic[Task]):
    """A worker ended in the middle of this task."""

    task: Task
    exit_code: int | None


@dataclass(slots=True)
class _Worker(Generic[Task]):
    process: BaseProcess
    pipe: Connection
    task: Task | None = None


class Pool(Generic[Task, Result]):
    """So many workers, each running `work` on one task at a time."""

    def __init__(self, work: Callable[[Task], Result], count: int) -> None:
        self._work = work
        self._count = count
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker[Task]] = []

    def __enter__(self) -> Pool[Task, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result | Died[Task]]]:
        """Results as they come, each with its task."""
        waiting = iter(tasks)
        for _ in range(self._count):
            if not self._give(waiting, None):
                break
        while busy := [worker for worker in self._workers if worker.task is not None]:
            ready = wait([worker.pipe for worker in busy])
            for worker in busy:
                if worker.pipe in ready:
                    task = worker.task
                    assert task is not None
                    result = self._taken(worker, task)
                    self._give(waiting, None if isinstance(result, Died) else worker)
                    yield task, result

    def _taken(self, worker: _Worker[Task], task: Task) -> Result | Died[Task]:
        worker.task = None
        try:
            result: Result = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            worker.pipe.close()
            self._workers.remove(worker)
            return Died(task, worker.process.exitcode)
        return result

    def _give(self, waiting: Iterator[Task], worker: _Worker[Task] | None) -> bool:
        """Hands the next task to a worker, a new one where none is given."""
        task = next(waiting, None)
        if task is None:
            return False
        if worker is None:
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_serve, args=(self._work, theirs), daemon=True)
            process.start()
            theirs.close()
            worker = _Worker(process, ours)
            self._workers.append(worker)
        worker.task = task
        worker.pipe.send(task)
        return True


def _serve(work: Callable[[Any], Any], pipe: Connection) -> None:
    """The life of a worker; an interrupt is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        pipe.send(work(task))
