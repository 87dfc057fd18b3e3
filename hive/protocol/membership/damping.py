"""Flap damping (RFC 2439 in spirit): who dies and returns again and again is not told of.

Each return adds a penalty that halves with time. Above the limit a member is suppressed: the cell
goes on judging it, but the last news told of it stand, it is no helper and holds no seat. Below
the reuse level its present state is told. All in integers, so that every twin agrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hive.protocol.membership.config import SwimConfig
from hive.wire.ids import PeerId

FLAP_MILLI: Final = 1_000
"""The penalty of one return."""


@dataclass(slots=True)
class _Penalty:
    milli: int
    at: int
    is_suppressed: bool = False


class Damping:
    """The penalties of members that returned lately; at most one a member."""

    def __init__(self, config: SwimConfig) -> None:
        self._config = config
        self._penalties: dict[PeerId, _Penalty] = {}

    def flapped(self, peer: PeerId, now_us: int) -> None:
        """The member came back from the dead."""
        config = self._config
        penalty = self._penalties.setdefault(peer, _Penalty(0, now_us))
        milli = self._decayed(penalty, now_us) + FLAP_MILLI
        penalty.milli, penalty.at = min(milli, config.flap_ceiling_milli), now_us
        if penalty.milli >= config.flap_limit_milli:
            penalty.is_suppressed = True

    def is_suppressed(self, peer: PeerId) -> bool:
        """Whether news of the member are withheld."""
        penalty = self._penalties.get(peer)
        return penalty is not None and penalty.is_suppressed

    def release(self, now_us: int) -> list[PeerId]:
        """Forgets decayed penalties; gives those that were suppressed until now, by peer id."""
        released = []
        for peer in sorted(self._penalties):
            penalty = self._penalties[peer]
            milli = self._decayed(penalty, now_us)
            if penalty.is_suppressed and milli < self._config.flap_reuse_milli:
                penalty.is_suppressed = False
                released.append(peer)
            if milli < FLAP_MILLI // 8:
                del self._penalties[peer]
        return released

    def forget(self, peer: PeerId) -> None:
        """The member is reaped."""
        self._penalties.pop(peer, None)

    def _decayed(self, penalty: _Penalty, now_us: int) -> int:
        half_lives, rest = divmod(now_us - penalty.at, self._config.flap_half_life_us)
        milli = penalty.milli >> min(half_lives, 32)
        return milli - milli * rest // (2 * self._config.flap_half_life_us)
