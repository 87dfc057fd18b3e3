"""Recall of 10^5 memories: hybrid latency, vectors against bare hnswlib, restart, starvation.

Memories are pairs of docstring sentences, one in a hundred in a namespace of its own. The bare
index is hnswlib itself, loaded from the graph that the projection saved, asked with the same
vectors and the same effort in the same run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import hnswlib
import numpy as np
from numpy.typing import NDArray

from hive.store.embedder import StaticEmbedder
from hive.store.projection import VECTORS_DIRECTORY, Entry, Projection, ProjectionConfig
from hive.store.vectors import VectorIndex
from hive.wire.randomness import Stream

from .docstrings import docstrings

NEAREST = 10
BIG, RARE = "bench/big", "bench/rare"
RARE_EVERY = 100
P95_GOAL_MS = 20.0
RATIO_GOAL = 0.8
RECALL_GOAL = 0.99
RESTART_GOAL_S = 2.0
RESTART_SHARE_GOAL = 0.05


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one kind of question."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class RecallReport:
    """What `hive bench recall` prints."""

    memories_count: int
    rebuild_s: float
    restart_s: float
    hybrid: Latency
    hybrid_exact: Latency
    rare: Latency
    rare_hits_min: int
    vectors_per_s: float
    bare_per_s: float
    recall_at_10: float

    @property
    def ratio(self) -> float:
        """Vector recall against bare hnswlib."""
        return self.vectors_per_s / self.bare_per_s

    @property
    def goal_met(self) -> bool:
        """Every goal of FIGURES that this benchmark covers."""
        return (
            self.ratio >= RATIO_GOAL
            and self.recall_at_10 >= RECALL_GOAL
            and self.hybrid.p95_ms <= P95_GOAL_MS
            and self.restart_s <= min(RESTART_GOAL_S, RESTART_SHARE_GOAL * self.rebuild_s)
            and self.rare_hits_min == NEAREST
        )

    def as_dict(self) -> dict[str, object]:
        """Plain values for `--json`."""
        return {**asdict(self), "ratio": self.ratio, "goal_met": self.goal_met}

    def text(self) -> str:
        """A table for people."""
        share = 100 * self.restart_s / self.rebuild_s
        rows = (
            ("hybrid recall p50 / p95", self.hybrid, f"<= {P95_GOAL_MS:.0f} ms p95"),
            ("exact recall p50 / p95", self.hybrid_exact, ""),
            ("1 % namespace p50 / p95", self.rare, f"{self.rare_hits_min} of {NEAREST} found"),
        )
        return "\n".join(
            [
                f"recall over {self.memories_count} memories",
                *(f"{n:26}{v.p50_ms:8.2f} /{v.p95_ms:8.2f} ms   {g}" for n, v, g in rows),
                f"vectors, bare hnswlib     {self.vectors_per_s:8.0f} /{self.bare_per_s:8.0f} q/s"
                f"  {self.ratio:.2f} of bare (goal {RATIO_GOAL})",
                f"recall@10                 {self.recall_at_10:8.4f}   (goal {RECALL_GOAL})",
                f"rebuild, restart          {self.rebuild_s:8.2f} /{self.restart_s:8.2f} s"
                f"    {share:.1f} % (goal {100 * RESTART_SHARE_GOAL:.0f} %, {RESTART_GOAL_S} s)",
                f"goals: {'met' if self.goal_met else 'missed'}",
            ]
        )


def measure(memories_count: int = 100_000, queries_count: int = 500) -> RecallReport:
    """Builds, restarts, asks; about a minute for 10^5 memories."""
    texts, queries = memories(memories_count, queries_count)
    embedder = StaticEmbedder()
    embedder.embed(["warm"])
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        rebuild_s = _timed(lambda: _build(directory, embedder, texts))
        started = time.perf_counter()
        projection = Projection(directory, StaticEmbedder())
        projection.search(queries[0], [BIG], NEAREST)
        restart_s = time.perf_counter() - started
        hybrid = _latency(lambda q: projection.search(q, [BIG, RARE], NEAREST), queries)
        exact = _latency(lambda q: projection.search(q, [BIG, RARE], NEAREST, True), queries[:40])
        rare = _latency(lambda q: projection.search(q, [RARE], NEAREST), queries)
        found = min(len(projection.search(q, [RARE], NEAREST).hits) for q in queries)
        projection.close()
        ours, bare, recalled = _against_bare(directory, embedder.name, embedder.embed(queries))
    return RecallReport(
        memories_count, rebuild_s, restart_s, hybrid, exact, rare, found, ours, bare, recalled
    )


def memories(count: int, queries_count: int) -> tuple[list[str], list[str]]:
    """Texts to remember, pairs of sentences drawn from a fixed stream, and sentences to ask."""
    documents = docstrings()
    sentences = [part for each in documents for part in each.rest.split(". ") if len(part) > 30]
    stream = Stream(b"bench", "recall")
    pool = len(sentences)
    texts = [
        f"{sentences[stream.below(pool)]}. {sentences[stream.below(pool)]}" for _ in range(count)
    ]
    return texts, [documents[stream.below(len(documents))].sentence for _ in range(queries_count)]


def _build(directory: Path, embedder: StaticEmbedder, texts: Sequence[str]) -> None:
    projection = Projection(directory, embedder, ProjectionConfig())
    projection.feed(
        Entry(row, row.to_bytes(32, "big"), BIG if row % RARE_EVERY else RARE, text)
        for row, text in enumerate(texts, 1)
    )
    projection.close()


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _latency(ask: Callable[[str], object], queries: Sequence[str]) -> Latency:
    taken = [1_000 * _timed(lambda query=query: ask(query)) for query in queries]  # type: ignore[misc]
    p50, p95 = np.percentile(taken, [50, 95])
    return Latency(float(p50), float(p95))


def _against_bare(
    directory: Path, stamp: str, vectors: NDArray[np.int8]
) -> tuple[float, float, float]:
    """Queries per second of ours and of bare hnswlib, and recall@10 against the scan."""
    config = ProjectionConfig().vectors
    saved = directory / VECTORS_DIRECTORY
    index = VectorIndex.load(saved, stamp, vectors.shape[1], config, lambda _: None)
    bare = hnswlib.Index(space="ip", dim=vectors.shape[1])
    bare.load_index(str(next(saved.glob("*.graph"))))
    bare.set_ef(config.graph_search_effort)
    floats = vectors.astype(np.float32)
    rates: list[tuple[float, float]] = []
    for _ in range(5):
        ours_s = _timed(lambda: [index.nearest(vector, [BIG], NEAREST) for vector in vectors])
        bare_s = _timed(lambda: [bare.knn_query(each, k=NEAREST, num_threads=1) for each in floats])
        rates.append((len(vectors) / ours_s, len(vectors) / bare_s))
    ours, bare_rate = (float(np.median([rate[side] for rate in rates])) for side in (0, 1))
    return ours, bare_rate, _recall(index, vectors)


def _recall(index: VectorIndex, vectors: NDArray[np.int8]) -> float:
    """The share of the ten nearest found; a hit as near as the tenth counts, as ties do."""
    columns = index.columns(BIG)
    if columns is None:
        return 0.0
    right = 0
    for vector in vectors:
        scores = columns.dots(vector)
        threshold = int(np.partition(scores, len(scores) - NEAREST)[len(scores) - NEAREST])
        right += sum(near.score >= threshold for near in index.nearest(vector, [BIG], NEAREST))
    return right / (NEAREST * len(vectors))
