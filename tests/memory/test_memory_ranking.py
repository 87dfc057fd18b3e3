from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive.errors import ConfigError
from hive.memory.ranking import (
    RankingConfig,
    fuse,
    inverse_document_frequency,
    log2_fixed,
    reciprocal,
)

ITEMS = [bytes([number]) * 32 for number in range(12)]
CONFIG = RankingConfig()


def test_equal_scores_order_by_id() -> None:
    config = RankingConfig(words_weight=5, vectors_weight=5)
    fused = fuse([ITEMS[9]], [ITEMS[2]], config)
    assert [each.item_id for each in fused] == [ITEMS[2], ITEMS[9]]
    assert fused[0].score == fused[1].score


def test_an_item_in_both_lists_adds_both_reciprocals() -> None:
    fused = fuse([ITEMS[0], ITEMS[1]], [ITEMS[1]], CONFIG)
    best = fused[0]
    assert (best.item_id, best.words_rank, best.vectors_rank) == (ITEMS[1], 2, 1)
    expected = reciprocal(CONFIG.words_weight, 2, CONFIG)
    assert best.score == expected + reciprocal(CONFIG.vectors_weight, 1, CONFIG)
    assert (fused[1].words_rank, fused[1].vectors_rank) == (1, 0)


def test_golden_scores_do_not_move() -> None:
    fused = fuse(ITEMS[:3], ITEMS[2:5], CONFIG)
    assert [(each.item_id[0], each.score) for each in fused] == [
        (2, 769230 + 636363),
        (0, 909090),
        (1, 833333),
        (3, 583333),
        (4, 538461),
    ]


@given(st.permutations(ITEMS), st.permutations(ITEMS))
def test_fusion_is_a_total_order_whatever_comes(words: list[bytes], vectors: list[bytes]) -> None:
    fused = fuse(words, vectors[:5], CONFIG)
    keys = [(-each.score, each.item_id) for each in fused]
    assert keys == sorted(keys)
    assert sorted(each.item_id for each in fused) == sorted(ITEMS)


@given(st.integers(1, 2**63))
def test_fixed_logarithm_is_within_two_units(value: int) -> None:
    assert abs(log2_fixed(value) / 2**16 - math.log2(value)) <= 2 / 2**16


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_idf_is_never_negative(one: int, other: int) -> None:
    assert inverse_document_frequency(max(one, other), min(one, other)) >= 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"rank_offset": 0},
        {"words_weight": -1},
        {"words_weight": 0, "vectors_weight": 0},
        {"candidates_count": 0},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        RankingConfig(**wrong)
