"""Membership alone in the virtual world: cells and rings of the shipped machine under faults.

Every member runs `Swim` as a peer composes it. Modelled are signatures (a keyed digest in the
place of Ed25519, which nobody forges here), introductions (an unknown peer
is introduced a moment later), and the network (`network`, `disturbances`). Bytes are counted as
they would be on the wire, seal, UDP and IP included.

The faulty kinds: the *slow* stand still for up to two seconds every ten or so, as in the
experiments of Lifeguard; the *liars* sign accusations of one and the same victim, all at once,
as often as their budgets let anybody hear them, and tell many; the *half-connected* one loses
half of what it sends.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from hive.protocol.machine import (
    Check,
    Received,
    Send,
    Sign,
    SignatureMade,
    Ticked,
    Verified,
    Verify,
)
from hive.protocol.membership.cell import scope_of
from hive.protocol.membership.config import SwimConfig
from hive.protocol.membership.events import (
    Introduction,
    Joined,
    MemberAlive,
    MemberDied,
    MemberSuspected,
    News,
    PeerUnknown,
)
from hive.protocol.membership.messages import (
    SIGNED_LABEL,
    Gossip,
    Signed,
    Standing,
    Statement,
)
from hive.protocol.membership.swim import Swim
from hive.protocol.membership.view import Member, View
from hive.wire import merkle
from hive.wire.clock import MILLISECOND_US, SECOND_US, MonotonicUs, Now, WallUs
from hive.wire.ids import Digest, Inception, PeerId

from .disturbances import Loss
from .draws import Draws, entity_key
from .engine import Engine
from .network import HEADER_BYTES, Network
from .topology import Place, Topology, TopologyConfig

DATAGRAM_BYTES: Final = 134
"""Around each payload on the wire: the seal with its header 106, UDP and IPv4 28."""
SLOW_PERIOD_US: Final = 10 * SECOND_US
STANDSTILL_US: Final = 2 * SECOND_US
LIE_PERIOD_US: Final = 4 * SECOND_US
TOLD_BY_LIAR: Final = 24
INTRODUCED_AFTER_US: Final = 50 * MILLISECOND_US
INCARNATION: Final = 1 << 20

EVENT, TICK, STALL, LIE = range(1, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellWorldConfig:
    """One group of members and what is wrong with it.

    `member_count`: members, all up at first. `org_count`: organisations that they are dealt to.
    `one_way_us`: latency between any two, without its spread. `loss_ppm`: of every packet.
    `slow_count`: the first so many stand still now and then. `liar_count`: the next so many lie.
    `swim`: the settings of all machines.
    """

    member_count: int = 512
    org_count: int = 8
    one_way_us: int = 500
    loss_ppm: int = 0
    slow_count: int = 0
    liar_count: int = 0
    swim: SwimConfig = field(default_factory=SwimConfig.for_lan)


@dataclass(slots=True)
class _Node:
    introduction: Introduction
    swim: Swim
    is_up: bool = True
    tick_at: int | None = None
    stands_until: int = 0
    bytes_sent: int = 0
    datagrams_sent: int = 0


@dataclass(frozen=True, slots=True)
class Noted:
    """News of one observer."""

    at_us: int
    observer: int
    subject: int


def introduction_of(number: int, org: int) -> Introduction:
    """The identity of a member of the world."""
    name = hashlib.sha256(b"member" + number.to_bytes(4, "big")).digest()
    inception = Inception(hashlib.sha256(b"org" + org.to_bytes(4, "big")).digest())
    return Introduction(PeerId(name[:20]), 1, name, inception)


def signature_of(public_key: bytes, label: str, digest: Digest) -> bytes:
    """What stands for a signature here: 64 bytes that follow from signer and digest."""
    return hashlib.sha512(public_key + label.encode() + digest).digest()


class CellWorld:
    """Members that all hold each other alive when the world begins."""

    def __init__(self, config: CellWorldConfig, seed: bytes) -> None:
        self.config = config
        self.suspicions: list[Noted] = []
        self.returns: list[Noted] = []
        self.deaths: list[Noted] = []
        topology = Topology(
            TopologyConfig(regions=("here",), cluster_count=1, in_zone_us=config.one_way_us)
        )
        for _ in range(config.member_count):
            topology.add(Place(0, 0, 0))
        self.network = Network(topology, seed)
        if config.loss_ppm:
            self.network.begin("loss", Loss(rate_ppm=config.loss_ppm), 0)
        self.engine = Engine(self._deliver, config.member_count)
        self._seed = seed
        self._draws = Draws(seed, "cell-world")
        self._numbers: dict[PeerId, int] = {}
        self.nodes = self._converged()
        self._begin()

    def _converged(self) -> list[_Node]:
        config, scope = self.config, scope_of("")
        introductions = [
            introduction_of(number, number % config.org_count)
            for number in range(config.member_count)
        ]
        self._numbers = {one.peer: number for number, one in enumerate(introductions)}
        members = []
        for one in introductions:
            statement = Statement.of(scope, one.peer, one.peer, Standing.ALIVE, INCARNATION)
            proof = self._signed(one, statement)
            standing = Standing.ALIVE
            members.append(Member(one, standing, INCARNATION, proof, (), MonotonicUs(0)))
        base = View.of(members)
        return [
            _Node(
                one,
                Swim(
                    config.swim,
                    one,
                    seed=self._seed,
                    incarnation=INCARNATION,
                    view=base.copy_for(one.peer),
                ),
            )
            for one in introductions
        ]

    def _begin(self) -> None:
        config = self.config
        for number in range(config.member_count):
            self.engine.post(0, number, number, Ticked(), TICK)
        for number in range(config.slow_count):
            at = self._draws.waits(SLOW_PERIOD_US)
            self.engine.post(at, number, number, STALL, STALL)
        for number in range(config.slow_count, config.slow_count + config.liar_count):
            self.engine.post(LIE_PERIOD_US, number, number, LIE, LIE)

    # What is asked.

    def run(self, duration_us: int) -> None:
        """Lets time pass."""
        self.engine.run(self.engine.now_us + duration_us)

    def kill(self, number: int) -> None:
        """The member stops, without a word."""
        self.nodes[number].is_up = False

    def honest(self) -> range:
        """The members with nothing wrong."""
        return range(self.config.slow_count + self.config.liar_count, self.config.member_count)

    def false_deaths(self) -> list[Noted]:
        """Verdicts about members that were up all the time."""
        return [noted for noted in self.deaths if self.nodes[noted.subject].is_up]

    def median_bytes_sent(self) -> int:
        """Bytes on the wire that the median member sent."""
        sent = sorted(node.bytes_sent for node in self.nodes if node.is_up)
        return sent[len(sent) // 2]

    def total_bytes_sent(self) -> int:
        """Bytes on the wire that all sent together."""
        return sum(node.bytes_sent for node in self.nodes)

    def forget_traffic(self) -> None:
        """Counts from zero."""
        for node in self.nodes:
            node.bytes_sent = node.datagrams_sent = 0

    # What happens.

    def _deliver(self, destination: int, source: int, event: Any) -> None:
        node = self.nodes[destination]
        if not node.is_up:
            return
        now = self.engine.now_us
        if event == STALL:
            if now >= node.stands_until:
                node.stands_until = now + self._draws.below(STANDSTILL_US)
            self.engine.post(
                self._draws.waits(SLOW_PERIOD_US), destination, destination, STALL, STALL
            )
        elif event == LIE:
            self._lie(destination)
            self.engine.post(LIE_PERIOD_US, destination, destination, LIE, LIE)
        elif now < node.stands_until:
            self.engine.post(node.stands_until - now, destination, source, event, EVENT)
        else:
            if isinstance(event, Ticked):
                if node.tick_at is not None and node.tick_at > now:
                    return  # set before an earlier one was wanted
                node.tick_at = None
            self._feed(destination, event)

    def _feed(self, number: int, event: Any) -> None:
        node, now = self.nodes[number], self.engine.now_us
        events = [event]
        while events:
            clock = Now(MonotonicUs(now), WallUs(now))
            for effect in node.swim.handle(events.pop(0), clock):
                match effect:
                    case Send(receiver, payload):
                        self._send(number, receiver, payload)
                    case Verify(token, checks):
                        events.append(Verified(token, tuple(map(_holds, checks))))
                    case Sign(token, label, digest):
                        made = signature_of(node.introduction.public_key, label, digest)
                        events.append(SignatureMade(token, made))
                    case _:
                        self._note(number, effect)
        due = node.swim.deadline
        if due is not None and (node.tick_at is None or due < node.tick_at):
            node.tick_at = due
            self.engine.post(due - now, number, number, Ticked(), TICK)

    def _send(self, source: int, receiver: PeerId, payload: bytes) -> None:
        node, destination = self.nodes[source], self._numbers.get(receiver)
        size = len(payload) + DATAGRAM_BYTES
        node.bytes_sent += size
        node.datagrams_sent += 1
        if destination is None:
            return
        now = self.engine.now_us
        packet = self.network.packet(source, destination, size - HEADER_BYTES, now)
        if not packet.is_lost:
            event = Received(node.introduction.peer, payload)
            self.engine.post(packet.at_us - now, destination, source, event, EVENT)

    def _note(self, observer: int, news: News) -> None:
        now = self.engine.now_us
        match news:
            case MemberDied(peer):
                self.deaths.append(Noted(now, observer, self._numbers[peer]))
            case MemberSuspected(peer):
                self.suspicions.append(Noted(now, observer, self._numbers[peer]))
            case MemberAlive(peer):
                self.returns.append(Noted(now, observer, self._numbers[peer]))
            case PeerUnknown(peer) if peer in self._numbers:
                known = self.nodes[self._numbers[peer]].introduction
                delay = INTRODUCED_AFTER_US
                self.engine.post(delay, observer, observer, Joined(known), EVENT)

    def _lie(self, liar: int) -> None:
        """All liars accuse the victim of the moment, at the incarnation it signed last."""
        moment = self.engine.now_us // LIE_PERIOD_US
        draws = Draws(self._seed, "victim", entity_key(moment))
        honest = self.honest()
        victim = honest[draws.below(len(honest))]
        node, accused = self.nodes[liar], self.nodes[victim]
        said = Statement.of(
            scope_of(""),
            node.introduction.peer,
            accused.introduction.peer,
            Standing.SUSPECT,
            accused.swim.incarnation,
        )
        payload = Gossip((self._signed(node.introduction, said),)).to_body()
        for _ in range(TOLD_BY_LIAR):
            told = self._draws.below(self.config.member_count)
            if told not in (victim, liar):
                self._send(liar, self.nodes[told].introduction.peer, payload)

    def _signed(self, author: Introduction, statement: Statement) -> Signed:
        root = merkle.root([statement.to_body()])
        return Signed.of(statement, signature_of(author.public_key, SIGNED_LABEL, root))


def _holds(check: Check) -> bool:
    return signature_of(check.public_key, check.label, check.digest) == check.signature


def percentile(values: list[int], hundredths: int) -> int:
    """The value that so many of a hundred do not exceed; 0 where there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * hundredths // 100)] if ordered else 0
