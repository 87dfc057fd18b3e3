"""Who speaks for a group: rendezvous hashing over its live members, one seat an organisation.

Everybody who sees the same live members names the same ones, without a message; one that dies or
leaves moves one seat only (Thaler and Ravishankar 1998). Ids could be ground until they rank high,
so an organisation gets a second seat only where there are fewer organisations than seats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from hive.wire.ids import Inception, PeerId

RANKS_KEPT = 65_536
"""Ranks remembered over all scopes, some 250 B each; an election only sorts."""


@lru_cache(maxsize=RANKS_KEPT)
def rank(scope: str, peer: PeerId) -> bytes:
    """The place of a peer in the order of a scope; the lowest speaks first."""
    return hashlib.sha256(f"hive/election/{scope}".encode() + b"\0" + peer).digest()


def elect(
    scope: str, candidates: Iterable[tuple[PeerId, Inception]], seats: int
) -> tuple[PeerId, ...]:
    """The speakers in order of rank: the best of each organisation first, then the next best."""
    order = sorted(candidates, key=lambda candidate: rank(scope, candidate[0]))
    firsts: dict[Inception, PeerId] = {}
    for peer, org in order:
        firsts.setdefault(org, peer)
    chosen = list(firsts.values())[:seats]
    chosen += [peer for peer, _ in order if peer not in chosen][: seats - len(chosen)]
    return tuple(sorted(chosen, key=lambda peer: rank(scope, peer)))
