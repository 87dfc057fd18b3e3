"""The rateless table shows every difference and nothing else, within its caps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.protocol.reconciliation.elements import numbers_of_untrusted, steps_of
from hive.protocol.reconciliation.iblt import (
    PEEL_ROUNDS_MAX,
    SYMBOL_BYTES,
    Symbols,
    Walk,
    peel,
    unpack_untrusted,
)
from hive.protocol.reconciliation.short_ids import (
    Numbers,
    is_among,
    pack,
    rows_of,
    session_ids,
)
from hive.protocol.reconciliation.short_ids import unpack_untrusted as unpack_ids_untrusted

KEY = bytes(range(16))


def items(count: int, seed: int = 1) -> Numbers:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def coded(some: Numbers, count: int) -> Symbols:
    symbols = Symbols.empty(count)
    Walk.begin(some).fold(symbols)
    return symbols


def siphash(key: bytes, message: bytes) -> int:
    """SipHash-2-4 as its paper says it, one message at a time."""
    mask = (1 << 64) - 1
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    a, b = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    c, d = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def turn(word: int, bits: int) -> int:
        return (word << bits | word >> (64 - bits)) & mask

    def rounds(count: int) -> None:
        nonlocal a, b, c, d
        for _ in range(count):
            a, c = (a + b) & mask, (c + d) & mask
            b, d = turn(b, 13) ^ a, turn(d, 16) ^ c
            a = turn(a, 32)
            a, c = (a + d) & mask, (c + b) & mask
            d, b = turn(d, 21) ^ a, turn(b, 17) ^ c
            c = turn(c, 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes((len(message) & 0xFF,))
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        d ^= word
        rounds(2)
        a ^= word
    c ^= 0xFF
    rounds(4)
    return a ^ b ^ c ^ d


def test_the_reference_gives_the_published_value() -> None:
    assert siphash(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5


def test_session_ids_are_siphash_of_id_and_state() -> None:
    lines = np.random.default_rng(3).bytes(41 * 20)
    expected = [siphash(KEY, lines[start + 8 : start + 41]) for start in range(0, len(lines), 41)]
    assert [int(each) for each in session_ids(KEY, rows_of(lines))] == expected


def test_another_session_gives_other_ids() -> None:
    rows = rows_of(np.random.default_rng(3).bytes(41 * 20))
    assert not np.isin(session_ids(KEY, rows), session_ids(bytes(16), rows)).any()


@settings(max_examples=60, deadline=None)
@given(
    shared=st.integers(0, 400),
    left=st.integers(0, 60),
    right=st.integers(0, 60),
    seed=st.integers(0, 2**32),
)
def test_symbols_of_both_sides_show_the_symmetric_difference(
    shared: int, left: int, right: int, seed: int
) -> None:
    every = items(shared + left + right, seed)
    one, two = every[: shared + left], np.concatenate([every[:shared], every[shared + left :]])
    count = 4 * (left + right) + 24
    shown, is_whole = peel(coded(one, count).without(coded(two, count)))
    assert is_whole
    assert sorted(map(int, shown)) == sorted(map(int, every[shared:]))


@pytest.mark.parametrize(("count", "share"), [(10, 3.0), (100, 1.7), (1_000, 1.5), (10_000, 1.4)])
def test_the_overhead_is_what_the_paper_says(count: int, share: float) -> None:
    needed = 0
    for seed in range(3):
        whole = coded(items(count, seed), 4 * count)
        low, high = count, 4 * count
        while low < high:
            middle = (low + high) // 2
            cut = Symbols(whole.items[:middle].copy(), whole.checks[:middle].copy())
            low, high = (low, middle) if peel(cut)[1] else (middle + 1, high)
        needed += low
    assert needed / (3 * count) <= share


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_symbols_sent_in_pieces_are_those_sent_at_once(cuts: list[int], seed: int) -> None:
    some = items(200, seed)
    walk, grown, heard = Walk.begin(some), Symbols.empty(0), Symbols.empty(0)
    for cut in cuts:
        first = len(grown)
        grown.extend(Symbols.empty(cut))
        walk.fold(grown)
        heard.extend(unpack_untrusted(grown.pack(first)))
    at_once = coded(some, sum(cuts))
    assert np.array_equal(heard.items, at_once.items)
    assert np.array_equal(heard.checks, at_once.checks)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=2_000))
def test_symbols_that_code_nothing_end_the_peeling(untrusted: bytes) -> None:
    symbols = unpack_untrusted(untrusted)
    count = len(symbols)
    assert count == len(untrusted) // SYMBOL_BYTES
    shown, _ = peel(symbols)
    assert len(shown) <= count


def test_a_table_that_feeds_its_own_peeling_ends() -> None:
    """Each symbol is made to show one fresh item after the other: the hostile best case."""
    some = items(4_096, 5)
    walk = Walk.begin(some)
    symbols = Symbols(walk.items.copy(), walk.checks.copy())
    shown, is_whole = peel(symbols)
    assert not is_whole
    assert len(shown) <= PEEL_ROUNDS_MAX * 4_096


def test_membership_is_exact() -> None:
    some = items(500)
    assert is_among(some, some[::2]).tolist() == [place % 2 == 0 for place in range(500)]
    assert not is_among(some, some[:0]).any()
    assert np.array_equal(unpack_ids_untrusted(pack(some) + b"rest"), some)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 2**18 - 1), unique=True, max_size=50), st.integers(0, 3))
def test_bucket_numbers_survive_their_encoding(numbers: list[int], level: int) -> None:
    ascending = sorted(numbers)
    assert list(numbers_of_untrusted(steps_of(ascending), level)) == ascending


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.integers(0, 3))
def test_any_distances_give_ascending_numbers_of_real_buckets(steps: list[int], level: int) -> None:
    numbers = numbers_of_untrusted(steps, level)
    assert list(numbers) == sorted(set(numbers))
    assert all(number < 1 << (48 - 15) for number in numbers)
