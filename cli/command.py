"""What all commands share: help that ends with an example, `--json`, `--home`, errors.

`@command` turns `def remember(session, …)` into a click command. Its docstring's first sentence
is the short help; the example is the last thing that the help says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from hive.errors import HiveError

from .output import Failure
from .session import Session

SETTINGS: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"]}

F = TypeVar("F", bound=Callable[..., Any])


class HiveCommand(click.Command):
    """A command whose `HiveError`s become messages with hints and documented exit codes."""

    example: str = ""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs it; every `HiveError` leaves as a `Failure`."""
        try:
            return super().invoke(ctx)
        except HiveError as error:
            raise Failure(error) from None


def command(
    name: str, *, example: str, has_home: bool = True
) -> Callable[[Callable[..., Any]], HiveCommand]:
    """Makes a command; `example` is one line that runs."""

    def make(function: Callable[..., Any]) -> HiveCommand:
        def run(is_json: bool, passphrase_fd: int | None, home: Path | None = None, **given: Any):  # type: ignore[no-untyped-def]
            session = Session(home or default_home(), is_json, passphrase_fd)
            return function(session, **given)

        run.__doc__ = function.__doc__
        run.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        options = _shared(has_home)
        for option in options:
            run = option(run)
        made = click.command(
            name, cls=HiveCommand, epilog=f"\b\nExample:\n  {example}", context_settings=SETTINGS
        )(run)
        made.example = example
        return made

    return make


def group(name: str, *, example: str) -> Callable[[Callable[..., Any]], click.Group]:
    """Makes a group of commands about one noun."""

    def make(function: Callable[..., Any]) -> click.Group:
        return click.group(name, epilog=f"\b\nExample:\n  {example}", context_settings=SETTINGS)(
            function
        )

    return make


def default_home() -> Path:
    """`$HIVE_HOME`, else `~/.hive`; read when a command runs."""
    import os

    return Path(os.environ.get("HIVE_HOME") or Path.home() / ".hive")


def _shared(has_home: bool) -> list[Callable[[F], F]]:
    options = [
        click.option(
            "--passphrase-fd",
            type=click.IntRange(min=0),
            metavar="FD",
            help="Read the passphrase from this open descriptor.",
        ),
        click.option("--json", "is_json", is_flag=True, help="Print one JSON document to stdout."),
    ]
    if has_home:
        options.append(
            click.option(
                "--home",
                type=click.Path(path_type=Path, file_okay=False),
                metavar="DIR",
                help="The node's folder.  [default: $HIVE_HOME or ~/.hive]",
            )
        )
    return options
