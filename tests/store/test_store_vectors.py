from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hive.store.columns import Columns
from hive.store.graph import VectorsConfig
from hive.store.snapshots import SnapshotBroken, read_checked, write_checked
from hive.store.vectors import MANIFEST, VectorIndex

DIMENSIONS = 32
TERMS = np.array([7, 8], dtype=np.uint32)
GRAPHED = VectorsConfig(exact_items_max=50)
SCANNED = VectorsConfig(exact_items_max=10**6)


def vectors(count: int, seed: int = 1) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-127, 128, (count, DIMENSIONS)).astype(np.int8)


def delta_id(row: int) -> bytes:
    return row.to_bytes(32, "little")


def index_of(config: VectorsConfig, namespaces: list[str], count: int) -> VectorIndex:
    index = VectorIndex(DIMENSIONS, config)
    for row, vector in enumerate(vectors(count), 1):
        index.append(namespaces[row % len(namespaces)], row, delta_id(row), vector, TERMS)
    index.index_new(namespaces)
    return index


def rows(index: VectorIndex, vector: NDArray[np.int8], names: list[str], count: int) -> list[int]:
    return [near.row_id for near in index.nearest(vector, names, count)]


def load(directory: Path, config: VectorsConfig, stamp: str = "s") -> tuple[VectorIndex, list[str]]:
    notices: list[str] = []
    return VectorIndex.load(directory, stamp, DIMENSIONS, config, notices.append), notices


def test_scan_equals_integer_arithmetic() -> None:
    columns = Columns(DIMENSIONS)
    matrix = vectors(5000)
    matrix[:10] = 127
    matrix[10:20] = -127
    for row, vector in enumerate(matrix, 1):
        columns.append(row, delta_id(row), vector, TERMS)
    for query in (matrix[0], matrix[4000]):
        expected = matrix.astype(np.int64) @ query.astype(np.int64)
        assert (columns.dots(query) == expected).all()


def test_ties_order_by_delta_id() -> None:
    index = VectorIndex(DIMENSIONS, SCANNED)
    same = vectors(1)[0]
    for row in range(1, 40):
        index.append("n", row, bytes([200 - row]) * 32, same, TERMS)
    assert rows(index, same, ["n"], 5) == [39, 38, 37, 36, 35]


def test_graph_proposes_what_the_scan_finds() -> None:
    graphed = index_of(GRAPHED, ["n"], 3000)
    scanned = index_of(SCANNED, ["n"], 3000)
    hits = 0
    for query in vectors(50, seed=2):
        hits += len(set(rows(graphed, query, ["n"], 10)) & set(rows(scanned, query, ["n"], 10)))
    assert hits >= 0.9 * 500


def test_graph_scores_are_exact_integers() -> None:
    graphed = index_of(GRAPHED, ["n"], 500)
    scanned = index_of(SCANNED, ["n"], 500)
    query = vectors(1, seed=3)[0]
    exact = {near.row_id: near.score for near in scanned.nearest(query, ["n"], 500)}
    assert all(exact[near.row_id] == near.score for near in graphed.nearest(query, ["n"], 10))


def test_several_namespaces_merge_and_others_stay_out() -> None:
    names = ["a", "b", "c"]
    index, whole = index_of(SCANNED, names, 300), index_of(SCANNED, ["all"], 300)
    query = vectors(1, seed=4)[0]
    expected = [row for row in rows(whole, query, ["all"], 300) if row % 3 != 2][:10]
    assert rows(index, query, ["a", "b", "unknown"], 10) == expected


def test_a_one_percent_namespace_does_not_starve() -> None:
    index = VectorIndex(DIMENSIONS, VectorsConfig(exact_items_max=200))
    for row, vector in enumerate(vectors(5000), 1):
        index.append("rare" if row % 100 == 0 else "big", row, delta_id(row), vector, TERMS)
    index.index_new(["big", "rare"])
    found = index.nearest(vectors(1, seed=5)[0], ["rare"], 50)
    assert len(found) == 50
    assert all(near.namespace == "rare" for near in found)


@pytest.mark.parametrize("config", [SCANNED, GRAPHED])
def test_fewer_than_asked_never_raises(config: VectorsConfig) -> None:
    index = index_of(config, ["n"], 60)
    query = vectors(1, seed=6)[0]
    assert len(index.nearest(query, ["n"], 1000)) == 60
    for row in range(1, 58):
        assert index.forget(row)
    assert sorted(rows(index, query, ["n"], 1000)) == [58, 59, 60]
    for row in range(58, 61):
        index.forget(row)
    assert index.nearest(query, ["n"], 10) == []
    assert index.nearest(query, [], 10) == []


def test_a_graph_nearly_all_forgotten_still_answers() -> None:
    index = index_of(VectorsConfig(exact_items_max=0), ["n"], 400)
    for row in range(1, 399):
        index.forget(row)
    assert sorted(rows(index, vectors(1)[0], ["n"], 10)) == [399, 400]


@pytest.mark.parametrize("config", [SCANNED, GRAPHED])
def test_forgotten_rows_are_overwritten_not_only_hidden(config: VectorsConfig) -> None:
    index = index_of(config, ["n"], 100)
    vector = vectors(100)[41]
    assert 42 in rows(index, vector, ["n"], 10)
    assert index.forget(42)
    assert not index.forget(42)
    assert 42 not in rows(index, vector, ["n"], 100)
    columns = index.columns("n")
    assert columns is not None
    assert not columns.vectors[41].any()
    assert columns.terms_of(41) == [0, 0]
    assert index.find(42) is None


def test_graph_grows_beyond_its_first_size() -> None:
    index = index_of(GRAPHED, ["n"], 100)
    for row, vector in enumerate(vectors(900, seed=7), 101):
        index.append("n", row, delta_id(row), vector, TERMS)
        index.index_new(["n"])
    assert len(index.nearest(vectors(1)[0], ["n"], 50)) == 50


def test_zero_vector_is_near_to_nothing() -> None:
    index = index_of(SCANNED, ["n"], 10)
    assert index.nearest(np.zeros(DIMENSIONS, dtype=np.int8), ["n"], 10) == []


@pytest.mark.parametrize("config", [SCANNED, GRAPHED])
def test_snapshot_brings_back_the_same_answers(tmp_path: Path, config: VectorsConfig) -> None:
    index = index_of(config, ["a", "b"], 400)
    index.forget(7)
    index.snapshot(tmp_path, "s")
    loaded, notices = load(tmp_path, config)
    assert notices == []
    assert loaded.last_row == 400
    for query in vectors(10, seed=8):
        assert loaded.nearest(query, ["a", "b"], 10) == index.nearest(query, ["a", "b"], 10)
    assert loaded.find(7) is None
    assert loaded.find(8) == index.find(8)
    assert list(loaded.live_above(398)) == list(index.live_above(398))


def test_loaded_index_goes_on_growing(tmp_path: Path) -> None:
    index_of(GRAPHED, ["a"], 100).snapshot(tmp_path, "s")
    loaded, _ = load(tmp_path, GRAPHED)
    for row, vector in enumerate(vectors(300, seed=9), 101):
        loaded.append("a", row, delta_id(row), vector, TERMS)
    loaded.index_new(["a"])
    assert loaded.nearest(vectors(300, seed=9)[250], ["a"], 1)[0].row_id == 351
    loaded.snapshot(tmp_path, "s")
    assert load(tmp_path, GRAPHED)[0].last_row == 400
    assert len(list(tmp_path.iterdir())) == 3


def test_unchanged_namespaces_are_not_written_again(tmp_path: Path) -> None:
    index = index_of(SCANNED, ["a", "b"], 100)
    index.snapshot(tmp_path, "s")
    before = {path.name for path in tmp_path.iterdir()}
    index.append("a", 101, delta_id(101), vectors(1)[0], TERMS)
    index.snapshot(tmp_path, "s")
    assert len(before & {path.name for path in tmp_path.iterdir()}) == 2


@pytest.mark.parametrize("ending", [MANIFEST, ".columns"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing"])
def test_broken_files_discard_all_and_say_so(tmp_path: Path, ending: str, damage: str) -> None:
    index_of(GRAPHED, ["a"], 100).snapshot(tmp_path, "s")
    hurt(next(path for path in tmp_path.iterdir() if path.name.endswith(ending)), damage)
    loaded, notices = load(tmp_path, GRAPHED)
    assert loaded.last_row == 0
    assert loaded.namespaces == []
    if (ending, damage) != (MANIFEST, "missing"):
        assert "rebuilt from the store" in notices[0]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing"])
def test_broken_graph_is_made_again_from_its_columns(tmp_path: Path, damage: str) -> None:
    index = index_of(GRAPHED, ["a"], 100)
    index.snapshot(tmp_path, "s")
    hurt(next(path for path in tmp_path.iterdir() if path.suffix == ".graph"), damage)
    loaded, notices = load(tmp_path, GRAPHED)
    assert "made again" in notices[0]
    query = vectors(1, seed=10)[0]
    assert loaded.nearest(query, ["a"], 5) == index.nearest(query, ["a"], 5)
    loaded.snapshot(tmp_path, "s")
    assert load(tmp_path, GRAPHED)[1] == []


def test_another_embedder_discards_the_vectors(tmp_path: Path) -> None:
    index_of(SCANNED, ["a"], 10).snapshot(tmp_path, "one")
    loaded, notices = load(tmp_path, SCANNED, "other")
    assert loaded.last_row == 0
    assert "made by one" in notices[0]


def test_files_of_an_unfinished_snapshot_change_nothing(tmp_path: Path) -> None:
    index = index_of(SCANNED, ["a"], 50)
    index.snapshot(tmp_path, "s")
    (tmp_path / "stray-60.columns").write_bytes(b"half")
    (tmp_path / "manifest.new").write_bytes(b"half")
    loaded, notices = load(tmp_path, SCANNED)
    assert (loaded.last_row, notices) == (50, [])
    loaded.snapshot(tmp_path, "s")
    assert not (tmp_path / "stray-60.columns").exists()


def test_a_file_of_an_older_snapshot_is_not_taken_for_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "x"
    older = write_checked(path, [b"older"])
    assert bytes(read_checked(path, older)) == b"older"
    write_checked(path, [b"newer"])
    with pytest.raises(SnapshotBroken):
        read_checked(path, older)


def hurt(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
        return
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes(b"" if damage == "empty" else content[: -5 if damage == "cut" else None])
