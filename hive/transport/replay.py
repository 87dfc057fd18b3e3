"""The replay window: which counters of one boot of one sender were already seen."""

from __future__ import annotations

from typing import Final

WINDOW_COUNT: Final = 1_024
_MASK: Final = (1 << WINDOW_COUNT) - 1


class ReplayWindow:
    """The last `WINDOW_COUNT` counters as bits below the highest one seen.

    A new window begins full at `floor`: the counter of the fresh message that opened it, below
    which nothing is ever good again, so losing a window loses no protection.
    """

    __slots__ = ("_bits", "_highest")

    def __init__(self, floor: int) -> None:
        self._highest = floor
        self._bits = _MASK

    def is_new(self, counter: int) -> bool:
        """Whether the counter was not seen and is not too old to tell."""
        behind = self._highest - counter
        if behind < 0:
            return True
        return behind < WINDOW_COUNT and not self._bits >> behind & 1

    def mark(self, counter: int) -> None:
        """Remembers a counter whose datagram proved authentic."""
        ahead = counter - self._highest
        if ahead <= 0:
            self._bits |= 1 << -ahead
            return
        self._bits = (self._bits << ahead & _MASK if ahead < WINDOW_COUNT else 0) | 1
        self._highest = counter
