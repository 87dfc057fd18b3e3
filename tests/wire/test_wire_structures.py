"""Merkle trees, the hybrid clock, framing, ids and keyed randomness."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.errors import MalformedFrame
from hive.wire import merkle
from hive.wire.clock import (
    HLC_AHEAD_MS_MAX,
    hlc_at,
    hlc_wall_us,
    is_too_far_ahead,
    next_hlc,
)
from hive.wire.framing import FrameReader, frame
from hive.wire.ids import Inception, digest, peer_id
from hive.wire.randomness import Stream

# RFC 6962 reference leaves and roots, as in the certificate-transparency test data.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize("count", ROOTS)
def test_roots_are_those_of_rfc_6962(count: int) -> None:
    assert merkle.root(LEAVES[:count]).hex() == ROOTS[count]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(max_size=8), min_size=1, max_size=70))
def test_each_leaf_is_proven_at_its_place_and_nowhere_else(leaves: list[bytes]) -> None:
    root, paths = merkle.proofs(leaves)
    assert root == merkle.root(leaves)
    for index, leaf in enumerate(leaves):
        path = merkle.proof(leaves, index)
        assert path == paths[index]
        count = len(leaves)
        assert merkle.root_from_proof(leaf, index, count, path) == root
        assert merkle.root_from_proof(leaf + b"x", index, count, path) != root
        assert merkle.root_from_proof(leaf, index, count, (*path, root)) is None
        if path:
            assert merkle.root_from_proof(leaf, index, count, path[:-1]) is None


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 12))
def test_any_index_count_and_path_give_a_root_or_none(index: int, count: int, depth: int) -> None:
    found = merkle.root_from_proof(b"leaf", index, count, (b"s" * 32,) * depth)
    assert found is None or (index < count and len(found) == 32)


def test_empty_tree_has_no_proof() -> None:
    assert merkle.proofs([]) == (merkle.EMPTY_ROOT, ())
    assert merkle.root_from_proof(b"", 0, 0, ()) is None


def test_leaf_and_node_cannot_be_confused() -> None:
    left, right = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    assert merkle.root([left + right]) != merkle.root([b"a", b"b"])


@given(st.integers(0, 2**62), st.integers(0, 2**47 * 1_000))
def test_next_stamp_is_above_the_newest_and_not_behind_the_wall(newest: int, wall_us: int) -> None:
    stamp = next_hlc(newest, wall_us)  # type: ignore[arg-type]
    assert stamp > newest
    assert stamp >= hlc_at(wall_us)
    assert stamp == max(newest + 1, hlc_at(wall_us))


def test_full_counter_advances_the_millisecond() -> None:
    full = hlc_at(5_000, 0xFFFF)
    assert hlc_wall_us(next_hlc(full, 5_000)) == 6_000


def test_stamp_is_too_far_ahead_only_beyond_the_bound() -> None:
    wall_us = 1_700_000_000_000_000
    edge = wall_us + HLC_AHEAD_MS_MAX * 1_000
    assert not is_too_far_ahead(hlc_at(edge, 0xFFFF), wall_us)
    assert is_too_far_ahead(hlc_at(edge + 1_000), wall_us)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=8), st.data())
def test_frames_come_out_whole_however_they_were_cut(
    payloads: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(frame(payload) for payload in payloads)
    reader, out, at = FrameReader(64), [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, 40))
        out += reader.feed(stream[at : at + step])
        at += step
    assert out == payloads
    assert not reader.is_mid_frame


def test_frame_beyond_the_cap_is_refused_at_its_length() -> None:
    reader = FrameReader(8)
    assert reader.feed(frame(bytes(8))) == [bytes(8)]
    assert reader.feed(b"\0\0") == []
    assert reader.is_mid_frame
    with pytest.raises(MalformedFrame):
        reader.feed(b"\0\x09")


def test_ids_are_sha256_over_label_zero_and_body() -> None:
    assert digest("label", b"body") == hashlib.sha256(b"label\0body").digest()
    inception, org = Inception(b"i" * 32), Inception(b"o" * 32)
    expected = hashlib.sha256(b"hive/peer-id\0" + inception + org).digest()[:20]
    assert peer_id(inception, org) == expected


def test_streams_of_different_keys_are_independent_and_repeatable() -> None:
    def first(seed: bytes, purpose: str, entity: bytes) -> int:
        return Stream(seed, purpose, entity).bits(256)

    drawn = {
        first(b"s", "p", b"e"),
        first(b"t", "p", b"e"),
        first(b"s", "q", b"e"),
        first(b"s", "p", b"f"),
    }
    assert len(drawn) == 4
    assert first(b"s", "p", b"e") == first(b"s", "p", b"e")


@given(st.integers(1, 1_000), st.binary(max_size=4))
def test_drawn_integers_and_samples_stay_in_bounds(bound: int, seed: bytes) -> None:
    stream = Stream(seed, "bounds")
    assert 0 <= stream.below(bound) < bound
    sample = stream.sample(range(bound), 10)
    assert len(sample) == len(set(sample)) == min(10, bound)
    items = list(range(20))
    stream.shuffle(items)
    assert sorted(items) == list(range(20))
