"""Pings made for others (SWIM section 3.1): the answer goes to the requester only."""

from __future__ import annotations

from dataclasses import dataclass

from hive.protocol.membership.author import Author
from hive.protocol.membership.cell import Cell
from hive.protocol.membership.messages import Ack, Nack, Ping, PingRequest
from hive.wire.clock import MonotonicUs
from hive.wire.ids import PeerId

RETRIES = 2
"""Pings of a helper beside its first one: a lossy way to the subject must not look like death."""


@dataclass(slots=True)
class _Relay:
    requester: PeerId
    sequence: int
    subject: PeerId
    retries_left: int
    retry_at: int
    nack_at: int


class Relays:
    """Indirect pings under way, by our own sequence."""

    def __init__(self, cell: Cell, author: Author) -> None:
        self._cell = cell
        self._author = author
        self._relays: dict[int, _Relay] = {}

    @property
    def deadline(self) -> MonotonicUs | None:
        """When the first relay retries or gives up."""
        times = [
            relay.retry_at if relay.retries_left else relay.nack_at
            for relay in self._relays.values()
        ]
        return MonotonicUs(min(times)) if times else None

    def request(self, requester: PeerId, request: PingRequest) -> None:
        """Pings the subject for the requester, or nacks at once where that is not possible."""
        cell, wait = self._cell, self._cell.config.nack_timeout_us
        if len(self._relays) >= cell.config.relays_max:
            cell.tally.over_capacity += 1
            return
        if request.subject not in cell.view or request.subject == cell.own.peer:
            cell.send(requester, Nack(request.sequence, request.subject, ()))
            return
        now, sequence = cell.now_us, cell.next_token()
        self._relays[sequence] = _Relay(
            requester,
            request.sequence,
            request.subject,
            RETRIES,
            now + wait // (RETRIES + 1),
            now + wait,
        )
        self._ping(sequence, request.subject)

    def acked(self, sender: PeerId, ack: Ack) -> bool:
        """Passes an answer on; whether the ack belonged to a relay."""
        relay = self._relays.get(ack.sequence)
        if relay is None or sender != relay.subject:
            return False
        del self._relays[ack.sequence]
        known = self._cell.incarnation_known(relay.requester)
        self._cell.send(relay.requester, Ack(relay.sequence, relay.subject, known, ()))
        return True

    def delay(self, by_us: int) -> None:
        """Moves every relay: we were not listening for that long."""
        for relay in self._relays.values():
            relay.nack_at += by_us
            relay.retry_at += by_us

    def tick(self) -> None:
        """Retries, then nacks."""
        cell, now = self._cell, self._cell.now_us
        for sequence, relay in list(self._relays.items()):
            if now >= relay.nack_at:
                del self._relays[sequence]
                self._author.nack(relay.requester, relay.sequence, relay.subject)
            elif relay.retries_left and now >= relay.retry_at:
                relay.retries_left -= 1
                relay.retry_at += cell.config.nack_timeout_us // (RETRIES + 1)
                self._ping(sequence, relay.subject)

    def _ping(self, sequence: int, subject: PeerId) -> None:
        self._cell.send(subject, Ping(sequence, self._cell.incarnation_known(subject), ()))
