"""P5: two histories of one chain meet, and both sides come to hold the proof."""

from __future__ import annotations

import pytest
from reconciliation_world import Replica, World, chain_of, memory, peer, pen_of

from hive.memory.delta import Delta
from hive.memory.log import head_after
from hive.protocol.reconciliation.events import PeerConnected
from hive.wire.clock import SECOND_US


def branch(trunk: list[Delta], name: str, length: int) -> list[Delta]:
    head = head_after(trunk[-1]) if trunk else None
    return chain_of(pen_of(1), [memory(f"{name}{number}") for number in range(length)], head=head)


@pytest.mark.parametrize(("left", "right"), [(1, 1), (3, 3), (1, 9), (9, 1), (40, 20), (0, 5)])
@pytest.mark.parametrize("trunk_length", [0, 1, 7])
def test_every_fork_is_proven_at_its_first_position(
    trunk_length: int, left: int, right: int
) -> None:
    trunk = chain_of(pen_of(1), [memory(f"trunk{number}") for number in range(trunk_length)])
    one, two = Replica(peer(1)), Replica(peer(2))
    world = World(one, two)
    world.give(one, trunk + branch(trunk, "left", left))
    world.give(two, trunk + branch(trunk, "right", right))
    world.connect()
    world.run(120 * SECOND_US)
    assert one.digest() == two.digest()
    if left == 0:
        assert one.fork_proofs == two.fork_proofs == 0
        return
    for replica in (one, two):
        (kept,) = {fork.sequence for fork in replica.store.forks()}
        assert kept == trunk_length + 1
        heads = replica.store.heads("acme/notes")
        assert [head.sequence for head in heads] == ([trunk_length] if trunk_length else [])


def test_who_knows_a_fork_tells_whom_it_meets() -> None:
    """The third holds only one branch; the proof itself travels, not the other branch."""
    trunk = chain_of(pen_of(1), [memory("trunk")])
    one, two, three = (Replica(peer(number)) for number in (1, 2, 3))
    early = World(one, two)
    early.give(one, trunk + branch(trunk, "left", 2))
    early.give(two, trunk + branch(trunk, "right", 2))
    early.connect()
    early.run(10 * SECOND_US)
    late = World(one, three)
    late.now_us = early.now_us
    late.give(three, trunk + branch(trunk, "right", 5))
    late.connect()
    late.run(10 * SECOND_US)
    assert three.fork_proofs
    assert one.digest() == three.digest()


def test_a_fork_at_equal_length_shows_in_heads_without_buckets() -> None:
    trunk = chain_of(pen_of(1), [memory("trunk")])
    one, two = Replica(peer(1)), Replica(peer(2))
    world = World(one, two)
    world.give(one, trunk + branch(trunk, "left", 3))
    world.give(two, trunk + branch(trunk, "right", 3))
    world.feed(two, PeerConnected(one.id))
    world.feed(one, PeerConnected(two.id))
    world.reconcile(one, two)
    assert one.fork_proofs
    assert not any(send.payload[2:12] == b"rc-buckets" for _, send in world.sent)
