"""A node at rest: resident memory and idle share of a core with 10^4 memories.

The node is a process of its own and is looked at from outside, in /proc, while nobody asks it
anything; the goals are FIGURES.md's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from hive.client.client import Client, connect
from hive.node import clocks
from hive.node.home import initialise

MEMORY_COUNT: Final = 10_000
BATCH_COUNT: Final = 1_000
SETTLE_S: Final = 6.0
"""After the start, while projections and caches are loaded; not counted."""
REST_S: Final = 15.0
RESIDENT_GOAL_BYTES: Final = 150 << 20
IDLE_GOAL_SHARE: Final = 0.01
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
class NodeAtRest:
    """What a resting node costs."""

    memory_count: int
    resident_bytes: int
    idle_share: float
    """Of one core."""

    @property
    def goal_met(self) -> bool:
        """Whether memory and processor stay within the goals."""
        is_small = self.resident_bytes <= RESIDENT_GOAL_BYTES
        return is_small and self.idle_share <= IDLE_GOAL_SHARE

    def as_dict(self) -> dict[str, object]:
        """Plain values, the goals beside them."""
        return {
            **asdict(self),
            "resident_goal_bytes": RESIDENT_GOAL_BYTES,
            "idle_goal_share": IDLE_GOAL_SHARE,
            "goal_met": self.goal_met,
        }

    def text(self) -> str:
        """What was measured, beside the goals."""
        resident, goal = self.resident_bytes / (1 << 20), RESIDENT_GOAL_BYTES / (1 << 20)
        return (
            f"a node at rest with {self.memory_count:,} memories\n"
            f"resident   {resident:6.1f} MiB   goal {goal:.0f}\n"
            f"processor  {self.idle_share:6.2%} of a core   goal {IDLE_GOAL_SHARE:.0%}"
        )


def measure(memory_count: int = MEMORY_COUNT, rest_s: float = REST_S) -> NodeAtRest:
    """Fills a laptop's node, restarts it, lets it rest and looks."""
    with tempfile.TemporaryDirectory(prefix="hive-bench-") as folder:
        home = Path(folder) / "home"
        initialise(home, listen="127.0.0.1:0")
        with connect(home) as hive:
            _fill(hive, memory_count)
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN, str(home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()
            return _at_rest(process.pid, memory_count, rest_s)
        finally:
            process.terminate()
            process.wait(READY_S)


def _fill(hive: Client, memory_count: int) -> None:
    for first in range(0, memory_count, BATCH_COUNT):
        many = range(first, min(first + BATCH_COUNT, memory_count))
        hive.remember_many([{"text": f"memory {n}: otter {n * 7919 % 9973}"} for n in many])


def _at_rest(pid: int, memory_count: int, rest_s: float) -> NodeAtRest:
    threading.Event().wait(SETTLE_S)
    began, used = clocks.read().monotonic_us, _cpu_s(pid)
    threading.Event().wait(rest_s)
    elapsed_s = (clocks.read().monotonic_us - began) / 1e6
    return NodeAtRest(memory_count, resident_bytes(pid), (_cpu_s(pid) - used) / elapsed_s)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int | str = "self") -> int:
    """Resident memory of a process."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
