"""What the person sees while the demo runs (stderr), and the figures it gathers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hive.errors import HiveError

from ..output import plain


class DemoFailed(HiveError):
    """Something did not go as promised."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement; `most` is the goal it is held to, where there is one."""

    act: str
    name: str
    value: float | int | str
    unit: str = ""
    most: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether the goal was reached; True where there is none."""
        return self.most is None or (not isinstance(self.value, str) and self.value <= self.most)


@dataclass(slots=True)
class Stage:
    """One demo on show."""

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    figures: list[Figure] = field(default_factory=list)
    act_name: str = ""
    began_at: float = field(default_factory=perf_counter)

    @property
    def elapsed_s(self) -> float:
        """Since the demo began."""
        return perf_counter() - self.began_at

    def act(self, number: int, name: str, title: str) -> None:
        """Begins an act."""
        self.act_name = name
        self.console.print(
            f"\n[bold cyan]{number}  {escape(title)}[/]  [dim]{self.elapsed_s:.0f} s[/]",
            soft_wrap=True,
        )

    def say(self, text: str) -> None:
        """One line of what happened."""
        self.console.print(f"   {escape(plain(text))}", soft_wrap=True)

    def good(self, text: str) -> None:
        """One promise kept."""
        self.console.print(f"   [green]✓[/] {escape(plain(text))}", soft_wrap=True)

    def figure(
        self, name: str, value: float | int | str, unit: str = "", most: float | None = None
    ) -> Figure:
        """Keeps a measurement for the summary."""
        made = Figure(self.act_name, name, value, unit, most)
        self.figures.append(made)
        return made

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Shows that something is awaited."""
        with self.console.status(escape(text), spinner="dots"):
            yield

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """Gives a function that says how many more are done."""
        columns = (
            TextColumn("   {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(title, total=total)
            yield lambda count: progress.advance(task, count)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def require(is_so: bool, otherwise: str, hint: str = "") -> None:
    """Ends the demo where a promise was not kept."""
    if not is_so:
        raise DemoFailed(otherwise, hint=hint)
