"""One launcher of node processes a test session; each test gets a `start` of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from node_processes import Launcher, Process, processes
from node_world import Skew

from hive.node import clocks


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    found = Launcher()
    yield found
    found.close()


@pytest.fixture
def start(launcher: Launcher) -> Iterator[Callable[..., Process]]:
    """Starts node processes; those that still run after the test are killed."""
    with processes(launcher) as starting:
        yield starting


@pytest.fixture
def skew(monkeypatch: pytest.MonkeyPatch) -> Skew:
    """The clock of every node in this process, to be set."""
    found = Skew()
    monkeypatch.setattr(clocks, "read", found.read)
    return found
