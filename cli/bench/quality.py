"""Quality of recall: known-item search over the standard library's docstrings.

The first sentence of a docstring is the query, the rest of it the one document that counts.
The rule, fixed before measuring: words whose stem stands in at most two documents are taken
out of the query (they would give the document away), a first sentence has at least five words,
and a query at least three. Settings of the embedder and of the fusion were tuned on the queries
with even numbers; the figures that count are those of the odd ones.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hive.store.embedder import Embedder, StaticEmbedder
from hive.store.graph import VectorsConfig
from hive.store.projection import Entry, Projection, ProjectionConfig
from hive.store.words import terms

from .docstrings import Docstring, docstrings

RARE_DOCUMENTS_MAX = 2
SENTENCE_WORDS_MIN = 5
QUERY_WORDS_MIN = 3
CUTOFF = 10
DEPTH = 100
RATIO_GOAL = 1.02
BM25_GOAL = (0.3, 0.7)
NAMESPACE = "bench/quality"


@dataclass(frozen=True, slots=True)
class Scores:
    """nDCG@10 over one set of queries."""

    queries_count: int
    bm25: float
    vectors: float
    fused: float

    @property
    def ratio(self) -> float:
        """How much better the fused list is than BM25 alone."""
        return self.fused / self.bm25 if self.bm25 else 0.0


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What `hive bench quality` prints; the goals concern the held-out half."""

    embedder: str
    documents_count: int
    exact: Scores
    approximate: Scores
    exact_tuned: Scores

    @property
    def goal_met(self) -> bool:
        """BM25 inside its window and the fused list ahead of it by the ratio asked for."""
        low, high = BM25_GOAL
        return low <= self.exact.bm25 <= high and self.exact.ratio >= RATIO_GOAL

    def as_dict(self) -> dict[str, object]:
        """Plain values for `--json`."""
        ratios = {"ratio": self.exact.ratio, "ratio_goal": RATIO_GOAL, "goal_met": self.goal_met}
        return {**asdict(self), **ratios}

    def text(self) -> str:
        """A table for people."""
        lines = [
            f"known-item search, {self.documents_count} documents, nDCG@{CUTOFF}, {self.embedder}",
            f"{'':22}{'queries':>8}{'BM25':>8}{'vectors':>9}{'fused':>8}{'ratio':>8}",
            _row("held out, exact", self.exact),
            _row("held out, approximate", self.approximate),
            _row("tuned on, exact", self.exact_tuned),
            f"goal: fused >= {RATIO_GOAL} x BM25: {'met' if self.goal_met else 'missed'}",
        ]
        return "\n".join(lines)


def _row(name: str, scores: Scores) -> str:
    return (
        f"{name:22}{scores.queries_count:8}{scores.bm25:8.4f}{scores.vectors:9.4f}"
        f"{scores.fused:8.4f}{scores.ratio:8.3f}"
    )


def measure(embedder: Embedder | None = None) -> QualityReport:
    """Feeds every document, asks every query, exactly and approximately."""
    embedder = embedder or StaticEmbedder()
    documents = docstrings()
    queries = known_items(documents)
    with tempfile.TemporaryDirectory() as directory:
        config = ProjectionConfig(exact_rows_max=0, vectors=VectorsConfig(exact_items_max=0))
        projection = Projection(Path(directory), embedder, config)
        projection.feed(
            Entry(row, row.to_bytes(32, "big"), NAMESPACE, document.rest)
            for row, document in enumerate(documents, 1)
        )
        projection.flush()
        report = QualityReport(
            embedder.name,
            len(documents),
            _scores(projection, queries[1::2], exact=True),
            _scores(projection, queries[1::2], exact=False),
            _scores(projection, queries[0::2], exact=True),
        )
        projection.close()
    return report


def known_items(documents: Sequence[Docstring]) -> list[tuple[str, int]]:
    """(query, row of its document), the rarest words taken out of each query."""
    holding: Counter[int] = Counter()
    for document in documents:
        holding.update(dict.fromkeys(terms(document.rest).tolist(), 1))
    queries: list[tuple[str, int]] = []
    for row, document in enumerate(documents, 1):
        words = re.findall(r"\w+", document.sentence)
        if len(words) < SENTENCE_WORDS_MIN:
            continue
        kept = [word for word in words if _holding(holding, word) > RARE_DOCUMENTS_MAX]
        if len(kept) >= QUERY_WORDS_MIN:
            queries.append((" ".join(kept), row))
    return queries


def _holding(holding: Counter[int], word: str) -> int:
    """Documents that hold the first term of a word; none for a word without terms."""
    stems = terms(word)
    return holding[int(stems[0])] if len(stems) else 0


def _scores(projection: Projection, queries: Sequence[tuple[str, int]], *, exact: bool) -> Scores:
    totals = [0.0, 0.0, 0.0]
    for query, row in queries:
        hits = projection.search(query, [NAMESPACE], DEPTH, exact).hits
        for place, hit in enumerate(hits, 1):
            if hit.row_id == row:
                for number, rank in enumerate((hit.words_rank, hit.vectors_rank, place)):
                    totals[number] += _gain(rank)
    bm25, vectors, fused = (total / max(1, len(queries)) for total in totals)
    return Scores(len(queries), bm25, vectors, fused)


def _gain(rank: int) -> float:
    return 1 / math.log2(rank + 1) if 1 <= rank <= CUTOFF else 0.0
