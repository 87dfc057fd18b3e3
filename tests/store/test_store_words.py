from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.errors import StoreError
from hive.store.columns import Columns
from hive.store.words import (
    Candidates,
    WordIndex,
    WordsConfig,
    discard_index,
    query_terms,
    score_terms,
    terms,
)

CONFIG = WordsConfig()
TEXTS = {
    1: "patients recover after surgery",
    2: "the surgery was postponed twice because of surgery staff",
    3: "kernel modules compile slowly",
    4: "a patient kernel maintainer",
}


def filled(directory: Path) -> WordIndex:
    index = WordIndex(directory, CONFIG)
    index.add((row, f"org/{row % 2}", terms(text).tolist()) for row, text in TEXTS.items())
    index.commit()
    return index


def columns_of(texts: list[str]) -> Candidates:
    columns = Columns(4)
    for row, text in enumerate(texts, 1):
        vector = np.zeros(4, dtype=np.int8)
        columns.append(row, bytes([row]) * 32, vector, terms(text))
    return Candidates(columns, columns.live)


def found(index: WordIndex, text: str, namespaces: list[str] | None = None) -> list[int]:
    return [row for row, _ in index.search(query_terms(text, 64), namespaces, 10)]


def test_words_are_found_by_their_stems(tmp_path: Path) -> None:
    index = filled(tmp_path)
    assert set(found(index, "patient")) == {1, 4}
    assert found(index, "SURGERIES postponed")[0] == 2
    index.close()


def test_namespaces_are_filtered_before_ranking(tmp_path: Path) -> None:
    index = WordIndex(tmp_path, CONFIG)
    wanted = terms("needle").tolist()
    index.add((row, "loud", wanted) for row in range(1, 2000))
    index.add([(5000, "quiet", terms("a needle in quite some hay and straw").tolist())])
    index.commit()
    assert [row for row, _ in index.search(wanted, ["quiet"], 3)] == [5000]
    assert index.search(wanted, [], 3) == []
    assert len(index.search(wanted, None, 3)) == 3
    index.close()


@given(st.text(max_size=300))
@settings(max_examples=60, deadline=None)
def test_no_query_raises(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    index = INDEX.setdefault("index", filled(tmp_path_factory.mktemp("words")))
    index.search(query_terms(text, 64), ["org/1", text], 10)


INDEX: dict[str, WordIndex] = {}


@pytest.mark.parametrize(
    "text", ['"', "AND OR NOT", "a:b^9~2 [x TO *]", "(((", "\x00", "\ud800", "x" * 10**5, "😀"]
)
def test_hostile_queries_are_only_words(tmp_path: Path, text: str) -> None:
    index = filled(tmp_path)
    assert isinstance(index.search(query_terms(text, 64), None, 10), list)
    index.close()


def test_removed_rows_are_not_found(tmp_path: Path) -> None:
    index = filled(tmp_path)
    index.remove([1, 999])
    index.commit()
    assert found(index, "patient") == [4]
    assert index.count == 3
    index.close()


def test_index_reopens_and_forgets_what_is_newer(tmp_path: Path) -> None:
    filled(tmp_path).close()
    index = WordIndex(tmp_path, CONFIG)
    assert index.last_row() == 4
    index.remove_newer(2)
    assert (index.last_row(), index.count) == (2, 2)
    index.close()


def test_bytes_changed_on_disk_are_detected(tmp_path: Path) -> None:
    filled(tmp_path).close()
    victim = next(path for path in sorted(tmp_path.iterdir()) if path.suffix == ".term")
    content = bytearray(victim.read_bytes())
    content[len(content) // 3] ^= 0x40
    victim.write_bytes(content)
    with pytest.raises(StoreError, match="checksum"):
        WordIndex(tmp_path, CONFIG)
    discard_index(tmp_path)
    WordIndex(tmp_path, CONFIG).close()


@pytest.mark.parametrize("suffix", [".idx", ".fast", ".term", "meta.json"])
def test_a_cut_or_missing_file_is_detected(tmp_path: Path, suffix: str) -> None:
    filled(tmp_path).close()
    victim = next(path for path in sorted(tmp_path.iterdir()) if path.name.endswith(suffix))
    content = victim.read_bytes()
    victim.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError):
        WordIndex(tmp_path, CONFIG)


def test_a_missing_segment_file_is_detected(tmp_path: Path) -> None:
    filled(tmp_path).close()
    next(path for path in sorted(tmp_path.iterdir()) if path.suffix == ".term").unlink()
    with pytest.raises(StoreError):
        WordIndex(tmp_path, CONFIG)


def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    code = f"""
import pathlib, time
from hive.store.words import WordIndex, WordsConfig, terms
index = WordIndex(pathlib.Path({str(tmp_path)!r}), WordsConfig())
index.add([(1, "n", terms("kept").tolist())]); index.commit()
index.add([(2, "n", terms("lost").tolist())])
print("ready", flush=True); input()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        os.kill(child.pid, signal.SIGKILL)
    index = WordIndex(tmp_path, CONFIG)
    assert index.last_row() == 1
    assert found(index, "kept lost") == [1]
    index.add([(2, "n", terms("lost").tolist())])
    index.commit()
    assert sorted(found(index, "kept lost")) == [1, 2]
    index.close()


def test_what_a_kill_left_of_an_unfinished_commit_is_no_damage(tmp_path: Path) -> None:
    index = WordIndex(tmp_path, CONFIG)
    index.add([(1, "n", terms("kept").tolist())])
    index.commit()
    index.close()
    (tmp_path / f"{'ab' * 16}.fieldnorm").write_bytes(b"half a fi")
    again = WordIndex(tmp_path, CONFIG)
    assert found(again, "kept") == [1]
    again.close()


def test_exact_scores_prefer_rare_words_and_short_texts() -> None:
    candidates = columns_of(["common rare", "common", "common common filler filler filler", "x"])
    (rare,) = score_terms([candidates], query_terms("rare common", 64))
    assert rare.tolist().index(max(rare)) == 0
    (common,) = score_terms([candidates], query_terms("common", 64))
    assert common[1] > common[0] > 0
    assert common[3] == 0


def test_exact_scores_do_not_depend_on_how_rows_are_split() -> None:
    texts = ["alpha beta", "beta gamma gamma", "gamma delta alpha", "delta"]
    wanted = query_terms("gamma alpha", 64)
    together = score_terms([columns_of(texts)], wanted)[0].tolist()
    split = score_terms([columns_of(texts[:1]), columns_of(texts[1:])], wanted)
    assert [score for part in split for score in part.tolist()] == together


def test_exact_scores_do_not_depend_on_rows_out_of_sight() -> None:
    texts = ["alpha beta", "beta gamma gamma"]
    wanted = query_terms("gamma alpha", 64)
    alone = score_terms([columns_of(texts)], wanted)[0].tolist()
    more = columns_of([*texts, "alpha alpha alpha", "gamma noise"])
    visible = np.array([True, True, False, False])
    hidden = score_terms([Candidates(more.columns, visible)], wanted)[0].tolist()
    assert hidden == [*alone, 0, 0]


def test_golden_terms_do_not_move() -> None:
    assert terms("Patients' records, naïve 42").tolist() == GOLDEN_TERMS


GOLDEN_TERMS = [450549739, 2603917201, 1621815905, 841265288]
