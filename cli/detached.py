"""A node in a process of its own, started and waited for by `hive up --detach`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hive.errors import StateError

from .session import VARIABLE, Session

_LOG_BYTES_SHOWN = 4_096


def start(session: Session, log: Path, bootstrap: tuple[str, ...]) -> dict[str, Any]:
    """Starts the node and gives what it says once it listens; its own error where it does not."""
    from hive.node.home import Home

    Home(session.home).settings(bootstrap=bootstrap or None)
    secret = session.passphrase(session.home / "keys")
    reading, writing = os.pipe()
    command = [sys.executable, "-P", "-m", "hive.cli", "up", "--home", str(session.home.absolute())]
    command += ["--ready-fd", str(writing)]
    command += [part for address in bootstrap for part in ("--bootstrap", address)]
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    passed = [writing]
    if secret is not None:
        descriptor = _pipe_with(secret.secret)
        environment[VARIABLE] = str(descriptor)
        passed.append(descriptor)
    descriptor_log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    began = os.fstat(descriptor_log).st_size
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=descriptor_log,
        stderr=descriptor_log,
        pass_fds=passed,
        env=environment,
        start_new_session=True,
    )
    for each in (*passed, descriptor_log):
        os.close(each)
    with os.fdopen(reading, "rb") as file:
        said = file.read()
    if not said:
        raise _failure(process.wait(), log, began)
    process.returncode = 0  # it lives on without us
    found: dict[str, Any] = json.loads(said)
    return {**found, "log": str(log)}


def _pipe_with(secret: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, secret)
    os.close(writing)
    return reading


def _failure(code: int, log: Path, began: int) -> StateError:
    """The error that the node wrote last."""
    with log.open("rb") as file:
        file.seek(max(began, file.seek(0, os.SEEK_END) - _LOG_BYTES_SHOWN))
        lines = file.read().decode("utf-8", "replace").splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
    why = errors[-1] if errors else f"it ended with code {code}"
    return StateError(f"the node did not start: {why}", hint=hints[-1] if hints else f"see {log}")
