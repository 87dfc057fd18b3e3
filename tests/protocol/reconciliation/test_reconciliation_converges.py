"""P9: whatever each replica missed, after reconciliation their digests are equal."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reconciliation_world import (
    START_US,
    Replica,
    World,
    agreements,
    chain_of,
    forget,
    memory,
    peer,
    pen_of,
    reconciled,
)

from hive.memory.delta import Delta
from hive.memory.log import State, head_after
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.events import PeerConnected, ReconcileRequested
from hive.wire.clock import HOUR_US, SECOND_US
from hive.wire.randomness import Stream

SMALL = ReconciliationConfig(
    slots_from_heads=2,
    heads_page=8,
    heads_listed_max=3,
    ask_deltas_max=5,
    ask_deltas_first=5,
    descend_from=2,
    window_elements=8,
    slice_lines=16,
    fork_window=4,
)
LARGE = ReconciliationConfig()
NAMESPACES = ("acme/notes", "acme/plans")


def pair_of(config: ReconciliationConfig = LARGE) -> tuple[World, Replica, Replica]:
    one, two = Replica(peer(1), config=config), Replica(peer(2), config=config)
    return World(one, two), one, two


def assert_equal(*replicas: Replica) -> None:
    assert len({replica.digest() for replica in replicas}) == 1
    for replica in replicas:
        assert agreements(replica)


def chains(count: int, length: int) -> list[list[Delta]]:
    """Chains in two namespaces, hours apart, so that several time buckets are in play."""
    return [
        chain_of(
            pen_of(number, NAMESPACES[number % 2]),
            [memory(f"{number}/{position}") for position in range(length)],
            wall_us=START_US + number * HOUR_US,
        )
        for number in range(count)
    ]


SIX_CHAINS = chains(6, 12)
Shares = Sequence[Sequence[int]]


@settings(max_examples=60, deadline=None)
@given(
    shares=st.lists(st.lists(st.integers(0, 12), min_size=6, max_size=6), min_size=3, max_size=3),
    is_small=st.booleans(),
)
def test_three_replicas_with_any_prefixes_of_all_chains_become_equal(
    shares: Shares, is_small: bool
) -> None:
    config = SMALL if is_small else LARGE
    replicas = [Replica(peer(number), config=config) for number in (1, 2, 3)]
    world = World(*replicas)
    for replica, share in zip(replicas, shares, strict=True):
        for chain, length in zip(SIX_CHAINS, share, strict=True):
            world.give(replica, chain[:length])
    world.connect()
    world.run(60 * SECOND_US)
    assert_equal(*replicas)
    longest = [max(lengths) for lengths in zip(*shares, strict=True)]
    held = sum(head.sequence for name in NAMESPACES for head in replicas[0].store.heads(name))
    assert held == sum(longest)


@settings(max_examples=40, deadline=None)
@given(
    forgotten=st.lists(st.integers(0, 23), max_size=6, unique=True),
    bodiless=st.lists(st.integers(0, 23), max_size=8, unique=True),
    void=st.lists(st.integers(0, 23), max_size=4, unique=True),
    is_small=st.booleans(),
)
def test_forgotten_void_and_missing_bodies_converge(
    forgotten: list[int], bodiless: list[int], void: list[int], is_small: bool
) -> None:
    world, one, two = pair_of(SMALL if is_small else LARGE)
    deltas = [delta for chain in chains(4, 12)[::2] for delta in chain]
    for number, delta in enumerate(deltas):
        world.give(one, [delta])
        state = State.VOID if number in void else State.LIVE
        world.give(two, [delta], state=state, body=number not in bodiless)
    targets = [deltas[number].id for number in forgotten]
    if targets:
        late = START_US + 9 * HOUR_US
        world.give(two, chain_of(pen_of(9), [forget(*targets)], wall_us=late))
    world.connect()
    world.run(200 * SECOND_US)
    assert_equal(one, two)
    assert not two.store.missing_bodies(100)
    for target in targets:
        for replica in (one, two):
            held = replica.store.delta(target)
            assert held is not None
            assert held.state is State.FORGOTTEN


def test_two_hundred_chains_go_through_slots() -> None:
    world, one, two = pair_of()
    for number in range(200):
        chain = chain_of(pen_of(number), [memory(f"{number}/{i}") for i in range(3)])
        world.give(one, chain[: 1 + number % 3])
        world.give(two, chain[: 3 - number % 3])
    world.connect()
    world.run(10 * SECOND_US)
    assert_equal(one, two)
    assert any(send.payload[2:10] == b"rc-slots" for _, send in world.sent)


def test_a_long_chain_arrives_in_asks_that_wait_for_ingress() -> None:
    world, one, two = pair_of(SMALL)
    world.give(one, chain_of(pen_of(1), [memory(str(number)) for number in range(64)]))
    world.connect()
    world.run(10 * SECOND_US)
    assert_equal(one, two)
    asks = [send for _, send in world.sent if send.payload[2:16] == b"rc-want-chains"]
    assert len(asks) == 13


def test_a_state_that_heads_cannot_show_is_found_by_buckets() -> None:
    """The forget is held by both, but one of them misses its body and could not obey it."""
    world, one, two = pair_of()
    chain = chain_of(pen_of(1), [memory(str(number)) for number in range(20)])
    last = chain_of(pen_of(1), [forget(chain[3].id)], head=head_after(chain[-1]))
    world.give(one, chain + last)
    world.give(two, chain)
    world.give(two, last, body=False)
    assert one.digest() != two.digest()
    world.reconcile(two, one)
    world.connect()
    world.run(5 * SECOND_US)
    assert_equal(one, two)
    held = two.store.delta(chain[3].id)
    assert held is not None
    assert held.state is State.FORGOTTEN


def test_void_here_and_live_there_is_found_by_buckets() -> None:
    world, one, two = pair_of(SMALL)
    chain = chain_of(pen_of(1), [memory(str(number)) for number in range(20)])
    world.give(one, chain)
    world.give(two, chain[:7])
    world.give(two, chain[7:8], state=State.VOID, body=False)
    world.give(two, chain[8:])
    world.connect()
    world.run(5 * SECOND_US)
    assert_equal(one, two)
    assert any(send.payload[2:8] == b"rc-ids" for _, send in world.sent)


def test_more_namespaces_than_a_page_of_roots_are_all_compared() -> None:
    world, one, two = pair_of(ReconciliationConfig(session_namespaces_max=100))
    for number in range(300):
        world.give(one, chain_of(pen_of(1, f"acme/n{number}"), [memory("x")]))
    world.give(two, chain_of(pen_of(1, "acme/zebra"), [memory("x")]))
    world.connect()
    world.run(60 * SECOND_US)
    assert_equal(one, two)
    assert len(two.store.namespaces()) == 301


def test_news_say_what_went_over() -> None:
    world, one, two = pair_of()
    chain = chain_of(pen_of(1), [memory(str(number)) for number in range(10)])
    other = chain_of(pen_of(2), [memory(str(number)) for number in range(4)])
    world.give(one, chain)
    world.give(two, chain[:3] + other)
    world.connect()
    world.run(10 * SECOND_US)
    assert sum(news.ids_received for news in reconciled(two)) == 7
    assert sum(news.ids_sent for news in reconciled(two)) == 4
    assert sum(news.ids_received for news in reconciled(one)) == 4


def test_same_seed_same_bytes() -> None:
    def history() -> list[bytes]:
        world, one, two = pair_of()
        for number, chain in enumerate(SIX_CHAINS):
            world.give(one, chain[: 2 * number])
            world.give(two, chain[: 10 - number])
        world.connect()
        world.run(20 * SECOND_US)
        return [send.payload for _, send in world.sent]

    assert history() == history()


@pytest.mark.parametrize("seed", range(6))
def test_a_network_that_loses_a_fifth_of_all_messages_only_delays(seed: int) -> None:
    replicas = [Replica(peer(number), config=SMALL) for number in (1, 2, 3, 4)]
    world = World(*replicas)
    fate = Stream(bytes([seed]), "loss")
    world.loses = lambda: fate.below(5) == 0
    for number, chain in enumerate(SIX_CHAINS):
        world.give(replicas[number % 4], chain)
        world.give(replicas[(number + 1) % 4], chain[:5])
    world.connect()
    world.run(900 * SECOND_US)
    assert_equal(*replicas)


def test_a_heal_reconciles_before_the_next_round() -> None:
    world, one, two = pair_of()
    world.connect()
    world.run(SECOND_US)
    world.give(one, SIX_CHAINS[0])
    world.feed(two, ReconcileRequested(None))
    world.settle()
    assert one.digest() == two.digest()


def test_peers_that_probe_at_once_talk_once() -> None:
    """The higher salt gives way; whoever answers learns as much as who asks."""
    world, one, two = pair_of()
    world.give(one, SIX_CHAINS[0])
    world.give(two, SIX_CHAINS[1])
    for replica, other in ((one, two), (two, one)):
        world.feed(replica, PeerConnected(other.id))
    for replica in (one, two):
        world.feed(replica, ReconcileRequested(None))
    world.settle()
    assert one.digest() == two.digest()
    roots = [send for _, send in world.sent if send.payload[2:10] == b"rc-roots"]
    assert len(roots) == 1
