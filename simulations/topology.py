"""Where entities are, and how far apart: regions hold clusters, clusters hold zones.

One-way latencies between clusters are a matrix, generated from regions or read from measured
round trips; inside a cluster there are two figures, within a zone and between zones. Every
link between clusters costs at least `LOOKAHEAD_US`, so that processes that share a world by
cluster may run apart for that long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hive.errors import ConfigError
from hive.wire.randomness import Stream

LOOKAHEAD_US: Final = 1_000
MATRIX_SITES_MAX: Final = 4_096

REGIONS: Final = ("eu", "us", "ap")
ONE_WAY_US: Final = ((0, 42_000, 110_000), (42_000, 0, 85_000), (110_000, 85_000, 0))
"""Between three regions: halves of the usual public-cloud round trips, rounded."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entity is, by numbers: clusters and zones are counted through the whole world."""

    region: int
    cluster: int
    zone: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyConfig:
    """A world's geography.

    `regions`: their names. `cluster_count`: clusters, dealt to the regions in turn.
    `zone_count`: zones in each cluster. `in_zone_us`, `between_zones_us`, `between_clusters_us`:
    one-way latency inside a zone, a cluster, a region. `one_way_us`: the same between regions.
    """

    regions: tuple[str, ...] = REGIONS
    cluster_count: int = 3
    zone_count: int = 3
    in_zone_us: int = 100
    between_zones_us: int = 600
    between_clusters_us: int = 1_500
    one_way_us: tuple[tuple[int, ...], ...] = ONE_WAY_US

    def __post_init__(self) -> None:
        if not 1 <= len(self.regions) <= self.cluster_count or self.zone_count < 1:
            raise ConfigError("every region needs a cluster and every cluster a zone")
        if any(len(row) < len(self.regions) for row in self.one_way_us[: len(self.regions)]):
            raise ConfigError("the matrix of regions has too few columns")
        if len(self.one_way_us) < len(self.regions):
            raise ConfigError("the matrix of regions has too few rows")
        if self.between_clusters_us < LOOKAHEAD_US or min(self.in_zone_us, 0) < 0:
            raise ConfigError(f"clusters are at least {LOOKAHEAD_US} us apart")


class Topology:
    """The places of all entities and the latency between any two."""

    __slots__ = ("_config", "_matrix", "_places", "regions")

    def __init__(
        self, config: TopologyConfig, matrix: Sequence[Sequence[int]] | None = None
    ) -> None:
        self.regions = config.regions
        self._config = config
        self._matrix = [list(row) for row in matrix or _generated(config)]
        self._places: list[Place] = []

    @property
    def entity_count(self) -> int:
        """How many entities have a place."""
        return len(self._places)

    def add(self, place: Place) -> int:
        """Gives the next entity its place; gives its number."""
        self._places.append(place)
        return len(self._places) - 1

    def add_spread(self, count: int) -> None:
        """Deals entities to clusters in turn, and inside them to zones in turn."""
        for _ in range(count):
            self.add(self.place_of_turn(len(self._places)))

    def place_of_turn(self, turn: int) -> Place:
        """The place that the `turn`-th of evenly spread entities gets."""
        config = self._config
        cluster = turn % config.cluster_count
        zone = turn // config.cluster_count % config.zone_count
        return Place(self.region_of(cluster), cluster, cluster * config.zone_count + zone)

    def region_of(self, cluster: int) -> int:
        """The region of a cluster."""
        return cluster % len(self.regions)

    def place(self, entity: int) -> Place:
        """Where an entity is."""
        return self._places[entity]

    def base_us(self, source: int, destination: int) -> int:
        """The one-way latency between two entities without jitter."""
        here, there = self._places[source], self._places[destination]
        if here.zone == there.zone:
            return self._config.in_zone_us
        if here.cluster == there.cluster:
            return self._config.between_zones_us
        return self._matrix[here.cluster][there.cluster]

    def within(self, *, region: int | None = None, cluster: int | None = None) -> tuple[int, ...]:
        """The entities of a region or a cluster, in order."""
        return tuple(
            entity
            for entity, place in enumerate(self._places)
            if region in (None, place.region) and cluster in (None, place.cluster)
        )


def _generated(config: TopologyConfig) -> list[list[int]]:
    count, regions = config.cluster_count, len(config.regions)
    rows = []
    for one in range(count):
        row = []
        for other in range(count):
            far = config.one_way_us[one % regions][other % regions]
            row.append(0 if one == other else max(far, config.between_clusters_us))
        rows.append(row)
    return rows


def matrix_of_round_trips(text: str, cluster_count: int, seed: bytes) -> list[list[int]]:
    """One-way latencies between sites drawn from a square table of round trips in milliseconds.

    Columns are parted by tabs or spaces; a pair that was not measured (nothing, zero or less)
    takes the mirrored figure, or the table's median. ConfigError: no square table.
    """
    rows = [[_milliseconds(cell) for cell in line.split()] for line in text.splitlines() if line]
    if not 1 < len(rows) <= MATRIX_SITES_MAX or any(len(row) != len(rows) for row in rows):
        raise ConfigError("a latency matrix is a square table of round trips in milliseconds")
    if cluster_count > len(rows):
        raise ConfigError(f"the matrix has {len(rows)} sites for {cluster_count} clusters")
    known = sorted(value for row in rows for value in row if value > 0)
    if not known:
        raise ConfigError("the latency matrix has no positive round trip")
    median = known[len(known) // 2]
    sites = Stream(seed, "matrix-sites").sample(range(len(rows)), cluster_count)
    return [
        [
            0 if a == b else max(LOOKAHEAD_US, (rows[a][b] or rows[b][a] or median) // 2)
            for b in sites
        ]
        for a in sites
    ]


def _milliseconds(cell: str) -> int:
    """A round trip in microseconds; 0 where none was measured."""
    try:
        value = float(cell)
    except ValueError:
        raise ConfigError(f"no round trip in milliseconds: {cell[:20]}") from None
    if not value < 60_000:
        raise ConfigError(f"no sane round trip in milliseconds: {cell[:20]}")
    return max(0, int(value * 1_000))
