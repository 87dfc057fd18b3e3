"""One invocation: where home is, how its keys open, whom to ask, and what is printed."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hive.errors import ConfigError, TransportError

from .output import as_json, plain

if TYPE_CHECKING:
    from hive.client.client import Client
    from hive.custody.passphrase import Passphrase

MARK_FILE: Final = "keyring.mark"
UNLOCK_FILE: Final = "keyring.unlock"
VARIABLE: Final = "HIVE_PASSPHRASE_FD"


@dataclass(frozen=True, slots=True)
class Session:
    """What every command gets first."""

    home: Path
    is_json: bool
    passphrase_fd: int | None
    _read: dict[int | None, Passphrase] = field(default_factory=dict, repr=False)

    # Saying.

    def emit(self, data: Mapping[str, Any], text: str = "") -> None:
        """The command's data on stdout: JSON where asked for, else `text`."""
        if self.is_json:
            click.echo(as_json(data))
        elif text:
            click.echo(text)

    def say(self, text: str) -> None:
        """Talk, on stderr."""
        click.echo(plain(text), err=True)

    # Asking a node.

    @contextmanager
    def client(self) -> Iterator[Client]:
        """The running node, else the store opened by this process."""
        from hive.client.client import connect

        with connect(self.home, self.passphrase(self.home / "keys")) as client:
            yield client

    def call(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """One verb."""
        with self.client() as client:
            return client.call(verb, **arguments)

    def call_node(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """One verb that makes sense for a running node only; `TransportError` where none is."""
        if not self.is_node_running():
            raise TransportError(
                f"no node is running in {self.home}", hint="start it with `hive up`"
            )
        return self.call(verb, **arguments)

    def is_node_running(self) -> bool:
        """Whether somebody answers on the home's control socket."""
        from hive.node.home import Home

        path = Home(self.home).socket
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                return False
        return True

    # Passphrases.

    def passphrase(self, keys: Path, descriptor: int | None = None) -> Passphrase | None:
        """What opens a keyring: a descriptor, the environment, an unlock file (None), a person.

        A running node needs none: it has its keys open.
        """
        if descriptor is None and (keys / UNLOCK_FILE).exists():
            return None
        given = self.given_passphrase(descriptor)
        if given or not (keys / MARK_FILE).exists() or not _is_person():
            return given
        if keys == self.home / "keys" and self.is_node_running():
            return None
        return _typed(click.prompt("Passphrase", hide_input=True, err=True))

    def secret(self, descriptor: int | None, prompt: str, *, is_new: bool = False) -> bytes:
        """A passphrase of its own, such as a backup's; `ConfigError` where nobody gives one."""
        if descriptor is not None:
            from hive.custody.passphrase import from_descriptor

            return from_descriptor(descriptor).secret
        if not _is_person():
            raise ConfigError(
                "the backup needs a passphrase",
                hint="name an open descriptor: --backup-passphrase-fd 3 3<file",
            )
        text = click.prompt(prompt, hide_input=True, confirmation_prompt=is_new, err=True)
        return _typed(text).secret

    def new_passphrase(self) -> Passphrase | None:
        """What seals a new keyring; None means an unlock file beside the keys, and says so."""
        given = self.given_passphrase()
        if given is None and _is_person():
            text = click.prompt(
                "Passphrase for the keys (empty: keep one beside them)",
                default="",
                show_default=False,
                hide_input=True,
                confirmation_prompt=True,
                err=True,
            )
            given = _typed(text) if text else None
        if given is None:
            self.say(
                "The keys are sealed with a passphrase that lies beside them: whoever copies the "
                f"disk has both. For another, name an open descriptor in {VARIABLE}."
            )
        return given

    def given_passphrase(self, descriptor: int | None = None) -> Passphrase | None:
        """The passphrase of a descriptor, of `--passphrase-fd` or of the environment."""
        named = self.passphrase_fd if descriptor is None else descriptor
        if named is None and not os.environ.get(VARIABLE):
            return None
        if named not in self._read:
            from hive.custody.passphrase import from_descriptor, from_environment

            found = from_environment(os.environ) if named is None else from_descriptor(named)
            if found is None:
                return None
            self._read[named] = found
        return self._read[named]


def _typed(text: str) -> Passphrase:
    from hive.custody.passphrase import from_text

    return from_text(text)


def _is_person() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
