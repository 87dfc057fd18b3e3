"""`hive down`."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import Final

import click

from hive.errors import StateError

from ..command import command
from ..session import Session

_POLL_S: Final = 0.05


@command("down", example="hive down")
@click.option("--within", type=click.FloatRange(0.1), default=30.0, show_default=True, help="s.")
def down(session: Session, within: float) -> None:
    """Stop the running node and wait until everything it holds is on disk."""
    session.call_node("stop")
    lock = session.home / "store" / "hive.lock"
    for _ in range(int(within / _POLL_S) + 1):
        if _is_free(lock):
            session.emit({"stopped": True, "home": str(session.home)}, "stopped")
            return
        time.sleep(_POLL_S)
    raise StateError(f"the node has not ended within {within} s", hint="see node.log in its home")


def _is_free(lock: Path) -> bool:
    """Whether no process holds the store."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
