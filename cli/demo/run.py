"""The acts in their order, and what is left behind."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import click

from hive.errors import HiveError, StateError

from ..output import as_json, plain
from . import attacking, crashing, forgetting, joining, recalling, spreading
from .corpus import texts
from .federation import Federation
from .stage import Stage
from .summary import as_data, as_text

TEXT_COUNT: Final = 3_000


def run(keep: Path | None, json: bool) -> int:
    """Plays the demo; 0 where everything went as promised, 1 where something did not.

    A goal of speed that was missed is shown and no failure: the machine may be somebody else's too.
    """
    stage = Stage()
    failure = ""
    with _folder(keep) as folder:
        federation = Federation(folder)
        is_kept = False
        try:
            with _interruptible():
                _play(stage, federation)
            is_kept = keep is not None
        except HiveError as error:
            failure = plain(str(error))
            stage.console.print(f"\n   [bold red]✗[/] {stage.act_name}: ", end="")
            stage.console.print(failure, markup=False, soft_wrap=True)
            if error.hint:
                stage.say(error.hint)
        finally:
            if is_kept:
                for member in federation:
                    member.release()
            else:
                federation.stop()
    click.echo(as_json(as_data(stage, failure)) if json else as_text(stage, failure))
    if is_kept:
        _say_how_to_play(stage, federation)
    return 1 if failure else 0


def _play(stage: Stage, federation: Federation) -> None:
    with stage.busy("reading the docstrings of the standard library"):
        corpus = texts(TEXT_COUNT)
    joining.play(stage, federation)
    written = spreading.play(stage, federation, corpus)
    recalling.play(stage, federation, written)
    attacking.play(stage, federation)
    own = [memory for memory in written if memory.org == "acme"]
    crashing.play(stage, federation, own[0].id)
    forgetting.play(stage, federation, own[1])


# What is left behind.


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """The folder to be kept, or one that is gone at the end."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="hive-demo-") as name:
            yield Path(name)
        return
    if keep.exists() and any(keep.iterdir()):
        raise StateError(f"{keep} is not empty", hint="name a new folder for the federation")
    keep.mkdir(mode=0o700, parents=True, exist_ok=True)
    yield keep.absolute()


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: everything that it started is ended first.

    SIGINT is taken too, since a shell's background job is born ignoring it.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _say_how_to_play(stage: Stage, federation: Federation) -> None:
    homes = " ".join(str(member.home) for member in federation)
    stage.console.print("\nThe federation runs on. Play with it:")
    for line in (
        f"hive status --home {federation['bell-2'].home}",
        f"hive peers --home {federation['bell-2'].home}",
        f'hive recall "temporary directory" --home {federation["corp-1"].home}',
        f'hive remember "otters hold hands" --home {federation["acme-1"].home}',
    ):
        stage.console.print(f"  {line}", markup=False, soft_wrap=True)
    stage.console.print("Stop it:")
    line = f"  for home in {homes}; do hive down --home $home; done"
    stage.console.print(line, markup=False, soft_wrap=True)
