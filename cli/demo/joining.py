"""Act 1: six processes find each other through one address."""

from __future__ import annotations

import time

from .federation import COMMONS, Federation
from .member import Member
from .stage import Stage, require

JOIN_S = 30.0


def play(stage: Stage, federation: Federation) -> None:
    """Founds, starts, invites, and waits until everybody sees everybody."""
    stage.act(
        1, "joining", "Three organisations found a federation; six nodes join through one address"
    )
    began = time.perf_counter()
    with stage.busy("three founders make keys, sign and combine their cards"):
        founded = federation.found()
    root = founded.root.record
    stage.good(
        f"root: {root.threshold} of {len(root.keys)} keys; federation "
        f"{founded.state.federation.hex()[:16]}… founded in {time.perf_counter() - began:.1f} s"
    )
    with stage.busy("the first node of each organisation starts"):
        first = federation.enrol_first_nodes()
        federation.start(first)
    with stage.busy("the second nodes enrol with an invite each"):
        second = federation.enrol_second_nodes()
        federation.start(second)
    began = time.perf_counter()
    with stage.busy("everybody looks for everybody"):
        seen = federation.wait(
            lambda member: live_count(member) == len(federation.members) - 1,
            federation.members,
            "to see five live members",
            JOIN_S,
        )
    for member in federation:
        stage.say(
            f"{member.name}  {member.region:<9} process {member.pid}  "
            f"{member.call('status')['node']['address']}  sees 5 live members"
        )
    stage.figure("last node sees five live members", max(seen.values()), "s")
    lookups = [member.call("metrics")["discovery"]["errands_finished"] for member in federation]
    require(min(lookups) > 0, "a node made no lookup in the DHT")
    stage.figure("lookups and records kept in the DHT", sum(lookups))
    stage.good(
        f"all know only {federation.bootstrap}, yet all see five others {max(seen.values()):.2f} s "
        f"after the last start, by {sum(lookups)} errands in the DHT"
    )
    with stage.busy("two of three issuers attest that no revocation is missed"):
        began = time.perf_counter()
        federation.wait(is_fresh, federation.members, "to be fresh enough to write", JOIN_S)
    stage.good(
        f"all fresh enough to write {time.perf_counter() - began:.2f} s later; {COMMONS}/ is open"
    )


def live_count(member: Member) -> int:
    """Others that are alive and reached by a stream."""
    peers = member.call("peers")["peers"]
    return sum(peer["state"] == "alive" and peer["stream"] for peer in peers)


def is_fresh(member: Member) -> bool:
    """Whether it may write."""
    return bool(member.call("status")["freshness"]["is_fresh"])
