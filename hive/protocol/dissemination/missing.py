"""What was announced and has not come: who announced it, and when the next is asked."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from hive.protocol.dissemination.config import TreeConfig
from hive.wire.clock import MonotonicUs
from hive.wire.ids import PeerId


@dataclass(slots=True)
class Lack:
    """One announced id; `announcers` in the order in which they will be asked, with hops."""

    namespace: str
    announcers: dict[PeerId, int]
    due_at: MonotonicUs
    announced_at: MonotonicUs
    asked: PeerId | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One id to be grafted from one announcer; `failed` was asked before and did not bring it."""

    id: bytes
    namespace: str
    announcer: PeerId | None
    failed: PeerId | None


class Missing:
    """Timers of grafts; a heap of due times beside the ids, so that nothing is cancelled."""

    def __init__(self, config: TreeConfig) -> None:
        self._config = config
        self._lacks: dict[bytes, Lack] = {}
        self._due: list[tuple[MonotonicUs, bytes]] = []
        self.dropped_count = 0
        self.patience_us = 0
        """What the first graft waits at least: payloads come this late of themselves."""

    def __len__(self) -> int:
        return len(self._lacks)

    def __contains__(self, id: bytes) -> bool:
        return id in self._lacks

    @property
    def deadline(self) -> MonotonicUs | None:
        """When the next announcer is asked."""
        while self._due:
            due, id = self._due[0]
            lack = self._lacks.get(id)
            if lack is not None and lack.due_at == due:
                return due
            heapq.heappop(self._due)
        return None

    def announced(
        self,
        id: bytes,
        namespace: str,
        peer: PeerId,
        hops: int,
        now_us: MonotonicUs,
        wait_us: int,
    ) -> None:
        """Somebody has the id; an earlier due time than the one known counts."""
        due_at = MonotonicUs(now_us + wait_us)
        lack = self._lacks.get(id)
        if lack is None:
            if len(self._lacks) >= self._config.missing_max:
                self.dropped_count += 1
                return
            lack = self._lacks[id] = Lack(namespace, {}, due_at, now_us)
            heapq.heappush(self._due, (due_at, id))
        elif lack.asked is None and due_at < lack.due_at:
            lack.due_at = due_at
            lack.announcers = {peer: hops, **lack.announcers}
            heapq.heappush(self._due, (due_at, id))
        lack.announcers.setdefault(peer, hops)

    def came(self, id: bytes) -> Lack | None:
        """The payload is here."""
        return self._lacks.pop(id, None)

    def forget(self, peer: PeerId) -> None:
        """The peer is no neighbour any more."""
        for lack in self._lacks.values():
            lack.announcers.pop(peer, None)

    def due(self, now_us: MonotonicUs) -> list[Ask]:
        """Whom to ask for what now; ids that nobody is left for are given up."""
        asks: list[Ask] = []
        while self._due and self._due[0][0] <= now_us:
            due, id = heapq.heappop(self._due)
            lack = self._lacks.get(id)
            if lack is None or lack.due_at != due:
                continue
            failed, lack.asked = lack.asked, next(iter(lack.announcers), None)
            asks.append(Ask(id, lack.namespace, lack.asked, failed))
            if lack.asked is None:
                del self._lacks[id]
                continue
            del lack.announcers[lack.asked]
            lack.due_at = MonotonicUs(now_us + self._config.graft_next_us)
            heapq.heappush(self._due, (lack.due_at, id))
        return asks

    def came_late(self, late_us: int) -> None:
        """A payload came of itself behind its digest: the next grafts wait for the like of it."""
        if 2 * late_us > self.patience_us:
            self.patience_us = min(2 * late_us, self._config.graft_longest_us)
        else:
            self.patience_us -= self.patience_us // 16
