"""Act 3: what one organisation remembered is recalled at another, with its proof."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Any, Final

from hive.errors import MalformedFrame
from hive.memory.bundle import verify_bundle
from hive.node import clocks
from hive.node.founded import read_federation
from hive.wire.ids import Digest

from .corpus import Memory
from .federation import Federation
from .stage import Stage, percentile, require

QUESTION_COUNT: Final = 60
FOUND_SHARE_LEAST: Final = 0.9
EVIDENCE_COUNT: Final = 50


def play(stage: Stage, federation: Federation, written: Sequence[Memory]) -> None:
    """Asks one organisation's agent for what the others' agents wrote, and proves it offline."""
    stage.act(3, "recalling", "Another organisation recalls it, with provenance")
    asker = federation["corp-1"]
    foreign = [memory for memory in written if memory.org != asker.org]
    asked = foreign[:: max(1, len(foreign) // QUESTION_COUNT)][:QUESTION_COUNT]
    took_ms, ranks, shown = [], [], None
    with stage.progress("asking corp-1 what acme and bell wrote", len(asked)) as advance:
        for memory in asked:
            began = time.perf_counter()
            hits = asker.call("recall", text=memory.question, count=10)["hits"]
            took_ms.append((time.perf_counter() - began) * 1_000)
            ids = [hit["id"] for hit in hits]
            ranks.append(ids.index(memory.id) + 1 if memory.id in ids else 0)
            if shown is None and ranks[-1] == 1:
                shown = hits[0]
            advance(1)
    _report(stage, took_ms, ranks)
    require(shown is not None, "corp-1 found nothing that another organisation wrote")
    assert shown is not None
    _show(stage, shown)
    _prove(stage, federation, shown, [memory.id for memory in asked])


def _report(stage: Stage, took_ms: list[float], ranks: list[int]) -> None:
    found = sum(rank > 0 for rank in ranks)
    first = sum(rank == 1 for rank in ranks)
    median, tail = percentile(took_ms, 0.5), percentile(took_ms, 0.95)
    stage.figure("recalled at another organisation, p50", median, "ms")
    stage.figure("recalled at another organisation, p95", tail, "ms")
    stage.figure("found among the first ten", f"{found} of {len(ranks)}")
    require(
        found >= FOUND_SHARE_LEAST * len(ranks), f"only {found} of {len(ranks)} questions were met"
    )
    stage.good(
        f"{len(ranks)} questions: {found} answered among the first ten, {first} first of all; "
        f"p50 {median:.1f} ms, p95 {tail:.1f} ms"
    )


def _show(stage: Stage, hit: dict[str, Any]) -> None:
    stage.say(f"“{hit['text'][:88]}…”")
    stage.say(
        f"by {hit['author_name']} of {hit['org_name']}, through {hit['writer_name']} in "
        f"{hit['region']}; time attested by {hit['time_attested_by']}; in {hit['namespace']}"
    )
    stage.say(
        "verified chain: "
        + " → ".join(f"{record['kind']} {record['name']}".strip() for record in hit["chain"])
    )
    require(len(hit["chain"]) >= 4, "the chain of the hit does not reach from root to agent")


def _prove(stage: Stage, federation: Federation, hit: dict[str, Any], others: list[str]) -> None:
    """Exports the hit and others as evidence and verifies the file without any node."""
    ids = list(dict.fromkeys([hit["id"], *others]))[:EVIDENCE_COUNT]
    content = base64.b64decode(federation["corp-1"].call("bundle", ids=ids)["bundle"])
    now_ms = clocks.read().wall_us // 1_000
    root = Digest(read_federation(federation.file, now_ms).state.federation)
    began = time.perf_counter()
    report = verify_bundle(content, root, now_ms)
    took_ms = (time.perf_counter() - began) * 1_000
    require(report.is_valid and report.is_root_trusted, "the exported bundle does not verify")
    damaged = _with_one_bit_turned(content)
    require(not _verifies(damaged, root, now_ms), "a damaged bundle verified")
    stage.figure("evidence verified offline", took_ms, "ms")
    stage.good(
        f"a bundle of {len(report.deltas)} deltas ({len(content):,} bytes) verifies offline under "
        f"the federation's file in {took_ms:.0f} ms; with one bit turned it does not"
    )


def _with_one_bit_turned(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes((content[middle] ^ 1,)) + content[middle + 1 :]


def _verifies(content: bytes, root: Digest, now_ms: int) -> bool:
    try:
        return verify_bundle(content, root, now_ms).is_valid
    except MalformedFrame:
        return False
