"""Summaries upward: counts, digest and interest of a group, told by its first speaker."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hive.protocol.bounded import BoundedMap
from hive.protocol.membership.place import Level, Place
from hive.protocol.membership.ring_messages import TOKENS_MAX, InterestTold, Outline
from hive.wire.ids import Digest, PeerId

OUTLINES_MAX: Final = 4_096
"""Outlines remembered, some 700 B each at most."""
TELLERS_MAX: Final = 512
"""Members whose interest is remembered."""


@dataclass(frozen=True, slots=True)
class Told:
    """An outline, by whom, and when it was heard."""

    outline: Outline
    teller: PeerId
    at_us: int


class Outlines:
    """What was told of other groups, and what our own group wants."""

    __slots__ = (
        "_told",
        "_wants",
    )

    def __init__(self) -> None:
        self._told: dict[Level, BoundedMap[Place, Told]] = {
            Level.CLUSTER: BoundedMap(OUTLINES_MAX),
            Level.REGION: BoundedMap(OUTLINES_MAX),
        }
        self._wants: BoundedMap[PeerId, InterestTold] = BoundedMap(TELLERS_MAX)

    def hear(self, place: Place, told: Told) -> None:
        """Keeps what a speaker says of its own group; the newest counts."""
        level = Level(told.outline.level)
        self._told[level].put(_group(level, place), told)

    def of(self, level: Level, place: Place) -> Told | None:
        """What was told of a cell (`CLUSTER`: in its cluster) or of a cluster (`REGION`)."""
        return self._told[level].get(_group(level, place))

    def all_of(self, level: Level) -> list[tuple[Place, Told]]:
        """Everything told at a level, by place."""
        return sorted(self._told[level].items(), key=lambda item: item[0])

    def want(self, member: PeerId, wanted: InterestTold) -> None:
        """A member of our cell, or we, say what is wanted."""
        self._wants.put(member, wanted)

    def forget(self, member: PeerId) -> None:
        """The member is gone; what it wanted is wanted no more."""
        self._wants.pop(member)

    def outline_of_cell(self, live_count: int, root: Digest) -> Outline:
        """What we tell of our cell."""
        wants_all, tokens = _united([(w.wants_all, w.tokens) for _, w in self._wants.items()])
        return Outline(int(Level.CLUSTER), live_count, 1, root, wants_all, tokens)

    def outline_of_cluster(self, own_cell: Outline, cluster: Place) -> Outline:
        """What we tell of our cluster: our cell and what the other cells told."""
        told = [
            outline.outline
            for place, outline in self.all_of(Level.CLUSTER)
            if place.shares_cluster(cluster) and place != cluster
        ]
        cells = [own_cell, *told]
        wants_all, tokens = _united([(cell.wants_all, cell.tokens) for cell in cells])
        root = hashlib.sha256(b"".join(sorted(cell.root for cell in cells))).digest()
        live_count = sum(cell.live_count for cell in cells)
        level = int(Level.REGION)
        return Outline(level, live_count, len(cells), Digest(root), wants_all, tokens)

    def wanting(self, level: Level, token: bytes) -> tuple[Place, ...]:
        """The groups that want a token, as far as told."""
        return tuple(
            place
            for place, told in self.all_of(level)
            if told.outline.wants_all or token in told.outline.tokens
        )


def _group(level: Level, place: Place) -> Place:
    return place if level == Level.CLUSTER else Place(place.region, place.cluster)


def _united(parts: Iterable[tuple[int, tuple[bytes, ...]]]) -> tuple[int, tuple[bytes, ...]]:
    parts = list(parts)
    tokens = sorted({token: None for _, each in parts for token in each})
    wants_all = int(any(wants for wants, _ in parts) or len(tokens) > TOKENS_MAX)
    return wants_all, () if wants_all else tuple(tokens)
