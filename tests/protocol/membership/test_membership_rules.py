"""What hive asks of SWIM and Lifeguard beyond the papers, rule by rule."""

from __future__ import annotations

import pytest
from membership_network import SECOND, Identity, Network, now_at

from hive.errors import ConfigError
from hive.protocol.machine import Received, Send, Sign, SignatureMade, Ticked, Verified, Verify
from hive.protocol.membership.author import Author
from hive.protocol.membership.cell import Cell, scope_of
from hive.protocol.membership.config import SwimConfig
from hive.protocol.membership.damping import Damping
from hive.protocol.membership.events import (
    Effect,
    Joined,
    MemberAlive,
    MemberDied,
    MemberSuspected,
)
from hive.protocol.membership.judge import Judge
from hive.protocol.membership.messages import (
    BATCH_MAX,
    Ack,
    Gossip,
    Nack,
    Ping,
    PingRequest,
    Standing,
    message_from_untrusted,
)
from hive.protocol.membership.prober import Prober
from hive.protocol.membership.swim import Swim
from hive.protocol.membership.view import Member
from hive.wire.clock import MonotonicUs

LAN = SwimConfig.for_lan()
MILLISECOND = 1_000


def cell_of(count: int, orgs: int = 1, config: SwimConfig = LAN) -> Network:
    network = Network(config)
    network.add_converged(count, orgs=orgs)
    return network


def tell(swim: Swim, sender: Identity, *statements: object, at: int = 0) -> tuple[Effect, ...]:
    body = Gossip(tuple(statements)).to_body()  # type: ignore[arg-type]
    return swim.handle(Received(sender.peer, body), now_at(at))


class Lone:
    """One machine, driven by hand, among members that only exist on paper."""

    def __init__(self, names: tuple[str, ...], config: SwimConfig = LAN, orgs: int = 1) -> None:
        self.own = Identity.named("own")
        self.others = [
            Identity.named(name, f"org{number % orgs}") for number, name in enumerate(names)
        ]
        self.swim = Swim(config, self.own.introduction, seed=b"seed")
        self.now = 0
        self.sent: list[tuple[object, object]] = []
        self.signs: list[Sign] = []
        self.news: list[object] = []
        self.feed(Ticked())
        for other in self.others:
            self.feed(Joined(other.introduction))
            self.tell(other, other.says(other.peer, Standing.ALIVE, 1))

    def feed(self, event: object) -> None:
        events = [event]
        while events:
            for effect in self.swim.handle(events.pop(0), now_at(self.now)):  # type: ignore[arg-type]
                match effect:
                    case Send(receiver, payload):
                        self.sent.append((receiver, message_from_untrusted(payload)))
                    case Verify(token, checks):
                        events.append(Verified(token, (True,) * len(checks)))
                    case Sign(token, label, digest):
                        self.signs.append(effect)
                        events.append(SignatureMade(token, self.own.signature(label, digest)))
                    case _:
                        self.news.append(effect)

    def tell(self, sender: Identity, *statements: object) -> None:
        self.feed(Received(sender.peer, Gossip(tuple(statements)).to_body()))  # type: ignore[arg-type]

    def tick_until(self, at: int) -> None:
        while (due := self.swim.deadline) is not None and due <= at:
            self.now = max(self.now, due)
            self.feed(Ticked())
        self.now = at

    def standing(self, other: Identity) -> Standing:
        member = self.swim.view.get(other.peer)
        assert member is not None
        return member.standing


# statements


def test_what_is_said_within_one_tick_is_signed_once() -> None:
    names = tuple(f"p{number}" for number in range(6))
    lone = Lone(names, SwimConfig(suspicion_floor_us=SECOND, reap_after_us=3_600 * SECOND))
    lone.tick_until(300 * MILLISECOND)
    before = len(lone.signs)
    for other in lone.others[1:]:
        lone.tell(lone.others[0], lone.others[0].says(other.peer, Standing.SUSPECT, 1))
    lone.tick_until(lone.now + 20 * SECOND)
    assert sum(isinstance(news, MemberDied) for news in lone.news) >= 5
    told = [m for _, m in lone.sent if isinstance(m, Gossip)]
    batched = {s for message in told for s in message.statements if s.count > 1}
    assert len({s.subject for s in batched}) >= 3, "deaths of one moment"
    assert len({s.signature for s in batched}) <= 2
    assert len(lone.signs) - before < 20 * SECOND // LAN.gossip_interval_us


def test_every_statement_of_a_batch_counts_alone_and_costs_one_verification() -> None:
    lone = Lone(tuple(f"p{number}" for number in range(9)))
    accuser, *victims = lone.others
    batch = accuser.say(*((victim.peer, Standing.SUSPECT, 1) for victim in victims[:BATCH_MAX]))
    effects = tell(lone.swim, accuser, batch[3])
    (verify,) = [effect for effect in effects if isinstance(effect, Verify)]
    lone.swim.handle(Verified(verify.token, (True,)), now_at(0))
    assert lone.standing(victims[3]) == Standing.SUSPECT
    effects = tell(lone.swim, accuser, batch[5])
    assert not any(isinstance(effect, Verify) for effect in effects), "the root is known"
    assert lone.standing(victims[5]) == Standing.SUSPECT
    assert lone.standing(victims[4]) == Standing.ALIVE


def test_a_path_of_another_batch_is_a_bad_signature() -> None:
    lone = Lone(("p0", "p1", "p2"))
    accuser, one, other = lone.others
    first, _ = accuser.say((one.peer, Standing.SUSPECT, 1), (other.peer, Standing.SUSPECT, 1))
    alone = accuser.says(one.peer, Standing.SUSPECT, 1)
    twisted = type(first)(*alone.to_plain()[:5], 0, 2, ())
    tell(lone.swim, accuser, twisted)
    assert lone.swim.tally.bad_signatures == 1
    assert lone.standing(one) == Standing.ALIVE


def test_a_statement_of_one_group_counts_in_no_other() -> None:
    network = Network(LAN)
    network.add_converged(3)
    teller, victim = network.nodes["n1"].identity, network.nodes["n2"].identity
    swim = network.nodes["n0"].swim
    elsewhere = victim.says(victim.peer, Standing.LEFT, 1, scope="cell/eu/a/1")
    network.feed("n0", Received(teller.peer, Gossip((elsewhere,)).to_body()))
    assert network.standing("n2", "n0") == Standing.ALIVE
    assert swim.tally.bad_signatures == 1
    assert scope_of("cell/eu/a/1") != scope_of("cell/eu/a/2")


def test_an_incarnation_has_64_bits_and_its_highest_is_never_wrapped() -> None:
    network = cell_of(4)
    liar, victim = network.nodes["n1"].identity, network.nodes["n2"].identity
    lie = liar.says(victim.peer, Standing.SUSPECT, 2**64 - 1)
    for name in network.nodes:
        network.feed(name, Received(liar.peer, Gossip((lie,)).to_body()))
    network.run(20 * SECOND)
    assert network.nodes["n2"].swim.incarnation == 1
    assert {*network.standings("n2").values()} == {Standing.ALIVE}


def test_the_life_after_a_restart_outranks_every_refutation_of_the_life_before() -> None:
    """A boot counter above, 2^20 refutations below."""
    earlier, later = 7 << 20, 8 << 20
    assert earlier + (1 << 20) - 1 < later


# accusations


def probed(lone: Lone) -> object:
    """Ticks until the machine pings somebody for the third time; who that is."""
    lone.tick_until(lone.now + 600 * MILLISECOND)
    pings = [receiver for receiver, message in lone.sent if isinstance(message, Ping)]
    return pings[-1]


def test_signed_nacks_confirm_a_suspicion_at_its_start() -> None:
    lone = Lone(tuple(f"p{number}" for number in range(8)), orgs=4)
    lone.sent.clear()
    while not any(isinstance(message, PingRequest) for _, message in lone.sent):
        due = lone.swim.deadline
        assert due is not None
        lone.tick_until(due)
    asked = [(r, m) for r, m in lone.sent if isinstance(m, PingRequest)]
    by_peer = {other.peer: other for other in lone.others}
    subject = by_peer[asked[0][1].subject]
    started = lone.now
    for receiver, request in asked:
        helper = by_peer[receiver]  # type: ignore[index]
        said = helper.says(subject.peer, Standing.SUSPECT, 1)
        lone.feed(Received(helper.peer, Nack(request.sequence, subject.peer, (said,)).to_body()))
    lone.tick_until(started + 10 * MILLISECOND)
    suspected = [news for news in lone.news if isinstance(news, MemberSuspected)]
    assert [news.peer for news in suspected] == [subject.peer], "all nacked: no need to wait"
    for at in range(0, 2_700, 100):
        lone.tick_until(started + at * MILLISECOND)
    assert lone.standing(subject) == Standing.DEAD


def test_who_hears_others_but_neither_ack_nor_nack_accuses_nobody() -> None:
    lone = Lone(tuple(f"p{number}" for number in range(6)))
    chatty = lone.others[0]
    for at in range(0, 10_000, 100):
        lone.tick_until(at * MILLISECOND)
        lone.feed(Received(chatty.peer, Ping(at, 1, ()).to_body()))
    assert not any(isinstance(news, MemberSuspected) for news in lone.news)
    assert lone.swim.health_score >= LAN.health_max - 1


def test_the_last_one_left_declares_the_others_dead() -> None:
    network = cell_of(6)
    for name in ("n1", "n2", "n3", "n4", "n5"):
        network.kill(name)
    network.run(120 * SECOND)
    assert network.nodes["n0"].swim.view.live_count == 1


def test_helpers_are_of_distinct_organisations() -> None:
    network = cell_of(60, orgs=6)
    swim = network.nodes["n0"].swim
    cell = Cell(LAN, network.nodes["n0"].identity.introduction, b"s", 1, swim.view)
    prober = Prober(cell, Judge(cell, Author(cell)), Author(cell))
    orgs_of = {n.identity.peer: n.identity.introduction.org for n in network.nodes.values()}
    for node in network.nodes.values():
        helpers = prober._pick_helpers(node.identity.peer)
        assert len({orgs_of[helper] for helper in helpers}) == len(helpers) == LAN.helpers


def test_the_accused_hears_of_it_first_from_whomever_it_meets() -> None:
    lone = Lone(("p0", "p1", "p2", "p3"))
    lie = lone.others[0].says(lone.others[1].peer, Standing.SUSPECT, 1)
    lone.tell(lone.others[0], lie)
    lone.sent.clear()
    lone.feed(Received(lone.others[1].peer, Ping(1, 1, ()).to_body()))
    (answer,) = [message for _, message in lone.sent if isinstance(message, Ack)]
    assert answer.statements[0] == lie


def test_a_ping_is_repeated_inside_its_interval_before_helpers_are_asked() -> None:
    lone = Lone(("p0", "p1", "p2", "p3", "p4"))
    lone.sent.clear()
    lone.tick_until(1_800 * MILLISECOND)
    kinds = [type(message) for _, message in lone.sent if isinstance(message, Ping | PingRequest)]
    assert kinds[: LAN.ping_attempts + 1] == [*[Ping] * LAN.ping_attempts, PingRequest]


# flapping


def flap(network: Network, name: str, life: int) -> None:
    network.kill(name)
    network.run(9 * SECOND)
    network.restart(name, life << 20)
    network.introduce("n0", name)
    network.run(2 * SECOND)


def news_of(network: Network, name: str, at: str) -> list[type]:
    peer = network.nodes[name].identity.peer
    return [
        type(news)
        for _, news in network.nodes[at].news
        if isinstance(news, MemberAlive | MemberDied) and news.peer == peer
    ]


def test_a_member_that_flaps_is_told_of_no_more_until_it_is_quiet() -> None:
    network = cell_of(6)
    for life in range(1, 7):
        flap(network, "n3", life)
    told = news_of(network, "n3", "n0")
    assert told == [MemberDied, MemberAlive, MemberDied, MemberAlive, MemberDied]
    assert network.standing("n3", "n0") == Standing.ALIVE, "the cell goes on judging it"
    network.run(180 * SECOND)
    assert news_of(network, "n3", "n0")[5:] == [MemberAlive]


def test_a_penalty_halves_with_its_half_life() -> None:
    peer = Identity.named("p").peer
    damping = Damping(SwimConfig(flap_half_life_us=10 * SECOND))
    for _ in range(3):
        damping.flapped(peer, 0)
    assert damping.is_suppressed(peer)
    assert damping.release(16 * SECOND) == []
    assert damping.release(17 * SECOND) == [peer]
    assert not damping.is_suppressed(peer)


def test_no_penalty_outlasts_three_half_lives() -> None:
    peer = Identity.named("p").peer
    damping = Damping(SwimConfig(flap_half_life_us=10 * SECOND))
    for _ in range(1_000):
        damping.flapped(peer, 0)
    assert damping.release(31 * SECOND) == [peer]


def test_flap_levels_that_do_not_rise_are_refused() -> None:
    with pytest.raises(ConfigError):
        SwimConfig(flap_limit_milli=500)


# answers


def test_a_late_helper_asks_thrice_before_it_nacks() -> None:
    lone = Lone(("asker", "subject"))
    asker, subject = lone.others
    lone.sent.clear()
    lone.feed(Received(asker.peer, PingRequest(77, subject.peer).to_body()))
    for at in range(0, LAN.nack_timeout_us + 1, 10_000):
        lone.tick_until(at)
    relayed = [m for r, m in lone.sent if isinstance(m, Ping) and r == subject.peer]
    assert len({m.sequence for m in relayed if not m.statements}) >= 1
    assert sum(isinstance(message, Nack) for _, message in lone.sent) == 1
    sequences = [m.sequence for m in relayed]
    assert max(sequences.count(number) for number in sequences) == 3


def test_an_ack_of_another_probe_counts_for_nothing() -> None:
    lone = Lone(("p0", "p1"))
    member = lone.swim.view.get(lone.others[0].peer)
    assert isinstance(member, Member)
    lone.feed(Received(lone.others[0].peer, Ack(999, lone.others[0].peer, 1, ()).to_body()))
    assert lone.swim.health_score == 0
    assert member.changed_at == MonotonicUs(0)
