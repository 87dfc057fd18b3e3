from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tantivy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hive.errors import ConfigError, StateError
from hive.store.embedder import StaticEmbedder
from hive.store.graph import VectorsConfig
from hive.store.projection import Entry, Hits, Projection, ProjectionConfig
from hive.store.words import terms

EMBEDDER = StaticEmbedder()
APPROXIMATE = ProjectionConfig(exact_rows_max=0, vectors=VectorsConfig(exact_items_max=30))
TOPICS = [
    "the surgeon operated on the patient's heart",
    "the kernel schedules threads on two cores",
    "bread dough rises in a warm kitchen",
    "the court ruled on the appeal of the tenant",
    "a comet passed close to the outer planets",
]


def delta_id(row: int) -> bytes:
    return (row * 7919 % 65521).to_bytes(32, "big")


def entry(row: int, namespace: str = "n", text: str = "") -> Entry:
    text = text or f"{TOPICS[row % len(TOPICS)]}, note number {row}"
    return Entry(row, delta_id(row), namespace, text)


def entries(first: int, last: int, namespace: str = "n") -> list[Entry]:
    return [entry(row, namespace) for row in range(first, last + 1)]


def rows(hits: Hits) -> list[int]:
    return [hit.row_id for hit in hits.hits]


def answers(projection: Projection) -> list[Hits]:
    return [projection.search(topic, ["n"], 10, exact=True) for topic in TOPICS]


def test_hits_carry_row_delta_ranks_and_integer_scores() -> None:
    projection = Projection(None, EMBEDDER)
    assert projection.feed(entries(1, 20)) == 20
    hits = projection.search("heart surgery", ["n"], 3)
    assert hits.exact
    assert [row % 5 for row in rows(hits)] == [0, 0, 0]
    best = hits.hits[0]
    assert best.delta_id == delta_id(best.row_id)
    assert best.namespace == "n"
    assert best.score > hits.hits[1].score
    assert best.words_rank >= 1
    assert best.vectors_rank >= 1


def test_exact_answers_are_equal_whatever_the_order_of_arrival_and_the_storage(
    tmp_path: Path,
) -> None:
    memory = Projection(None, EMBEDDER)
    memory.feed(entries(1, 60))
    stored = Projection(tmp_path, EMBEDDER, APPROXIMATE)
    shuffled = sorted(range(1, 61), key=delta_id)
    texts = {row: entry(row).text for row in range(1, 61)}
    stored.feed(
        Entry(place, delta_id(row), "n", texts[row]) for place, row in enumerate(shuffled, 1)
    )
    stored.feed(entries(61, 200, "other"))
    for topic in TOPICS:
        one = memory.search(topic, ["n"], 10)
        other = stored.search(topic, ["n"], 10, exact=True)
        assert [(hit.delta_id, hit.score) for hit in one.hits] == [
            (hit.delta_id, hit.score) for hit in other.hits
        ]
    stored.close()


def test_only_rows_makes_the_past_independent_of_later_rows() -> None:
    projection = Projection(None, EMBEDDER)
    projection.feed(entries(1, 40))
    before = answers(projection)
    projection.feed(entries(41, 90))
    past = [projection.search(topic, ["n"], 10, only_rows=range(1, 41)) for topic in TOPICS]
    assert past == before
    assert answers(projection) != before


def test_large_holdings_answer_approximately_and_say_so(tmp_path: Path) -> None:
    projection = Projection(tmp_path, EMBEDDER, APPROXIMATE)
    projection.feed(entries(1, 100))
    projection.flush()
    hits = projection.search("comet planets", ["n"], 5)
    assert not hits.exact
    assert [row % 5 for row in rows(hits)] == [4] * 5
    assert all(hit.words_rank and hit.vectors_rank for hit in hits.hits)
    assert projection.search("comet planets", ["n"], 5, exact=True).exact
    projection.close()


@pytest.mark.parametrize("exact", [True, False])
def test_one_percent_of_the_rows_does_not_starve(tmp_path: Path, exact: bool) -> None:
    projection = Projection(tmp_path, EMBEDDER, APPROXIMATE)
    projection.feed(entry(row, "rare" if row % 100 == 0 else "loud") for row in range(1, 2001))
    projection.flush()
    hits = projection.search(TOPICS[0], ["rare"], 15, exact)
    assert len(hits.hits) == 15
    assert {hit.namespace for hit in hits.hits} == {"rare"}
    assert any(hit.words_rank for hit in hits.hits)
    projection.close()


def test_no_namespace_no_hit(tmp_path: Path) -> None:
    projection = Projection(tmp_path, EMBEDDER, APPROXIMATE)
    projection.feed(entries(1, 40))
    projection.flush()
    assert projection.search(TOPICS[0], [], 5).hits == ()
    assert projection.search(TOPICS[0], ["unknown"], 5).hits == ()
    assert projection.search(TOPICS[0], ["n", "n"], 0).hits == ()
    assert len(projection.search(TOPICS[0], ["n", "n"], 500).hits) == 40
    projection.close()


@given(st.text(max_size=200), st.lists(st.text(max_size=20), max_size=3), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_query_raises(text: str, namespaces: list[str], exact: bool) -> None:
    hits = SHARED.search(text, ["n", *namespaces], 5, exact)
    assert len(hits.hits) <= 5


SHARED = Projection(None, EMBEDDER)
SHARED.feed(entries(1, 30))


def test_rows_fed_twice_are_skipped(tmp_path: Path) -> None:
    projection = Projection(tmp_path, EMBEDDER)
    assert projection.feed(entries(1, 10)) == 10
    assert projection.feed(entries(5, 12)) == 2
    assert projection.last_row == 12
    projection.close()


@pytest.mark.parametrize("config", [ProjectionConfig(), APPROXIMATE])
def test_restart_answers_as_before_without_replay(tmp_path: Path, config: ProjectionConfig) -> None:
    projection = Projection(tmp_path, EMBEDDER, config)
    projection.feed(entries(1, 120))
    before = answers(projection)
    projection.close()
    projection.close()
    with pytest.raises(StateError):
        projection.search("x", ["n"], 1)
    again = Projection(tmp_path, EMBEDDER, config)
    assert (again.last_row, again.notices, again.unsaved_count) == (120, (), 0)
    assert answers(again) == before
    assert len(again.search(TOPICS[1], ["n"], 10).hits) == 10
    again.close()


def killed(directory: Path, code: str) -> None:
    """Runs `code` on a projection `p` with `feed(first, last)`, then kills the process."""
    program = f"""
import pathlib, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_store_projection import *
p = Projection(pathlib.Path({str(directory)!r}), EMBEDDER, APPROXIMATE)
feed = lambda first, last: p.feed(entries(first, last))
{code}
print("ready", flush=True); input()
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        os.kill(child.pid, signal.SIGKILL)


def test_tail_is_replayed_after_a_kill(tmp_path: Path) -> None:
    killed(tmp_path, "feed(1, 50); p.snapshot(); feed(51, 70); p.flush(); feed(71, 80)")
    again = Projection(tmp_path, EMBEDDER, APPROXIMATE)
    assert (again.last_row, again.notices) == (50, ())
    again.feed(entries(1, 80))
    again.flush()
    whole = Projection(None, EMBEDDER)
    whole.feed(entries(1, 80))
    assert answers(again) == answers(whole)
    worded = [hit for hit in again.search("kernel", ["n"], 80).hits if hit.words_rank]
    assert len(worded) == len({hit.row_id for hit in worded}) == 16
    again.close()


def test_forgetting_survives_a_kill(tmp_path: Path) -> None:
    killed(tmp_path, "feed(1, 50); p.snapshot(); feed(51, 60); p.forget([3, 55, 70])")
    again = Projection(tmp_path, EMBEDDER, APPROXIMATE)
    again.feed(entries(51, 75))
    again.flush()
    again.snapshot()
    for exact in (True, False):
        found = again.search(" ".join(TOPICS), ["n"], 100, exact)
        assert set(rows(found)) == set(range(1, 76)) - {3, 55, 70}
    again.close()
    last = Projection(tmp_path, EMBEDDER, APPROXIMATE)
    assert 3 not in rows(last.search(" ".join(TOPICS), ["n"], 100, exact=True))
    last.close()


def test_a_torn_record_of_forgetting_is_cut_off(tmp_path: Path) -> None:
    killed(tmp_path, "feed(1, 10); p.snapshot(); p.forget([3, 4])")
    log = tmp_path / "forgotten"
    log.write_bytes(log.read_bytes()[:-5])
    again = Projection(tmp_path, EMBEDDER)
    again.forget([5])
    assert log.stat().st_size == 24
    assert set(rows(again.search(TOPICS[0], ["n"], 20))) == set(range(1, 11)) - {3, 5}
    again.close()


@pytest.mark.parametrize("part", ["words", "vectors"])
@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_broken_files_are_named_and_rebuilt(tmp_path: Path, part: str, damage: str) -> None:
    projection = Projection(tmp_path, EMBEDDER, APPROXIMATE)
    projection.feed(entries(1, 60))
    before, quick = answers(projection), projection.search(TOPICS[2], ["n"], 10)
    projection.close()
    victim = max(
        (p for p in (tmp_path / part).iterdir() if p.suffix in (".columns", ".term")),
        key=lambda p: p.stat().st_size,
    )
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    if damage == "remove":
        victim.unlink()
    again = Projection(tmp_path, EMBEDDER, APPROXIMATE)
    assert any(notice.startswith(part) for notice in again.notices)
    assert again.last_row == (0 if part == "vectors" else 60)
    again.feed(entries(again.last_row + 1, 60))
    again.flush()
    assert answers(again) == before
    assert len(again.search(TOPICS[2], ["n"], 10).hits) == len(quick.hits)
    again.close()


def test_losing_the_whole_directory_of_words_costs_no_replay(tmp_path: Path) -> None:
    projection = Projection(tmp_path, EMBEDDER, APPROXIMATE)
    projection.feed(entry(row, "a" if row % 2 else "b") for row in range(1, 51))
    projection.close()
    shutil.rmtree(tmp_path / "words")
    again = Projection(tmp_path, EMBEDDER, APPROXIMATE)
    assert again.last_row == 50
    worded = [hit for hit in again.search("note", ["a", "b"], 50).hits if hit.words_rank]
    assert len(worded) == 50
    again.close()


def test_purge_leaves_no_term_of_a_forgotten_memory_on_the_disk(tmp_path: Path) -> None:
    projection = Projection(tmp_path, EMBEDDER, APPROXIMATE)
    projection.feed(entries(1, 40))
    projection.feed([entry(41, text="xylophone quartz secret")])
    projection.snapshot()
    assert holding(tmp_path, "xylophone") == 1
    projection.forget([41])
    projection.purge()
    assert holding(tmp_path, "xylophone") == 0
    assert 41 not in rows(projection.search("xylophone", ["n"], 50))
    assert len(projection.search("note", ["n"], 50).hits) == 40
    projection.close()


def holding(directory: Path, word: str) -> int:
    """How many documents on the disk hold a word, deleted ones included."""
    searcher = tantivy.Index.open(str(directory / "words")).searcher()
    return searcher.doc_freq("terms", f"{int(terms(word)[0]):08x}")


def test_searches_and_feeds_of_several_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    projection = Projection(tmp_path, EMBEDDER, APPROXIMATE)
    projection.feed(entries(1, 50))
    faults: list[BaseException] = []

    def guarded(work: object) -> None:
        try:
            assert callable(work)
            work()
        except BaseException as fault:  # noqa: BLE001 - the test reports whatever comes
            faults.append(fault)

    def search() -> None:
        for number in range(60):
            hits = projection.search(TOPICS[number % 5], ["n"], 10, number % 2 == 0)
            assert len(hits.hits) == 10

    def feed() -> None:
        projection.feed(entries(51, 400))
        projection.snapshot()

    def forget() -> None:
        for row in range(1, 20):
            projection.forget([row])

    threads = [threading.Thread(target=guarded, args=(w,)) for w in (search, search, feed, forget)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    expected = Projection(None, EMBEDDER)
    expected.feed(entries(20, 400))
    assert answers(projection) == answers(expected)
    projection.close()


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError):
        ProjectionConfig(feed_rows_max=0)
    with pytest.raises(ConfigError):
        ProjectionConfig(exact_rows_max=-1)


class Mirrored:
    """Another embedder: the default's vectors backwards, and not the same everywhere."""

    name = "mirrored"
    dimensions = EMBEDDER.dimensions
    is_reproducible = False

    def embed(self, texts: Sequence[str]) -> NDArray[np.int8]:
        return EMBEDDER.embed(texts)[:, ::-1]


def test_another_embedder_makes_everything_anew_and_back_again(tmp_path: Path) -> None:
    projection = Projection(tmp_path, EMBEDDER, APPROXIMATE)
    projection.feed(entries(1, 60))
    before = answers(projection)
    projection.close()
    for embedder in (Mirrored(), EMBEDDER):
        again = Projection(tmp_path, embedder, APPROXIMATE)
        assert again.last_row == 0
        assert any("made by" in notice for notice in again.notices)
        assert rows(again.search(TOPICS[0], ["n"], 10)) == []
        again.feed(entries(1, 60))
        assert [rows(found) for found in answers(again)] == [rows(found) for found in before]
        again.close()
    assert answers(Projection(tmp_path, EMBEDDER, APPROXIMATE)) == before


def test_no_answer_is_exact_where_vectors_differ_between_machines() -> None:
    projection = Projection(None, Mirrored())
    projection.feed(entries(1, 10))
    assert not any(found.exact for found in answers(projection))
