"""Arrivals that wait for a missing piece: records, earlier deltas, or time. Bounded.

When the buffer is full the oldest arrival goes: reconciliation will bring it again. Arrivals are
kept by delta *and* sender, so that nobody displaces what another peer brought by sending the same
header under a forged signature.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

from hive.errors import ConfigError
from hive.protocol.judgement import (
    Arrival,
)
from hive.wire.clock import SECOND_US
from hive.wire.ids import DeltaId, Digest, PeerId, RecordId

Position: TypeAlias = tuple[Digest, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingConfig:
    """Bounds of the buffer, and of what waits for signatures."""

    count_max: int = 4_096
    """Arrivals held. More survives worse reordering, less bounds memory. Sane: 64–65,536."""
    bytes_max: int = 32 * 1024 * 1024
    """Bytes held. Sane: 1 MiB–1 GiB."""

    record_retry_us: int = SECOND_US // 2
    """Between two requests for one record to one peer; less asks in vain while it is on its way."""
    verifying_bytes_max: int = 64 * 1024 * 1024
    """Bytes of arrivals whose signatures are being checked. Beyond it arrivals are dropped and
    reconciled later. Less bounds memory under floods. Sane: 8 MiB–1 GiB."""

    def __post_init__(self) -> None:
        if min(self.count_max, self.bytes_max, self.verifying_bytes_max) < 1:
            raise ConfigError("the waiting buffer needs positive bounds")


@dataclass(frozen=True, slots=True)
class _Kept:
    arrival: Arrival
    record: RecordId | None
    position: Position | None
    until_us: int


_Key: TypeAlias = tuple[DeltaId, PeerId | None]


class WaitingRoom:
    """Arrivals by what they wait for."""

    def __init__(self, config: WaitingConfig) -> None:
        self.config = config
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._by_record: dict[RecordId, dict[_Key, None]] = {}
        self._by_position: dict[Position, dict[_Key, None]] = {}
        self._timed: dict[_Key, None] = {}
        self._bytes = 0
        self.dropped_count = 0

    def __len__(self) -> int:
        return len(self._kept)

    def for_record(self, delta: DeltaId, arrival: Arrival, record: RecordId) -> None:
        """Waits for a trust record."""
        self._keep(delta, _Kept(arrival, record, None, 0))

    def for_position(self, delta: DeltaId, arrival: Arrival, position: Position) -> None:
        """Waits until its own position (chain, sequence) is the next of its chain."""
        self._keep(delta, _Kept(arrival, None, position, 0))

    def until(self, delta: DeltaId, arrival: Arrival, wall_us: int) -> None:
        """Waits for a wall time."""
        self._keep(delta, _Kept(arrival, None, None, wall_us))

    def _keep(self, delta: DeltaId, kept: _Kept) -> None:
        key = (delta, kept.arrival.sender)
        self._take(key)
        self._kept[key] = kept
        self._bytes += len(kept.arrival.untrusted)
        if kept.record is not None:
            self._by_record.setdefault(kept.record, {})[key] = None
        if kept.position is not None:
            self._by_position.setdefault(kept.position, {})[key] = None
        if kept.until_us:
            self._timed[key] = None
        while len(self._kept) > self.config.count_max or self._bytes > self.config.bytes_max:
            self._take(next(iter(self._kept)))
            self.dropped_count += 1

    def _take(self, key: _Key) -> Arrival | None:
        kept = self._kept.pop(key, None)
        if kept is None:
            return None
        self._bytes -= len(kept.arrival.untrusted)
        self._timed.pop(key, None)
        if kept.record is not None:
            self._by_record[kept.record].pop(key)
            if not self._by_record[kept.record]:
                del self._by_record[kept.record]
        if kept.position is not None:
            self._by_position[kept.position].pop(key)
            if not self._by_position[kept.position]:
                del self._by_position[kept.position]
        return kept.arrival

    def _release(self, keys: list[_Key]) -> list[Arrival]:
        return [arrival for key in keys if (arrival := self._take(key)) is not None]

    def release_record(self, record: RecordId) -> list[Arrival]:
        """Everything that waited for this record."""
        return self._release(list(self._by_record.get(record, {})))

    def release_run(self, chain: Digest, first: int) -> list[Arrival]:
        """What waited at this position of a chain and at those that follow without a gap."""
        released: list[Arrival] = []
        while waiting := self._by_position.get((chain, first)):
            released += self._release(list(waiting))
            first += 1
        return released

    def release_due(self, wall_us: int) -> list[Arrival]:
        """Everything whose time has come."""
        return self._release([key for key in self._timed if self._kept[key].until_us <= wall_us])

    @property
    def next_due_us(self) -> int | None:
        """The wall time at which the next timed arrival is due."""
        return min((self._kept[key].until_us for key in self._timed), default=None)
