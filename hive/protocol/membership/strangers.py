"""Peers that were named but never introduced: reported once, their last word remembered."""

from __future__ import annotations

from dataclasses import dataclass

from hive.protocol.membership.cell import Cell
from hive.protocol.membership.events import PeerUnknown
from hive.protocol.membership.messages import Signed, Standing
from hive.wire.ids import PeerId


@dataclass(slots=True)
class _Stranger:
    signed: Signed | None
    reported_at: int


class Strangers:
    """At most `unknown_max`; the one heard of first makes room."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._strangers: dict[PeerId, _Stranger] = {}

    def remember(self, signed: Signed, told_by: PeerId) -> None:
        """Keeps the newest alive statement of an unknown subject, unverified."""
        self.report(signed.subject, told_by)
        stranger = self._strangers[signed.subject]
        if signed.standing != Standing.ALIVE or signed.author != signed.subject:
            return
        if stranger.signed is None or signed.incarnation > stranger.signed.incarnation:
            stranger.signed = signed

    def report(self, peer: PeerId, told_by: PeerId) -> None:
        """Tells of the peer, at most once every `unknown_retry_us`."""
        cell, known = self._cell, self._strangers.get(peer)
        if known is not None and cell.now_us < known.reported_at + cell.config.unknown_retry_us:
            return
        if known is None:
            if len(self._strangers) >= cell.config.unknown_max:
                del self._strangers[next(iter(self._strangers))]
            self._strangers[peer] = _Stranger(None, cell.now_us)
        else:
            known.reported_at = cell.now_us
        cell.tell(PeerUnknown(peer, told_by))

    def take(self, peer: PeerId) -> Signed | None:
        """Forgets the peer, now introduced, and gives its last word."""
        stranger = self._strangers.pop(peer, None)
        return None if stranger is None else stranger.signed
