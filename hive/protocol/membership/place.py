"""Where a peer belongs, by its verified record: region, cluster and cell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A cell of a cluster of a region; a record's zone is its cluster."""

    region: str = ""
    cluster: str = ""
    cell: str = ""

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
