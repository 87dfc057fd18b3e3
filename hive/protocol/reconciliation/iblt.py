"""A rateless invertible Bloom lookup table over session ids.

Theory of operation
-------------------
Yang, Gilad and Alizadeh, "Practical Rateless Set Reconciliation" (SIGCOMM 2024). Both sides map
their set to the same endless run of coded symbols; symbol i holds the XOR of a pseudorandom part
of the set, thinner as i grows: an item that lies in symbol i lies in the one `step` behind it
next, so that the density at i is 1 / (1 + i/2). The XOR of both sides' symbols codes the
symmetric difference only. A symbol that holds one single item shows it: the check, a hash of the
item that XOR does not respect, fits. The item is then taken out of every symbol it lies in, which
lays others bare (peeling). With d differences about 1.35 d symbols are enough for large d and
2 d for d = 10, whatever the size of the sets, so nothing is estimated before: the sender goes on
until the receiver has peeled everything.

A symbol is 12 bytes: 8 of XOR, 4 of check. There is no count. Whose item it is follows from
looking it up in one's own set, and a false fit (2^-32 a look) yields an id that nobody knows:
a hint without effect. Items are session ids under a key of both sides, so XOR (linear, hence
forgeable by chosen items) is safe against whoever writes deltas. A peer can still lie about its
own set: then it gets wrong hints for itself, within the caps. At most `symbols_max` symbols are
taken, each item is peeled once, and peeling stops after `PEEL_ROUNDS_MAX` rounds (honest tables
need some tens). All arithmetic is on 64-bit integers or correctly rounded by IEEE 754, so every
machine makes the same symbols.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hive.protocol.reconciliation.short_ids import Numbers, is_among

SYMBOL_BYTES: Final = 12
PEEL_ROUNDS_MAX: Final = 256

_LAYOUT: Final = np.dtype([("items", "<u8"), ("checks", "<u4")])
_WALK: Final = np.uint64(0xDA942042E4DD58B5)
_MIX: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_S27, _S31, _S32 = np.uint64(27), np.uint64(31), np.uint64(32)
_SPAN: Final = float(1 << 32)

Places = NDArray[np.int64]


def _mixed(items: Numbers) -> Numbers:
    found = items * _MIX[0]
    found ^= found >> _S27
    found *= _MIX[1]
    found ^= found >> _S31
    return found


@dataclass(slots=True)
class Symbols:
    """A run of coded symbols from number 0 on: XORs of items and of their checks."""

    items: Numbers
    checks: Numbers

    @classmethod
    def empty(cls, count: int) -> Symbols:
        """The symbols of an empty set."""
        return cls(np.zeros(count, np.uint64), np.zeros(count, np.uint64))

    def __len__(self) -> int:
        return len(self.items)

    def pack(self, first: int) -> bytes:
        """The symbols from a number on as they travel."""
        packed = np.zeros(len(self) - first, _LAYOUT)
        packed["items"], packed["checks"] = self.items[first:], self.checks[first:]
        return packed.tobytes()

    def extend(self, more: Symbols) -> None:
        """Appends the symbols that follow."""
        self.items = np.concatenate([self.items, more.items])
        self.checks = np.concatenate([self.checks, more.checks])

    def without(self, other: Symbols) -> Symbols:
        """The symbols of the symmetric difference, as far as both reach."""
        count = min(len(self), len(other))
        return Symbols(
            self.items[:count] ^ other.items[:count], self.checks[:count] ^ other.checks[:count]
        )


def unpack_untrusted(untrusted_run: bytes) -> Symbols:
    """Symbols as they came; an incomplete last one is dropped."""
    whole = untrusted_run[: len(untrusted_run) // SYMBOL_BYTES * SYMBOL_BYTES]
    packed = np.frombuffer(whole, _LAYOUT)
    return Symbols(packed["items"].astype(np.uint64), packed["checks"].astype(np.uint64))


@dataclass(slots=True)
class Walk:
    """Items on their way along the symbols: where each lies next, and what decides the step."""

    items: Numbers
    checks: Numbers
    states: Numbers
    places: Places

    @classmethod
    def begin(cls, items: Numbers) -> Walk:
        """Every item lies in symbol 0."""
        mixed = _mixed(items)
        return cls(items, mixed >> _S32, mixed, np.zeros(len(items), np.int64))

    def fold(self, symbols: Symbols) -> None:
        """Lays the items into all symbols that lie before them, up to the end of the run."""
        alive = np.flatnonzero(self.places < len(symbols))
        items, checks = self.items[alive], self.checks[alive]
        states, places = self.states[alive], self.places[alive]
        while len(alive):
            np.bitwise_xor.at(symbols.items, places, items)
            np.bitwise_xor.at(symbols.checks, places, checks)
            states = states * _WALK
            places = places + _steps(states, places)
            is_past = places >= len(symbols)
            if is_past.any():
                self.states[alive[is_past]] = states[is_past]
                self.places[alive[is_past]] = places[is_past]
                left = ~is_past
                alive, items, checks = alive[left], items[left], checks[left]
                states, places = states[left], places[left]


def _steps(states: Numbers, places: Places) -> Places:
    stretch = _SPAN / np.sqrt(states.astype(np.float64) + 1.0) - 1.0
    return np.minimum((places + 1.5) * stretch, _SPAN).astype(np.int64) + 1


def peel(difference: Symbols) -> tuple[Numbers, bool]:
    """The items that show, and whether those are all; `difference` is used up.

    Bounded whatever the symbols say: each item once, at most as many as symbols.
    """
    found: list[Numbers] = []
    known, count = np.zeros(0, np.uint64), 0
    for _ in range(PEEL_ROUNDS_MAX):
        shown = np.flatnonzero(
            (difference.checks != 0) & (_mixed(difference.items) >> _S32 == difference.checks)
        )
        items = np.unique(difference.items[shown])
        fresh = items[~is_among(items, known)]
        if not len(fresh) or count + len(fresh) > len(difference):
            break
        Walk.begin(fresh).fold(difference)
        found.append(fresh)
        known, count = np.concatenate([known, fresh]), count + len(fresh)
    is_whole = not difference.items.any() and not difference.checks.any()
    return (np.concatenate(found) if found else known), is_whole
