"""One node of the demo: a process of its own, known by its home, asked through its socket."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hive.client.client import Client, Remote
from hive.errors import HiveError
from hive.node.home import Home

from .stage import DemoFailed

START_S: Final = 20.0
STOP_S: Final = 10.0
ANSWER_S: Final = 20.0
POLL_S: Final = 0.02
LOG_LINES_SHOWN: Final = 12


@dataclass(slots=True)
class Member:
    """A node process and the connection that the demo asks it through."""

    org: str
    name: str
    region: str
    home: Path
    process: subprocess.Popen[bytes] | None = None
    _client: Client | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """Where it logs."""
        return self.home.parent / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Its process; 0 where none runs."""
        return self.process.pid if self.process is not None else 0

    def start(self) -> None:
        """Starts the process; `await_ready` waits for it."""
        command = [sys.executable, "-P", "-m", "hive.cli", "up", "--home", str(self.home)]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("HIVE_")
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def await_ready(self) -> None:
        """Waits until it listens and answers."""
        give_up_at = time.perf_counter() + START_S
        while time.perf_counter() < give_up_at:
            if self.process is None or self.process.poll() is not None:
                raise self.failure("ended while it started")
            try:
                self._client = self.connect()
                return
            except OSError:
                time.sleep(POLL_S)
        raise self.failure(f"is not up after {START_S:.0f} s")

    def connect(self) -> Client:
        """A connection of its own, for one thread; raises `OSError` where nobody listens."""
        return Client(Remote(Home(self.home).socket, ANSWER_S))

    @contextmanager
    def connection(self) -> Iterator[Client]:
        """A connection that is closed at the end."""
        with self.connect() as client:
            yield client

    def call(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """One verb; a failure of the node names it and shows the end of its log."""
        if self._client is None:
            raise self.failure("is not running")
        try:
            return self._client.call(verb, **arguments)
        except HiveError as error:
            raise self.failure(f"did not {verb}: {error}") from error

    def held(self, delta: str) -> dict[str, Any] | None:
        """What `show` says of a delta; None where the node holds none."""
        if self._client is None:
            raise self.failure("is not running")
        try:
            return self._client.call("show", id=delta)
        except HiveError:
            return None

    def kill(self) -> None:
        """SIGKILL: no goodbye, nothing flushed."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_S)
        self._forget()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that is not heard."""
        if self.process is None:
            return
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_S)
        self._forget()

    def terminate(self) -> None:
        """Asks it to stop; `stop` waits."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def release(self) -> None:
        """Lets the process live on without us."""
        if self.process is not None:
            self.process.returncode = 0
        self._forget()

    def _forget(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client, self.process = None, None

    def failure(self, what: str) -> DemoFailed:
        """What went wrong with this node, and the end of its log."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        tail = "\n".join(f"      {line}" for line in lines[-LOG_LINES_SHOWN:])
        return DemoFailed(f"{self.name} {what}\n   the end of its log:\n{tail}")
