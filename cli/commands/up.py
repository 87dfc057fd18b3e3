"""`hive up`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..command import command
from ..session import Session

if TYPE_CHECKING:
    from hive.node.node import Node

PID_FILE, LOG_FILE = "node.pid", "node.log"


@command("up", example="hive up --detach")
@click.option("--detach", is_flag=True, help="Return when it is up; log to node.log in the home.")
@click.option("--bootstrap", multiple=True, help="A node to greet first, host:port.")
@click.option("--ready-fd", type=click.IntRange(min=3), hidden=True)
def up(session: Session, detach: bool, bootstrap: tuple[str, ...], ready_fd: int | None) -> None:
    """Run the node until SIGTERM, SIGINT or `hive down`.

    In the foreground it logs to stderr and prints its addresses to stdout once it listens.
    """
    if detach:
        from ..detached import start

        session.emit(*_shown(start(session, session.home / LOG_FILE, bootstrap)))
        return
    run(session, bootstrap, ready_fd)


def run(session: Session, bootstrap: tuple[str, ...], ready_fd: int | None) -> None:
    """The daemon, in this process."""
    from functools import partial

    import trio

    from hive.node.control import serve
    from hive.node.home import Home
    from hive.node.node import up as node_up

    home = Home(session.home)
    settings = home.settings(bootstrap=bootstrap or None)
    pid_file = session.home / PID_FILE
    passphrase = session.passphrase(home.keys)

    def ready(node: Node) -> None:
        pid_file.write_text(f"{os.getpid()}\n", encoding="ascii")
        found = _described(node, session.home)
        if ready_fd is None:
            session.emit(*_shown(found))
        else:
            _tell(ready_fd, found)

    try:
        trio.run(partial(node_up, home, settings, passphrase, control=serve, ready=ready))
    except BaseExceptionGroup as group:
        raise _innermost(group) from None
    finally:
        _remove_own(pid_file)


def _remove_own(pid_file: Path) -> None:
    """Takes the file away unless another node wrote it."""
    if pid_file.exists() and pid_file.read_text(encoding="ascii").strip() == str(os.getpid()):
        pid_file.unlink()


def _described(node: Node, home: Path) -> dict[str, Any]:
    from hive.transport.addresses import format_address

    return {
        "node": node.peer.core.own.name,
        "peer": node.peer.core.own.peer.hex(),
        "udp": format_address(node.address) if node.address else "",
        "tls": format_address(node.tls_address) if node.tls_address else "",
        "pid": os.getpid(),
        "home": str(home),
    }


def _shown(found: dict[str, Any]) -> tuple[dict[str, Any], str]:
    where = f"udp {found['udp']}, tls {found['tls']}, process {found['pid']}"
    return found, f"{found['node']} is up: {where}"


def _tell(descriptor: int, found: dict[str, Any]) -> None:
    import json

    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(found, file)


def _innermost(error: BaseException) -> BaseException:
    """The one error inside groups that hold nothing else."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
