"""Act 2: a corpus is written, and single deltas are timed to the last peer's disk.

Times come from the nodes: each notes when a delta was durable in its own store. They share one
machine, so their clock readings can be compared. A sample begins before the request leaves the
agent and ends when the slowest of the five other nodes has it on disk; nothing is polled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from hive.node import clocks

from ..bench.calibration import verifies_per_second
from .corpus import Memory, Text
from .federation import COMMONS, Federation
from .member import Member
from .stage import Stage, percentile, require

BATCH_COUNT: Final = 64
SAMPLE_COUNT: Final = 240
PAUSE_S: Final = 0.015
SETTLE_S: Final = 60.0
MEDIAN_MS_MOST: Final = 50.0
TAIL_MS_MOST: Final = 200.0
VERIFY_RATE: Final = 17_500.0
"""Of the machine on which the goals were set; a slower or busier one has more time."""


def play(stage: Stage, federation: Federation, texts: Sequence[Text]) -> list[Memory]:
    """Writes most of the texts in bulk and times the rest one by one; gives all of them."""
    stage.act(2, "spreading", "Agents of three organisations remember the standard library")
    bulk, singles = texts[:-SAMPLE_COUNT], texts[-SAMPLE_COUNT:]
    written = _write_corpus(stage, federation, bulk)
    began = time.perf_counter()
    with stage.busy("everything reaches everybody"):
        federation.wait_equal("the corpus did not reach every node", SETTLE_S)
    total_s = time.perf_counter() - began
    stage.figure("corpus on all six after its last write", total_s, "s")
    stage.good(f"six identical replica digests {total_s:.2f} s after the last write")
    return written + _time_singles(stage, federation, singles)


def _write_corpus(stage: Stage, federation: Federation, texts: Sequence[Text]) -> list[Memory]:
    writers = federation.writers
    written: list[Memory] = []
    began = time.perf_counter()
    with (
        stage.progress("remembering", len(texts)) as advance,
        ThreadPoolExecutor(len(writers)) as threads,
    ):
        shares = [texts[number :: len(writers)] for number in range(len(writers))]
        for some in threads.map(_write_share, writers, shares, [advance] * len(writers)):
            written += some
    elapsed_s = time.perf_counter() - began
    require(len(written) == len(texts), "not every memory was acknowledged")
    rate = len(texts) / elapsed_s
    stage.figure("corpus acknowledged", len(texts), "memories")
    stage.figure("acknowledged writes, three writers", rate, "/s")
    stage.good(
        f"{len(texts)} docstrings acknowledged (durable) in {elapsed_s:.2f} s: {rate:,.0f}/s, "
        "while six nodes verify, store and index each of them"
    )
    return written


def _write_share(
    member: Member, texts: Sequence[Text], advance: Callable[[int], None]
) -> list[Memory]:
    written: list[Memory] = []
    with member.connection() as client:
        for first in range(0, len(texts), BATCH_COUNT):
            some = texts[first : first + BATCH_COUNT]
            items = [{"text": each.text, "source": "stdlib"} for each in some]
            ids = client.remember_many(items, namespace=f"{COMMONS}/stdlib")
            written += [
                Memory(delta, member.org, text.question)
                for delta, text in zip(ids, some, strict=True)
            ]
            advance(len(some))
    return written


def _time_singles(stage: Stage, federation: Federation, texts: Sequence[Text]) -> list[Memory]:
    began_us: dict[str, int] = {}
    acknowledged_ms: list[float] = []
    written: list[Memory] = []
    writers = federation.writers
    rates = [_verify_rate()]
    with stage.progress("one at a time", len(texts)) as advance:
        for number, text in enumerate(texts):
            writer = writers[number % len(writers)]
            at_us = clocks.read().wall_us
            made = writer.call("remember", text=text.text, namespace=f"{COMMONS}/stdlib")
            acknowledged_ms.append((clocks.read().wall_us - at_us) / 1_000)
            began_us[made["id"]] = at_us
            written.append(Memory(made["id"], writer.org, text.question))
            advance(1)
            time.sleep(PAUSE_S)
    with stage.busy("the last ones arrive"):
        federation.wait_equal("single memories did not reach every node", SETTLE_S)
    rates.append(_verify_rate())
    _report(stage, reach_ms(federation, began_us), acknowledged_ms, sum(rates) / len(rates))
    return written


def reach_ms(federation: Federation, began_us: dict[str, int]) -> list[float]:
    """For each delta, the time until the last of all nodes had it on disk."""
    last_us = dict.fromkeys(began_us, 0)
    for member in federation:
        stored = dict(member.call("arrivals")["arrivals"])
        missing = [delta for delta in began_us if delta not in stored]
        require(not missing, f"{member.name} does not know when {len(missing)} deltas arrived")
        for delta in began_us:
            last_us[delta] = max(last_us[delta], stored[delta])
    return [(last_us[delta] - at_us) / 1_000 for delta, at_us in began_us.items()]


def _verify_rate() -> float:
    """What this machine has left for one thread at this moment, as bare signature checks."""
    return verifies_per_second(clock=time.perf_counter)


def _report(
    stage: Stage, reached_ms: Sequence[float], acknowledged_ms: Sequence[float], rate: float
) -> None:
    slowness = max(1.0, VERIFY_RATE / rate)
    median, tail = percentile(reached_ms, 0.5), percentile(reached_ms, 0.99)
    acknowledged = percentile(acknowledged_ms, 0.5)
    stage.figure("bare verifications in the same minute", rate, "/s")
    stage.figure("samples", len(reached_ms), "deltas")
    stage.figure("one write acknowledged, p50", acknowledged, "ms")
    stage.figure("one delta durable on all peers, p50", median, "ms", MEDIAN_MS_MOST * slowness)
    stage.figure("one delta durable on all peers, p99", tail, "ms", TAIL_MS_MOST * slowness)
    stage.good(
        f"from the agent's call to the disk of the last of five peers, {len(reached_ms)} samples: "
        f"p50 {median:.1f} ms, p99 {tail:.1f} ms (acknowledged: p50 {acknowledged:.1f} ms)"
    )
