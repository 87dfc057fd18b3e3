"""Goal: links do what the disturbances in force say, no more. Method: many packets, counted."""

from __future__ import annotations

import pytest

from hive.errors import ConfigError
from simulations.disturbances import (
    Burst,
    Clog,
    Corrupt,
    Cut,
    Delay,
    Disturbance,
    Duplicate,
    Loss,
    Packet,
    Reorder,
    Throttle,
)
from simulations.draws import Draws
from simulations.network import HEADER_BYTES, Network, NetworkConfig, corrupted
from simulations.topology import (
    LOOKAHEAD_US,
    Topology,
    TopologyConfig,
    matrix_of_round_trips,
)

COUNT = 20_000


def network(config: NetworkConfig | None = None, **given: int) -> Network:
    topology = Topology(TopologyConfig(**given))  # type: ignore[arg-type]
    topology.add_spread(30)
    return Network(topology, b"seed", config)


def packets(disturbance: Disturbance, until_us: int = 10**9) -> list[Packet]:
    world = network()
    world.begin("it", disturbance, until_us)
    return [world.packet(0, 3, 100, 0) for _ in range(COUNT)]


def share(packets: list[Packet], name: str) -> float:
    return sum(bool(getattr(packet, name)) for packet in packets) / len(packets)


def test_latency_is_the_topologys_plus_a_spread_with_the_mean_that_was_asked() -> None:
    world = network(NetworkConfig(spread_ppm=100_000))
    base = world.topology.base_us(0, 1)
    assert base == 42_000
    times = [world.packet(0, 1, 100, 0).at_us for _ in range(COUNT)]
    assert min(times) >= base
    assert sum(times) / COUNT == pytest.approx(base * 1.1, rel=0.01)


def test_places_are_nested_and_distance_grows_outward() -> None:
    topology = network(cluster_count=6, zone_count=2).topology
    assert topology.base_us(0, 12) == 100
    assert topology.base_us(0, 6) == 600
    assert topology.base_us(0, 3) == 1_500
    assert topology.base_us(0, 1) == 42_000
    assert set(topology.within(region=0)) == set(range(0, 30, 3))
    assert topology.within(cluster=4) == (4, 10, 16, 22, 28)
    assert {topology.place(n).region for n in topology.within(cluster=4)} == {1}


def test_loss_duplication_corruption_and_reordering_happen_at_their_rates() -> None:
    assert share(packets(Loss(rate_ppm=50_000)), "is_lost") == pytest.approx(0.05, abs=0.006)
    again = packets(Duplicate(rate_ppm=50_000, delay_us=9))
    assert share(again, "copies_at_us") == pytest.approx(0.05, abs=0.006)
    assert share(packets(Corrupt(rate_ppm=50_000)), "is_corrupt") == pytest.approx(0.05, abs=0.006)
    held = [p.at_us > 100_000 for p in packets(Reorder(rate_ppm=50_000, delay_us=10**8))]
    assert sum(held) / COUNT == pytest.approx(0.05, abs=0.006)


def test_bursts_lose_in_runs() -> None:
    lost = [p.is_lost for p in packets(Burst(enter_ppm=10_000, leave_ppm=90_000, rate_ppm=10**6))]
    runs = sum(now and not before for before, now in zip([False, *lost], lost, strict=False))
    assert sum(lost) / COUNT == pytest.approx(0.1, abs=0.02)
    assert sum(lost) / runs == pytest.approx(1_000_000 / 90_000, rel=0.2)


def test_a_cut_stops_both_ways_or_one_and_nobody_else() -> None:
    world = network()
    world.begin("cut", Cut(sources=(0, 1), destinations=(2,)), 10)
    assert world.is_cut(0, 2)
    assert world.is_cut(2, 1)
    assert not world.is_cut(0, 1)
    assert not world.is_cut(3, 2)
    world.begin("cut", Cut(sources=(0,), destinations=(2,), is_mutual=False), 10)
    assert world.packet(0, 2, 1, 0).is_lost
    assert not world.packet(2, 0, 1, 0).is_lost
    world.end("cut")
    assert not world.packet(0, 2, 1, 0).is_lost


def test_a_clog_holds_packets_until_it_ends() -> None:
    assert {packet.at_us for packet in packets(Clog(), until_us=5_000_000)} == {5_000_000}


def test_streams_keep_their_order_and_lose_nothing() -> None:
    world = network()
    world.begin("loss", Loss(rate_ppm=300_000), 10**9)
    world.begin("reorder", Reorder(rate_ppm=300_000, delay_us=50_000), 10**9)
    frames = [world.frame(0, 3, 100, now_us) for now_us in range(2_000)]
    assert not any(frame.is_lost for frame in frames)
    assert [frame.at_us for frame in frames] == sorted(frame.at_us for frame in frames)
    world.begin("cut", Cut(), 10**9)
    assert world.frame(0, 3, 100, 0).is_lost


def test_narrow_links_take_the_time_of_the_size() -> None:
    slow = network(NetworkConfig(uplink_bytes_per_second=1_000, spread_ppm=0))
    times = [slow.packet(0, 3, 1_000 - HEADER_BYTES, 0).at_us for _ in range(3)]
    base = slow.topology.base_us(0, 3)
    assert times == [base + 1_000_000, base + 2_000_000, base + 3_000_000]
    throttled = packets(Throttle(bytes_per_second=1_000))
    assert min(p.at_us for p in throttled) > 148_000
    assert min(p.at_us for p in packets(Delay(delay_us=70_000, spread_us=10))) > 70_000


def test_removing_a_disturbance_does_not_reshuffle_another() -> None:
    def lost(*names: str) -> list[bool]:
        world = network()
        kinds = {"a": Loss(rate_ppm=100_000), "b": Duplicate(rate_ppm=200_000, delay_us=9)}
        for name in names:
            world.begin(name, kinds[name], 10**9)
        return [world.packet(0, 3, 1, 0).is_lost for _ in range(500)]

    assert lost("a") == lost("a", "b") == lost("b", "a")


def test_bytes_are_counted_by_pair_of_regions() -> None:
    world = network()
    world.begin("loss", Cut(sources=(0,), destinations=(1,)), 10)
    world.packet(0, 1, 100, 0)
    world.packet(0, 3, 10, 0)
    table = world.traffic_table()
    assert list(table) == ["eu>eu", "eu>us"]
    assert table["eu>us"].lost_count == 1
    assert table["eu>us"].bytes_count == 100 + HEADER_BYTES
    assert world.traffic(0, 0).packet_count == 1


def test_corruption_changes_one_byte() -> None:
    draws = Draws(b"seed", "corruption")
    for _ in range(200):
        changed = corrupted(b"0123456789", draws)
        assert sum(a != b for a, b in zip(changed, b"0123456789", strict=True)) == 1
    assert corrupted(b"", draws) == b"\x00"


def test_a_measured_matrix_gives_one_way_latencies_between_drawn_sites() -> None:
    text = "0 10.5 80\n10.1 0 x\n"
    with pytest.raises(ConfigError):
        matrix_of_round_trips(text, 2, b"s")
    with pytest.raises(ConfigError, match="no round trip"):
        matrix_of_round_trips("0 x\n1 0", 2, b"s")
    with pytest.raises(ConfigError, match="2 sites for 3"):
        matrix_of_round_trips("0 1\n1 0", 3, b"s")
    rows = matrix_of_round_trips("0 10.5 -1\n10.1 0 0.2\n50 0.3 0", 3, b"s")
    assert sorted(value for row in rows for value in row) == sorted(
        [0, 0, 0, 5_250, 5_050, LOOKAHEAD_US, LOOKAHEAD_US, 25_000, 25_000]
    )


def test_a_geography_without_places_is_refused() -> None:
    for wrong in (
        {"cluster_count": 2},
        {"zone_count": 0},
        {"between_clusters_us": 10},
        {"one_way_us": ((0,),)},
        {"one_way_us": ((0, 1), (1, 0), (1, 1))},
    ):
        with pytest.raises(ConfigError):
            TopologyConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        NetworkConfig(spread_ppm=-1)
