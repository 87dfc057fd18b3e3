"""Words: terms of a text, exact scores in integers, and a tantivy index for large holdings.

A text's terms are its lower-cased, stemmed words as 32-bit hashes, so that neither columns nor
index keep what a memory said. Two judges rank by them:

- `score_terms` computes BM25 in integers over the columns of just the rows that may be seen.
  Its statistics come from these rows alone: the order is the same on every peer, and later
  rows never change an answer about earlier ones.
- `WordIndex` asks tantivy, whose 32-bit float scores know all namespaces of this node and what
  was lately deleted: quick and good, but only a proposal.

The index is truth for nothing: at open its files are checked (tantivy's own CRC), rows newer
than the columns are cut off, rows it misses are added from the columns.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tantivy
from numpy.typing import NDArray

from hive.errors import ConfigError, StoreError
from hive.memory.ranking import inverse_document_frequency
from hive.store.columns import FORGOTTEN_TERM, Columns

TERM_CHARACTERS_MAX = 40
FOOTER_MAGIC = (1337).to_bytes(4, "little")
ANALYZER = "hive_terms"
# BM25 with k1 = 1.2 and b = 0.75, in tenths
SATURATION_TENTHS = 22
LENGTH_FREE_TENTHS = 3
LENGTH_TENTHS = 9
SATURATION_BITS = 12

_analyzer = (
    tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    .filter(tantivy.Filter.remove_long(TERM_CHARACTERS_MAX))
    .filter(tantivy.Filter.lowercase())
    .filter(tantivy.Filter.stemmer("English"))
    .build()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsConfig:
    """Bounds of the full-text index."""

    writer_bytes: int = 15_000_000
    """Memory of tantivy's writer; less means more small segments. 3·10^6..10^9 bytes."""
    pending_rows_max: int = 2_048
    """Rows added before a commit happens by itself; until then the index misses them. 1..10^6."""
    query_terms_max: int = 64
    """Terms of a query that count, in the order of the query. 1..1024."""

    def __post_init__(self) -> None:
        if not 3_000_000 <= self.writer_bytes <= 10**9:
            raise ConfigError("writer_bytes must lie in 3000000..1000000000")
        if not 1 <= self.pending_rows_max <= 10**6:
            raise ConfigError("pending_rows_max must lie in 1..1000000")
        if not 1 <= self.query_terms_max <= 1024:
            raise ConfigError("query_terms_max must lie in 1..1024")


def terms(text: str) -> NDArray[np.uint32]:
    """The terms of a text, in order; any text is fine, none raises."""
    clean = text.encode("utf-8", "replace")
    stems: list[str] = _analyzer.analyze(clean.decode())
    return np.array([_hash(stem) for stem in stems], dtype=np.uint32)


def query_terms(text: str, count_max: int) -> list[int]:
    """The different terms of a query, in order, at most `count_max`."""
    return list(dict.fromkeys(terms(text).tolist()))[:count_max]


def _hash(stem: str) -> int:
    # 0 marks a forgotten term
    return zlib.crc32(stem.encode()) or 1


@dataclass(frozen=True, slots=True)
class Candidates:
    """The columns of one namespace and the slots of it that may be found."""

    columns: Columns
    visible: NDArray[np.bool_]


def score_terms(candidates: Sequence[Candidates], wanted: Sequence[int]) -> list[NDArray[np.int64]]:
    """Integer BM25 of every slot, one array for each of the candidates; 0 = no term found."""
    lengths = [each.columns.lengths for each in candidates]
    count = sum(int(np.count_nonzero(each.visible)) for each in candidates)
    total = max(
        1, sum(int(n[each.visible].sum()) for n, each in zip(lengths, candidates, strict=True))
    )
    scores = [np.zeros(each.columns.count, dtype=np.int64) for each in candidates]
    for term in wanted:
        found = [_frequencies(each, term) for each in candidates]
        holding = sum(len(slots) for slots, _ in found)
        weight = inverse_document_frequency(count, holding)
        for length, score, (slots, frequency) in zip(lengths, scores, found, strict=True):
            top = (SATURATION_TENTHS * total * frequency) << SATURATION_BITS
            free = (10 * frequency + LENGTH_FREE_TENTHS) * total
            score[slots] += weight * (top // (free + LENGTH_TENTHS * length[slots] * count))
    return scores


def _frequencies(each: Candidates, term: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The visible slots that hold a term, and how often."""
    positions = np.flatnonzero(each.columns.terms == np.uint32(term))
    # positions ascend, so equal holders stand together and need no sorting
    holders = np.searchsorted(each.columns.ends, positions, side="right")
    firsts = np.flatnonzero(np.diff(holders, prepend=-1))
    slots, frequency = holders[firsts], np.diff(firsts, append=len(holders))
    seen = each.visible[slots]
    return slots[seen].astype(np.int64), frequency[seen].astype(np.int64)


class WordIndex:
    """One tantivy index in a directory; the caller holds the lock and feeds each row once."""

    def __init__(self, directory: Path, config: WordsConfig) -> None:
        """Opens or makes the index; raises `StoreError` where its files are broken."""
        self._config = config
        self._schema = _schema()
        self._writer: tantivy.IndexWriter | None = None
        self._pending_count = 0
        directory.mkdir(parents=True, exist_ok=True)
        _check_footers(directory)
        try:
            self._index = tantivy.Index(self._schema, path=str(directory))
        except ValueError as error:
            raise StoreError(f"the full-text index does not open: {error}") from None
        self._index.register_tokenizer(ANALYZER, _whitespace())
        self._searcher = self._index.searcher()

    @property
    def count(self) -> int:
        """Rows that a search finds."""
        return int(self._searcher.num_docs)

    @property
    def pending_count(self) -> int:
        """Rows added or removed since the last commit."""
        return self._pending_count

    def last_row(self) -> int:
        """The newest committed row id; 0 where there is none."""
        found = self._searcher.search(
            tantivy.Query.all_query(), limit=1, count=False, order_by_field="row"
        )
        return int(found.hits[0][0]) if found.hits else 0

    def add(self, rows: Iterable[tuple[int, str, Sequence[int]]]) -> None:
        """Adds (row id, namespace, terms); commits by itself every `pending_rows_max`."""
        for row_id, namespace, row_terms in rows:
            document = tantivy.Document()
            document.add_unsigned("row", row_id)
            document.add_text("namespace", namespace)
            document.add_text("terms", " ".join(f"{term:08x}" for term in row_terms))
            self._writing().add_document(document)
            self._count_pending()

    def remove(self, row_ids: Iterable[int]) -> None:
        """Removes rows; the commit that follows hides them."""
        for row_id in row_ids:
            # tantivy-py's delete by term takes the number for a signed one and finds nothing
            row = tantivy.Query.term_query(self._schema, "row", row_id)
            self._writing().delete_documents_by_query(row)
            self._count_pending()

    def remove_newer(self, row_id: int) -> None:
        """Removes every row above `row_id`, so that they can be fed again."""
        newer = tantivy.Query.range_query(
            self._schema, "row", tantivy.FieldType.Unsigned, lower_bound=row_id + 1
        )
        self._writing().delete_documents_by_query(newer)
        self._pending_count += 1
        self.commit()

    def commit(self) -> None:
        """Makes what is pending durable and visible."""
        if self._pending_count:
            self._writing().commit()
            self._index.reload()
            self._searcher = self._index.searcher()
            self._pending_count = 0

    def search(
        self, wanted: Sequence[int], namespaces: Sequence[str] | None, count: int
    ) -> list[tuple[int, float]]:
        """The best rows with tantivy's score, filtered before ranking; None = all namespaces."""
        wanted = [term for term in wanted if term != FORGOTTEN_TERM]
        if not wanted or not self.count or namespaces == []:
            return []
        query = self._query(wanted, namespaces)
        hits = self._searcher.search(query, limit=count, count=False).hits
        row_ids: Sequence[Any] = self._searcher.fast_field_values(
            "row", [address for _, address in hits]
        )
        found = [(int(row), float(hit[0])) for row, hit in zip(row_ids, hits, strict=True)]
        return sorted(found, key=lambda each: (-each[1], each[0]))

    def close(self) -> None:
        """Commits and waits for tantivy's threads."""
        self.commit()
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None

    def _query(self, wanted: Sequence[int], namespaces: Sequence[str] | None) -> tantivy.Query:
        query = tantivy.Query.boolean_query(
            [
                (
                    tantivy.Occur.Should,
                    tantivy.Query.term_query(self._schema, "terms", f"{term:08x}", "freq"),
                )
                for term in wanted
            ]
        )
        if namespaces is None:
            return query
        inside = tantivy.Query.term_set_query(self._schema, "namespace", list(namespaces))
        unscored = tantivy.Query.const_score_query(inside, 0.0)
        return tantivy.Query.boolean_query(
            [(tantivy.Occur.Must, unscored), (tantivy.Occur.Must, query)]
        )

    def _writing(self) -> tantivy.IndexWriter:
        if self._writer is None:
            try:
                self._writer = self._index.writer(self._config.writer_bytes, 1)
            except ValueError as error:
                raise StoreError(
                    f"the full-text index cannot be written: {error}",
                    hint="another process has this projection open",
                ) from None
        return self._writer

    def _count_pending(self) -> None:
        self._pending_count += 1
        if self._pending_count >= self._config.pending_rows_max:
            self.commit()


def discard_index(directory: Path) -> None:
    """Removes an index that is broken or holds forgotten terms; it is made anew."""
    shutil.rmtree(directory, ignore_errors=True)


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("row", indexed=True, fast=True)
    builder.add_text_field("namespace", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("terms", tokenizer_name=ANALYZER, index_option="freq")
    return builder.build()


def _whitespace() -> tantivy.TextAnalyzer:
    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()


def _committed_segments(meta: Path) -> frozenset[str]:
    """The names that files of committed segments begin with; none before the first commit."""
    if not meta.exists():
        return frozenset()
    try:
        segments = json.loads(meta.read_text(encoding="utf-8"))["segments"]
        return frozenset(segment["segment_id"].replace("-", "") for segment in segments)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise StoreError("meta.json of the full-text index is damaged") from None


def _check_footers(directory: Path) -> None:
    """Every file of a committed segment ends in a footer with the CRC-32 of what stands before.

    Files of other segments are what a kill left of an unfinished commit: tantivy removes them.
    """
    committed = _committed_segments(directory / "meta.json")
    for path in sorted(directory.iterdir()):
        if path.name.partition(".")[0] not in committed:
            continue
        content = path.read_bytes()
        footer_bytes = int.from_bytes(content[-8:-4], "little")
        body = memoryview(content)[: -8 - footer_bytes]
        try:
            expected = json.loads(content[len(body) : -8])["crc"]
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{path.name}: no checksum where one belongs") from None
        if content[-4:] != FOOTER_MAGIC or zlib.crc32(body) != expected:
            raise StoreError(f"{path.name}: checksum does not match")
