"""One cell on a small network: what the machine promises under faults and lies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from membership_network import SECOND, Identity, Network, now_at

from hive.protocol.machine import Received, Send, Sign, Ticked, Verify
from hive.protocol.membership.author import Author
from hive.protocol.membership.cell import Cell
from hive.protocol.membership.config import SwimConfig
from hive.protocol.membership.events import Joined, MemberDied, PeerUnknown, SelfRefuted
from hive.protocol.membership.judge import Judge
from hive.protocol.membership.messages import (
    INCARNATION_MAX,
    Ack,
    DigestOffer,
    Gossip,
    Nack,
    Ping,
    PingRequest,
    Pull,
    Signed,
    Standing,
    message_from_untrusted,
)
from hive.protocol.membership.swim import Swim

LAN = SwimConfig.for_lan()


def cell(count: int, **settings: int) -> Network:
    network = Network(LAN, **settings)  # type: ignore[arg-type]
    network.add_converged(count)
    return network


def tell(network: Network, to: str, sender: Identity, *statements: Signed) -> None:
    network.feed(to, Received(sender.peer, Gossip(statements).to_body()))


def all_see(network: Network, of: str, standing: Standing) -> bool:
    return {*network.standings(of).values()} == {standing}


def deaths(network: Network) -> int:
    return sum(
        isinstance(news, MemberDied) for node in network.nodes.values() for _, news in node.news
    )


# joining and dying


def test_a_join_through_one_seed_reaches_everybody() -> None:
    network = Network(LAN)
    for number in range(20):
        network.add(f"n{number}")
        if number:
            network.introduce("n0", f"n{number}")
            network.introduce(f"n{number}", "n0")
    network.run(15 * SECOND)
    assert len(network.roots()) == 1
    assert all(node.swim.view.live_count == 20 for node in network.nodes.values())


def test_a_killed_member_is_dead_everywhere_within_the_bound() -> None:
    network = cell(16)
    network.run(5 * SECOND)
    network.kill("n3")
    killed_at = network.now
    network.run(15 * SECOND)
    assert all_see(network, "n3", Standing.DEAD)
    assert network.deaths_of("n3")[-1] - killed_at < 9 * SECOND
    assert deaths(network) == 15


def test_on_loopback_a_killed_process_of_six_is_dead_within_six_seconds() -> None:
    network = cell(6, latency_us=(50, 300))
    network.run(5 * SECOND)
    for name in ("n1", "n4"):
        network.kill(name)
        killed_at = network.now
        network.run(10 * SECOND)
        assert 2 * SECOND < network.deaths_of(name)[-1] - killed_at < 6 * SECOND


def test_a_member_that_leaves_is_never_declared_dead() -> None:
    network = cell(8)
    network.leave("n2")
    network.run(3 * SECOND)
    network.kill("n2")
    network.run(20 * SECOND)
    assert all_see(network, "n2", Standing.LEFT)
    assert deaths(network) == 0


def test_a_restart_with_a_newer_incarnation_comes_back_to_life() -> None:
    network = cell(8)
    network.kill("n2")
    network.run(15 * SECOND)
    network.restart("n2", 1 << 32)
    network.introduce("n0", "n2")
    network.run(10 * SECOND)
    assert all_see(network, "n2", Standing.ALIVE)
    assert len(network.roots()) == 1


def test_a_restart_that_forgot_its_incarnation_overtakes_its_earlier_life() -> None:
    network = cell(8)
    network.run(2 * SECOND)
    liar = network.nodes["n1"].identity
    tell(network, "n0", liar, liar.says(network.nodes["n2"].identity.peer, Standing.SUSPECT, 1))
    network.run(3 * SECOND)
    network.restart("n2", 1)
    network.introduce("n0", "n2")
    network.run(20 * SECOND)
    assert network.nodes["n2"].swim.incarnation > 2
    assert all_see(network, "n2", Standing.ALIVE)


def test_the_dead_are_reaped_after_their_time() -> None:
    network = Network(SwimConfig(reap_after_us=20 * SECOND))
    network.add_converged(5)
    network.kill("n1")
    network.run(60 * SECOND)
    assert all_see(network, "n1", None)  # type: ignore[arg-type]
    assert len(network.roots()) == 1


# accusations


def test_a_false_accusation_is_refuted_everywhere() -> None:
    network = cell(12)
    liar, victim = network.nodes["n1"].identity, network.nodes["n2"].identity
    for name in ("n0", "n5", "n7"):
        tell(network, name, liar, liar.says(victim.peer, Standing.SUSPECT, 1))
    network.run(10 * SECOND)
    assert all_see(network, "n2", Standing.ALIVE)
    assert network.nodes["n2"].swim.incarnation == 2
    assert deaths(network) == 0


def test_stale_suspicion_does_not_override_newer_incarnation() -> None:
    network = cell(6)
    liar, victim = network.nodes["n1"].identity, network.nodes["n2"].identity
    tell(network, "n0", victim, victim.says(victim.peer, Standing.ALIVE, 5))
    tell(network, "n0", liar, liar.says(victim.peer, Standing.SUSPECT, 1))
    assert network.standing("n2", "n0") == Standing.ALIVE


def test_an_accusation_at_an_incarnation_that_the_subject_never_signed_is_ignored() -> None:
    network = cell(6)
    liar, victim = network.nodes["n1"].identity, network.nodes["n2"].identity
    for standing in (Standing.SUSPECT, Standing.DEAD):
        for name in network.nodes:
            tell(network, name, liar, liar.says(victim.peer, standing, INCARNATION_MAX))
    network.run(10 * SECOND)
    assert all_see(network, "n2", Standing.ALIVE)
    assert network.nodes["n2"].swim.incarnation == 1
    assert network.nodes["n0"].swim.tally.unproven_accusations > 0


def test_nobody_speaks_for_another() -> None:
    network = cell(4)
    liar, victim = network.nodes["n1"].identity, network.nodes["n2"].identity
    true = liar.says(victim.peer, Standing.SUSPECT, 1)
    other = network.nodes["n3"].identity.peer
    tell(network, "n0", liar, liar.says(victim.peer, Standing.ALIVE, 9))
    tell(network, "n0", liar, liar.says(victim.peer, Standing.LEFT, 9))
    tell(network, "n0", liar, Signed(other, true.subject, 1, 1, true.signature))
    tell(network, "n0", liar, Signed(victim.peer, victim.peer, 0, 9, true.signature))
    assert network.standing("n2", "n0") == Standing.ALIVE
    assert network.nodes["n0"].swim.incarnation == 1
    assert network.nodes["n0"].swim.tally.bad_signatures == 2


def test_a_dead_statement_of_another_only_confirms() -> None:
    network = cell(12)
    liar, victim = network.nodes["n1"].identity, network.nodes["n2"].identity
    tell(network, "n0", liar, liar.says(victim.peer, Standing.DEAD, 1))
    assert network.standing("n2", "n0") == Standing.SUSPECT
    network.run(5 * SECOND)
    assert all_see(network, "n2", Standing.ALIVE)


def test_an_accuser_beyond_its_budget_is_not_heard() -> None:
    network = cell(40)
    liar = network.nodes["n1"].identity
    victims = [node.identity.peer for node in network.nodes.values() if node.identity != liar]
    for peer in victims[1:]:
        tell(network, "n0", liar, liar.says(peer, Standing.SUSPECT, 1))
    suspects = network.nodes["n0"].swim.view.in_standing(Standing.SUSPECT)
    assert len(suspects) == LAN.accusations_burst
    network.run(10 * SECOND)
    assert deaths(network) == 0


def test_liars_together_cannot_kill_whoever_can_answer() -> None:
    network = cell(20, loss_per_mille=20)
    liars = [network.nodes[f"n{number}"].identity for number in (1, 2)]
    victim = network.nodes["n9"].identity
    for _ in range(10):
        for liar in liars:
            incarnation = network.nodes["n9"].swim.incarnation
            for name in network.nodes:
                tell(network, name, liar, liar.says(victim.peer, Standing.SUSPECT, incarnation))
        network.run(3 * SECOND)
    assert deaths(network) == 0


@pytest.mark.parametrize(("orgs", "seconds"), [(1, 3), (6, 9)])
def test_one_org_brings_a_suspicion_to_its_shortest_only_where_it_is_alone(
    orgs: int, seconds: int
) -> None:
    """Four accusers: all count in a cell of one org; of six orgs, one of one (C = 0)."""
    network = Network(SwimConfig.for_internet())
    network.add_converged(24, orgs=orgs)
    node, victim = network.nodes["n1"], network.nodes["n3"].identity
    cell = Cell(network.config, node.identity.introduction, b"seed", 1, node.swim.view)
    judge = Judge(cell, Author(cell))
    accusers = [network.nodes[f"n{number}"].identity for number in (0, 6, 12, 18)]
    lies = tuple(accuser.says(victim.peer, Standing.SUSPECT, 1) for accuser in accusers)
    judge.receive(accusers[0].peer, lies)
    (verify,) = cell.take_outbox()
    assert isinstance(verify, Verify)
    judge.verified(verify.token, (True,) * 4)
    assert cell.suspicions.deadline == seconds * SECOND - network.config.ping_timeout_us


# faults of the network


def test_a_healed_partition_becomes_one_view_again() -> None:
    network = cell(12)
    names = list(network.nodes)
    network.partition(names[:6], names[6:])
    network.run(30 * SECOND)
    assert network.nodes["n0"].swim.view.live_count == 6
    network.heal()
    network.run(60 * SECOND)
    assert len(network.roots()) == 1
    assert all(node.swim.view.live_count == 12 for node in network.nodes.values())


def test_a_cut_link_between_two_is_bridged_by_helpers() -> None:
    network = cell(8)
    network.partition(["n1"], ["n2"])
    network.run(60 * SECOND)
    assert deaths(network) == 0
    assert all_see(network, "n2", Standing.ALIVE)


def test_five_percent_loss_kills_nobody_in_ten_minutes() -> None:
    network = cell(32, loss_per_mille=50)
    network.run(600 * SECOND)
    assert deaths(network) == 0


def test_a_node_that_wakes_late_blames_itself() -> None:
    network = cell(4)
    network.run(3 * SECOND)
    swim = network.nodes["n0"].swim
    others = [node.identity.peer for node in network.nodes.values()]
    effects = swim.handle(Ticked(), now_at(network.now + 600 * SECOND))
    assert not any(isinstance(effect, Sign | MemberDied) for effect in effects)
    assert swim.tally.stalls == 1
    assert swim.health_score > 0
    assert all(swim.view.get(peer) is not None for peer in others)


# the machine alone


def lone(*known: Identity) -> Swim:
    own = Identity.named("own")
    swim = Swim(LAN, own.introduction, seed=b"seed")
    swim.handle(Ticked(), now_at(0))
    for identity in known:
        swim.handle(Joined(identity.introduction), now_at(0))
    return swim


def test_answers_go_to_the_authenticated_sender_only() -> None:
    asker, subject = Identity.named("asker"), Identity.named("subject")
    swim = lone(asker, subject)
    for message in (Ping(1, 0, ()), PingRequest(2, subject.peer), DigestOffer(bytes(32))):
        effects = swim.handle(Received(asker.peer, message.to_body()), now_at(1))
        for effect in effects:
            if isinstance(effect, Send):
                expected = subject if isinstance(message, PingRequest) else asker
                assert effect.receiver == expected.peer


def test_a_helper_answers_the_requester_and_believes_only_the_subject() -> None:
    asker, subject, other = (Identity.named(name) for name in ("asker", "subject", "other"))
    swim = lone(asker, subject, other)
    request = PingRequest(77, subject.peer).to_body()
    (ping,) = swim.handle(Received(asker.peer, request), now_at(1))
    assert isinstance(ping, Send)
    sequence = message_from_untrusted(ping.payload).sequence  # type: ignore[union-attr]
    answer = Ack(sequence, subject.peer, 0, ()).to_body()
    assert swim.handle(Received(other.peer, answer), now_at(2)) == ()
    (passed,) = swim.handle(Received(subject.peer, answer), now_at(3))
    assert isinstance(passed, Send)
    assert passed.receiver == asker.peer
    assert message_from_untrusted(passed.payload) == Ack(77, subject.peer, 0, ())


def test_a_helper_that_hears_nothing_nacks() -> None:
    asker, subject = Identity.named("asker"), Identity.named("subject")
    swim = lone(asker, subject)
    swim.handle(Received(asker.peer, PingRequest(77, subject.peer).to_body()), now_at(1))
    effects = swim.handle(Ticked(), now_at(LAN.nack_timeout_us + 1))
    nack = Send(asker.peer, Nack(77, subject.peer, ()).to_body())
    assert nack in effects


def test_strangers_are_reported_once_and_never_believed() -> None:
    swim, known = lone(Identity.named("known")), Identity.named("known")
    stranger = Identity.named("stranger")
    about = Gossip((stranger.says(stranger.peer, Standing.ALIVE, 1),)).to_body()
    assert swim.handle(Received(known.peer, about), now_at(1)) == (
        PeerUnknown(stranger.peer, known.peer),
    )
    assert swim.handle(Received(known.peer, about), now_at(2)) == ()
    verify, *_ = swim.handle(Joined(stranger.introduction), now_at(3))
    assert isinstance(verify, Verify), "what was remembered is verified on introduction"


def test_a_tick_too_early_does_nothing() -> None:
    swim = lone(Identity.named("other"))
    assert swim.deadline is not None
    assert swim.handle(Ticked(), now_at(swim.deadline - 1)) == ()


def test_a_full_cell_refuses_further_members() -> None:
    own = Identity.named("own")
    swim = Swim(SwimConfig(members_max=3), own.introduction, seed=b"seed")
    for number in range(5):
        swim.handle(Joined(Identity.named(f"p{number}").introduction), now_at(0))
    assert len(swim.view) == 3
    assert swim.tally.over_capacity == 3


def test_accusations_signed_ahead_cause_one_refutation() -> None:
    network = cell(4)
    liar, victim = network.nodes["n1"].identity, network.nodes["n2"].identity
    ahead = [liar.says(victim.peer, Standing.SUSPECT, number) for number in range(1, 8)]
    tell(network, "n2", liar, *ahead)
    assert network.nodes["n2"].swim.incarnation == 2


def test_pending_verifications_are_bounded() -> None:
    own, known = Identity.named("own"), Identity.named("known")
    swim = Swim(SwimConfig(verifications_max=4), own.introduction, seed=b"seed")
    swim.handle(Joined(known.introduction), now_at(0))
    verifies = 0
    for incarnation in range(1, 20):
        body = Gossip((known.says(known.peer, Standing.ALIVE, incarnation),)).to_body()
        effects = swim.handle(Received(known.peer, body), now_at(1))
        verifies += sum(isinstance(effect, Verify) for effect in effects)
    assert verifies == 4


_PEERS = [Identity.named("known"), Identity.named("own"), Identity.named("stranger")]
_PEER = st.sampled_from([identity.peer for identity in _PEERS])
_SIGNED = st.builds(
    Signed,
    _PEER,
    _PEER,
    st.integers(0, 3),
    st.integers(1, INCARNATION_MAX),
    st.binary(min_size=64, max_size=64),
)
_MESSAGES = st.one_of(
    st.builds(Gossip, st.lists(_SIGNED, max_size=7).map(tuple)),
    st.builds(Ping, st.integers(0, 9), st.integers(0, 9), st.lists(_SIGNED, max_size=3).map(tuple)),
    st.builds(Ack, st.integers(0, 9), _PEER, st.integers(0, 9), st.just(())),
    st.builds(Nack, st.integers(0, 9), _PEER, st.lists(_SIGNED, max_size=1).map(tuple)),
    st.builds(PingRequest, st.integers(0, 9), _PEER),
    st.builds(Pull, st.lists(_PEER, max_size=40).map(tuple)),
).map(lambda message: message.to_body())


@given(st.lists(st.tuples(_PEER, st.one_of(_MESSAGES, st.binary(max_size=64))), max_size=25))
@settings(max_examples=60, deadline=None)
def test_hostile_payloads_never_raise_and_change_nothing(
    hostile: list[tuple[bytes, bytes]],
) -> None:
    swim = lone(_PEERS[0])
    for number, (sender, payload) in enumerate(hostile):
        swim.handle(Received(sender, payload), now_at(number))  # type: ignore[arg-type]
    assert len(swim.view) == 2
    assert swim.incarnation == 1


# one seed, one history


def _trace() -> str:
    network = Network(LAN, loss_per_mille=50)
    network.add_converged(10)
    network.kill("n3")
    network.run(20 * SECOND)
    network.restart("n3", 1 << 32)
    network.introduce("n0", "n3")
    network.leave("n4")
    network.run(10 * SECOND)
    return network.trace()


def test_two_runs_under_one_seed_give_the_same_trace() -> None:
    assert _trace() == _trace()


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_trace_does_not_depend_on_the_hash_seed(hash_seed: str) -> None:
    here = Path(__file__).parent
    code = "import test_membership_swim as t; print(t._trace())"
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(here)}
    came = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert came.stdout.strip() == _trace()


def test_refutation_is_news() -> None:
    network = cell(4)
    liar, victim = network.nodes["n1"].identity, network.nodes["n2"].identity
    tell(network, "n2", liar, liar.says(victim.peer, Standing.SUSPECT, 1))
    assert SelfRefuted(2) in [news for _, news in network.nodes["n2"].news]
