"""What this node itself states, each statement signed once and on its own."""

from __future__ import annotations

from dataclasses import dataclass

from hive.protocol.machine import Sign, Token
from hive.protocol.membership.cell import Cell
from hive.protocol.membership.messages import Nack, Signed, Standing, Statement
from hive.protocol.membership.view import Member
from hive.wire.ids import PeerId


@dataclass(frozen=True, slots=True)
class _Signing:
    """A statement being signed; with `nack_to` it goes to that requester only."""

    statement: Statement
    nack_to: tuple[PeerId, int] | None = None


class Author:
    """Asks for signatures under our own key, and knows what each is for."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._signing: dict[Token, _Signing] = {}

    def say_alive(self) -> None:
        """We are alive at our incarnation."""
        self._sign(self._about_us(Standing.ALIVE))

    def say_left(self) -> None:
        """We leave; from now on nothing is refuted."""
        self._cell.is_leaving = True
        self._sign(self._about_us(Standing.LEFT))

    def accuse(self, subject: PeerId) -> None:
        """We suspect a live member, unless we said so or accused too many."""
        if (statement := self._suspicion(subject)) is not None:
            self._sign(statement)

    def nack(self, requester: PeerId, sequence: int, subject: PeerId) -> None:
        """The subject does not answer us either: said to the requester, signed where we may."""
        statement = self._suspicion(subject)
        if statement is None or len(self._signing) >= self._cell.config.signatures_max:
            self._cell.send(requester, Nack(sequence, subject, ()))
        else:
            self._sign(statement, nack_to=(requester, sequence))

    def declare_dead(self, member: Member) -> None:
        """Our verdict: evidence for whoever missed the accusations."""
        own = self._cell.own.peer
        self._sign(Statement.of(own, member.peer, Standing.DEAD, member.incarnation))

    def signed(self, token: Token, signature: bytes) -> Signed | None:
        """The statement of a token, to be published; None where it was for one requester."""
        if (signing := self._signing.pop(token, None)) is None:
            return None
        own = Signed.of(signing.statement, signature)
        if signing.nack_to is None:
            return own
        requester, sequence = signing.nack_to
        self._cell.send(requester, Nack(sequence, own.subject, (own,)))
        return None

    def _about_us(self, standing: Standing) -> Statement:
        own = self._cell.own.peer
        return Statement.of(own, own, standing, self._cell.incarnation)

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
        return Statement.of(own, subject, Standing.SUSPECT, member.incarnation)

    def _sign(self, statement: Statement, nack_to: tuple[PeerId, int] | None = None) -> None:
        cell = self._cell
        is_about_us = statement.subject == cell.own.peer
        if len(self._signing) >= cell.config.signatures_max and not is_about_us:
            cell.tally.over_capacity += 1
            return
        token = cell.next_token()
        self._signing[token] = _Signing(statement, nack_to)
        cell.tell(Sign(token, Statement.LABEL, statement.id()))
