"""Vectors, one index a namespace: exact integers while small, a graph above.

Snapshot: each namespace that changed gets new files under new names, then one manifest with
their checksums replaces the old one, then old files go. A crash between leaves the older set
whole. A broken graph is made again from its columns; broken columns or manifest discard all,
and the caller replays from row 0.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hive.store.columns import Columns, Places
from hive.store.graph import Graph, VectorsConfig
from hive.store.snapshots import (
    SnapshotBroken,
    file_digest,
    read_checked,
    sync_directory,
    write_checked,
)
from hive.store.words import Candidates

MANIFEST = "manifest"
FORMAT = 1
Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Near:
    """One neighbour: an exact inner product and where it lies."""

    score: int
    delta_id: bytes
    row_id: int
    namespace: str


class _Namespace:
    """Columns, perhaps a graph over them, and the name of their saved files."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.number = 0
        self.graph: Graph | None = None
        self.graphed_count = 0
        self.saved: _Saved | None = None


@dataclass(frozen=True, slots=True)
class _Saved:
    columns_file: str
    columns_digest: str
    graph_file: str
    graph_digest: str


class VectorIndex:
    """All namespaces of a node; the caller holds the lock."""

    def __init__(self, dimensions: int, config: VectorsConfig) -> None:
        self._dimensions = dimensions
        self._config = config
        self._namespaces: dict[str, _Namespace] = {}
        self._numbered: list[tuple[str, _Namespace]] = []
        self._places = Places()
        self.last_row = 0

    @property
    def namespaces(self) -> Sequence[str]:
        """Every namespace that ever held a row, in order of arrival."""
        return list(self._namespaces)

    def columns(self, namespace: str) -> Columns | None:
        """The columns of a namespace, None where nothing ever came."""
        held = self._namespaces.get(namespace)
        return held.columns if held else None

    def live_count(self, namespaces: Iterable[str]) -> int:
        """Rows that may be found in these namespaces."""
        return sum(
            self._namespaces[name].columns.live_count
            for name in namespaces
            if name in self._namespaces
        )

    def append(
        self,
        namespace: str,
        row_id: int,
        delta_id: bytes,
        vector: NDArray[np.int8],
        terms: NDArray[np.uint32],
    ) -> None:
        """Adds a row newer than `last_row`; `index_new` then brings it into the graph."""
        held = self._namespaces.get(namespace)
        if held is None:
            held = self._admit(namespace, _Namespace(Columns(self._dimensions)))
        slot = held.columns.append(row_id, delta_id, vector, terms)
        self._places.append(row_id, held.number, slot)
        held.saved = None
        self.last_row = row_id

    def index_new(self, namespaces: Iterable[str]) -> None:
        """Brings appended rows into their graphs, and makes graphs that are now due."""
        for name in namespaces:
            held = self._namespaces[name]
            if held.graph is not None:
                self._extend(held)
            elif held.columns.live_count > self._config.exact_items_max:
                self._make_graph(held)

    def forget(self, row_id: int) -> bool:
        """Makes a row's vector and terms unreadable; False where it is not held."""
        place = self._places.find(row_id)
        if place is None:
            return False
        number, slot = place
        held = self._numbered[number][1]
        if not held.columns.live[slot]:
            return False
        held.columns.forget(slot)
        if held.graph is not None and slot < held.graphed_count:
            held.graph.forget(slot)
        held.saved = None
        return True

    def find(self, row_id: int) -> Near | None:
        """A live row by its id, with score 0."""
        place = self._places.find(row_id)
        if place is None:
            return None
        name, held = self._numbered[place[0]]
        return _near(name, held.columns, place[1], 0) if held.columns.live[place[1]] else None

    def live_above(self, row_id: int) -> Iterator[tuple[int, str, list[int]]]:
        """(row id, namespace, terms) of every live row above `row_id`, ascending."""
        for row, number, slot in self._places.above(row_id):
            name, held = self._numbered[number]
            if held.columns.live[slot]:
                yield row, name, held.columns.terms_of(slot)

    def nearest(
        self, vector: NDArray[np.int8], namespaces: Sequence[str], count: int
    ) -> list[Near]:
        """The nearest rows of several namespaces: scanned where small, proposed where large."""
        found: list[Near] = []
        if not vector.any():
            return found
        for name in namespaces:
            held = self._namespaces.get(name)
            if held is not None and held.columns.live_count:
                found.extend(self._nearest_in(name, held, vector, count))
        return heapq.nsmallest(count, found, key=_order)

    def snapshot(self, directory: Path, stamp: str) -> None:
        """Saves what changed; `stamp` names this state (embedder and format)."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, held in self._namespaces.items():
            if held.saved is None:
                held.saved = self._save(directory, name, held)
        entries = [
            [name, each.columns_file, each.columns_digest, each.graph_file, each.graph_digest]
            for name, held in self._namespaces.items()
            if (each := held.saved) is not None
        ]
        manifest = json.dumps([FORMAT, stamp, self.last_row, entries]).encode()
        write_checked(directory / MANIFEST, [manifest])
        kept = {MANIFEST, *(entry[1] for entry in entries), *(entry[3] for entry in entries)}
        for path in sorted(directory.iterdir()):
            if path.name not in kept:
                path.unlink()

    @classmethod
    def load(
        cls, directory: Path, stamp: str, dimensions: int, config: VectorsConfig, notice: Notice
    ) -> VectorIndex:
        """The last snapshot, or an empty index and a notice that says why it was discarded."""
        index = cls(dimensions, config)
        if not (directory / MANIFEST).exists():
            return index
        try:
            index._read(directory, stamp, notice)
        except (SnapshotBroken, ValueError, KeyError, TypeError) as error:
            notice(f"vectors discarded, to be rebuilt from the store: {error}")
            return cls(dimensions, config)
        return index

    def _read(self, directory: Path, stamp: str, notice: Notice) -> None:
        saved_format, saved_stamp, last_row, entries = json.loads(
            bytes(read_checked(directory / MANIFEST))
        )
        if (saved_format, saved_stamp) != (FORMAT, stamp):
            raise SnapshotBroken(f"made by {saved_stamp}, not {stamp}")
        for name, *files in entries:
            saved = _Saved(*files)
            content = read_checked(directory / saved.columns_file, saved.columns_digest)
            held = self._admit(name, _Namespace(Columns.from_bytes(content, self._dimensions)))
            held.saved = saved
            if saved.graph_file:
                self._load_graph(directory, held, saved, notice)
        self._places = Places.of([held.columns for _, held in self._numbered])
        self.last_row = last_row

    def _admit(self, name: str, held: _Namespace) -> _Namespace:
        held.number = len(self._numbered)
        self._numbered.append((name, held))
        self._namespaces[name] = held
        return held

    def _load_graph(self, directory: Path, held: _Namespace, saved: _Saved, notice: Notice) -> None:
        path = directory / saved.graph_file
        graph = Graph(self._dimensions, self._config)
        try:
            if file_digest(path) != saved.graph_digest:
                raise SnapshotBroken(f"{path.name}: checksum does not match")
            graph.load(path, held.columns)
        except SnapshotBroken as error:
            notice(f"graph made again from its columns: {error}")
            self._make_graph(held)
            held.saved = None
            return
        held.graph, held.graphed_count = graph, held.columns.count

    def _save(self, directory: Path, name: str, held: _Namespace) -> _Saved:
        stem = hashlib.sha256(name.encode()).hexdigest()[:32] + f"-{self.last_row}"
        while (directory / f"{stem}.columns").exists():
            stem += "x"
        digest = write_checked(directory / f"{stem}.columns", held.columns.chunks())
        if held.graph is None:
            return _Saved(f"{stem}.columns", digest, "", "")
        path = directory / f"{stem}.graph"
        held.graph.save(path)
        sync_directory(directory)
        return _Saved(f"{stem}.columns", digest, path.name, file_digest(path))

    def _make_graph(self, held: _Namespace) -> None:
        held.graph = Graph(self._dimensions, self._config)
        held.graph.build(held.columns)
        held.graphed_count = held.columns.count

    def _extend(self, held: _Namespace) -> None:
        if held.graph is not None:
            fresh = np.flatnonzero(held.columns.live[held.graphed_count :]) + held.graphed_count
            held.graph.add(held.columns, fresh)
            held.graphed_count = held.columns.count

    def _nearest_in(
        self, name: str, held: _Namespace, vector: NDArray[np.int8], count: int
    ) -> list[Near]:
        columns = held.columns
        proposed = None
        if held.graph is not None and columns.live_count > self._config.exact_items_max:
            proposed = held.graph.propose(vector, min(count, columns.live_count))
        if proposed is None:
            visible = Candidates(columns, columns.live)
            return best(name, visible, columns.dots(vector), count, score_min=None)
        scores = columns.vectors[proposed].astype(np.int32) @ vector.astype(np.int32)
        return [_near(name, columns, int(s), int(v)) for s, v in zip(proposed, scores, strict=True)]


def best(
    namespace: str,
    candidates: Candidates,
    scores: NDArray[np.int32] | NDArray[np.int64],
    count: int,
    *,
    score_min: int | None,
) -> list[Near]:
    """The best visible slots of one namespace, ties by delta id, none below `score_min`."""
    eligible = candidates.visible
    if score_min is not None:
        eligible = eligible & (scores >= score_min)
    slots = np.flatnonzero(eligible)
    if len(slots) > count:
        held = scores[slots]
        threshold = np.partition(held, len(held) - count)[len(held) - count]
        slots = slots[held >= threshold]
    found = (_near(namespace, candidates.columns, int(s), int(scores[s])) for s in slots)
    return heapq.nsmallest(count, found, key=_order)


def merged(lists: Iterable[list[Near]], count: int) -> list[Near]:
    """The best of several lists, ties by delta id."""
    return heapq.nsmallest(count, (near for each in lists for near in each), key=_order)


def _near(namespace: str, columns: Columns, slot: int, score: int) -> Near:
    return Near(score, columns.delta_id(slot), int(columns.rows[slot]), namespace)


def _order(near: Near) -> tuple[int, bytes]:
    return (-near.score, near.delta_id)
