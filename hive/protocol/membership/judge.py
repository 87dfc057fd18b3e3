"""Statements: which are news, which hold, what they change.

The rules, by what is said (SWIM section 4.2, with signatures):

alive    by its subject; holds above the known incarnation; ends suspicion and death
suspect  by an accuser; holds only at the incarnation that the subject itself signed last, so
         nobody can inflate a number; the first starts the timer, further accusers shorten it
dead     as suspect: a death is each node's own verdict, nobody kills by saying so
left     by its subject; holds at the known incarnation or above

About ourselves: an accusation of our incarnation is refuted by the next one; a statement of an
earlier life of ours at a higher incarnation is overtaken.
"""

from __future__ import annotations

from dataclasses import replace

from hive.protocol.machine import Token
from hive.protocol.membership.author import Author
from hive.protocol.membership.cell import Cell
from hive.protocol.membership.events import (
    Introduction,
    MemberAlive,
    MemberDied,
    MemberLeft,
    MemberReaped,
    MemberSuspected,
    SelfRefuted,
)
from hive.protocol.membership.messages import (
    INCARNATION_MAX,
    Ping,
    Pull,
    Signed,
    Standing,
)
from hive.protocol.membership.strangers import Strangers
from hive.protocol.membership.suspicion import confirmations_wanted, shortest_us
from hive.protocol.membership.verifier import Verifier
from hive.protocol.membership.view import Member
from hive.wire.ids import Inception, PeerId

ASKED_AT_ONCE = 32
"""Suspected members asked once more in one moment; a crowd that dies together is not asked."""
ACCUSATIONS_KEPT = 8
"""Accusations kept of one member: those that count, and one more that says dead."""


class Judge:
    """Turns verified statements into standings, timers, gossip and news."""

    def __init__(self, cell: Cell, author: Author) -> None:
        self._cell = cell
        self._author = author
        self._strangers = Strangers(cell)
        self._verifier = Verifier(cell)

    # what comes in

    def receive(self, sender: PeerId, untrusted: tuple[Signed, ...]) -> None:
        """Asks to verify what would be news; the rest of a message costs nothing."""
        fresh: list[Signed] = []
        for signed in untrusted:
            if self._verifier.is_waiting(signed) or not self._is_introduced(sender, signed):
                continue
            if self._is_news(signed) or _is_proven_by(fresh, signed):
                fresh.append(signed)
            elif signed.is_accusation:
                self._ask_for_proof(sender, signed)
        self._hold(self._verifier.ask(tuple(fresh)))

    def verified(self, token: Token, verdicts: tuple[bool, ...]) -> None:
        """Applies what is genuine, if it still is news."""
        self._hold(self._verifier.verified(token, verdicts))

    def signed(self, token: Token, signature: bytes) -> None:
        """Publishes statements of ours, those that still are true."""
        for own in self._author.signed(token, signature):
            if own.subject == self._cell.own.peer:
                self._publish_self(own)
            elif self._is_news(own):
                self._apply(own)
            else:
                self._publish_death(own)

    def introduce(self, introduction: Introduction) -> bool:
        """Takes a peer in; whether it is new and said nothing yet that we remember."""
        cell, known = self._cell, self._cell.view.get(introduction.peer)
        if introduction.peer == cell.own.peer:
            return False
        if known is not None:
            cell.view.put(replace(known, introduction=introduction))
            return False
        if len(cell.view) >= cell.config.members_max and not self._make_room():
            cell.tally.over_capacity += 1
            return False
        cell.view.put(Member.introduced(introduction, cell.now_us))
        remembered = self._strangers.take(introduction.peer)
        if remembered is not None:
            self._hold(self._verifier.ask((remembered,)))
        return remembered is None

    def stranger(self, peer: PeerId, told_by: PeerId) -> None:
        """Reports a peer that nobody introduced."""
        self._strangers.report(peer, told_by)

    # what time does

    def expire(self) -> None:
        """Asks the suspected once more; declares dead whom nobody cleared in time."""
        cell = self._cell
        for peer in cell.suspicions.take_asks(cell.now_us)[:ASKED_AT_ONCE]:
            if (member := cell.view.get(peer)) is not None:
                statements = cell.statements_for(member)
                cell.send(peer, Ping(cell.next_token(), member.incarnation, statements))
        for peer in cell.suspicions.take_due(cell.now_us):
            member = cell.view.get(peer)
            if member is None:
                continue
            dead = replace(member, standing=Standing.DEAD, changed_at=cell.now_us)
            cell.view.put(dead)
            cell.tell_of(MemberDied(peer, member.incarnation))
            if not any(said.standing == Standing.DEAD for said in member.accusations):
                self._author.declare_dead(dead)

    def release(self) -> None:
        """Tells of members that were suppressed for flapping and have been quiet since."""
        cell = self._cell
        for peer in cell.damping.release(cell.now_us):
            member = cell.view.get(peer)
            if member is not None and member.is_live:
                cell.tell(MemberAlive(peer, member.incarnation))

    def reap(self) -> None:
        """Forgets who has been gone for long."""
        cell = self._cell
        before = cell.now_us - cell.config.reap_after_us
        for member in [member for member in cell.view if not member.is_live]:
            if member.changed_at < before and member.peer != cell.own.peer:
                self.forget(member.peer)

    def forget(self, peer: PeerId) -> None:
        """Removes every trace of a member."""
        cell = self._cell
        if peer == cell.own.peer or peer not in cell.view:
            return
        cell.view.remove(peer)
        cell.suspicions.cancel(peer)
        cell.damping.forget(peer)
        cell.queue.invalidate(peer)
        cell.tell(MemberReaped(peer))

    # the rules

    def _is_introduced(self, sender: PeerId, signed: Signed) -> bool:
        view = self._cell.view
        if signed.subject not in view:
            self._strangers.remember(signed, sender)
            return False
        if signed.author not in view:
            self._strangers.report(signed.author, sender)
            return False
        return True

    def _ask_for_proof(self, sender: PeerId, signed: Signed) -> None:
        """An accusation above the incarnation that we can prove: the sender may prove it."""
        cell = self._cell
        is_about_us = signed.subject == cell.own.peer
        if is_about_us or signed.incarnation <= cell.incarnation_known(signed.subject):
            return
        cell.tally.unproven_accusations += 1
        if cell.exchanges.take(sender, cell.now_us):
            cell.send(sender, Pull((signed.subject,)))

    def _is_news(self, signed: Signed) -> bool:
        """Whether the statement would change anything, were its signature good."""
        member = self._cell.view.get(signed.subject)
        if member is None or signed.is_accusation == (signed.author == signed.subject):
            return False
        if signed.subject == self._cell.own.peer:
            return self._is_news_about_us(signed, published=member.incarnation)
        if signed.standing == Standing.ALIVE:
            return signed.incarnation > member.incarnation
        if signed.standing == Standing.LEFT:
            is_gone = member.standing == Standing.LEFT
            return signed.incarnation >= member.incarnation + is_gone
        return (
            signed.incarnation == member.incarnation
            and member.is_live
            and len(member.accusations) < ACCUSATIONS_KEPT
            and all(signed.author != said.author for said in member.accusations)
        )

    def _is_news_about_us(self, signed: Signed, published: int) -> bool:
        """An accusation counts at a published incarnation only: none can be signed ahead."""
        ours = self._cell.incarnation
        if self._cell.is_leaving:
            return False
        if signed.standing == Standing.ALIVE:
            return signed.incarnation > ours
        if signed.standing == Standing.LEFT:
            return signed.incarnation >= ours
        return signed.incarnation == ours == published

    def _hold(self, genuine: tuple[Signed, ...]) -> None:
        for signed in genuine:
            if self._is_news(signed):
                self._apply_within_budget(signed)

    def _apply_within_budget(self, signed: Signed) -> None:
        cell = self._cell
        if signed.is_accusation and not cell.accusers.take(signed.author, cell.now_us):
            cell.tally.over_budget += 1
            return
        self._apply(signed)

    def _apply(self, signed: Signed) -> None:
        """The statement is verified and news."""
        if signed.subject == self._cell.own.peer:
            self._refute(signed)
        elif signed.is_accusation:
            self._suspect(signed)
        else:
            self._renew(signed)

    def _renew(self, signed: Signed) -> None:
        """The subject itself says that it is alive, or that it left."""
        cell, member = self._cell, self._cell.view.get(signed.subject)
        assert member is not None
        standing = Standing(signed.standing)
        if member.standing in (Standing.DEAD, Standing.LEFT) and standing == Standing.ALIVE:
            cell.damping.flapped(signed.subject, cell.now_us)
        cell.view.put(
            Member(member.introduction, standing, signed.incarnation, signed, (), cell.now_us)
        )
        cell.suspicions.cancel(signed.subject)
        cell.queue.invalidate(signed.subject)
        cell.queue.push(signed)
        if standing == Standing.ALIVE:
            cell.renewed.append(signed.subject)
            cell.tell_of(MemberAlive(signed.subject, signed.incarnation))
        else:
            cell.tell_of(MemberLeft(signed.subject, signed.incarnation))

    def _suspect(self, signed: Signed) -> None:
        cell, member = self._cell, self._cell.view.get(signed.subject)
        assert member is not None
        is_first_dead = signed.standing == Standing.DEAD and not any(
            said.standing == Standing.DEAD for said in member.accusations
        )
        accused = replace(member, accusations=(*member.accusations, signed))
        confirmed = self._weight(accused) - 1
        if member.standing == Standing.ALIVE:
            accused = replace(accused, standing=Standing.SUSPECT, changed_at=cell.now_us)
            self._begin(signed)
        cell.view.put(accused)
        if is_first_dead or confirmed <= cell.suspicions.wanted(signed.subject):
            cell.queue.push(signed)
        cell.suspicions.confirm(signed.subject, confirmed)

    def _begin(self, signed: Signed) -> None:
        cell, config = self._cell, self._cell.config
        count = cell.view.live_count
        shortest = max(
            config.suspicion_floor_us,
            shortest_us(count, config.suspicion_multiplier_milli, config.probe_interval_us),
        )
        wanted = confirmations_wanted(count, config.confirmations)
        cell.suspicions.begin(
            signed.subject, cell.now_us, shortest, config.suspicion_maximum_factor, wanted
        )
        cell.tell_of(MemberSuspected(signed.subject, signed.incarnation, signed.author))

    def _weight(self, member: Member) -> int:
        """How many accusers count: of each org no more than its share."""
        per_org: dict[Inception, int] = {}
        for said in member.accusations:
            if (accuser := self._cell.view.get(said.author)) is not None:
                org = accuser.introduction.org
                per_org[org] = per_org.get(org, 0) + 1
        config = self._cell.config
        even = -(-(config.confirmations + 1) // max(1, self._cell.view.org_count))
        share = max(config.accusers_per_org_max, even)
        return sum(min(count, share) for count in per_org.values())

    def _refute(self, signed: Signed) -> None:
        """Answers with a newer incarnation; an accusation also says that we may be slow."""
        cell = self._cell
        if signed.incarnation >= INCARNATION_MAX:
            return
        cell.incarnation = signed.incarnation + 1
        if signed.is_accusation:
            cell.health.worsen()
        self._author.say_alive()
        cell.tell(SelfRefuted(cell.incarnation))

    def _publish_self(self, own: Signed) -> None:
        cell = self._cell
        is_leaving = own.standing == Standing.LEFT
        if own.incarnation != cell.incarnation or is_leaving != cell.is_leaving:
            return
        standing = Standing(own.standing)
        cell.view.put(Member(cell.own, standing, own.incarnation, own, (), cell.now_us))
        cell.queue.invalidate(own.subject)
        cell.queue.push(own)

    def _publish_death(self, own: Signed) -> None:
        """Our death verdict: evidence for whoever missed it, while nothing newer holds."""
        cell, member = self._cell, self._cell.view.get(own.subject)
        if (
            member is None
            or member.standing != Standing.DEAD
            or own.standing != Standing.DEAD
            or member.incarnation != own.incarnation
        ):
            return
        cell.view.put(replace(member, accusations=(*member.accusations, own)))
        cell.queue.push(own)

    def _make_room(self) -> bool:
        """Forgets the one that has been gone longest, if anybody is gone."""
        gone = [m for m in self._cell.view if m.standing in (Standing.DEAD, Standing.LEFT)]
        if not gone:
            return False
        self.forget(min(gone, key=lambda member: (member.changed_at, member.peer)).peer)
        return True


def _is_proven_by(fresh: list[Signed], accusation: Signed) -> bool:
    """Whether the subject's own statement stands before the accusation in the same message."""
    return accusation.is_accusation and any(
        signed.subject == accusation.subject
        and signed.standing == Standing.ALIVE
        and signed.incarnation == accusation.incarnation
        for signed in fresh
    )
