"""Goal: no fault of hosts or lines loses a write or leaves a false death. Method: six real nodes
in three regions over a link that loses, doubles, delays and reorders; each test breaks, then heals.
"""

from __future__ import annotations

from network_federation import Federation, Host
from network_hosts import Place


def region(made: Federation, name: str) -> list[Host]:
    return [host for host in made.running if host.place.region == name]


def places(hosts: list[Host]) -> list[Place]:
    return [host.place for host in hosts]


def others(made: Federation, hosts: list[Host]) -> list[Host]:
    return [host for host in made.running if host not in hosts]


def test_six_hosts_in_three_regions_converge(six_hosts: Federation) -> None:
    writers = [six_hosts[name] for name in ("acme-1", "bell-1", "corp-1")]
    six_hosts.everywhere(lambda h: h.call("status")["freshness"]["is_fresh"], "fresh", writers)
    six_hosts.write(*writers, count=5)
    six_hosts.healed()
    counts = six_hosts.network.counts()
    assert min(counts[name] for name in ("lost", "doubled", "reordered", "delivered")) > 0


def test_both_sides_of_a_symmetric_partition_agree_after_it(six_hosts: Federation) -> None:
    alone = region(six_hosts, "eu-west")
    rest = others(six_hosts, alone)
    six_hosts.healed()
    six_hosts.network.part(places(alone), places(rest))
    six_hosts.write(six_hosts["acme-1"], six_hosts["bell-1"], six_hosts["corp-1"], count=3)
    inside = six_hosts.acknowledged[-9:-6]
    six_hosts.everywhere(
        lambda host: all(six_hosts.thinks(host, of, "dead") for of in alone), "lost sight of", rest
    )
    assert not any(six_hosts.holds(host, delta) for host in rest for delta in inside)
    six_hosts.network.heal()
    six_hosts.healed()


def test_a_one_way_partition_loses_nothing(six_hosts: Federation) -> None:
    mute = region(six_hosts, "us-east")
    six_hosts.network.cut(places(mute), places(others(six_hosts, mute)))
    six_hosts.write(six_hosts["acme-1"], six_hosts["bell-1"], six_hosts["corp-1"], count=3)
    watcher = six_hosts["acme-1"]
    six_hosts.everywhere(
        lambda host: all(six_hosts.thinks(host, of, "dead", "suspect") for of in mute),
        "who is not heard is missed",
        [watcher],
    )
    six_hosts.network.heal()
    six_hosts.healed()


def test_a_half_connected_host_makes_nobody_dead(six_hosts: Federation) -> None:
    six_hosts.healed()
    half, near = six_hosts["corp-1"], region(six_hosts, "ap-south")
    six_hosts.network.cut([half.place], places(others(six_hosts, near)))
    six_hosts.write(six_hosts["acme-1"], six_hosts["bell-1"], count=3)
    well = others(six_hosts, [half])
    for _ in range(10):
        six_hosts.everywhere(
            lambda host: not any(six_hosts.thinks(host, of, "dead") for of in well),
            "nobody who is well is thought dead",
            well,
            within_s=0,
        )
        six_hosts.write(six_hosts["bell-1"])
    six_hosts.network.heal()
    six_hosts.healed()


def test_a_killed_node_comes_back_with_all_it_acknowledged(six_hosts: Federation) -> None:
    victim = six_hosts["bell-1"]
    own = six_hosts.write(victim, count=5)
    six_hosts.kill(victim)
    six_hosts.write(six_hosts["acme-1"], six_hosts["corp-1"], count=2)
    six_hosts.everywhere(lambda host: six_hosts.thinks(host, victim, "dead"), "missed")
    six_hosts.start(victim)
    assert all(six_hosts.holds(victim, delta) for delta in own)
    six_hosts.healed()


def test_a_paused_node_is_missed_and_resumes_without_having_lost_anything(
    six_hosts: Federation,
) -> None:
    six_hosts.healed()
    victim = six_hosts["acme-2"]
    rest = others(six_hosts, [victim])
    with six_hosts.paused(victim):
        six_hosts.write(six_hosts["acme-1"], six_hosts["bell-1"], count=2)
        six_hosts.everywhere(lambda host: six_hosts.thinks(host, victim, "dead"), "missed", rest)
    six_hosts.healed()


def test_no_datagram_exceeds_1200_bytes_and_nothing_is_fragmented(six_hosts: Federation) -> None:
    six_hosts.healed()
    counts = six_hosts.network.counts()
    assert counts["udp"] > 0
    assert counts["udp_bytes_max"] == 1_200
    assert counts.get("fragments", 0) == 0
