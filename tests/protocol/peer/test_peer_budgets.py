"""Budgets: what a peer, its organisation and its subnet may cost, and how faults are paid for."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hive.protocol import events as ev
from hive.protocol import refusals
from hive.protocol.budget import FULL_HEALTH, BudgetConfig, Budgets, Lack
from hive.protocol.messages import WantRecords
from hive.protocol.peer_config import PeerConfig
from hive.wire.clock import SECOND_US, MonotonicUs
from hive.wire.ids import Inception, PeerId
from tests.protocol.peer.peer_federation import found
from tests.protocol.peer.peer_world import Node, World

ACME, BELL = Inception(b"a" * 32), Inception(b"b" * 32)
POOR = BudgetConfig(
    bytes_per_second=1_000,
    verifications_per_second=10,
    requests_per_second=5,
    served_bytes_per_second=1_000,
    burst_seconds=1,
    org_multiple=2,
    subnet_multiple=3,
)


def peer(number: int) -> PeerId:
    return PeerId(number.to_bytes(20, "big"))


def at(seconds: float) -> MonotonicUs:
    return MonotonicUs(int(seconds * SECOND_US))


def paid(budgets: Budgets, who: PeerId, now: MonotonicUs, count: int = 100) -> int:
    """How many costs of 100 bytes are paid out of so many."""
    return sum(budgets.pay(who, 100, 0, now) is None for _ in range(count))


def test_each_kind_of_token_bounds_its_kind_and_refills_with_time() -> None:
    for cost, most in (((100, 0, 0), 10), ((0, 1, 0), 10), ((0, 0, 1), 5)):
        budgets = Budgets(POOR)
        size, checks, asks = cost
        taken = [budgets.pay(peer(1), size, checks, at(1), requests=asks) for _ in range(50)]
        assert taken.count(None) == most
        assert set(taken) == {None, Lack.OVER_BUDGET}
        assert budgets.pay(peer(1), size, checks, at(60), requests=asks) is None


def test_many_peers_of_one_organisation_cost_no_more_than_its_share() -> None:
    budgets = Budgets(POOR)
    for number in range(20):
        budgets.place(peer(number), ACME, f"10.0.{number}.0/24", at(1))
    budgets.place(peer(99), BELL, "10.1.0.0/24", at(1))
    total = sum(paid(budgets, peer(number), at(1), 10) for number in range(20))
    assert total == 10 * POOR.org_multiple
    assert budgets.pay(peer(19), 100, 0, at(1)) is Lack.CROWDED
    assert budgets.health(peer(19)) == FULL_HEALTH
    assert paid(budgets, peer(99), at(1)) == 10


def test_many_organisations_in_one_subnet_cost_no_more_than_its_share() -> None:
    budgets = Budgets(POOR)
    for number in range(20):
        org = Inception(number.to_bytes(32, "big"))
        budgets.place(peer(number), org, "10.0.0.0/24", at(1))
    total = sum(paid(budgets, peer(number), at(1), 10) for number in range(20))
    assert total == 10 * POOR.subnet_multiple


def test_answers_are_paid_by_their_bytes_and_debt_makes_asks_wait() -> None:
    budgets = Budgets(POOR)
    assert budgets.pay(peer(1), 10, 1, at(1), requests=1) is None
    budgets.served(peer(1), 5_000, at(1))
    assert budgets.pay(peer(1), 10, 1, at(2), requests=1) is Lack.OVER_BUDGET
    assert budgets.pay(peer(1), 10, 1, at(2)) is None
    assert budgets.pay(peer(1), 10, 1, at(7), requests=1) is None


def test_faults_shun_a_peer_for_a_while_and_time_forgives() -> None:
    budgets = Budgets(BudgetConfig())
    for _ in range(30):
        budgets.blame(peer(1), at(1))
    assert budgets.newly_shunned() == [peer(1)]
    assert budgets.newly_shunned() == []
    assert budgets.is_shunned(peer(1), at(2))
    assert budgets.pay(peer(1), 1, 0, at(2)) is Lack.SHUNNED
    assert budgets.pay(peer(1), 1, 0, at(32)) is None
    assert budgets.health(peer(1)) < 500
    assert budgets.pay(peer(1), 1, 0, at(300)) is None
    assert budgets.health(peer(1)) == FULL_HEALTH


def test_one_bad_peer_does_not_starve_its_organisation_or_subnet() -> None:
    budgets = Budgets(BudgetConfig())
    for number in (1, 2):
        budgets.place(peer(number), ACME, "10.0.0.0/24", at(1))
    for second in range(1, 1_000):
        budgets.blame(peer(1), at(second))
    assert budgets.pay(peer(2), 1 << 20, 1_000, at(1_000)) is None
    assert budgets.health(peer(2)) == FULL_HEALTH


def test_who_returns_after_being_dropped_from_memory_was_in_full_health() -> None:
    budgets = Budgets(BudgetConfig(peer_count_max=8))
    for _ in range(30):
        budgets.blame(peer(0), at(1))
    for number in range(1, 100):
        budgets.place(peer(number), ACME, f"10.0.{number}.0/24", at(2))
    assert budgets.is_shunned(peer(0), at(3))
    assert budgets.account_count <= 8 + 1 + 8


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 30),
            st.sampled_from(["pay", "blame", "served", "place"]),
            st.integers(0, 3_000),
            st.integers(0, 2_000_000),
        ),
        max_size=80,
    )
)
def test_no_history_of_costs_gives_more_than_burst_and_refill(
    history: list[tuple[int, str, int, int]],
) -> None:
    budgets = Budgets(BudgetConfig(peer_count_max=64, **_without_presets()))
    now, spent = 0, 0
    for number, act, amount, pause_us in history:
        now += pause_us
        moment = MonotonicUs(now)
        match act:
            case "pay":
                if budgets.pay(peer(number), amount, 0, moment) is None and number == 0:
                    spent += amount
            case "blame":
                budgets.blame(peer(number), moment)
            case "served":
                budgets.served(peer(number), amount, moment)
            case _:
                org = ACME if number % 2 else BELL
                budgets.place(peer(number), org, f"10.0.{number % 5}.0/24", moment)
        assert 0 < budgets.health(peer(number)) <= FULL_HEALTH
    assert spent <= 1_000 + 1_000 * now // SECOND_US + 1
    assert budgets.account_count <= 31 + 2 + 5


def _without_presets() -> dict[str, int]:
    return {"bytes_per_second": 1_000, "burst_seconds": 1, "org_multiple": 2}


# Whole peers.


def pair(config: PeerConfig | None = None) -> tuple[World, Node, Node]:
    world = World(found("acme", "bell", threshold=1))
    one = world.add("acme", "one", config=config)
    other = world.add("bell", "other")
    world.join_all(one, other)
    world.run(5)
    return world, one, other


def test_who_sends_junk_loses_its_stream_and_is_let_in_again_later() -> None:
    world, one, other = pair()
    mine, theirs = one.peer.core.own.peer, other.peer.core.own.peer
    assert theirs in one.peer.core.connected
    for _ in range(40):
        world._put(0, mine, ev.FrameReceived(theirs, b"\x92\xa7records\xc0"))
    world.run(1)
    assert theirs not in one.peer.core.connected
    codes = [n.refusal.reason for n in one.news if isinstance(n, ev.RefusedNews)]
    assert refusals.SHUNNED in codes
    world.run(10)
    assert theirs not in one.peer.core.connected
    world.run(40)
    assert theirs in one.peer.core.connected


def test_who_is_shunned_is_still_a_member_and_is_served_nothing() -> None:
    world, one, other = pair()
    mine, theirs = one.peer.core.own.peer, other.peer.core.own.peer
    for _ in range(40):
        one.peer.core.budgets.blame(theirs, world.now(one).monotonic_us)
    ask = ev.DatagramOpened(theirs, ev.INTRODUCTION_WANTED, b"")
    assert not any(isinstance(e, ev.SendDatagram) for e in one.peer.handle(ask, world.now(one)))
    world.run(15)
    standing = {member.peer: member.standing.name for member in one.peer.hierarchy.cell.view}
    assert standing[theirs] == "ALIVE"
    assert mine in {member.peer for member in other.peer.hierarchy.cell.view}


def test_datagrams_that_do_not_decode_cost_their_sender() -> None:
    world, one, other = pair()
    theirs = other.peer.core.own.peer
    for kind in (ev.MEMBERSHIP, ev.DISCOVERY):
        before = one.peer.core.budgets.health(theirs)
        one.peer.handle(ev.DatagramOpened(theirs, kind, b"\xc1junk"), world.now(one))
        assert one.peer.core.budgets.health(theirs) < before


def test_a_peer_that_draws_answers_without_end_is_asked_to_wait() -> None:
    config = PeerConfig(budget=BudgetConfig(served_bytes_per_second=2_000, burst_seconds=1))
    world, one, other = pair(config)
    theirs = other.peer.core.own.peer
    wanted = WantRecords((one.peer.core.own.record,)).to_body()
    sent = 0
    for _ in range(100):
        effects = one.peer.handle(ev.FrameReceived(theirs, wanted), world.now(one))
        sent += sum(len(e.payload) for e in effects if isinstance(e, ev.SendFrame))
    assert 0 < sent < 10_000
