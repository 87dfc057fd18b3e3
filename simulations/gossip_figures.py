"""The figures of dissemination, measured on `gossip`: redundancy, hops, copies across regions.

`python -m simulations.gossip_figures [NODES] [DELTAS]` prints them beside their goals. Steady
figures are taken after `WARM_COUNT` deltas of one author have made the tree, which is also said.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Final

from hive.protocol.dissemination.events import Place

from .draws import Draws
from .gossip import GossipWorld
from .topology import Topology, TopologyConfig

ORGS: Final = 8
WARM_COUNT: Final = 10
BURST_AUTHORS: Final = 20
SETTLE_S: Final = 15.0
KNOWN_COUNT: Final = 60
"""Others that membership tells each of beyond a hundred nodes: a share of a cell of 512."""
IN_ZONE_US: Final = 1_500

REDUNDANCY_GOALS: Final = {"single": 0.10, "multi": 0.10, "churn": 0.50, "burst": 2.00}
HOPS_GOALS: Final = {"single": 10, "multi": 12, "churn": 20, "burst": 20}
ANCHOR: Final = {"single": (0.2, 15), "multi": (1.0, 18), "burst": (3.0, 30)}
"""What iroh-gossip's own tests allow in each case: redundancy and last delivery hop."""


@dataclass(frozen=True, slots=True)
class Row:
    """One case: copies beyond the needed ones a delivery, the farthest hop, what was missed."""

    case: str
    node_count: int
    delta_count: int
    redundancy: float
    last_hop: int
    latency_ms_p50: float
    latency_ms_p99: float
    missed: int

    @property
    def goal_met(self) -> bool:
        """Whether redundancy and hops stay within the goals and nothing was missed."""
        is_frugal = self.redundancy <= REDUNDANCY_GOALS[self.case]
        return is_frugal and self.last_hop <= HOPS_GOALS[self.case] and not self.missed


@dataclass(frozen=True, slots=True)
class GossipFigures:
    """All rows."""

    rows: tuple[Row, ...]

    @property
    def goal_met(self) -> bool:
        """Whether every row meets its goals."""
        return all(row.goal_met for row in self.rows)

    def as_dict(self) -> dict[str, object]:
        """Plain values, goals and the anchor's bounds beside them."""
        return {
            row.case: {
                **asdict(row),
                "redundancy_goal": REDUNDANCY_GOALS[row.case],
                "last_hop_goal": HOPS_GOALS[row.case],
                "iroh_bounds": ANCHOR.get(row.case),
                "goal_met": row.goal_met,
            }
            for row in self.rows
        }

    def text(self) -> str:
        """A line a case."""
        return "\n".join(
            f"{row.case:7} {row.node_count} nodes, {row.delta_count} deltas: RMR "
            f"{row.redundancy:.3f} (goal {REDUNDANCY_GOALS[row.case]}), last hop {row.last_hop} "
            f"(goal {HOPS_GOALS[row.case]}), {row.latency_ms_p50:.0f}/{row.latency_ms_p99:.0f} ms "
            f"p50/p99, {row.missed} missed"
            for row in self.rows
        )


def one_region(node_count: int, seed: bytes, **options: int | bool) -> GossipWorld:
    """A cell of nodes of `ORGS` orgs in one region, joined and settled."""
    topology = Topology(
        TopologyConfig(
            regions=("eu",),
            cluster_count=1,
            zone_count=1,
            in_zone_us=IN_ZONE_US,
            one_way_us=((0,),),
        )
    )
    world = GossipWorld(topology, seed, **options)  # type: ignore[arg-type]
    draws = Draws(seed, "acquaintances")
    for number in range(node_count):
        add(world, topology, number)
    for number in range(node_count):
        meet(world, draws, number)
    world.run(SETTLE_S)
    return world


def add(world: GossipWorld, topology: Topology, number: int) -> None:
    """One more node."""
    topology.add_spread(1)
    world.add(Place(bytes([number % ORGS]), "eu", 0))


def meet(world: GossipWorld, draws: Draws, number: int) -> None:
    """Membership tells it of everybody, or beyond a hundred of a random part."""
    up = [node.number for node in world.nodes if node.is_up and node.number != number]
    if len(up) > 100:
        up = [up[draws.below(len(up))] for _ in range(KNOWN_COUNT)]
    world.acquaint(number, up)


def warm(world: GossipWorld) -> None:
    """The first deltas flood; what is left is a tree."""
    for _ in range(WARM_COUNT):
        world.publish(0)
        world.run(0.5)


def row(world: GossipWorld, case: str, ids: list[bytes]) -> Row:
    """The figures of these deltas."""
    times = world.latencies_us(ids) or [0]
    return Row(
        case,
        sum(node.is_up for node in world.nodes),
        len(ids),
        world.redundancy(ids),
        world.last_hops(ids)[-1],
        times[len(times) // 2] / 1_000,
        times[len(times) * 99 // 100] / 1_000,
        world.missed(ids),
    )


def single(world: GossipWorld, delta_count: int) -> Row:
    """One author writes on."""
    ids = []
    for _ in range(delta_count):
        ids += world.publish(0)
        world.run(0.3)
    world.run(2)
    return row(world, "single", ids)


def multi(world: GossipWorld, delta_count: int, draws: Draws) -> Row:
    """Each delta by another author."""
    ids = []
    for _ in range(delta_count):
        ids += world.publish(draws.below(len(world.nodes)))
        world.run(0.3)
    world.run(2)
    return row(world, "multi", ids)


def burst(world: GossipWorld, delta_count: int, draws: Draws) -> Row:
    """Twenty authors at once, again and again."""
    ids = []
    for _ in range(max(1, delta_count // BURST_AUTHORS)):
        for _ in range(BURST_AUTHORS):
            ids += world.publish(draws.below(len(world.nodes)))
        world.run(0.05)
    world.run(3)
    return row(world, "burst", ids)


def measure(nodes: int = 100, deltas: int = 40, seed: int = 1) -> GossipFigures:
    """Steady from one author, from many, and bursts, in one settled cell."""
    key = seed.to_bytes(8, "big")
    world, draws = one_region(nodes, key), Draws(key, "authors")
    warm(world)
    rows = (
        single(world, deltas),
        multi(world, deltas, draws),
        burst(world, 5 * deltas, draws),
    )
    return GossipFigures(rows)


def main() -> None:
    """Measures and prints."""
    counts = [int(argument) for argument in sys.argv[1:3]]
    print(measure(*counts).text())


if __name__ == "__main__":
    main()
