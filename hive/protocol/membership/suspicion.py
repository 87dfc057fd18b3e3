"""How long a suspicion waits: Lifeguard (arXiv 1707.00788) section IV.B, in integers.

shortest = multiplier · max(1, log10 n) · probe interval, never below the floor;
longest = factor · shortest; with C of k wanted confirmations beside the first accuser
timeout = max(shortest, longest − (longest − shortest) · log(C + 1) / log(k + 1)).
Logarithms are fixed-point, so that every machine and every twin waits the same microsecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from hive.wire.clock import MonotonicUs
from hive.wire.ids import PeerId

_FRACTION_BITS = 20
_WORKING_BITS = 40


@lru_cache(maxsize=4_096)
def log2_fixed(number: int) -> int:
    """log2 of a positive integer in units of 2^-20, by repeated squaring."""
    whole = number.bit_length() - 1
    mantissa = (number << _WORKING_BITS) >> whole
    fraction = 0
    for _ in range(_FRACTION_BITS):
        mantissa = mantissa * mantissa >> _WORKING_BITS
        fraction <<= 1
        if mantissa >> (_WORKING_BITS + 1):
            mantissa >>= 1
            fraction |= 1
    return whole << _FRACTION_BITS | fraction


def shortest_us(live_count: int, multiplier_milli: int, probe_interval_us: int) -> int:
    """The suspicion of a fully confirmed accusation among `live_count` members."""
    ten = log2_fixed(10)
    return probe_interval_us * multiplier_milli * max(ten, log2_fixed(live_count)) // (1_000 * ten)


def confirmations_wanted(live_count: int, confirmations: int) -> int:
    """k: none where fewer than k members besides subject and accuser exist."""
    return confirmations if live_count - 2 >= confirmations else 0


def timeout_us(shortest: int, factor: int, wanted: int, confirmed: int) -> int:
    """The wait after `confirmed` accusers beside the first, `wanted` of them being enough."""
    if confirmed >= wanted:
        return shortest
    longest = factor * shortest
    shrunk = (longest - shortest) * log2_fixed(confirmed + 1) // log2_fixed(wanted + 1)
    return max(shortest, longest - shrunk)


def sends_max(live_count: int, multiplier: int) -> int:
    """How often a statement is sent: multiplier · ceil(log10(n + 1))."""
    return multiplier * len(str(live_count))


ASKS = 2
"""Times that a suspected member is asked once more before its timer runs out."""


@dataclass(slots=True)
class _Timer:
    started_at: int
    shortest: int
    factor: int
    wanted: int
    deadline: int
    asks_left: int = ASKS

    def due_at(self, ask_us: int) -> int:
        """When the subject is asked again, or the timer runs out."""
        return self.deadline - self.asks_left * ask_us


class Suspicions:
    """The running timers, at most one a member; `ask_us` lies between the last asks and the end."""

    def __init__(self, ask_us: int = 0) -> None:
        self._ask_us = ask_us
        self._timers: dict[PeerId, _Timer] = {}
        self._deadline: int | None = None

    @property
    def deadline(self) -> MonotonicUs | None:
        """When the first of them runs out, or its subject is to be asked once more."""
        return None if self._deadline is None else MonotonicUs(self._deadline)

    def wanted(self, subject: PeerId) -> int:
        """The confirmations that the suspicion of `subject` still may use; 0 where none runs."""
        timer = self._timers.get(subject)
        return 0 if timer is None else timer.wanted

    def begin(self, subject: PeerId, now_us: int, shortest: int, factor: int, wanted: int) -> None:
        """Starts the timer with its first accuser."""
        deadline = now_us + timeout_us(shortest, factor, wanted, 0)
        self._timers[subject] = _Timer(now_us, shortest, factor, wanted, deadline)
        self._settle()

    def confirm(self, subject: PeerId, confirmed: int) -> None:
        """Shortens the timer, counted from its start."""
        if (timer := self._timers.get(subject)) is not None:
            wait = timeout_us(timer.shortest, timer.factor, timer.wanted, confirmed)
            timer.deadline = min(timer.deadline, timer.started_at + wait)
            self._settle()

    def cancel(self, subject: PeerId) -> None:
        """Forgets the timer, if one runs."""
        if self._timers.pop(subject, None) is not None:
            self._settle()

    def delay(self, by_us: int) -> None:
        """Moves every timer: we were not listening for that long."""
        for timer in self._timers.values():
            timer.started_at += by_us
            timer.deadline += by_us
        self._settle()

    def take_asks(self, now_us: int) -> list[PeerId]:
        """The subjects to be asked now, in order of peer id; none beyond its end."""
        if self._deadline is None or now_us < self._deadline:
            return []
        due = []
        for peer in sorted(self._timers):
            timer = self._timers[peer]
            if timer.asks_left and timer.due_at(self._ask_us) <= now_us:
                timer.asks_left -= 1
                if timer.deadline > now_us:
                    due.append(peer)
        self._settle()
        return due

    def hold(self, until_us: int) -> None:
        """Lets none run out before then."""
        for timer in self._timers.values():
            timer.deadline = max(timer.deadline, until_us)
        self._settle()

    def take_due(self, now_us: int) -> list[PeerId]:
        """Removes the timers that ran out and gives their subjects, in order of peer id."""
        if self._deadline is None or now_us < self._deadline:
            return []
        due = sorted(peer for peer, timer in self._timers.items() if timer.deadline <= now_us)
        for peer in due:
            del self._timers[peer]
        self._settle()
        return due

    def _settle(self) -> None:
        due = (timer.due_at(self._ask_us) for timer in self._timers.values())
        self._deadline = min(due, default=None)
