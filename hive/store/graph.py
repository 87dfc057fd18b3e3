"""hnswlib over the vectors of one namespace, with its traps fenced.

A graph holds the integer vectors of the columns as 32-bit floats, under the slot as label; what
it proposes is scored again in integers. What hnswlib does not guard is guarded here and in
`vectors`: adds and queries never overlap (the caller holds the lock), k never exceeds what is
live, a refused query is no error but None, the index grows before it is full, and a forgotten
vector is overwritten before its label is hidden. NaN cannot occur: vectors are integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import hnswlib
import numpy as np
from numpy.typing import NDArray

from hive.errors import ConfigError
from hive.store.columns import Columns
from hive.store.snapshots import SnapshotBroken, sync_file


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorsConfig:
    """When a graph is made, and how good and dear it is."""

    exact_items_max: int = 10_000
    """Items of one namespace that are scanned; above it a graph serves. 0..10^7 items."""
    graph_links: int = 16
    """hnswlib's M: links of an item; more costs memory and time, raises recall. 4..64."""
    graph_build_effort: int = 100
    """hnswlib's ef_construction; more makes adding slower and recall better. 16..1000."""
    graph_search_effort: int = 256
    """hnswlib's ef: candidates kept during a search, at least the count asked for. 16..4096.

    Static vectors are hard: recall@10 at 10^5 is .965 at 96, .979 at 160, .991 at 256."""
    graph_threads: int = 1
    """Threads that add to a graph; one thread makes equal graphs of equal input. 1..64."""

    def __post_init__(self) -> None:
        if not 0 <= self.exact_items_max <= 10**7:
            raise ConfigError("exact_items_max must lie in 0..10000000")
        if not 4 <= self.graph_links <= 64:
            raise ConfigError("graph_links must lie in 4..64")
        if not 16 <= self.graph_build_effort <= 1000:
            raise ConfigError("graph_build_effort must lie in 16..1000")
        if not 16 <= self.graph_search_effort <= 4096:
            raise ConfigError("graph_search_effort must lie in 16..4096")
        if not 1 <= self.graph_threads <= 64:
            raise ConfigError("graph_threads must lie in 1..64")


class Graph:
    """hnswlib over the slots of one namespace."""

    def __init__(self, dimensions: int, config: VectorsConfig) -> None:
        self._config = config
        self._dimensions = dimensions
        self._index = hnswlib.Index(space="ip", dim=dimensions)

    def build(self, columns: Columns) -> None:
        """Adds every live slot."""
        self._index.init_index(
            max_elements=columns.count + columns.count // 2 + 1,
            M=self._config.graph_links,
            ef_construction=self._config.graph_build_effort,
        )
        self._index.set_ef(self._config.graph_search_effort)
        self.add(columns, np.flatnonzero(columns.live))

    def add(self, columns: Columns, slots: NDArray[np.int64]) -> None:
        """Adds live slots that the graph does not hold."""
        if not len(slots):
            return
        highest = int(slots[-1]) + 1
        if highest > self._index.get_max_elements():
            self._index.resize_index(highest + highest // 2)
        vectors = columns.vectors[slots].astype(np.float32)
        self._index.add_items(vectors, slots, num_threads=self._config.graph_threads)

    def forget(self, slot: int) -> None:
        """Overwrites the vector, then hides the label."""
        zeros = np.zeros((1, self._dimensions), dtype=np.float32)
        self._index.add_items(zeros, np.array([slot]), num_threads=1)
        self._index.mark_deleted(slot)

    def propose(self, vector: NDArray[np.int8], count: int) -> NDArray[np.int64] | None:
        """About `count` near slots, or None where hnswlib refuses."""
        effort = max(self._config.graph_search_effort, count)
        self._index.set_ef(effort)
        try:
            labels, _ = self._index.knn_query(vector.astype(np.float32), k=count, num_threads=1)
        except RuntimeError:
            return None
        slots: NDArray[np.int64] = labels[0].astype(np.int64)
        return slots

    def save(self, path: Path) -> None:
        """Writes the whole graph durably; the manifest keeps its checksum."""
        self._index.save_index(str(path))
        sync_file(path)

    def load(self, path: Path, columns: Columns) -> None:
        """Reads a checked file; raises `SnapshotBroken`."""
        try:
            self._index.load_index(str(path), max_elements=columns.count + columns.count // 2 + 1)
        except RuntimeError as error:
            raise SnapshotBroken(f"{path.name}: {error}") from None
