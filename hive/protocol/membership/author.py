"""What this node itself states: one signature a gossip tick over all that waits.

The first statement after a quiet tick is signed at once, so nothing waits where little is said;
in a storm at most `BATCH_MAX` statements share the root that is signed (RFC 6962), and each then
travels alone with its path. A helper's nack would be late at the next tick: it is signed at once,
with what waits.
"""

from __future__ import annotations

from dataclasses import dataclass

from hive.protocol.machine import Sign, Token
from hive.protocol.membership.cell import Cell
from hive.protocol.membership.messages import (
    BATCH_MAX,
    SIGNED_LABEL,
    Nack,
    Signed,
    Standing,
    Statement,
)
from hive.protocol.membership.view import Member
from hive.wire import merkle
from hive.wire.clock import MonotonicUs
from hive.wire.ids import PeerId


@dataclass(frozen=True, slots=True)
class _Signing:
    """A statement to be signed; with `nack_to` it goes to that requester only."""

    statement: Statement
    nack_to: tuple[PeerId, int] | None = None


class Author:
    """Asks for signatures under our own key, and knows what each is for."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._due: list[_Signing] = []
        self._signing: dict[Token, tuple[_Signing, ...]] = {}
        self._signs_at = 0
        self._is_urgent = False

    @property
    def deadline(self) -> MonotonicUs | None:
        """When what waits is signed."""
        return MonotonicUs(self._signs_at) if self._due else None

    def say_alive(self) -> None:
        """We are alive at our incarnation."""
        self._put(_Signing(self._about_us(Standing.ALIVE)))

    def say_left(self) -> None:
        """We leave; from now on nothing is refuted."""
        self._cell.is_leaving = True
        self._put(_Signing(self._about_us(Standing.LEFT)))

    def accuse(self, subject: PeerId) -> None:
        """We suspect a live member, unless we said so or accused too many."""
        if (statement := self._suspicion(subject)) is not None:
            self._put(_Signing(statement))

    def nack(self, requester: PeerId, sequence: int, subject: PeerId) -> None:
        """The subject does not answer us either: said to the requester, signed where we may."""
        statement = self._suspicion(subject)
        if statement is None or not self._put(_Signing(statement, (requester, sequence))):
            self._cell.send(requester, Nack(sequence, subject, ()))
        else:
            self._is_urgent = True

    def declare_dead(self, member: Member) -> None:
        """Our verdict: evidence for whoever missed the accusations."""
        self._put(_Signing(self._statement(member.peer, Standing.DEAD, member.incarnation)))

    def sign(self) -> None:
        """Asks for the signature of this tick, where something waits and it is time."""
        cell = self._cell
        if not self._due or (cell.now_us < self._signs_at and not self._is_urgent):
            return
        self._is_urgent = False
        self._due.sort(key=lambda signing: signing.nack_to is None)
        batch, self._due = tuple(self._due[:BATCH_MAX]), self._due[BATCH_MAX:]
        self._signs_at = cell.now_us + cell.config.gossip_interval_us
        token = cell.next_token()
        self._signing[token] = batch
        root = merkle.root([signing.statement.to_body() for signing in batch])
        cell.tell(Sign(token, SIGNED_LABEL, root))

    def signed(self, token: Token, signature: bytes) -> list[Signed]:
        """The statements of a token, to be published; nacks go to their requesters."""
        batch = self._signing.pop(token, ())
        _, paths = merkle.proofs([signing.statement.to_body() for signing in batch])
        published = []
        for index, (signing, path) in enumerate(zip(batch, paths, strict=True)):
            own = Signed.of(signing.statement, signature, index, len(batch), path)
            if signing.nack_to is None:
                published.append(own)
            else:
                requester, sequence = signing.nack_to
                self._cell.send(requester, Nack(sequence, own.subject, (own,)))
        return published

    def _statement(self, subject: PeerId, standing: Standing, incarnation: int) -> Statement:
        cell = self._cell
        return Statement.of(cell.scope, cell.own.peer, subject, standing, incarnation)

    def _about_us(self, standing: Standing) -> Statement:
        return self._statement(self._cell.own.peer, standing, self._cell.incarnation)

    def _suspicion(self, subject: PeerId) -> Statement | None:
        cell, member = self._cell, self._cell.view.get(subject)
        own = cell.own.peer
        if member is None or member.proof is None or not member.is_live or cell.is_leaving:
            return None
        if any(said.author == own for said in member.accusations):
            return None
        if not cell.accusers.take(own, cell.now_us):
            cell.tally.over_budget += 1
            return None
        return self._statement(subject, Standing.SUSPECT, member.incarnation)

    def _put(self, signing: _Signing) -> bool:
        """Lets a statement wait for its tick; one about ourselves goes first, in any case."""
        cell = self._cell
        if signing.statement.subject == cell.own.peer:
            self._due = [each for each in self._due if each.statement.subject != cell.own.peer]
            self._due.insert(0, signing)
            return True
        waiting = len(self._due) + sum(len(batch) for batch in self._signing.values())
        if waiting >= cell.config.signatures_max:
            cell.tally.over_capacity += 1
            return False
        self._due.append(signing)
        return True
