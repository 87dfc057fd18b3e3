"""SWIM with Lifeguard's extensions in one cell: the door, the timers and the messages.

Theory of operation (Das et al. 2002, "SWIM"; Dadgar et al. 2017, "Lifeguard", arXiv 1707.00788)

Every member probes one other member an interval, in shuffled round robin (`prober`). It pings,
repeats the ping, and at the ping timeout asks three helpers (`relays`) to ping for it. A helper
that hears nothing says so (nack) and signs its own suspicion; a helper that says nothing at all
means that we ourselves are slow (`health`), and our next probes take longer.

A probe without an answer makes a suspicion: a statement about the subject at one incarnation,
signed by its accuser. Statements spread by gossip (`gossip_queue`), on their own and on the back
of pings and acks. A suspected member still counts as live, and whoever pings it hands it the
accusation (buddy system), so that it can refute by signing alive at its next incarnation. Each
further accuser shortens the suspicion (`suspicion`): the nacks of the first probe are enough to
bring it to its shortest at once. Shortly before it runs out each node asks the member twice more,
for the refutation may have been lost on its way; then it declares the member dead by itself:
nobody else's word kills, a "dead" of others is one more accuser.

What keeps insiders harmless (`judge`): statements count by their own signature, whoever passes
them on; an accusation holds only at the incarnation that its subject signed last, so a number
can neither be inflated nor wrapped; accusers have budgets and orgs have shares; answers go to
the authenticated sender of a question, never to an address named in it.

Who missed something is healed three ways: pings and acks say which incarnation of the other
they know; an accusation above the proven incarnation pulls the proof; and every few seconds two
views compare 32 bytes and exchange only what differs (`digest_exchange`), also with the dead, so
that a healed partition is noticed.

Keys of members come from `Joined` only; who is named without being introduced is reported as
`PeerUnknown`. A node that wakes late blames itself: timers move by the delay.
"""

from __future__ import annotations

from typing import assert_never

from hive.errors import MalformedFrame
from hive.protocol.machine import Received, SignatureMade, Ticked, Verified
from hive.protocol.membership.author import Author
from hive.protocol.membership.cell import Cell, Tally
from hive.protocol.membership.config import SwimConfig
from hive.protocol.membership.digest_exchange import DigestExchange
from hive.protocol.membership.events import (
    Effect,
    Event,
    Introduction,
    Joined,
    LeaveRequested,
    MemberLeft,
    Retired,
)
from hive.protocol.membership.judge import Judge
from hive.protocol.membership.messages import (
    Ack,
    Buckets,
    DigestOffer,
    Gossip,
    Message,
    Nack,
    Ping,
    PingRequest,
    Pull,
    Standing,
    Summary,
    message_from_untrusted,
)
from hive.protocol.membership.prober import Prober
from hive.protocol.membership.relays import Relays
from hive.protocol.membership.view import Member, View
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import PeerId


class Swim:
    """The membership machine of one node.

    `incarnation` is the first one signed, at least 1 and above every one of earlier lives: the
    composer derives it from a durable boot counter. `view` may hold members already known. `scope`
    names the group: statements hold in the group in which they were made only.
    """

    def __init__(
        self,
        config: SwimConfig,
        own: Introduction,
        *,
        seed: bytes,
        incarnation: int = 1,
        view: View | None = None,
        scope: str = "",
    ) -> None:
        view = View(own.peer) if view is None else view
        self._cell = Cell(config, own, seed, incarnation, view, scope)
        self._author = Author(self._cell)
        self._judge = Judge(self._cell, self._author)
        self._prober = Prober(self._cell, self._judge, self._author)
        self._relays = Relays(self._cell, self._author)
        self._exchange = DigestExchange(self._cell, self._judge)
        self._gossip_at: int | None = None
        self._is_started = False
        self._is_leave_told = False

    @property
    def deadline(self) -> MonotonicUs | None:
        """When it next wants a `Ticked`; None before the first event: then feed one at once."""
        times = [
            self._gossip_at,
            self._author.deadline,
            self._prober.deadline,
            self._relays.deadline,
            self._exchange.deadline,
            self._cell.suspicions.deadline,
        ]
        due = [time for time in times if time is not None]
        return MonotonicUs(min(due)) if due else None

    @property
    def view(self) -> View:
        """Who is known; to be read only."""
        return self._cell.view

    @property
    def tally(self) -> Tally:
        """What was dropped and why; to be read only."""
        return self._cell.tally

    @property
    def incarnation(self) -> int:
        """Our newest incarnation."""
        return self._cell.incarnation

    @property
    def health_score(self) -> int:
        """Lifeguard's local health: 0 is well."""
        return self._cell.health.score

    @property
    def is_leaving(self) -> bool:
        """Whether we said goodbye."""
        return self._cell.is_leaving

    def is_suppressed(self, peer: PeerId) -> bool:
        """Whether the member flaps: it holds no seat."""
        return self._cell.damping.is_suppressed(peer)

    def handle(self, event: Event, now: Now) -> tuple[Effect, ...]:
        """Takes one event and gives the effects in the order in which they must happen."""
        self._cell.now_us = now.monotonic_us
        self._forgive_stall()
        self._start()
        match event:
            case Received(sender, untrusted_payload):
                self._receive(sender, untrusted_payload)
            case Ticked():
                self._tick()
            case Verified(token, verdicts):
                self._judge.verified(token, verdicts)
            case SignatureMade(token, signature):
                self._judge.signed(token, signature)
            case Joined(introduction):
                self._introduce(introduction)
            case LeaveRequested():
                if not self._cell.is_leaving:
                    self._author.say_left()
            case Retired(peer):
                self._judge.forget(peer)
            case _:
                assert_never(event)
        self._follow_news()
        self._author.sign()
        self._arm_gossip()
        return self._cell.take_outbox()

    # life

    def _start(self) -> None:
        """The first event: enter the view, sign that we are alive, start the rounds."""
        if self._is_started:
            return
        self._is_started = True
        cell = self._cell
        if cell.own.peer not in cell.view:
            cell.view.put(Member.introduced(cell.own, cell.now_us))
        for member in cell.view:
            if member.peer != cell.own.peer:
                self._prober.insert(member.peer)
        self._exchange.start()
        self._author.say_alive()

    def _forgive_stall(self) -> None:
        """A deadline missed is our own fault, not the others': what was said meanwhile waits
        to be heard before anybody is declared dead."""
        cell, due = self._cell, self.deadline
        late = 0 if due is None else cell.now_us - due
        if late < cell.config.gossip_interval_us // 2:
            return
        cell.suspicions.hold(cell.now_us + 2 * cell.config.gossip_interval_us)
        if late < cell.config.probe_interval_us:
            return
        cell.tally.stalls += 1
        cell.health.worsen()
        for part in (cell.suspicions, self._prober, self._relays, self._exchange):
            part.delay(late)
        if self._gossip_at is not None:
            self._gossip_at += late

    def _introduce(self, introduction: Introduction) -> None:
        cell, peer = self._cell, introduction.peer
        is_alone = cell.view.live_count <= 1
        says_nothing_yet = self._judge.introduce(introduction)
        if peer not in cell.view or peer == cell.own.peer:
            return
        self._prober.insert(peer)
        if says_nothing_yet:
            cell.send(peer, Ping(cell.next_token(), 0, ()))
        if is_alone:
            self._exchange.offer(peer)

    def _follow_news(self) -> None:
        """Who came back to life is probed again."""
        for peer in self._cell.renewed:
            self._prober.insert(peer)
        self._cell.renewed.clear()

    # time

    def _tick(self) -> None:
        self._judge.expire()
        self._judge.release()
        self._prober.tick()
        self._relays.tick()
        self._exchange.tick()
        if self._gossip_at is not None and self._gossip_at <= self._cell.now_us:
            self._gossip()

    def _gossip(self) -> None:
        cell, config = self._cell, self._cell.config
        self._gossip_at = None
        for peer in cell.view.pick_live(cell.stream, config.gossip_fanout):
            member = cell.view.get(peer)
            if member is not None and (statements := cell.statements_for(member)):
                cell.send(peer, Gossip(statements))
        if cell.is_leaving:
            self._tell_leave()

    def _tell_leave(self) -> None:
        """Our goodbye has been said as often as it should, or there is nobody to hear it."""
        cell, own = self._cell, self._cell.view.get(self._cell.own.peer)
        if self._is_leave_told or own is None or own.proof is None:
            return
        is_signed = own.standing == Standing.LEFT
        if is_signed and (not cell.queue.holds(own.proof) or cell.view.live_count == 0):
            self._is_leave_told = True
            cell.tell(MemberLeft(own.peer, own.incarnation))

    def _arm_gossip(self) -> None:
        if self._gossip_at is None and (len(self._cell.queue) > 0 or self._wants_to_tell_leave):
            self._gossip_at = self._cell.now_us + self._cell.config.gossip_interval_us

    @property
    def _wants_to_tell_leave(self) -> bool:
        return self._cell.is_leaving and not self._is_leave_told

    # messages

    def _receive(self, sender: PeerId, untrusted_payload: bytes) -> None:
        try:
            message = message_from_untrusted(untrusted_payload)
        except MalformedFrame:
            self._cell.tally.malformed_messages += 1
            return
        if sender == self._cell.own.peer:
            return
        member = self._cell.view.get(sender)
        if member is None:
            self._receive_from_stranger(sender, message)
        else:
            self._receive_from(member, message)

    def _receive_from_stranger(self, sender: PeerId, message: Message) -> None:
        """The hop is attested, so a ping is answered; nothing else counts before the record."""
        self._judge.stranger(sender, sender)
        if isinstance(message, Ping):
            own = self._cell.own.peer
            self._cell.send(sender, Ack(message.sequence, own, 0, ()))

    def _receive_from(self, member: Member, message: Message) -> None:
        sender = member.peer
        self._cell.heard_at = self._cell.now_us
        match message:
            case Ping():
                self._answer(member, message)
                self._judge.receive(sender, message.statements)
            case Ack():
                if not self._relays.acked(sender, message):
                    self._prober.acked(sender, message)
                self._catch_up(member, message.incarnation_known)
                self._judge.receive(sender, message.statements)
            case Nack():
                self._prober.nacked(sender, message)
            case PingRequest():
                self._relays.request(sender, message)
            case Gossip():
                self._judge.receive(sender, message.statements)
            case DigestOffer():
                self._exchange.offered(sender, message)
            case Buckets():
                self._exchange.compare(sender, message)
            case Summary():
                self._exchange.summarised(sender, message)
            case Pull():
                self._exchange.pulled(sender, message)
            case _:
                assert_never(message)

    def _answer(self, member: Member, ping: Ping) -> None:
        cell = self._cell
        is_behind = ping.incarnation_known < cell.incarnation
        statements = cell.statements_for(member, is_behind=is_behind)
        cell.send(member.peer, Ack(ping.sequence, cell.own.peer, member.incarnation, statements))

    def _catch_up(self, member: Member, incarnation_known: int) -> None:
        """Sends our newer incarnation to a member that does not know it."""
        own = self._cell.view.get(self._cell.own.peer)
        if own is not None and own.proof is not None and incarnation_known < own.incarnation:
            self._cell.send(member.peer, Gossip((own.proof,)))
