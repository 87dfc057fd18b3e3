"""Token buckets per peer, in integers."""

from __future__ import annotations

from hive.wire.ids import PeerId


class Budget:
    """`burst` tokens a peer, one more every `refill_us`; remembers at most `peers_max` peers."""

    def __init__(self, burst: int, refill_us: int, peers_max: int) -> None:
        self._burst = burst
        self._refill_us = refill_us
        self._peers_max = peers_max
        self._full_at: dict[PeerId, int] = {}

    def take(self, peer: PeerId, now_us: int) -> bool:
        """Takes a token, or says that none is left."""
        full_at = max(self._full_at.get(peer, now_us), now_us) + self._refill_us
        if full_at - now_us > self._burst * self._refill_us:
            return False
        if peer not in self._full_at and len(self._full_at) >= self._peers_max:
            self._make_room(now_us)
        self._full_at[peer] = full_at
        return True

    def _make_room(self, now_us: int) -> None:
        self._full_at = {peer: at for peer, at in self._full_at.items() if at > now_us}
        if len(self._full_at) >= self._peers_max:
            del self._full_at[min(self._full_at, key=lambda peer: (self._full_at[peer], peer))]
