"""Goal: machines move, hide behind a NAT, have several addresses and speak IPv6, and the federation
follows. Method: real nodes in namespaces; each test changes what only a network can change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from network_federation import PORT, Federation, federation
from network_hosts import Place, place
from node_processes import Launcher
from node_world import ORGS, REGIONS

from hive.node import config
from hive.node.home import Home

Found = Callable[..., AbstractContextManager[Federation]]
NAT_LIFE_US = 8_000_000


@pytest.fixture
def found_at(namespaces: None, launcher: Launcher, tmp_path: Path) -> Found:
    """A federation at these places; its hosts are made by the test."""

    def found(*hosts: Place) -> AbstractContextManager[Federation]:
        return federation(tmp_path, hosts, "operations", launcher, nat_life_us=NAT_LIFE_US)

    return found


@pytest.fixture
def three(found_at: Found) -> Iterator[Federation]:
    with found_at(*(place(number, REGIONS[org]) for number, org in enumerate(ORGS))) as made:
        yield made


def setting(home: Home, **changed: object) -> None:
    config.write(home.config_file, home.settings(**changed))


def streams(made: Federation, name: str) -> int:
    return sum(peer["stream"] for peer in made[name].call("peers")["peers"])


def connected(made: Federation) -> None:
    count = len(made.running) - 1
    made.everywhere(lambda host: streams(made, host.name) == count, "streams to everybody")


def test_others_follow_a_running_node_to_its_new_address(three: Federation) -> None:
    hosts = [
        three.first("acme", listen=f"0.0.0.0:{PORT}"),
        three.first("bell"),
        three.first("corp"),
    ]
    three.start(*hosts)
    connected(three)
    mover = hosts[0]
    assert mover.call("status")["node"]["address"] == f"{mover.place.address}:{PORT}"
    three.network.move(mover.place, "10.120.1.1")
    three.everywhere(
        lambda host: f"10.120.1.1:{PORT}" in [p["address"] for p in host.call("peers")["peers"]],
        "the new address is known",
        hosts[1:],
    )
    assert mover.call("status")["node"]["address"] == f"10.120.1.1:{PORT}"
    three.write(*hosts, count=2)
    three.healed()
    connected(three)


def test_a_node_behind_a_nat_dials_out_and_hears_and_is_heard(found_at: Found) -> None:
    inside = place(2, "ap-south", is_behind_nat=True)
    with found_at(place(0, "eu-west"), place(1, "us-east"), inside) as made:
        hosts = [made.first(org) for org in ORGS]
        made.start(*hosts)
        connected(made)
        hidden = hosts[2]
        made.write(*hosts, count=2)
        made.healed()
        seen = {p["name"]: p["address"] for p in hosts[0].call("peers")["peers"]}[hidden.name]
        assert seen.startswith(f"{inside.public}:")
        # Longer than the NAT remembers: what flows keeps the way in open.
        made.let_pass(1.5 * NAT_LIFE_US / 1e6)
        assert made.thinks(hosts[0], hidden, "alive")
        made.write(*hosts, count=2)
        made.healed(within_s=15)


def test_a_federation_over_ipv6_joins_and_converges(three: Federation) -> None:
    hosts = []
    for org in ORGS:
        here = three.network.places[len(three.hosts)]
        hosts.append(three.first(org, listen=f"[{here.address6}]:{PORT}"))
    for host in hosts[1:]:
        setting(host.home, bootstrap=(f"[{hosts[0].place.address6}]:{PORT}",))
    three.start(*hosts)
    connected(three)
    three.write(*hosts, count=2)
    three.healed()
    addresses = [p["address"] for p in hosts[0].call("peers")["peers"]]
    assert all(address.startswith("[fd00:") for address in addresses)
    assert three.network.counts()["udp_bytes_max"] == 1_200


def test_a_node_with_two_interfaces_joins_those_who_have_one_each(three: Federation) -> None:
    """One speaks IPv4 only, one IPv6 only; the third serves both, and what is written spreads."""
    both, four, six = (three.first(org) for org in ORGS)
    setting(both.home, also_listen=(both.place.address6,))
    setting(six.home, listen=six.place.address6)
    setting(six.home, bootstrap=(f"[{both.place.address6}]:{PORT}",))
    three.start(both, four, six)
    three.everywhere(lambda host: streams(three, host.name) >= 1, "each has a stream")
    three.everywhere(lambda host: streams(three, host.name) == 2, "both meet here", [both])
    three.everywhere(lambda host: host.call("status")["freshness"]["is_fresh"], "fresh")
    three.write(both, four, six, count=2)
    three.everywhere(three.holds_everything, "everything is everywhere")


def test_a_node_with_two_ipv4_addresses_is_reached_at_either(three: Federation) -> None:
    both, one, other = (three.first(org) for org in ORGS)
    second = "10.121.1.1"
    three.network.add(both.place, second)
    setting(both.home, also_listen=(second,))
    setting(other.home, bootstrap=(f"{second}:{PORT}",))
    three.start(both, one, other)
    connected(three)
    three.write(both, one, other, count=2)
    three.healed()
