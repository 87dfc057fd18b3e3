"""Regions, clusters, cells and who speaks for them, as this node sees them."""

from __future__ import annotations

from hive.node.node import Node
from hive.node.views import View
from hive.protocol.membership.hierarchy import Hierarchy
from hive.protocol.membership.messages import Standing
from hive.protocol.membership.place import Level, Place
from hive.wire.ids import PeerId


def tree(node: Node) -> View:
    """Every cell known, by region and cluster; members by name, super-peers marked."""
    hierarchy = node.peer.hierarchy
    regions: dict[str, dict[str, list[Place]]] = {}
    for place in hierarchy.places():
        regions.setdefault(place.region, {}).setdefault(place.cluster, []).append(place)
    return {
        "health_score": hierarchy.cell.health_score,
        "is_super_peer": hierarchy.is_super_peer,
        "is_region_peer": hierarchy.is_region_peer,
        "regions": [
            {
                "region": region,
                "clusters": [
                    _cluster(node, cluster, cells) for cluster, cells in sorted(clusters.items())
                ],
            }
            for region, clusters in sorted(regions.items())
        ],
    }


def _cluster(node: Node, name: str, cells: list[Place]) -> View:
    hierarchy = node.peer.hierarchy
    told = hierarchy.outlines.of(Level.REGION, cells[0])
    return {
        "cluster": name,
        "is_own": cells[0].shares_cluster(hierarchy.place),
        "live_count": None if told is None else told.outline.live_count,
        "speakers": [peer.hex() for peer in hierarchy.cluster_speakers(cells[0])],
        "cells": [_cell(node, place) for place in cells],
    }


def _cell(node: Node, place: Place) -> View:
    hierarchy = node.peer.hierarchy
    is_own, speakers = place == hierarchy.place, hierarchy.super_peers(place)
    told = hierarchy.outlines.of(Level.CLUSTER, place)
    live = hierarchy.cell.view.live_count if is_own else None
    return {
        "cell": place.cell,
        "is_own": is_own,
        "live_count": live if told is None else told.outline.live_count,
        "members": [
            _member(node, peer, peer in speakers) for peer in _members(node, hierarchy, place)
        ],
    }


def _members(node: Node, hierarchy: Hierarchy, place: Place) -> list[PeerId]:
    """The members of a cell that this node knows, super-peers first, the dead among them."""
    known = [peer for peer, _ in node.peer.introductions.known.items()]
    seen = dict.fromkeys((*hierarchy.super_peers(place), *hierarchy.cell_peers(place)))
    if place == hierarchy.place:
        seen[node.peer.core.own.peer] = None
    seen |= {peer: None for peer in sorted(known) if hierarchy.place_of(peer) == place}
    return list(seen)


def _member(node: Node, peer: PeerId, is_super_peer: bool) -> View:
    core, standing = node.peer.core, node.peer.hierarchy.standing(peer)
    known = node.peer.introductions.known.get(peer)
    is_own = peer == core.own.peer
    state = "contact" if standing in (None, Standing.INTRODUCED) else standing.name.lower()
    return {
        "peer": peer.hex(),
        "name": core.own.name if is_own else known.chain.name if known else "",
        "org_name": known.chain.org_name if known else "",
        "is_own": is_own,
        "is_super_peer": is_super_peer,
        "state": state,
        "stream": peer in core.connected,
    }
