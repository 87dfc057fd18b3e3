"""Where a peer belongs, by its verified record: region, cluster and cell."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """The groups that a datagram of membership can belong to."""

    CELL = 0
    CLUSTER = 1
    """The ring of the super-peers of a cluster."""
    REGION = 2
    """The ring of all regions."""
    ASIDE = 3
    """What super-peers tell each other beside SWIM."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A cell of a cluster of a region.

    A record names its cell as `cluster/cell`; without a stroke it names a cluster of one cell. The
    zone of a record is where it fails together with others: a cell may span zones, and should.
    """

    region: str = ""
    cluster: str = ""
    cell: str = ""

    @classmethod
    def of(cls, region: str, cell: str) -> Place:
        """The place that a record's region and cell name."""
        cluster, _, inner = cell.partition("/")
        return cls(region, cluster, inner)

    def shares_cluster(self, other: Place) -> bool:
        """Whether both cells lie in one cluster."""
        return (self.region, self.cluster) == (other.region, other.cluster)

    @property
    def cell_scope(self) -> str:
        """The name of the cell, as its elections and statements carry it."""
        return _joined("cell", self.region, self.cluster, self.cell)

    @property
    def cluster_scope(self) -> str:
        """The name of the cluster."""
        return _joined("cluster", self.region, self.cluster)


def _joined(kind: str, *names: str) -> str:
    return "/".join((kind, *(name.replace("%", "%25").replace("/", "%2F") for name in names)))
