"""Killed at any instant, a store holds every acknowledged write and needs no repair (P8)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from store_deltas import chain_name, chain_of

from hive.memory.log import State
from hive.store.consistency import check
from hive.store.lmdb_store import LmdbStore
from hive.wire.randomness import Stream

KILL_COUNT = 110
KILLS_PER_STORE = 10
ACKNOWLEDGED_MAX = 40


@pytest.fixture
def writer() -> Iterator[subprocess.Popen[str]]:
    script = Path(__file__).with_name("crash_writer.py")
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def test_a_killed_writer_loses_nothing_acknowledged(
    tmp_path: Path, writer: subprocess.Popen[str]
) -> None:
    stream = Stream(b"crash", "kill")
    acknowledged = 0
    for number in range(KILL_COUNT):
        directory = tmp_path / str(number // KILLS_PER_STORE)
        if number % KILLS_PER_STORE == 0:
            acknowledged = 0
        last = kill_after(writer, directory, stream.below(ACKNOWLEDGED_MAX))
        acknowledged = max(acknowledged, last)
        acknowledged = require_everything(directory, acknowledged)


def kill_after(writer: subprocess.Popen[str], directory: Path, count: int) -> int:
    """Kills a writer once it acknowledged so many batches; the last that it acknowledged."""
    commands, lines = opened(writer)
    commands.write(f"{directory}\n")
    commands.flush()
    child = int(lines.readline().removeprefix("child "))
    acknowledged = [int(lines.readline()) for _ in range(count)]
    os.kill(child, signal.SIGKILL)
    while (line := lines.readline()) != "gone\n":
        acknowledged.append(int(line))
    return acknowledged[-1] if acknowledged else 0


def opened(writer: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert writer.stdin is not None
    assert writer.stdout is not None
    return writer.stdin, writer.stdout


def require_everything(directory: Path, acknowledged: int) -> int:
    """Reopens the store; what is there beyond the acknowledged is promised from now on."""
    with LmdbStore(directory) as store:
        assert check(store) == ()
        kept = int(store.meta("batch") or b"1")
        assert kept >= acknowledged
        held = store.chain_slice(chain_name(chain_of(1)[0]), 1, kept + 1)
        found = [(each.state, bool(each.delta.body)) for each in held]
        completed = [(State.FORGOTTEN, False), (State.LIVE, True)] * ((kept - 1) // 2)
        half = [(State.LIVE, True), (State.LIVE, False)] if kept % 2 == 0 else []
        assert found == completed + half
        assert len(list(store.records())) == len(completed) // 2
    return kept
