"""Cheap randomness for worlds: an integer generator whose state is drawn from a keyed stream.

`Stream` costs a SHA-256 a draw, which is right for machines and dear for every packet of a million
peers. `Draws` takes its first state from a `Stream` with the same key (seed, purpose, entity) and
goes on with a 64-bit linear congruence (Knuth's MMIX), its upper 31 bits being the draw.
"""

from __future__ import annotations

from typing import Final

from hive.wire.randomness import Stream

_MASK: Final = (1 << 64) - 1
_FACTOR: Final = 6_364_136_223_846_793_005
_STEP: Final = 1_442_695_040_888_963_407
MILLION: Final = 1_000_000


class Draws:
    """A stream of small integers; equal keys give equal streams."""

    __slots__ = ("_state",)

    def __init__(self, seed: bytes, purpose: str, entity: bytes = b"") -> None:
        self._state = Stream(seed, purpose, entity).bits(64)

    def bits31(self) -> int:
        """A uniform integer of 31 bits."""
        self._state = (self._state * _FACTOR + _STEP) & _MASK
        return self._state >> 33

    def below(self, bound: int) -> int:
        """A nearly uniform integer in `0..bound-1`; `bound` up to 2^31."""
        self._state = (self._state * _FACTOR + _STEP) & _MASK
        return (self._state >> 33) * bound >> 31

    def hits(self, rate_ppm: int) -> bool:
        """True at a rate in millionths."""
        self._state = (self._state * _FACTOR + _STEP) & _MASK
        return (self._state >> 33) * MILLION >> 31 < rate_ppm

    def waits(self, mean_us: int) -> int:
        """A geometric, nearly exponential waiting time with this mean."""
        drawn = self.bits31() | 1 << 31
        halvings = (drawn & -drawn).bit_length() - 1
        return mean_us * (halvings * 1_024 + (drawn >> 20 & 1_023)) * 2 // 3_072


def entity_key(number: int) -> bytes:
    """The key of an entity by its number."""
    return number.to_bytes(8, "big")
