"""The group `hive`: its commands by what they are for, each loaded when it is named."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from .command import SETTINGS

SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "Start": ("demo", "init", "invite", "join", "up", "down"),
    "Memory": ("remember", "import", "recall", "show", "log", "forget", "export", "verify"),
    "Operate": ("status", "peers", "doctor", "metrics", "backup", "restore", "compact", "bench"),
    "Simulate": ("simulate",),
    "Rights and keys": ("agent", "keys", "revoke"),
    "Federation": ("found", "org"),
    "Shell": ("completion",),
}
"""Every command is `commands/<name>.py` and the click command in it bears the same name."""


class LazyGroup(click.Group):
    """Loads `commands/<name>.py` when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, by section."""
        return [name for names in SECTIONS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, from its own module."""
        if cmd_name not in self.list_commands(ctx):
            return None
        stem = f"{cmd_name}_" if cmd_name == "import" else cmd_name
        module = import_module(f".commands.{stem}", __package__)
        found = getattr(module, stem)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One list a section."""
        for title, names in SECTIONS.items():
            rows = []
            for name in names:
                found = self.get_command(ctx, name)
                if found is not None:
                    rows.append((name, found.get_short_help_str(200)))
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(
    cls=LazyGroup,
    context_settings=SETTINGS,
    epilog='\b\nExample:\n  hive init && hive remember "Water boils at 100 °C" && hive recall boil',
)
@click.version_option(package_name="hive")
def main() -> None:
    """Shared memory for AI agents of organisations that do not trust each other.

    Without a running node (`hive up`) the commands open the store in the home folder themselves.
    Data goes to stdout, talk to stderr; exit codes are listed in the README.
    """
