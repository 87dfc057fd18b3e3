"""One organisation floods, another writes: how much later is a write acknowledged?

Two node processes on loopback. The agent of the first writes one memory after the other and waits
for each; first in quiet, then while the second organisation's agent writes as fast as its node
takes it, all of it valid, so that the first node must verify and store every delta. Both times
are wall times of the same process on the same machine; on few cores the flooder's own work takes
its part of the difference, and is counted against hive.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from hive.client.client import Client, connect
from hive.node import clocks
from hive.node.home import Home

from .homes import COMMONS, found_homes

RATIO_GOAL: Final = 2.0
BATCH_COUNT: Final = 256
READY_S: Final = 30.0
_RUN: Final = """
import sys, pathlib, trio
from hive.node import control
from hive.node.home import Home
from hive.node.node import up
home = Home(pathlib.Path(sys.argv[1]))
ready = lambda node: print("ready", flush=True)
async def main():
    await up(home, home.settings(), None, control=control.serve, ready=ready)
trio.run(main)
"""


@dataclass(frozen=True, slots=True)
class FloodReport:
    """Acknowledgements of single durable writes, in milliseconds."""

    writes_count: int
    flooded_count: int
    """Deltas of the flooder that the writer's node stored meanwhile."""
    quiet_p50_ms: float
    quiet_p99_ms: float
    flood_p50_ms: float
    flood_p99_ms: float

    @property
    def ratio_p99(self) -> float:
        """How much later the slowest hundredth comes under the flood."""
        return self.flood_p99_ms / self.quiet_p99_ms

    @property
    def goal_met(self) -> bool:
        """At most twice."""
        return self.ratio_p99 <= RATIO_GOAL

    def as_dict(self) -> dict[str, object]:
        """Plain values, the goal beside them."""
        more = {"ratio_p99": self.ratio_p99, "ratio_goal": RATIO_GOAL, "goal_met": self.goal_met}
        return {**asdict(self), **more}

    def text(self) -> str:
        """For people."""
        return (
            f"{self.writes_count} writes of one organisation, p50 / p99: quiet "
            f"{self.quiet_p50_ms:.1f} / {self.quiet_p99_ms:.1f} ms, under another's flood "
            f"({self.flooded_count} deltas) {self.flood_p50_ms:.1f} / {self.flood_p99_ms:.1f} ms; "
            f"p99 x {self.ratio_p99:.2f}   goal <= {RATIO_GOAL:.1f}"
        )


def flood(writes_count: int = 300) -> FloodReport:
    """Measures both, one after the other."""
    with tempfile.TemporaryDirectory(prefix="hive-flood-") as folder, ExitStack() as stack:
        homes = found_homes(Path(folder), ("acme", "bell"))
        for home in homes:
            stack.enter_context(_process(home))
        writer, flooder = (stack.enter_context(connect(home.path)) for home in homes)
        for client in (writer, flooder):
            _await_fresh(client)
        _spans_ms(writer, writes_count // 4, "warm")
        quiet = _spans_ms(writer, writes_count, "quiet")
        before = _stored(writer)
        with _flooding(flooder):
            under_flood = _spans_ms(writer, writes_count, "flood")
        return FloodReport(
            writes_count,
            _stored(writer) - before,
            _percentile(quiet, 50),
            _percentile(quiet, 99),
            _percentile(under_flood, 50),
            _percentile(under_flood, 99),
        )


@contextmanager
def _process(home: Home) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(home.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.terminate()
        process.wait(READY_S)
        assert process.stdout is not None
        process.stdout.close()


def _await_fresh(client: Client) -> None:
    until_us = clocks.read().monotonic_us + int(READY_S * 1e6)
    while not client.status()["freshness"]["is_fresh"]:
        assert clocks.read().monotonic_us < until_us, "the nodes do not meet"


def _stored(client: Client) -> int:
    """Deltas that came from peers."""
    return int(client.call("metrics").get("deltas_admitted_peers", 0))


def _spans_ms(client: Client, count: int, word: str) -> list[float]:
    spans = []
    for number in range(count):
        began = clocks.read().monotonic_us
        client.remember(f"{word} memory {number} of an otter", namespace=f"{COMMONS}/quiet")
        spans.append((clocks.read().monotonic_us - began) / 1e3)
    return spans


@contextmanager
def _flooding(client: Client) -> Iterator[None]:
    """Another's agent writes as fast as its node takes it."""
    is_over = threading.Event()

    def write() -> None:
        number = 0
        while not is_over.is_set():
            texts = [{"text": f"flood {number} {each}"} for each in range(BATCH_COUNT)]
            client.remember_many(texts, namespace=f"{COMMONS}/flood")
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _percentile(spans: Sequence[float], percent: int) -> float:
    ordered = sorted(spans)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
