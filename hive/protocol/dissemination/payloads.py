"""What was verified lately: ids to tell duplicates by, and payloads to answer grafts with."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace

from hive.protocol.dissemination.config import TreeConfig
from hive.wire.clock import MonotonicUs
from hive.wire.ids import PeerId


@dataclass(frozen=True, slots=True)
class Origin:
    """How a payload came: hops at arrival (0: born here), past the tree or not, its gateway, from
    whom."""

    hops: int
    is_aside: bool
    gateway: bytes
    source: PeerId | None


@dataclass(frozen=True, slots=True)
class Payload:
    """A verified delta as it is passed on."""

    id: bytes
    namespace: str
    residency: tuple[str, ...]
    envelope: bytes
    origin: Origin
    kept_at: MonotonicUs


@dataclass(slots=True)
class Arriving:
    """Who pushed an id that ingress has not decided yet."""

    ways: dict[PeerId, Origin] = field(default_factory=dict)


ANNOUNCED = Origin(0, True, b"", None)
"""How an announcer came by what it holds: not our concern."""


class Payloads:
    """Bounded by time and bytes for payloads, by count for ids."""

    def __init__(self, config: TreeConfig) -> None:
        self._config = config
        self._seen: OrderedDict[bytes, tuple[str, Origin]] = OrderedDict()
        self._kept: OrderedDict[bytes, Payload] = OrderedDict()
        self.bytes_kept = 0

    def __contains__(self, id: bytes) -> bool:
        return id in self._seen

    def seen(self, id: bytes) -> tuple[str, Origin] | None:
        """The namespace of a verified id and how it came."""
        return self._seen.get(id)

    def get(self, id: bytes) -> Payload | None:
        """The payload, where it is still kept."""
        return self._kept.get(id)

    def put(self, payload: Payload) -> None:
        """Keeps a payload, at the cost of the oldest where the bounds say so."""
        if payload.id in self._seen:
            return
        if len(self._seen) >= self._config.seen_max:
            self._seen.popitem(last=False)
        self._seen[payload.id] = (payload.namespace, payload.origin)
        self._kept[payload.id] = payload
        self.bytes_kept += len(payload.envelope)
        while self.bytes_kept > self._config.cache_bytes_max:
            self._drop_oldest()

    def came_from(self, id: bytes, origin: Origin) -> None:
        """Another way to the same payload turned out the better one."""
        known = self._seen.get(id)
        if known is not None:
            self._seen[id] = (known[0], origin)
        kept = self._kept.get(id)
        if kept is not None:
            self._kept[id] = replace(kept, origin=origin)

    def expire(self, now_us: MonotonicUs) -> None:
        """Forgets payloads whose time is over."""
        horizon = now_us - self._config.cache_us
        while self._kept and next(iter(self._kept.values())).kept_at < horizon:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, dropped = self._kept.popitem(last=False)
        self.bytes_kept -= len(dropped.envelope)
