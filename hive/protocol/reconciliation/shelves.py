"""What was found to be lacking at a peer, laid out for it to pull at its own pace.

A shelf belongs to one session and namespace and holds full ids in the order of (hlc, id), in
which a chain is never pulled from the middle. What a peer pulled and still lacks in a later
session it did not take (refused, quarantined); that is not laid out again for `fruitless_us`,
then twice as long each time.
"""

from __future__ import annotations

from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.wire.clock import MonotonicUs
from hive.wire.ids import DIGEST_BYTES, DeltaId, PeerId

_Key = tuple[PeerId, bytes, str]


class Shelves:
    """The shelves of all peers, bounded."""

    def __init__(self, config: ReconciliationConfig) -> None:
        self._config = config
        self._shelves: dict[_Key, bytearray] = {}
        self._given: dict[PeerId, dict[bytes, tuple[int, MonotonicUs]]] = {}
        self.dropped_count = 0

    def lay_out(
        self, peer: PeerId, session: bytes, namespace: str, ids: bytes, now_us: MonotonicUs
    ) -> int:
        """Adds packed ids to a shelf and gives how many lie on it now."""
        key = (peer, session, namespace)
        shelf = self._shelves.pop(key, None)
        if shelf is None:
            shelf = bytearray()
            if len(self._shelves) >= self._config.shelves_max:
                del self._shelves[next(iter(self._shelves))]
        self._shelves[key] = shelf
        room = self._config.shelf_ids_max * DIGEST_BYTES - len(shelf)
        given = self._given.get(peer)
        if given:
            ids = b"".join(id for id in _each(ids) if not self._is_in_vain(given, id, now_us))
        self.dropped_count += max(0, len(ids) - room) // DIGEST_BYTES
        shelf += ids[:room]
        return len(shelf) // DIGEST_BYTES

    def page(
        self, peer: PeerId, session: bytes, namespace: str, first: int, count: int
    ) -> list[DeltaId]:
        """Ids from a place on; none where the shelf is gone."""
        shelf = self._shelves.get((peer, session, namespace), bytearray())
        run = bytes(shelf[first * DIGEST_BYTES : (first + count) * DIGEST_BYTES])
        return [DeltaId(id) for id in _each(run)]

    def note_given(self, peer: PeerId, id: DeltaId, now_us: MonotonicUs) -> None:
        """The peer gets this delta: if it lacks it again, it does not want it."""
        given = self._given.setdefault(peer, {})
        known = given.pop(id, None)
        span_us = self._config.fruitless_us
        if known is not None:
            span_us = min(2 * known[0], self._config.fruitless_longest_us)
        elif len(given) >= self._config.shelf_ids_max:
            del given[next(iter(given))]
        given[id] = (span_us, MonotonicUs(now_us + span_us))

    def forget(self, peer: PeerId) -> None:
        """Drops what belongs to a peer that is gone."""
        self._given.pop(peer, None)
        for key in [key for key in self._shelves if key[0] == peer]:
            del self._shelves[key]

    def _is_in_vain(
        self, given: dict[bytes, tuple[int, MonotonicUs]], id: bytes, now_us: MonotonicUs
    ) -> bool:
        known = given.get(id)
        return known is not None and now_us < known[1]


def _each(ids: bytes) -> list[bytes]:
    return [ids[start : start + DIGEST_BYTES] for start in range(0, len(ids), DIGEST_BYTES)]
