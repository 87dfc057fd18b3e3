"""Lifeguard's local health: who hears little is probably slow itself (section IV.A)."""

from __future__ import annotations


class LocalHealth:
    """A score from 0 (well) to `score_max`; probes take score + 1 intervals."""

    def __init__(self, score_max: int) -> None:
        self._score_max = score_max
        self.score = 0

    def worsen(self, by: int = 1) -> None:
        """A nack was missing, we had to refute, or we woke late."""
        self.score = min(self._score_max, self.score + by)

    def improve(self) -> None:
        """A probe was answered."""
        self.score = max(0, self.score - 1)

    def scaled(self, interval_us: int) -> int:
        """The interval, stretched by the score."""
        return interval_us * (self.score + 1)
