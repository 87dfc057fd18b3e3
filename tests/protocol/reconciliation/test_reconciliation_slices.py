"""No call takes long, a clean bucket costs nothing, and ids of a closed namespace go nowhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reconciliation_world import START_US, Replica, World, chain_of, memory, peer, pen_of

from hive.memory.delta import Delta
from hive.protocol.machine import Received, Send, Ticked
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.digests import PAGE, TOP, bucket_of
from hive.protocol.reconciliation.events import Changed, PeerConnected, ReconcileRequested
from hive.protocol.reconciliation.messages import (
    Buckets,
    CodedSymbols,
    Ids,
    Message,
    Probe,
    Pull,
    WantIds,
    parse_untrusted,
)
from hive.wire.clock import HOUR_US, SECOND_US

NOTES, SECRET = "acme/notes", "acme/secret"
SMALL = ReconciliationConfig(slots_from_heads=2, heads_listed_max=1, slice_lines=64)


def hours(number: int, count: int, namespace: str = NOTES) -> list[Delta]:
    """A chain of a few minutes, hours after that of the number before."""
    drafts = [memory(f"{number}/{place}") for place in range(count)]
    return chain_of(pen_of(number, namespace), drafts, None, START_US + number * HOUR_US)


def lines_read(replica: Replica) -> int:
    return replica.machine.counters["lines_read"]


def test_the_first_scan_of_a_replica_is_cut_into_slices() -> None:
    replica = Replica(peer(1), config=SMALL)
    world = World(replica)
    for number in range(40):
        world.give(replica, hours(number, 30))
    before, most, calls = lines_read(replica), 0, 0
    world.feed(replica, PeerConnected(peer(2)))
    world.feed(replica, ReconcileRequested(peer(2)))
    while not world.sent:
        world.now_us += SMALL.slice_pause_us
        reached = lines_read(replica)
        world.feed(replica, Ticked())
        most, calls = max(most, lines_read(replica) - reached), calls + 1
    assert lines_read(replica) - before >= 1_200
    assert most <= PAGE + SMALL.slice_lines
    assert parse_untrusted(world.sent[0][1].payload)


def test_between_two_slices_a_flood_of_events_does_no_work() -> None:
    """Slices are due by time, not by how often somebody sends something."""
    config = replace(SMALL, slice_lines=8)
    replica = Replica(peer(1), config=config)
    world = World(replica)
    for number in range(12):
        world.give(replica, hours(number, 30))
    world.feed(replica, PeerConnected(peer(2)))
    world.feed(replica, ReconcileRequested(peer(2)))
    reached = lines_read(replica)
    for _ in range(100):
        world.feed(replica, Received(peer(3), b"x"))
    assert lines_read(replica) == reached


def test_a_clean_bucket_costs_no_hashing() -> None:
    one, two = Replica(peer(1)), Replica(peer(2))
    world = World(one, two)
    for number in range(40):
        deltas = hours(number, 30)
        world.give(one, deltas)
        world.give(two, deltas)
    world.connect()
    world.run(10 * SECOND_US)
    before = lines_read(one), lines_read(two)
    for _ in range(5):
        world.run(20 * SECOND_US)
        world.reconcile(one, two)
    assert (lines_read(one), lines_read(two)) == before
    stamp = hours(7, 30)[0].header.stamp
    world.feed(one, Changed(NOTES, stamp))
    world.reconcile(one, two)
    heads, leaf, overhead = 40, 30, 8
    assert 0 < lines_read(one) - before[0] <= heads + leaf + overhead


@pytest.mark.parametrize("lines", [4, 1 << 14])
def test_comparisons_cut_into_slices_find_the_same(lines: int) -> None:
    config = replace(SMALL, slice_lines=lines, window_elements=100, descend_from=8)
    one, two = Replica(peer(1), config=config), Replica(peer(2), config=config)
    world = World(one, two)
    for number in range(30):
        deltas = hours(number, 12)
        world.give(one, deltas[: 12 - number % 5])
        world.give(two, deltas[: 12 - number % 3])
    world.connect()
    world.run(60 * SECOND_US)
    assert one.digest() == two.digest()
    assert sum(head.sequence for head in one.store.heads(NOTES)) == sum(
        12 - min(number % 5, number % 3) for number in range(30)
    )


def test_no_step_names_or_serves_a_closed_namespace() -> None:
    """P7 in the second and third step: whoever may not hold it learns neither ids nor counts."""
    replica = Replica(peer(1), admissible=lambda other, namespace: namespace != SECRET)
    world = World(replica)
    secret = hours(1, 20, SECRET)
    world.give(replica, secret)
    world.give(replica, hours(2, 20))
    stranger, session = peer(9), b"s" * 8
    world.feed(replica, PeerConnected(stranger))
    top = bucket_of(secret[0].header.hlc, TOP)
    asks: tuple[Message, ...] = (
        Probe(session, b"r" * 32),
        Buckets(session, SECRET, TOP, (), (top,), (1,), b"dddd"),
        WantIds(session, SECRET, TOP, (top,)),
        Ids(session, SECRET, TOP, (top,), True, b""),
        CodedSymbols(session, SECRET, TOP, (top,), 0, bytes(12 * 64)),
        Pull(1, session, SECRET, 0, 20),
    )
    said = b""
    for ask in asks:
        effects = replica.machine.handle(Received(stranger, ask.to_body()), world.now())
        said += b"".join(each.payload for each in effects if isinstance(each, Send))
    assert SECRET.encode() not in said
    assert not any(delta.id in said or delta.header.chain in said for delta in secret)
