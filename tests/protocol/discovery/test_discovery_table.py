"""Buckets, table and shortlist: upstream's own expectations, and the rules it lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from discovery_world import make_contact
from kademlia.node import Node

from hive.errors import ConfigError
from hive.protocol.discovery.bucket import Bucket
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import Address, Contact, subnet_of
from hive.protocol.discovery.shortlist import Candidate, Shortlist
from hive.protocol.discovery.table import Table
from hive.wire.ids import Inception, PeerId
from hive.wire.randomness import Stream

CONFIG = DiscoveryConfig()
OWN = PeerId(bytes(20))


def contact(number: int, org: int | None = None, subnet: int | None = None) -> Contact:
    """A contact at position `number`, alone in its organisation and subnet unless told."""
    org = number if org is None else org
    subnet = number if subnet is None else subnet
    host = f"fd00:{subnet >> 16 & 0xFFFF:x}:{subnet & 0xFFFF:x}::1"
    address = Address(host, 7000, 7001)
    return Contact(
        PeerId(number.to_bytes(20, "big")), Inception(org.to_bytes(32, "big")), (address,)
    )


def bucket(lower: int, upper: int, k: int) -> Bucket:
    return Bucket(lower, upper, replace(CONFIG, k=k, beta=1, alpha=1))


def random_table(count: int, config: DiscoveryConfig = CONFIG) -> tuple[Table, list[Contact]]:
    contacts = [make_contact(index) for index in range(count)]
    table = Table(make_contact(10_000).peer, config)
    for one in contacts:
        table.add_contact(one)
    return table, contacts


# upstream's own expectations (kademlia/tests/test_routing.py, test_node.py)


def test_split_puts_each_node_into_its_half() -> None:
    whole = bucket(0, 10, 5)
    whole.add_node(contact(5))
    whole.add_node(contact(6))
    one, two = whole.split()
    assert (len(one), one.range) == (1, (0, 5))
    assert (len(two), two.range) == (1, (6, 10))


def test_split_halves_do_not_overlap() -> None:
    left, right = bucket(0, 2**160 - 1, 20).split()
    assert right.range[0] - left.range[1] == 1
    assert isinstance(left, Bucket)


def test_full_bucket_refuses() -> None:
    small = bucket(0, 10, 2)
    assert small.add_node(contact(1)) is True
    assert small.add_node(contact(2)) is True
    assert small.add_node(contact(3)) is False
    assert len(small) == 2


def test_removed_contact_is_followed_by_newest_replacement() -> None:
    small = bucket(0, 100, 3)
    contacts = [contact(number) for number in range(1, 6)]
    for one in contacts:
        small.add_node(one)
    assert small.get_nodes() == contacts[:3]
    assert list(small.replacement_nodes.values()) == contacts[3:]
    small.remove_node(contacts[0])
    assert small.get_nodes() == [*contacts[1:3], contacts[4]]
    assert list(small.replacement_nodes.values()) == [contacts[3]]
    for one in contacts:
        small.remove_node(one)
    assert not small
    assert not small.replacement_nodes


def test_range_includes_both_ends() -> None:
    small = bucket(0, 10, 10)
    assert [small.has_in_range(contact(n)) for n in (5, 11, 10, 0)] == [True, False, True, True]


def test_distance_is_exclusive_or() -> None:
    one, two = make_contact(1), make_contact(2)
    assert one.distance_to(two) == int(one.peer.hex(), 16) ^ int(two.peer.hex(), 16)


def candidates(count: int) -> list[Candidate]:
    return [Candidate(contact(number).peer, b"", None) for number in range(count)]


def test_shortlist_shows_at_most_k_in_order_of_distance() -> None:
    heap = Shortlist(Node(OWN), 5, 40)
    for one in reversed(candidates(10)):
        heap.push(one)
    assert len(heap) == 5
    assert [one.long_id for one in heap] == [0, 1, 2, 3, 4]


def test_shortlist_shows_the_next_when_one_is_removed_and_never_takes_it_back() -> None:
    heap = Shortlist(Node(OWN), 5, 40)
    nodes = candidates(10)
    heap.push(nodes)
    heap.remove([nodes[0].id, nodes[1].id])
    heap.push(nodes)
    assert [one.long_id for one in heap] == [2, 3, 4, 5, 6]


def test_shortlist_is_bounded_and_drops_the_farthest() -> None:
    heap = Shortlist(Node(OWN), 5, 12)
    heap.push(candidates(100))
    assert [one.long_id for one in heap.walk()] == list(range(12))


# what upstream lacks


@pytest.mark.parametrize("count", [20, 200, 600])
def test_neighbours_are_exactly_the_nearest_held(count: int) -> None:
    table, _ = random_table(count)
    held = [one for each in table.buckets for one in each.get_nodes()]
    held += [one for one in table.siblings.values() if one not in held]
    stream = Stream(b"t", "targets")
    for _ in range(30):
        target = Node(stream.bits(160).to_bytes(20, "big"))
        truth = sorted(held, key=target.distance_to)[: CONFIG.k]
        assert [one.peer for one in table.find_neighbors(target)] == [one.peer for one in truth]


def test_known_contact_is_refreshed_in_order_and_address() -> None:
    small = bucket(0, 100, 3)
    for number in (1, 2, 3):
        small.add_node(contact(number))
    moved = replace(contact(1), addresses=(Address("192.0.2.1", 1, 1),), sequence=1)
    assert small.add_node(moved) is True
    assert [one.peer[-1] for one in small.get_nodes()] == [2, 3, 1]
    assert small.get_nodes()[-1].ip == "192.0.2.1"


def test_older_record_does_not_bring_back_an_old_address() -> None:
    table = Table(OWN, CONFIG)
    table.add_contact(replace(contact(9), sequence=5, addresses=(Address("192.0.2.5", 1, 1),)))
    table.add_contact(replace(contact(9), sequence=4, addresses=(Address("192.0.2.4", 1, 1),)))
    known = table.contact(contact(9).peer)
    assert known is not None
    assert known.ip == "192.0.2.5"


def test_no_org_and_no_subnet_holds_more_than_its_share_of_a_bucket() -> None:
    for held in ({"org": 7}, {"subnet": 7}):
        whole = bucket(0, 2**160 - 1, 20)
        for number in range(1, 100):
            whole.add_node(contact(number, **held))
        assert len(whole) == 2
        assert len(whole.replacement_nodes) <= 2


def test_grinding_ids_gains_one_org_no_more_than_its_share_of_a_table() -> None:
    table, _ = random_table(300)
    attacker = Inception(b"\xee" * 32)
    stream = Stream(b"g", "grind")
    for index in range(5_000):
        peer = PeerId(stream.bits(160).to_bytes(20, "big"))
        host = f"10.200.{index % 250}.{index // 250}"
        table.add_contact(Contact(peer, attacker, (Address(host, 1, 1),)))
    for each in table.buckets:
        assert sum(one.org == attacker for one in each.get_nodes()) <= 2
    of_siblings = sum(one.org == attacker for one in table.siblings.values())
    assert of_siblings <= CONFIG.siblings_per_org_max


def test_everything_about_a_table_is_bounded() -> None:
    table, _ = random_table(3_000)
    assert len(table.siblings) <= CONFIG.siblings_max
    assert len(table.passers) <= CONFIG.passers_max
    for each in table.buckets:
        assert len(each) <= CONFIG.k
        assert len(each.replacement_nodes) <= CONFIG.k
    assert len(table.buckets) < 20


def test_siblings_are_the_nearest_of_all() -> None:
    table, contacts = random_table(500)
    truth = sorted(contacts, key=table.own.distance_to)[: CONFIG.siblings_max]
    assert sorted(table.siblings) == sorted(one.peer for one in truth)


def test_one_failure_never_evicts_and_a_sign_of_life_clears_it() -> None:
    table = Table(OWN, CONFIG)
    peer = contact(9).peer
    table.add_contact(contact(9))
    for _ in range(5):
        for _ in range(CONFIG.fails_max - 1):
            table.failed(peer)
        assert table.contact(peer) is not None
        table.heard(peer, 1)
    for _ in range(CONFIG.fails_max):
        table.failed(peer)
    assert table.contact(peer) is None


def test_depth_follows_from_the_range_not_from_the_members() -> None:
    whole = bucket(0, 2**160 - 1, 20)
    whole.add_node(contact(1))
    whole.add_node(contact(2))
    assert whole.depth() == 0
    assert whole.split()[0].depth() == 1


def test_silent_contact_is_named_for_a_newcomer_only_after_long_silence() -> None:
    config = replace(CONFIG, k=3, beta=1, alpha=1)
    table = Table(OWN, config)
    far = 2**159
    for number in range(3):
        assert table.add_contact(contact(far + number)) is None
    for number in range(1, 4):
        table.add_contact(contact(number))
    assert table.add_contact(contact(far + 7).heard(config.probe_idle_us - 1)) is None
    silent = table.add_contact(contact(far + 8).heard(config.probe_idle_us))
    assert silent is not None
    assert silent.peer == contact(far).peer


@pytest.mark.parametrize(
    ("host", "subnet"),
    [
        ("10.1.2.3", "4:a0102"),
        ("::ffff:10.1.2.3", "4:a0102"),
        ("2001:db8:1:2::3", "6:20010db80001"),
        ("Peer.Example", "peer.example"),
    ],
)
def test_subnets_are_24_and_48_bits(host: str, subnet: str) -> None:
    assert subnet_of(host) == subnet


@pytest.mark.parametrize(
    "wrong",
    [
        {"beta": 0},
        {"alpha": 21},
        {"fails_max": 1},
        {"record_paths": 0},
        {"siblings_max": 5},
        {"exchanges_max": 10},
        {"rto_min_us": 0},
        {"candidates_max": 20},
        {"republish_interval_us": 10**12},
    ],
)
def test_config_refuses_what_does_not_fit_together(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        DiscoveryConfig(**wrong)


def test_presets_hold_their_own_rules() -> None:
    for preset in (DiscoveryConfig.for_lan, DiscoveryConfig.for_internet):
        assert preset().k == 20
    assert DiscoveryConfig.for_simulation().passers_max < CONFIG.passers_max
