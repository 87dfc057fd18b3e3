"""Node processes for tests: started by a launcher, asked over their control sockets, killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node_world import eventually

from hive.client.client import Client, connect
from hive.node.home import Home

_LAUNCHER = Path(__file__).with_name("node_launcher.py")


@dataclass
class Process:
    """One node process."""

    home: Home
    pid: int
    log: Path
    _launcher: Launcher

    def client(self) -> Client:
        client = connect(self.home.path)
        assert not client.is_embedded
        return client

    def signal(self, number: int) -> None:
        if self.pid not in self._launcher.gone:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and waits until the process is gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        gone = self._launcher.gone
        eventually(lambda: self.pid in gone, f"process of {self.home.path.name} is gone")
        return gone[self.pid]

    @property
    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1_024

    @property
    def stderr(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


class FailedToStart(Exception):
    """The node's own error: its type's name, message and hint."""

    def __init__(self, plain: dict[str, str]) -> None:
        super().__init__(f"{plain['type']}: {plain['message']}")
        self.kind, self.message, self.hint = plain["type"], plain["message"], plain["hint"]


class Launcher:
    """The process that forks nodes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_LAUNCHER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._said: list[list[str]] = []
        self.gone: dict[int, int] = {}
        self._count = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        eventually(lambda: self._said, "the launcher is up")
        self._said.clear()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            words = line.decode().rstrip("\n").split(" ", 2)
            if words[0] == "gone":
                self.gone[int(words[1])] = int(words[2])
            else:
                self._said.append(words)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def start(self, home: Home, **suffers: Any) -> Process:
        """A node that answers; raises `FailedToStart`."""
        assert self._process.stdin is not None
        log = home.path.with_name(home.path.name + ".log")
        line = json.dumps({"home": str(home.path), "log": str(log), **suffers})
        self._said.clear()
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        words = eventually(lambda: self._said[:1], f"{home.path.name} is ready")[0]
        if words[0] == "failed":
            raise FailedToStart(json.loads(words[2]))
        return Process(home, int(words[1]), log, self)


@contextmanager
def processes(launcher: Launcher) -> Iterator[Callable[..., Process]]:
    """Starts nodes; whatever still runs at the end is killed."""
    started: list[Process] = []

    def start(home: Home, **suffers: Any) -> Process:
        started.append(launcher.start(home, **suffers))
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            process.kill()
