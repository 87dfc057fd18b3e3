"""Dissemination in the virtual world: frugal, near, complete, and inside the admissible set."""

from __future__ import annotations

from hive.protocol.dissemination.config import DisseminationConfig, ViewConfig
from hive.protocol.dissemination.events import Place
from simulations.draws import Draws
from simulations.gossip import GossipWorld
from simulations.gossip_figures import measure, one_region, warm
from simulations.topology import Topology, TopologyConfig

SEED = bytes(8)


def test_redundancy_and_hops_stay_within_their_goals_at_100_nodes() -> None:
    figures = measure(100, 10)
    assert figures.goal_met, figures.text()


def test_every_neighbourhood_is_bounded_and_fills_up() -> None:
    world = one_region(60, SEED)
    config = ViewConfig()
    for node in world.nodes:
        assert config.own_choice_min <= len(node.machine.cell.active) <= config.active_max
        assert len(node.links) <= config.active_max + config.outlook_count + config.guest_max
        assert len(node.machine.cell.passive) <= config.passive_max


def test_at_five_percent_loss_nothing_is_missed_after_one_repair() -> None:
    world = one_region(40, SEED, frame_loss_ppm=50_000, is_repaired=True)
    warm(world)
    draws = Draws(SEED, "authors")
    ids = []
    for _ in range(20):
        ids += world.publish(draws.below(40))
        world.run(0.2)
    world.run(45)
    assert world.missed(ids) == 0


def test_no_byte_and_no_id_of_a_restricted_namespace_leaves_its_regions() -> None:
    regions = ("eu", "us", "ap")
    topology = Topology(TopologyConfig(regions=regions))
    config = DisseminationConfig(cell=ViewConfig(mesh_max=0))
    world = GossipWorld(topology, SEED, config, is_repaired=True)
    world.restricted["acme/secret"] = ("eu",)
    for number in range(30):
        topology.add_spread(1)
        world.add(Place(bytes([number % 4]), regions[number % 3], 0))
    for number in range(30):
        world.acquaint(number)
    world.run(10)
    secret, others = [], []
    for number in range(0, 30, 3):
        secret += world.publish(number, "acme/secret")
        others += world.publish(number + 1, "commons/x")
        world.run(0.5)
    world.run(60)
    assert world.leaks == []
    assert all(not set(node.held) & set(secret) for node in world.nodes if node.number % 3)
    assert world.missed(others) == 0
