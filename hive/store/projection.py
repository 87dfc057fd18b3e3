"""The recall projection: vectors and words joined, always rebuildable from the store.

It is fed off the ingest path with rows in ascending order and asked from worker threads; one
lock keeps adding and asking apart. The columns' snapshot is the one truth about what it holds:
`last_row` is where the caller replays the store's tail from, and the full-text index is cut or
filled to match. Forgetting is durable on its own: row ids go to a small synced log before
`forget` returns, and are forgotten again at every open until a snapshot holds it.

Exact search scans integers over just the rows asked about, so that its answer depends on
nothing else; it is also what small holdings get unasked. Approximate search serves large ones.
Without a directory everything stays in memory and every search is exact. With an embedder whose
vectors differ between machines no answer is called exact, however it was found.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hive.errors import ConfigError, StateError, StoreError
from hive.memory.ranking import Fused, RankingConfig, fuse
from hive.store.columns import Columns
from hive.store.embedder import Embedder
from hive.store.forgotten import ForgottenLog
from hive.store.graph import VectorsConfig
from hive.store.vectors import Near, VectorIndex, best, merged
from hive.store.words import (
    Candidates,
    WordIndex,
    WordsConfig,
    discard_index,
    query_terms,
    score_terms,
    terms,
)

FORGOTTEN_LOG = "forgotten"
VECTORS_DIRECTORY = "vectors"
WORDS_DIRECTORY = "words"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionConfig:
    """Bounds of the projection; parts have their own."""

    vectors: VectorsConfig = field(default_factory=VectorsConfig)
    words: WordsConfig = field(default_factory=WordsConfig)
    ranking: RankingConfig = field(default_factory=RankingConfig)
    exact_rows_max: int = 10_000
    """Rows in the allowed namespaces up to which every search is exact. 0..10^7 rows."""
    feed_rows_max: int = 32
    """Rows added while the lock is held once; more is faster and delays a search. 1..4096."""

    def __post_init__(self) -> None:
        if not 0 <= self.exact_rows_max <= 10**7:
            raise ConfigError("exact_rows_max must lie in 0..10000000")
        if not 1 <= self.feed_rows_max <= 4096:
            raise ConfigError("feed_rows_max must lie in 1..4096")


@dataclass(frozen=True, slots=True)
class Entry:
    """One memory as the store holds it: its sequential row, its delta and its text."""

    row_id: int
    delta_id: bytes
    namespace: str
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One memory found; ranks count from 1, and 0 means that the list does not hold it."""

    row_id: int
    delta_id: bytes
    namespace: str
    score: int
    words_rank: int
    vectors_rank: int


@dataclass(frozen=True, slots=True)
class Hits:
    """What a search found, best first; only an exact answer may ever be called final."""

    hits: tuple[Hit, ...]
    exact: bool


class Projection:
    """Vectors and words of one node; every method is safe from several threads."""

    def __init__(
        self, directory: Path | None, embedder: Embedder, config: ProjectionConfig | None = None
    ) -> None:
        """Opens what is saved; what is broken is discarded and named in `notices`."""
        self._directory = directory
        self._embedder = embedder
        self._config = config or ProjectionConfig()
        self._lock = threading.Lock()
        self._notices: list[str] = []
        self._unsaved_count = 0
        self._closed = False
        self._words: WordIndex | None = None
        if directory is None:
            self._forgotten = ForgottenLog(None)
            self._vectors = VectorIndex(embedder.dimensions, self._config.vectors)
        else:
            self._open(directory)

    @property
    def notices(self) -> tuple[str, ...]:
        """What was found broken at open and is being rebuilt, for the operator's log."""
        return tuple(self._notices)

    @property
    def last_row(self) -> int:
        """The newest row held; after opening, the caller feeds every row above it."""
        with self._lock:
            return self._vectors.last_row

    @property
    def unsaved_count(self) -> int:
        """Rows fed or forgotten since the last snapshot: the tail that a restart replays."""
        return self._unsaved_count

    def feed(self, entries: Iterable[Entry]) -> int:
        """Adds rows in ascending order; rows at or below `last_row` are skipped. Counts added."""
        remaining = iter(entries)
        added_count = 0
        while batch := list(islice(remaining, self._config.feed_rows_max)):
            vectors = self._embedder.embed([entry.text for entry in batch])
            row_terms = [terms(entry.text) for entry in batch]
            with self._lock:
                added_count += self._add(batch, vectors, row_terms)
        return added_count

    def flush(self) -> None:
        """Makes rows fed of late visible to approximate search; exact search sees them anyway."""
        with self._lock:
            self._usable()
            if self._words is not None:
                self._words.commit()

    def forget(self, row_ids: Sequence[int]) -> None:
        """Hides rows at once and durably, and overwrites their vectors and terms."""
        with self._lock:
            self._usable()
            self._forgotten.append(row_ids)
            self._forget(row_ids)
            if self._words is not None:
                self._words.commit()

    def search(
        self,
        text: str,
        namespaces: Sequence[str],
        count: int,
        exact: bool = False,
        *,
        only_rows: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> Hits:
        """The `count` best memories of these namespaces, best first.

        `only_rows` narrows further (a question about the past) and makes the search exact.
        """
        vector = self._embedder.embed([text])[0]
        wanted = query_terms(text, self._config.words.query_terms_max)
        allowed = list(dict.fromkeys(namespaces))
        with self._lock:
            self._usable()
            small = self._vectors.live_count(allowed) <= self._config.exact_rows_max
            if self._words is None or exact or small or only_rows is not None:
                return self._exact(vector, wanted, allowed, count, only_rows)
            return self._approximate(self._words, vector, wanted, allowed, count)

    def snapshot(self) -> None:
        """Saves all that changed, so that a restart replays only what comes after."""
        with self._lock:
            self._usable()
            self._save()

    def purge(self) -> None:
        """Makes the full-text index anew, so that no trace of forgotten rows is on the disk.

        Takes seconds for 10^5 rows and holds the lock: for a quiet moment after a forget.
        """
        with self._lock:
            self._usable()
            if self._directory is not None and self._words is not None:
                self._save()
                self._words.close()
                self._words = None
                discard_index(self._directory / WORDS_DIRECTORY)
                self._words = self._open_words(self._directory / WORDS_DIRECTORY)

    def close(self) -> None:
        """Saves and releases everything; closing twice is fine."""
        with self._lock:
            if self._closed:
                return
            self._save()
            if self._words is not None:
                self._words.close()
            self._closed = True

    # -- opening and saving

    def _open(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._forgotten = ForgottenLog(directory / FORGOTTEN_LOG)
        self._vectors = VectorIndex.load(
            directory / VECTORS_DIRECTORY,
            self._embedder.name,
            self._embedder.dimensions,
            self._config.vectors,
            self._notices.append,
        )
        self._words = self._open_words(directory / WORDS_DIRECTORY)
        self._forget(self._forgotten.rows())
        self._words.commit()

    def _open_words(self, directory: Path) -> WordIndex:
        try:
            words = WordIndex(directory, self._config.words)
        except StoreError as error:
            self._notices.append(f"words discarded, to be rebuilt: {error}")
            discard_index(directory)
            words = WordIndex(directory, self._config.words)
        if words.last_row() > self._vectors.last_row:
            words.remove_newer(self._vectors.last_row)
        words.add(self._vectors.live_above(words.last_row()))
        words.commit()
        return words

    def _save(self) -> None:
        if self._directory is None or self._words is None:
            return
        self._words.commit()
        self._vectors.snapshot(self._directory / VECTORS_DIRECTORY, self._embedder.name)
        self._forgotten.keep_above(self._vectors.last_row)
        self._unsaved_count = 0

    def _usable(self) -> None:
        if self._closed:
            raise StateError("the recall projection is closed")

    # -- adding and forgetting

    def _add(
        self, batch: list[Entry], vectors: NDArray[np.int8], row_terms: list[NDArray[np.uint32]]
    ) -> int:
        self._usable()
        added: list[tuple[int, str, list[int]]] = []
        for entry, vector, held in zip(batch, vectors, row_terms, strict=True):
            if entry.row_id <= self._vectors.last_row or entry.row_id in self._forgotten:
                continue
            self._vectors.append(entry.namespace, entry.row_id, entry.delta_id, vector, held)
            added.append((entry.row_id, entry.namespace, held.tolist()))
        self._vectors.index_new(dict.fromkeys(namespace for _, namespace, _ in added))
        if self._words is not None:
            self._words.add(added)
        self._unsaved_count += len(added)
        return len(added)

    def _forget(self, row_ids: Sequence[int]) -> None:
        for row_id in row_ids:
            self._vectors.forget(row_id)
        if self._words is not None:
            self._words.remove(row_ids)
        self._unsaved_count += len(row_ids)

    # -- searching

    def _exact(
        self,
        vector: NDArray[np.int8],
        wanted: list[int],
        namespaces: list[str],
        count: int,
        only_rows: Sequence[int] | NDArray[np.int64] | None,
    ) -> Hits:
        held = [
            (name, Candidates(columns, _visible(columns, only_rows)))
            for name in namespaces
            if (columns := self._vectors.columns(name)) is not None and columns.live_count
        ]
        depth = self._depth(count)
        near: list[Near] = []
        if vector.any():
            near = merged(
                (
                    best(name, each, each.columns.dots(vector), depth, score_min=None)
                    for name, each in held
                ),
                depth,
            )
        scores = score_terms([each for _, each in held], wanted)
        worded = merged(
            (
                best(name, each, score, depth, score_min=1)
                for (name, each), score in zip(held, scores, strict=True)
            ),
            depth,
        )
        # every row was compared; other machines agree where they have the same vectors
        return Hits(self._fused(worded, near, count), exact=self._embedder.is_reproducible)

    def _approximate(
        self,
        words: WordIndex,
        vector: NDArray[np.int8],
        wanted: list[int],
        namespaces: list[str],
        count: int,
    ) -> Hits:
        depth = self._depth(count)
        near = self._vectors.nearest(vector, namespaces, depth)
        every = all(name in namespaces for name in self._vectors.namespaces)
        rows = words.search(wanted, None if every else namespaces, depth)
        worded = [each for row, _ in rows if (each := self._vectors.find(row)) is not None]
        return Hits(self._fused(worded, near, count), exact=False)

    def _depth(self, count: int) -> int:
        return max(count, self._config.ranking.candidates_count)

    def _fused(self, worded: list[Near], near: list[Near], count: int) -> tuple[Hit, ...]:
        known = {each.delta_id: each for each in (*worded, *near)}
        fused = fuse(
            [each.delta_id for each in worded],
            [each.delta_id for each in near],
            self._config.ranking,
        )
        return tuple(_hit(each, known[each.item_id]) for each in fused[: max(0, count)])


def _hit(fused: Fused, near: Near) -> Hit:
    return Hit(
        near.row_id,
        near.delta_id,
        near.namespace,
        fused.score,
        fused.words_rank,
        fused.vectors_rank,
    )


def _visible(
    columns: Columns, only_rows: Sequence[int] | NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    if only_rows is None:
        return columns.live
    return columns.live & np.isin(columns.rows, np.asarray(only_rows, dtype=np.int64))
