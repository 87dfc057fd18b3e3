"""The parts alone: queue, view, budget, health."""

from __future__ import annotations

from dataclasses import replace

from membership_network import Identity

from hive.protocol.budget import TokenBuckets
from hive.protocol.membership.gossip_queue import GossipQueue
from hive.protocol.membership.health import LocalHealth
from hive.protocol.membership.messages import Signed, Standing
from hive.protocol.membership.view import Member, View, bucket_of, bucket_range
from hive.wire.clock import MonotonicUs
from hive.wire.ids import PeerId
from hive.wire.randomness import Stream

PEERS = [PeerId(bytes([number]) * 20) for number in range(250)]

SIZE = 140


def said(author: int, subject: int, incarnation: int = 1) -> Signed:
    return Signed(PEERS[author], PEERS[subject], 1, incarnation, b"s" * 64)


def member(identity: Identity, standing: Standing = Standing.ALIVE, incarnation: int = 1) -> Member:
    proof = Signed(identity.peer, identity.peer, 0, incarnation, b"s" * 64)
    return Member(identity.introduction, standing, incarnation, proof, (), MonotonicUs(0))


def test_the_least_said_goes_first_and_the_newer_among_equals() -> None:
    queue = GossipQueue(10)
    first, second, third = said(0, 1), said(0, 2), said(0, 3)
    queue.push(first)
    queue.push(second)
    assert queue.take(1 * SIZE, 4) == [second]
    queue.push(third)
    assert queue.take(2 * SIZE, 4) == [third, first]
    assert queue.take(3 * SIZE, 4) == [first, third, second]


def test_a_statement_is_said_its_number_of_times() -> None:
    queue = GossipQueue(10)
    queue.push(said(0, 1))
    assert sum(len(queue.take(5 * SIZE, 3)) for _ in range(10)) == 3
    assert len(queue) == 0


def test_a_newer_statement_of_the_same_author_replaces_the_older() -> None:
    queue = GossipQueue(10)
    queue.push(said(0, 1, 1))
    queue.push(said(0, 1, 2))
    assert queue.take(5 * SIZE, 3) == [said(0, 1, 2)]
    queue.invalidate(PEERS[1])
    assert len(queue) == 0


def test_a_full_queue_drops_what_was_said_most() -> None:
    queue = GossipQueue(2)
    queue.push(said(0, 1))
    queue.take(1 * SIZE, 9)
    queue.push(said(0, 2))
    queue.push(said(0, 3))
    assert queue.take(5 * SIZE, 9) == [said(0, 3), said(0, 2)]


def test_views_agree_whatever_the_order_of_arrival() -> None:
    identities = [Identity.named(f"p{number}") for number in range(40)]
    one, other = View(identities[0].peer), View(identities[1].peer)
    for identity in identities:
        one.put(member(identity))
    for identity in reversed(identities):
        other.put(member(identity, incarnation=9))
        other.put(member(identity))
    assert one.root() == other.root()
    other.put(member(identities[5], Standing.SUSPECT))
    assert one.root() == other.root(), "a suspicion passes and is no difference"
    other.put(member(identities[5], Standing.DEAD))
    assert one.root() != other.root()
    one.remove(identities[5].peer)
    assert one.root() == other.root(), "the dead and the reaped are equally absent"


def test_buckets_cover_every_peer_once() -> None:
    for peer in PEERS:
        low, high = bucket_range(bucket_of(peer), bucket_of(peer))
        assert low <= peer <= high


def test_a_pick_names_only_other_live_members_without_repetition() -> None:
    identities = [Identity.named(f"p{number}") for number in range(30)]
    view = View(identities[0].peer)
    for number, identity in enumerate(identities):
        view.put(member(identity, Standing.DEAD if number % 3 == 2 else Standing.ALIVE))
    stream = Stream(b"seed", "pick")
    for count in (1, 3, 15, 40):
        picked = view.pick_live(stream, count, (identities[1].peer,))
        assert len(dict.fromkeys(picked)) == len(picked) == min(count, 18)
        assert not {identities[0].peer, identities[1].peer, identities[2].peer} & {*picked}


def test_a_budget_allows_its_burst_and_then_its_refill() -> None:
    budget: TokenBuckets[PeerId] = TokenBuckets(burst=3, refill_us=10, names_max=2)
    assert [budget.take(PEERS[1], 0) for _ in range(4)] == [True, True, True, False]
    assert [budget.take(PEERS[1], 10) for _ in range(2)] == [True, False]
    assert budget.take(PEERS[2], 10)
    assert budget.take(PEERS[3], 10), "a third peer makes room, it is not refused"


def test_health_stays_within_its_bounds_and_stretches_probes() -> None:
    health = LocalHealth(7)
    health.worsen(9)
    assert health.scaled(100) == 800
    for _ in range(9):
        health.improve()
    assert health.scaled(100) == 100


def test_a_copied_view_parts_from_its_base_at_the_first_difference_only() -> None:
    one, other = Identity.named("one"), Identity.named("other")
    alive, now = member(one), MonotonicUs(0)
    base = View.of([alive])
    copy, third = base.copy_for(other.peer), base.copy_for(other.peer)
    copy.put(replace(alive, changed_at=MonotonicUs(9)))
    assert copy.get(one.peer) is alive, "only the moment differs"
    copy.put(replace(alive, standing=Standing.DEAD))
    copy.put(Member.introduced(other.introduction, now))
    assert (copy.live_count, len(copy)) == (0, 2)
    assert (base.live_count, len(base), third.live_count, len(third)) == (1, 1, 1, 1)
    assert base.root() == third.root() != copy.root()
    third.remove(one.peer)
    assert one.peer in base
