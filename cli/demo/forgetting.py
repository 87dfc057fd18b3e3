"""Act 6: a forget wins everywhere, whenever a copy turns up."""

from __future__ import annotations

import time
from typing import Final

from .corpus import Memory
from .federation import Federation
from .member import Member
from .stage import Stage, require

FORGET_S: Final = 20.0


def play(stage: Stage, federation: Federation, memory: Memory) -> None:
    """Forgets one memory at its author's node and brings a copy of it back elsewhere."""
    stage.act(6, "forgetting", "A forget wins everywhere")
    target = memory.id
    author, elsewhere = federation["acme-1"], federation["corp-2"]
    copy = elsewhere.call("bundle", ids=[target])["bundle"]
    require(_is_recalled(federation["corp-1"], memory), "corp-1 does not recall the target")
    author.call("forget", ids=[target], reason="the author asked for it")
    began = time.perf_counter()
    with stage.busy("the forget spreads"):
        federation.wait(
            lambda member: _is_forgotten(member, target),
            federation.members,
            "to forget",
            FORGET_S,
            0.002,
        )
    took_ms = (time.perf_counter() - began) * 1_000
    stage.figure("forgotten on all six after its acknowledgement", took_ms, "ms")
    stage.good(f"forgotten on all six {took_ms:.0f} ms after the author's node acknowledged it")
    for member in federation.writers:
        require(not _is_recalled(member, memory), f"{member.name} still recalls it")
    admitted = elsewhere.call("take_bundle", bundle=copy)["admitted"]
    require(not admitted and _is_forgotten(elsewhere, target), "an old copy came back to life")
    stage.good("no agent recalls it; an exported copy taken in again does not bring it back")
    federation.wait_equal("the forget left the nodes different", FORGET_S)
    stage.good("header and proof stay: six identical replica digests")


def _is_forgotten(member: Member, target: str) -> bool:
    held = member.held(target)
    return held is not None and held["state"] == "forgotten" and not held["body"]


def _is_recalled(member: Member, memory: Memory) -> bool:
    hits = member.call("recall", text=memory.question, count=10)["hits"]
    return any(hit["id"] == memory.id for hit in hits)
