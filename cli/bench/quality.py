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
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hive.errors import ConfigError
from hive.node.config import cache_folder
from hive.store.embedders import MINILM, WORDLLAMA, make_embedder, require_installed
from hive.store.graph import VectorsConfig
from hive.store.projection import Entry, Projection
from hive.store.words import terms

from .docstrings import Docstring, docstrings

RARE_DOCUMENTS_MAX = 2
SENTENCE_WORDS_MIN = 5
QUERY_WORDS_MIN = 3
CUTOFF = 10
DEPTH = 100
RATIO_GOAL = 1.02
MINILM_RATIO_GOAL = 1.12
BM25_GOAL = (0.3, 0.7)
NAMESPACE = "bench/quality"
ABSENT = "not installed, or not asked for"


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
class Judged:
    """One embedder, all queries; what counts is the held-out half."""

    embedder: str
    exact: Scores
    approximate: Scores
    exact_tuned: Scores

    def lines(self, ratio_goal: float) -> list[str]:
        """A part of the table for people."""
        met = "met" if self.exact.ratio >= ratio_goal else "missed"
        return [
            f"{self.embedder:32}{'queries':>8}{'BM25':>8}{'vectors':>9}{'fused':>8}{'ratio':>8}",
            _row("held out, all compared", self.exact),
            _row("held out, approximate", self.approximate),
            _row("tuned on, all compared", self.exact_tuned),
            f"goal: fused >= {ratio_goal} x BM25: {met}",
        ]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What `hive bench quality` prints; `minilm` is None where it is not installed or asked for."""

    documents_count: int
    default: Judged
    minilm: Judged | None

    @property
    def goal_met(self) -> bool:
        """BM25 inside its window and every fused list ahead of it by the ratio asked for."""
        low, high = BM25_GOAL
        is_default_good = self.default.exact.ratio >= RATIO_GOAL
        is_extra_good = self.minilm is None or self.minilm.exact.ratio >= MINILM_RATIO_GOAL
        return low <= self.default.exact.bm25 <= high and is_default_good and is_extra_good

    def as_dict(self) -> dict[str, object]:
        """Plain values for `--json`."""
        return {
            **asdict(self),
            "ratio": self.default.exact.ratio,
            "ratio_goal": RATIO_GOAL,
            "minilm_ratio": self.minilm.exact.ratio if self.minilm else None,
            "minilm_ratio_goal": MINILM_RATIO_GOAL,
            "goal_met": self.goal_met,
        }

    def text(self) -> str:
        """A table for people."""
        extra = self.minilm.lines(MINILM_RATIO_GOAL) if self.minilm else [f"{MINILM}: {ABSENT}"]
        return "\n".join(
            [
                f"known-item search, {self.documents_count} documents, nDCG@{CUTOFF}",
                *self.default.lines(RATIO_GOAL),
                *extra,
            ]
        )


def _row(name: str, scores: Scores) -> str:
    return (
        f"  {name:30}{scores.queries_count:8}{scores.bm25:8.4f}{scores.vectors:9.4f}"
        f"{scores.fused:8.4f}{scores.ratio:8.3f}"
    )


def measure(minilm: int = 1) -> QualityReport:
    """The default embedder, and with `minilm` (minutes of a core) the extra where it is there."""
    documents = docstrings()
    extra = judged(MINILM, documents) if minilm and _is_installed(MINILM) else None
    return QualityReport(len(documents), judged(WORDLLAMA, documents), extra)


def _is_installed(name: str) -> bool:
    try:
        require_installed(name)
    except ConfigError:
        return False
    return True


def judged(name: str, documents: Sequence[Docstring]) -> Judged:
    """Feeds every document, asks every query, comparing all and approximately."""
    embedder, config = make_embedder(name, cache_folder())
    config = replace(config, exact_rows_max=0, vectors=VectorsConfig(exact_items_max=0))
    queries = known_items(documents)
    with tempfile.TemporaryDirectory() as directory:
        projection = Projection(Path(directory), embedder, config)
        projection.feed(
            Entry(row, row.to_bytes(32, "big"), NAMESPACE, document.rest)
            for row, document in enumerate(documents, 1)
        )
        projection.flush()
        found = Judged(
            embedder.name,
            _scores(projection, queries[1::2], exact=True),
            _scores(projection, queries[1::2], exact=False),
            _scores(projection, queries[0::2], exact=True),
        )
        projection.close()
    return found


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
