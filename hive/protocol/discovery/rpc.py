"""Exchanges: one request, its retransmissions, one answer.

Request ids are 64 random bits and bound to the peer asked: an answer from anybody else, or a
second one, finds no exchange and changes nothing. The retransmission timeout follows RFC 6298
in integer microseconds (srtt, rttvar, Karn's rule: only untransmitted-again requests give
samples), with a floor and ceiling of our own. The second try waits as long as the first, as one
silence is rather a loss than a delay; from then on the timeout doubles. Requests are idempotent,
so a duplicate at the other side is harmless. An exchange fails after `tries_max` transmissions;
what a failure means is the caller's business.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Generic, TypeVar

from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.messages import Request, encode_message
from hive.protocol.machine import Send
from hive.wire.ids import PeerId
from hive.wire.randomness import Stream

REQUEST_BITS = 64

Purpose = TypeVar("Purpose")


@dataclass(slots=True)
class Exchange(Generic[Purpose]):
    """A request in flight; times in monotonic microseconds."""

    peer: PeerId
    payload: bytes
    purpose: Purpose
    sent_at: int
    rto_us: int
    due_at: int
    tries: int = 1


class Rpc(Generic[Purpose]):
    """All exchanges under way."""

    def __init__(self, config: DiscoveryConfig, stream: Stream) -> None:
        self._config = config
        self._stream = stream
        self._exchanges: dict[int, Exchange[Purpose]] = {}
        self._timers: list[tuple[int, int]] = []
        self._estimates: OrderedDict[PeerId, tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._exchanges)

    @property
    def deadline(self) -> int | None:
        """When the next retransmission or failure is due."""
        while self._timers:
            due_at, request = self._timers[0]
            exchange = self._exchanges.get(request)
            if exchange is not None and exchange.due_at == due_at:
                return due_at
            heappop(self._timers)
        return None

    def ask(
        self, peer: PeerId, make: Callable[[int], Request], purpose: Purpose, now_us: int
    ) -> Send | None:
        """Begins an exchange; None where `exchanges_max` are under way."""
        if len(self._exchanges) >= self._config.exchanges_max:
            return None
        request = self._stream.bits(REQUEST_BITS)
        while request in self._exchanges:
            request = self._stream.bits(REQUEST_BITS)
        rto_us = self.timeout_us(peer)
        payload = encode_message(make(request))
        self._exchanges[request] = Exchange(peer, payload, purpose, now_us, rto_us, now_us + rto_us)
        heappush(self._timers, (now_us + rto_us, request))
        return Send(peer, payload)

    def answered(self, sender: PeerId, request: int, now_us: int) -> Exchange[Purpose] | None:
        """Ends the exchange that this answer belongs to; None for strays and duplicates."""
        exchange = self._exchanges.get(request)
        if exchange is None or exchange.peer != sender:
            return None
        del self._exchanges[request]
        if exchange.tries == 1:
            self._sample(sender, now_us - exchange.sent_at)
        return exchange

    def expire(self, now_us: int) -> tuple[list[Send], list[Exchange[Purpose]]]:
        """What to send again now, and which exchanges have failed."""
        sends: list[Send] = []
        failed: list[Exchange[Purpose]] = []
        while (deadline := self.deadline) is not None and deadline <= now_us:
            request = heappop(self._timers)[1]
            exchange = self._exchanges[request]
            if exchange.tries >= self._config.tries_max:
                failed.append(self._exchanges.pop(request))
                continue
            exchange.tries += 1
            if exchange.tries > 2:
                exchange.rto_us = min(2 * exchange.rto_us, self._config.rto_max_us)
            exchange.due_at = now_us + exchange.rto_us
            heappush(self._timers, (exchange.due_at, request))
            sends.append(Send(exchange.peer, exchange.payload))
        return sends, failed

    def abandon(self, peer: PeerId) -> list[Exchange[Purpose]]:
        """Ends every exchange with a peer that was declared dead."""
        requests = [r for r, exchange in self._exchanges.items() if exchange.peer == peer]
        return [self._exchanges.pop(request) for request in requests]

    def round_trip_us(self, peer: PeerId) -> int:
        """The smoothed round trip; 0 where unknown."""
        return self._estimates.get(peer, (0, 0))[0]

    def timeout_us(self, peer: PeerId) -> int:
        """The retransmission timeout of a fresh request: RFC 6298 section 2, clamped."""
        estimate = self._estimates.get(peer)
        if estimate is None:
            return self._config.rto_initial_us
        smoothed, variation = estimate
        wanted = smoothed + max(1_000, 4 * variation)
        return min(max(wanted, self._config.rto_min_us), self._config.rto_max_us)

    def _sample(self, peer: PeerId, sample_us: int) -> None:
        known = self._estimates.pop(peer, None)
        if known is None:
            self._estimates[peer] = (sample_us, sample_us // 2)
        else:
            smoothed, variation = known
            variation = (3 * variation + abs(smoothed - sample_us)) // 4
            self._estimates[peer] = ((7 * smoothed + sample_us) // 8, variation)
        if len(self._estimates) > self._config.estimates_max:
            self._estimates.popitem(last=False)
