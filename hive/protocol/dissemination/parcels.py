"""Parcels: payloads packed into messages within their bounds, and the count of what was sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hive.protocol.dissemination.config import TreeConfig
from hive.protocol.dissemination.messages import HOPS_MAX, Push
from hive.protocol.dissemination.payloads import Payload
from hive.protocol.messages import DELTA_COUNT_MAX


@dataclass(slots=True)
class Counts:
    """What happened so far."""

    pushed: int = 0
    duplicates: int = 0
    announced: int = 0
    grafts: int = 0
    prunes: int = 0
    moves: int = 0
    deferred: int = 0
    """Payloads that a spent link got as a digest instead."""
    digests_dropped: int = 0
    withheld: int = 0
    """Payloads and ids that were not sent because of residency."""
    blamed: int = 0


def parcels(
    payloads: Iterable[Payload], is_aside: bool, config: TreeConfig
) -> list[tuple[int, int, bytes]]:
    """Messages with the count and bytes of their envelopes; all came equally far."""
    groups: list[list[bytes]] = [[]]
    size, hops, gateway = 0, 0, b""
    for payload in payloads:
        hops, gateway = payload.origin.hops, payload.origin.gateway
        length = len(payload.envelope)
        is_too_big = size + length > config.message_bytes_max
        if groups[-1] and (is_too_big or len(groups[-1]) == DELTA_COUNT_MAX):
            groups.append([])
            size = 0
        groups[-1].append(payload.envelope)
        size += length
    hops = min(hops + 1, HOPS_MAX)
    return [
        (len(some), sum(map(len, some)), Push(hops, int(is_aside), gateway, tuple(some)).to_body())
        for some in groups
    ]
