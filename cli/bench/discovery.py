"""Lookups: their latency under loss, how often the answer is right, and what they cost.

Two measurements for `hive bench network`, both of the shipped machines: `under_loss` under
virtual time (`village`), `cost` on real sockets (`street`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from .street import BARE_REFERENCE, COST_GOAL, CostRow, Street
from .village import ONE_WAY_MS, P50_GOAL_MS, P99_GOAL_MS, RIGHT_GOAL, LossRow, Village

LOSS_PERCENTS: Final = (0, 2, 5)
ANCHORS: Final = "kademlia 5,200 ms at 2 % loss, recall .86; py-libp2p 12 lookups/s, kademlia 206"


def under_loss(
    *, peer_count: int = 300, lookup_count: int = 500, seed: int = 1
) -> tuple[LossRow, ...]:
    """One village, measured at each rate of loss; some 20 CPU seconds with the defaults."""
    village = Village(seed, peer_count)
    return tuple(village.measure(loss, lookup_count) for loss in LOSS_PERCENTS)


def cost(*, peer_count: int = 20, lookup_count: int = 300, seed: int = 1) -> CostRow:
    """Lookups a CPU second among peers that all know each other; some 3 seconds."""
    with Street(seed, peer_count) as street:
        return street.measure(lookup_count)


@dataclass(frozen=True, slots=True)
class LookupReport:
    """The part of `hive bench network` that is about lookups."""

    loss: tuple[LossRow, ...]
    cost: CostRow

    @property
    def goal_met(self) -> bool:
        """Whether every row reaches its goal."""
        return self.cost.goal_met and all(row.goal_met for row in self.loss)

    def as_dict(self) -> dict[str, object]:
        """Plain values and goals."""
        cost = {**asdict(self.cost), "goal": self.cost.goal, "bare_share": self.cost.bare_share}
        return {
            "loss": [asdict(row) for row in self.loss],
            "cost": cost,
            "anchors": ANCHORS,
            "goal_met": self.goal_met,
        }

    def text(self) -> str:
        """Two tables for people."""
        row = self.cost
        return "\n".join(
            (
                f"lookups at {ONE_WAY_MS[0]}-{ONE_WAY_MS[1]} ms one way (anchors: {ANCHORS})",
                f"{'peers':>6}{'loss %':>8}{'p50 ms':>9}{'p99 ms':>9}{'right':>9}{'recall':>9}"
                f"{'messages':>10}  goal",
                *map(_loss_line, self.loss),
                "",
                f"lookups a CPU second, {row.peer_count} peers on loopback, sealed, both sides",
                f"{row.lookups_per_cpu_second:8.0f}  goal >= {row.goal:.0f} "
                f"({COST_GOAL:.0f} where {BARE_REFERENCE:.0f} bare datagrams a CPU second, here "
                f"{row.bare_datagrams_per_cpu_second:.0f}); {row.datagrams_per_lookup:.0f} "
                f"datagrams each, {row.bare_share:.2f} of the bare rate: {_verdict(row.goal_met)}",
            )
        )


def _loss_line(row: LossRow) -> str:
    goal = f"right >= {RIGHT_GOAL}"
    if row.loss_percent <= 2:
        goal = f"p50 <= {P50_GOAL_MS:.0f}, p99 <= {P99_GOAL_MS:.0f}, {goal}"
    return (
        f"{row.peer_count:6}{row.loss_percent:8}{row.p50_ms:9.0f}{row.p99_ms:9.0f}"
        f"{row.right_share:9.4f}{row.recall:9.4f}{row.message_count:10.0f}"
        f"  {goal}: {_verdict(row.goal_met)}"
    )


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


def measure_lookups(
    *, peer_count: int = 300, lookup_count: int = 500, seed: int = 1
) -> LookupReport:
    """Both measurements, under `peer_count` virtual and 20 real peers."""
    loss = under_loss(peer_count=peer_count, lookup_count=lookup_count, seed=seed)
    return LookupReport(loss, cost(seed=seed))
