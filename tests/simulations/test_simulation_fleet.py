"""Fleets: whole peers in settled cells, their deliveries and their one history."""

from __future__ import annotations

import pytest

from hive.errors import ConfigError
from hive.wire.clock import SECOND_US
from simulations.fleet import Fleet
from simulations.fleet_run import run_fleet
from simulations.settlement import FleetConfig, contacts_of

SMALL = FleetConfig(peer_count=48, cell_size=16, contact_count=6, author_every=12)


def test_every_delta_reaches_its_whole_cell_and_nobody_that_runs_is_declared_dead() -> None:
    report = run_fleet(SMALL, seed=1, seconds=40)
    assert report.written_count == 4
    assert report.delivered_count == 4 * 15
    assert (report.missed_count, report.false_death_count) == (0, 0)
    assert 0 < report.delivery_p50_ms <= report.delivery_p99_ms


def test_one_and_two_processes_give_one_history() -> None:
    alone, shared = (run_fleet(SMALL, seed=2, seconds=12, worker_count=n) for n in (1, 2))
    assert alone.digest == shared.digest
    assert run_fleet(SMALL, seed=3, seconds=12).digest != alone.digest


def test_a_dead_peer_is_noticed_in_its_own_cell_only() -> None:
    fleet = Fleet(SMALL, b"deaths")
    fleet.run(5 * SECOND_US)
    fleet.kill(3)
    fleet.run(30 * SECOND_US)
    dead = fleet.settlers[3].id
    for number, settler in fleet.settlers.items():
        if number == 3:
            continue
        member = settler.peer.hierarchy.cell.view.get(dead)
        assert (member is not None) == (number < 16)
        assert member is None or not member.is_live
    assert fleet.death_count == 15


def test_contacts_are_mutual_and_never_oneself() -> None:
    for count in (7, 16, 125):
        for place in range(count):
            contacts = contacts_of(place, count, 6)
            assert place not in contacts
            assert all(place in contacts_of(other, count, 6) for other in contacts)


@pytest.mark.parametrize(
    "wrong", [{"cell_size": 1}, {"contact_count": 3}, {"author_every": 0}, {"peer_count": 10}]
)
def test_an_impossible_fleet_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        FleetConfig(**{"peer_count": 48, "cell_size": 16, **wrong})
