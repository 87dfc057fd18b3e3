"""`hive completion`."""

from __future__ import annotations

import click

from ..command import command
from ..session import Session

SHELLS = ("bash", "zsh", "fish")


@command("completion", example='eval "$(hive completion bash)"', has_home=False)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(session: Session, shell: str) -> None:
    """Print the script that completes hive's commands in your shell.

    Put the example's line into ~/.bashrc or ~/.zshrc; for fish, write the script to
    ~/.config/fish/completions/hive.fish.
    """
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(root, {}, "hive", "_HIVE_COMPLETE").source()
    session.emit({"shell": shell, "script": script}, script)
