"""Membership in the virtual world: small runs of what `cell_figures` measures, and the attacks."""

from __future__ import annotations

from hive.protocol.machine import Received
from hive.protocol.membership.config import SwimConfig
from hive.protocol.membership.messages import Standing
from hive.wire.clock import SECOND_US
from simulations.cell_figures import (
    SETTLE_US,
    Detection,
    cell_detection,
    half_connected,
    quiet_bytes,
    ring_detection,
)
from simulations.cells import EVENT, CellWorld, CellWorldConfig
from simulations.disturbances import Cut


def test_every_observer_notices_every_death_in_time() -> None:
    """Few kills: their worst is one draw, so the 99th percentile of many is measured apart."""
    found: Detection = cell_detection(member_count=32, kills=3)
    assert found.unaware_count == found.false_deaths == 0
    assert found.p50_ms <= 6_000
    assert found.p99_ms <= 12_000


def test_the_ring_of_regions_notices_deaths_in_time() -> None:
    found = ring_detection(member_count=24, kills=3)
    assert found.unaware_count == found.false_deaths == 0
    assert found.p99_ms <= 12_000


def test_a_quiet_member_sends_little() -> None:
    assert quiet_bytes(member_count=32, seconds=60) <= 300


def test_liars_slow_members_and_loss_kill_nobody_honest() -> None:
    config = CellWorldConfig(member_count=40, loss_ppm=50_000, slow_count=4, liar_count=4)
    world = CellWorld(config, b"liars")
    world.run(60 * SECOND_US)
    assert world.suspicions, "the liars were heard"
    assert world.false_deaths() == []


def test_one_half_connected_member_makes_no_storm() -> None:
    """It adds repetitions to and from itself and nothing else, whatever the size of its cell."""
    found = half_connected(member_count=32, seconds=200)
    assert found.extra_permille * 32 < 50 * 512
    assert found.false_deaths == 0


def test_a_replay_of_every_recorded_message_after_a_restart_changes_nothing() -> None:
    world = CellWorld(CellWorldConfig(member_count=12), b"replay")
    recorded: list[tuple[int, Received]] = []
    deliver = world._feed

    def feed(number: int, event: object) -> None:
        if isinstance(event, Received):
            recorded.append((number, event))
        deliver(number, event)

    world._feed = feed  # type: ignore[method-assign]
    world.run(SETTLE_US)
    world.kill(11)
    world.run(20 * SECOND_US)
    history, before = list(recorded), [node.swim.view.root() for node in world.nodes[:11]]
    deaths = len(world.deaths)
    for number, event in history:
        world.engine.post(0, number, number, event, EVENT)
    world.run(30 * SECOND_US)
    assert [node.swim.view.root() for node in world.nodes[:11]] == before
    assert len(world.deaths) == deaths
    assert all(
        node.swim.view.in_standing(Standing.DEAD) == (world.nodes[11].introduction.peer,)
        for node in world.nodes[:11]
    )


def test_a_long_partition_heals_by_announcing_to_the_down() -> None:
    world = CellWorld(
        CellWorldConfig(member_count=16, swim=SwimConfig.for_simulation()), b"partition"
    )
    world.run(SETTLE_US)
    world.network.begin("cut", Cut(sources=tuple(range(8)), destinations=tuple(range(8, 16))), 0)
    world.run(300 * SECOND_US)
    assert {node.swim.view.live_count for node in world.nodes} == {8}
    world.network.heal()
    world.run(90 * SECOND_US)
    assert {node.swim.view.live_count for node in world.nodes} == {16}
    assert len({node.swim.view.root() for node in world.nodes}) == 1


def test_one_seed_gives_one_history_of_a_cell() -> None:
    digests = []
    for _ in range(2):
        world = CellWorld(CellWorldConfig(member_count=16, loss_ppm=20_000), b"one")
        world.kill(3)
        world.run(20 * SECOND_US)
        digests.append(world.engine.digest())
    assert digests[0] == digests[1]
