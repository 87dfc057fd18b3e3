"""Scores of recall in integers: fixed-point idf and reciprocal rank fusion, ties by id.

Every number here is an integer, so that the same lists give the same order on every machine.
Reciprocal rank fusion after Cormack, Clarke and Büttcher (SIGIR 2009), weighted; the defaults
were tuned on one half of the known-item set of `cli/bench/quality.py`, which reports the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hive.errors import ConfigError

SCORE_SCALE = 10**6
LOG2_FRACTION_BITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingConfig:
    """How the list of words and the list of vectors become one."""

    rank_offset: int = 10
    """Added to each rank (first = 1); more of it flattens the head of a list. 1..1000."""
    words_weight: int = 10
    """Weight of the list by words. 0..1000."""
    vectors_weight: int = 7
    """Weight of the list by vectors; the default embedder is the weaker judge. 0..1000."""
    candidates_count: int = 100
    """Entries taken from each list; more costs time and seldom changes the first ten."""

    def __post_init__(self) -> None:
        if not 1 <= self.rank_offset <= 1000:
            raise ConfigError("rank_offset must lie in 1..1000")
        if not (0 <= self.words_weight <= 1000 and 0 <= self.vectors_weight <= 1000):
            raise ConfigError("weights must lie in 0..1000")
        if self.words_weight + self.vectors_weight == 0:
            raise ConfigError("at least one list needs a weight")
        if not 1 <= self.candidates_count <= 10_000:
            raise ConfigError("candidates_count must lie in 1..10000")


@dataclass(frozen=True, slots=True)
class Fused:
    """One id with its fused score and its rank (from 1, or 0 where absent) in each list."""

    item_id: bytes
    score: int
    words_rank: int
    vectors_rank: int


def reciprocal(weight: int, rank: int, config: RankingConfig) -> int:
    """What rank `rank` (from 1) in a list of `weight` adds to a score."""
    return weight * SCORE_SCALE // (config.rank_offset + rank)


def fuse(words: Sequence[bytes], vectors: Sequence[bytes], config: RankingConfig) -> list[Fused]:
    """Fuses two lists, best first, by weighted reciprocal rank; equal scores order by id."""
    words_ranks = {item: rank for rank, item in enumerate(words, 1)}
    vectors_ranks = {item: rank for rank, item in enumerate(vectors, 1)}
    fused = [
        _fused(item, words_ranks.get(item, 0), vectors_ranks.get(item, 0), config)
        for item in dict.fromkeys((*words_ranks, *vectors_ranks))
    ]
    return sorted(fused, key=lambda each: (-each.score, each.item_id))


def _fused(item: bytes, words_rank: int, vectors_rank: int, config: RankingConfig) -> Fused:
    score = 0
    if words_rank:
        score += reciprocal(config.words_weight, words_rank, config)
    if vectors_rank:
        score += reciprocal(config.vectors_weight, vectors_rank, config)
    return Fused(item, score, words_rank, vectors_rank)


def log2_fixed(value: int) -> int:
    """floor(log2(value) · 2^16) for value ≥ 1, to within one unit, by repeated squaring."""
    exponent = value.bit_length() - 1
    mantissa = value << 62 >> exponent
    fraction = 0
    for _ in range(LOG2_FRACTION_BITS):
        mantissa = mantissa * mantissa >> 62
        fraction <<= 1
        if mantissa >> 63:
            mantissa >>= 1
            fraction |= 1
    return (exponent << LOG2_FRACTION_BITS) | fraction


def inverse_document_frequency(document_count: int, holding_count: int) -> int:
    """BM25's idf, log2(1 + (N − n + ½) / (n + ½)), scaled by 2^16; never negative."""
    return log2_fixed(2 * document_count + 2) - log2_fixed(2 * holding_count + 1)
