"""Records kept for others: upstream's `IStorage` with time handed in, and bounded everywhere.

A newer record replaces the older of its slot and nothing else does. Bounds: per key, per
organisation, in all; at the last one the record farthest from our own id gives way, so that
a flood of keys cannot push out what we are here to keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from kademlia.storage import IStorage

from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import to_integer
from hive.protocol.discovery.records import Opened
from hive.wire.clock import Now
from hive.wire.ids import Inception, PeerId


class StoreVerdict(IntEnum):
    """What a holder answers to a store."""

    STORED = 0
    MALFORMED = 1
    ENDED = 2
    UNKNOWN_SIGNER = 3
    FOREIGN_ORG = 4
    BAD_SIGNATURE = 5
    STALE = 6
    FULL = 7
    BUSY = 8


@dataclass(frozen=True, slots=True)
class Kept:
    """One record in the store, with its times in monotonic microseconds."""

    opened: Opened
    org: Inception
    kept_at: int
    expires_at: int


class RecordStore(IStorage):  # type: ignore[misc]  # kademlia carries no types
    """Live records by key; call `advance` before reading."""

    def __init__(self, own: PeerId, config: DiscoveryConfig) -> None:
        self._own = to_integer(own)
        self._config = config
        self._kept: dict[bytes, dict[tuple[str, Inception], Kept]] = {}
        self._of_org: dict[Inception, int] = {}
        self._count = 0
        self._now_us = 0

    def __len__(self) -> int:
        return self._count

    def advance(self, now: Now) -> None:
        """Sets the time and forgets what expired; costs a walk, so the machine's timer does it."""
        self._now_us = now.monotonic_us
        ended = [
            kept
            for slots in self._kept.values()
            for kept in slots.values()
            if kept.expires_at <= now.monotonic_us or kept.opened.has_ended(now.wall_us)
        ]
        for kept in ended:
            self._forget(kept)

    def verdict_on(self, opened: Opened, org: Inception) -> StoreVerdict:
        """Whether a record would be kept if its signature holds."""
        slots = self._kept.get(opened.key, {})
        known = slots.get(opened.slot)
        if known is not None:
            return StoreVerdict.STALE if opened.rank < known.opened.rank else StoreVerdict.STORED
        if (
            len(slots) >= self._config.records_per_key_max
            and self._crowder(opened.key, org) is None
        ):
            return StoreVerdict.FULL
        if self._of_org.get(org, 0) >= self._config.records_per_org_max:
            return StoreVerdict.FULL
        if self._count >= self._config.records_max and not self._is_nearer(opened.key):
            return StoreVerdict.FULL
        return StoreVerdict.STORED

    def held(self, opened: Opened) -> Kept | None:
        """The very same record, if it is kept: it needs no second verification."""
        known = self._kept.get(opened.key, {}).get(opened.slot)
        return known if known is not None and known.opened.signed == opened.signed else None

    def __setitem__(self, key: bytes, value: Kept) -> None:
        if self.verdict_on(value.opened, value.org) is not StoreVerdict.STORED:
            return
        known = self._kept.get(key, {}).get(value.opened.slot)
        crowder = None
        if known is None and len(self._kept.get(key, {})) >= self._config.records_per_key_max:
            crowder = self._crowder(key, value.org)
        if known is not None:
            self._forget(known)
        elif crowder is not None:
            self._forget(crowder)
        elif self._count >= self._config.records_max:
            self._forget_farthest()
        self._kept.setdefault(key, {})[value.opened.slot] = value
        self._of_org[value.org] = self._of_org.get(value.org, 0) + 1
        self._count += 1

    def __getitem__(self, key: bytes) -> tuple[Kept, ...]:
        return tuple(self._kept[key].values())

    def get(self, key: bytes, default: tuple[Kept, ...] | None = None) -> tuple[Kept, ...] | None:
        """The records under a key, oldest slot first."""
        return self[key] if key in self._kept else default

    def iter_older_than(self, seconds_old: int) -> list[tuple[bytes, Kept]]:
        """Records kept for longer, as (key, record)."""
        oldest = self._now_us - seconds_old * 1_000_000
        return [(key, kept) for key, kept in self if kept.kept_at <= oldest]

    def __iter__(self) -> Iterator[tuple[bytes, Kept]]:
        return iter([(key, kept) for key, slots in self._kept.items() for kept in slots.values()])

    def _crowder(self, key: bytes, org: Inception) -> Kept | None:
        """Under a full key, the oldest record of the organisation with most, if `org` has fewer."""
        of_org: dict[Inception, int] = {}
        for kept in self._kept[key].values():
            of_org[kept.org] = of_org.get(kept.org, 0) + 1
        crowder = max(of_org, key=lambda each: of_org[each])
        if of_org[crowder] <= of_org.get(org, 0) + 1:
            return None
        return next(kept for kept in self._kept[key].values() if kept.org == crowder)

    def _is_nearer(self, key: bytes) -> bool:
        return to_integer(key) ^ self._own < to_integer(self._farthest_key()) ^ self._own

    def _farthest_key(self) -> bytes:
        return max(self._kept, key=lambda held: to_integer(held) ^ self._own)

    def _forget_farthest(self) -> None:
        self._forget(next(iter(self._kept[self._farthest_key()].values())))

    def _forget(self, kept: Kept) -> None:
        slots = self._kept[kept.opened.key]
        del slots[kept.opened.slot]
        if not slots:
            del self._kept[kept.opened.key]
        self._of_org[kept.org] -= 1
        if not self._of_org[kept.org]:
            del self._of_org[kept.org]
        self._count -= 1
