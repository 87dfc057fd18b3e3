"""Arrivals that wait for a missing piece: records, earlier deltas, or time. Bounded.

When the buffer is full the oldest arrival goes: reconciliation will bring it again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from hive.errors import ConfigError
from hive.protocol.ingress import Arrival
from hive.wire.ids import DeltaId, Digest, RecordId


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingConfig:
    """Bounds of the buffer."""

    count_max: int = 4_096
    """Arrivals held. More survives worse reordering, less bounds memory. Sane: 64–65,536."""
    bytes_max: int = 32 * 1024 * 1024
    """Bytes held. Sane: 1 MiB–1 GiB."""

    def __post_init__(self) -> None:
        if min(self.count_max, self.bytes_max) < 1:
            raise ConfigError("the waiting buffer needs positive bounds")


@dataclass(frozen=True, slots=True)
class _Kept:
    arrival: Arrival
    record: RecordId | None
    position: tuple[Digest, int] | None
    until_us: int


class WaitingRoom:
    """Arrivals by what they wait for."""

    def __init__(self, config: WaitingConfig) -> None:
        self._config = config
        self._kept: OrderedDict[DeltaId, _Kept] = OrderedDict()
        self._by_record: dict[RecordId, dict[DeltaId, None]] = {}
        self._by_position: dict[tuple[Digest, int], DeltaId] = {}
        self._bytes = 0
        self.dropped_count = 0

    def __len__(self) -> int:
        return len(self._kept)

    def for_record(self, delta: DeltaId, arrival: Arrival, record: RecordId) -> None:
        """Waits for a trust record."""
        self._keep(delta, _Kept(arrival, record, None, 0))

    def for_position(self, delta: DeltaId, arrival: Arrival, position: tuple[Digest, int]) -> None:
        """Waits until its own position (chain, sequence) is the next of its chain."""
        self._keep(delta, _Kept(arrival, None, position, 0))

    def until(self, delta: DeltaId, arrival: Arrival, wall_us: int) -> None:
        """Waits for a wall time."""
        self._keep(delta, _Kept(arrival, None, None, wall_us))

    def _keep(self, delta: DeltaId, kept: _Kept) -> None:
        self._take(delta)
        self._kept[delta] = kept
        self._bytes += len(kept.arrival.untrusted)
        if kept.record is not None:
            self._by_record.setdefault(kept.record, {})[delta] = None
        if kept.position is not None:
            self._by_position[kept.position] = delta
        while len(self._kept) > self._config.count_max or self._bytes > self._config.bytes_max:
            self._take(next(iter(self._kept)))
            self.dropped_count += 1

    def _take(self, delta: DeltaId) -> Arrival | None:
        kept = self._kept.pop(delta, None)
        if kept is None:
            return None
        self._bytes -= len(kept.arrival.untrusted)
        if kept.record is not None:
            waiting = self._by_record.get(kept.record, {})
            waiting.pop(delta, None)
            if not waiting:
                self._by_record.pop(kept.record, None)
        if kept.position is not None and self._by_position.get(kept.position) == delta:
            del self._by_position[kept.position]
        return kept.arrival

    def release_record(self, record: RecordId) -> list[Arrival]:
        """Everything that waited for this record."""
        waiting = list(self._by_record.get(record, {}))
        return [arrival for delta in waiting if (arrival := self._take(delta)) is not None]

    def release_position(self, position: tuple[Digest, int]) -> Arrival | None:
        """What waited to be next at this position."""
        delta = self._by_position.get(position)
        return self._take(delta) if delta is not None else None

    def release_due(self, wall_us: int) -> list[Arrival]:
        """Everything whose time has come."""
        due = [d for d, kept in self._kept.items() if 0 < kept.until_us <= wall_us]
        return [arrival for delta in due if (arrival := self._take(delta)) is not None]

    @property
    def next_due_us(self) -> int | None:
        """The wall time at which the next timed arrival is due."""
        times = [kept.until_us for kept in self._kept.values() if kept.until_us > 0]
        return min(times) if times else None
