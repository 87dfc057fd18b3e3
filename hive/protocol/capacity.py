"""The steps of ingress that ask what this node can afford: step 0, and the quota of step 13."""

from __future__ import annotations

from hive.memory.delta import DELTA_BYTES_MAX
from hive.protocol import refusals
from hive.protocol.judgement import LACKS, Judgement, Verdict, View
from hive.protocol.quota import size_of
from hive.protocol.refusals import Refusal

# ── 0 · live session, budget, frame cap ────────────────────────────────────────────────────


def session_is_live(judgement: Judgement, view: View) -> Verdict | None:
    sender = judgement.arrival.sender
    if sender is None or view.sessions(sender):
        return None
    return Refusal(refusals.NO_SESSION)


def frame_is_small(judgement: Judgement, view: View) -> Verdict | None:
    if len(judgement.arrival.untrusted) <= DELTA_BYTES_MAX:
        return None
    return Refusal(refusals.FRAME_TOO_LARGE, f"{len(judgement.arrival.untrusted)} bytes")


def budget_lasts(judgement: Judgement, view: View) -> Verdict | None:
    arrival = judgement.arrival
    if arrival.sender is None or arrival.is_charged:
        return None
    size = len(arrival.untrusted)
    lack = view.budgets.pay(arrival.sender, size, 1, judgement.now.monotonic_us)
    return None if lack is None else Refusal(LACKS[lack])


# ── 13 · quota ─────────────────────────────────────────────────────────────────────────────


def quota_lasts(judgement: Judgement, view: View) -> Verdict | None:
    """Room for the author's organisation; a delta that is held already takes none."""
    leaf, delta = judgement.leaf, judgement.delta
    if leaf is None or view.store.has(delta.id):
        return None
    lack = view.shares.lack(leaf.org, delta.header, size_of(delta))
    return Refusal(refusals.OVER_QUOTA, lack) if lack else None
