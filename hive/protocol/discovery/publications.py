"""Own records kept published: each has a slot, is published again and again, and ends.

Only who signed a record publishes it, so that copies of the gone expire. The period has a
random part, so that a fleet started together does not publish together.
"""

from __future__ import annotations

from dataclasses import dataclass

from hive.errors import StateError
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.records import Opened
from hive.wire.clock import Now
from hive.wire.ids import Inception
from hive.wire.randomness import Stream


@dataclass(frozen=True, slots=True)
class Publication:
    """An own record and when it is due again."""

    opened: Opened
    due_at: int


class Publications:
    """The newest own record of each slot, at most `publications_max`."""

    def __init__(self, config: DiscoveryConfig, stream: Stream) -> None:
        self._config = config
        self._stream = stream
        self._kept: dict[tuple[bytes, Inception], Publication] = {}

    @property
    def deadline(self) -> int | None:
        """When the next one is due."""
        return min((publication.due_at for publication in self._kept.values()), default=None)

    def is_outdated(self, opened: Opened) -> bool:
        """Whether a newer record of its slot is kept; raises `StateError` where all are taken."""
        known = self._kept.get((opened.key, opened.record.inception))
        if known is None and len(self._kept) >= self._config.publications_max:
            raise StateError("too many records are published", hint="publications_max")
        return known is not None and opened.rank < known.opened.rank

    def published(self, opened: Opened, now: Now) -> None:
        """Notes that a record goes out now; the next time is a period and a jitter later."""
        due_at = now.monotonic_us + self._config.republish_interval_us
        due_at += self._stream.below(self._config.republish_jitter_us + 1)
        self._kept[opened.key, opened.record.inception] = Publication(opened, due_at)

    def withdraw(self, key: bytes, inception: Inception) -> None:
        """Publishes it no longer."""
        self._kept.pop((key, inception), None)

    def due(self, now: Now) -> list[Opened]:
        """What must go out again; what has ended is dropped instead."""
        late = [p.opened for p in self._kept.values() if p.due_at <= now.monotonic_us]
        for opened in late:
            if opened.has_ended(now.wall_us):
                self.withdraw(opened.key, opened.record.inception)
        return [opened for opened in late if not opened.has_ended(now.wall_us)]
