"""How old this peer's knowledge of revocations may be (step 8, P4).

Theory of operation. Until the rail exists, the issuers that the root names each sign a statement
every 10 s: their index, the time, and the Merkle root over all revocations they admitted. A
statement counts once this peer holds every revocation under that root: either the root is its
own, or the list was fetched, checked against the root and found to be held. The peer is as fresh
as the `freshness_threshold`-th newest issuer. Age is the larger of the wall-clock difference and
the monotonic time since the statement was heard, so neither a stopped nor a slow clock helps.
Own writes are refused when the age exceeds `age_us_max`.

A statement that follows its predecessor without a gap was made at most one interval ago; if all
such statements of other issuers look much older, this node's own clock is ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hive.errors import ConfigError
from hive.protocol.bounded import BoundedMap
from hive.trust.envelope import Signed
from hive.trust.records import FreshnessRecord
from hive.trust.state import TrustState
from hive.wire import merkle
from hive.wire.clock import MILLISECOND_US, SECOND_US, MonotonicUs, Now
from hive.wire.ids import Digest, Inception, RecordId

NEVER_US: Final = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessConfig:
    """How often statements are made and how old they may be."""

    interval_us: int = 10 * SECOND_US
    """Between two statements of one issuer. Less costs traffic, more delays revocation."""
    age_us_max: int = 40 * SECOND_US
    """Own writes are refused beyond this age. Less refuses sooner in a partition."""
    recall_age_us_max: int = 900 * SECOND_US
    """Cross-region and cross-tenant recall is refused beyond this age."""
    clock_ahead_us_max: int = 60 * SECOND_US
    """Own clock is called ahead when attested time lags it by more than this."""
    covered_root_count_max: int = 64
    """Revocation roots remembered as held."""

    def __post_init__(self) -> None:
        if not 0 < self.interval_us < self.age_us_max <= self.recall_age_us_max:
            raise ConfigError("freshness needs interval < age_us_max <= recall_age_us_max")


@dataclass(slots=True)
class _Heard:
    index: int
    at_ms: int
    root: Digest
    heard_at: MonotonicUs
    lag_us: int | None


class Freshness:
    """The newest statement of each issuer that counts."""

    def __init__(self, config: FreshnessConfig, trust: TrustState) -> None:
        self.config = config
        self._trust = trust
        self._heard: dict[Inception, _Heard] = {}
        self._covered: BoundedMap[Digest, None] = BoundedMap(config.covered_root_count_max)
        self._own_issuers: tuple[Inception, ...] = ()

    def own(self, issuers: tuple[Inception, ...]) -> None:
        """Names the issuers whose keys this node holds: they tell nothing about its clock."""
        self._own_issuers = issuers

    def hear(self, statement: Signed[FreshnessRecord], now: Now) -> bool:
        """Takes an admitted statement; False where a newer one of that issuer is known."""
        record = statement.record
        issuer = Inception(record.issuer)
        before = self._heard.get(issuer)
        if before is not None and (record.index <= before.index or record.at_ms < before.at_ms):
            return False
        lag_us = None
        if before is not None and record.index == before.index + 1:
            lag_us = now.wall_us - record.at_ms * MILLISECOND_US
        root = Digest(record.revocation_root)
        if root == self._trust.revocation_root():
            self._covered.put(root, None)
        self._heard[issuer] = _Heard(record.index, record.at_ms, root, now.monotonic_us, lag_us)
        return True

    def lacks(self, root: Digest) -> bool:
        """Whether revocations under this root may be unknown here: ask for the list."""
        return root != self._trust.revocation_root() and root not in self._covered

    def cover(self, ids: tuple[RecordId, ...]) -> tuple[RecordId, ...]:
        """Takes a list of revocations: marks its root where all are held, else names the rest.

        Only roots that an issuer stated are remembered: a peer's own lists would crowd them out.
        """
        unknown = tuple(record for record in ids if self._trust.signed(record) is None)
        if unknown or len(ids) > self._trust.revocation_index or list(ids) != sorted(ids):
            return unknown
        root = merkle.root(ids)
        if any(heard.root == root for heard in self._heard.values()):
            self._covered.put(root, None)
        return ()

    def _counting(self) -> list[_Heard]:
        root = self._trust.root
        if root is None:
            return []
        named = (self._heard.get(Inception(issuer)) for issuer in root.record.freshness_issuers)
        return [heard for heard in named if heard is not None and not self.lacks(heard.root)]

    def age_us(self, now: Now) -> int:
        """The age of this peer's knowledge in microseconds; `NEVER_US` where there is none."""
        root = self._trust.root
        if root is None:
            return NEVER_US
        ages = sorted(_age_us(heard, now) for heard in self._counting())
        needed = root.record.freshness_threshold
        return ages[needed - 1] if len(ages) >= needed else NEVER_US

    def is_fresh(self, now: Now) -> bool:
        """Whether this node may admit writes."""
        return self.age_us(now) <= self.config.age_us_max

    def index(self, now: Now) -> int:
        """What receipts cite: the time (ms) of the statement that decides this peer's age."""
        root = self._trust.root
        times = sorted((heard.at_ms for heard in self._counting()), reverse=True)
        needed = root.record.freshness_threshold if root else 1
        return times[needed - 1] if len(times) >= needed else 0

    def is_clock_ahead(self, now: Now) -> bool:
        """Whether every other issuer's fresh statements look far too old to this clock."""
        lags = [
            heard.lag_us
            for issuer, heard in self._heard.items()
            if heard.lag_us is not None
            and issuer not in self._own_issuers
            and now.monotonic_us - heard.heard_at <= self.config.age_us_max
        ]
        return bool(lags) and min(lags) > self.config.clock_ahead_us_max

    def last_index(self, issuer: Inception) -> int:
        """The highest index heard of an issuer; 0 where none was."""
        heard = self._heard.get(issuer)
        return heard.index if heard else 0


def _age_us(heard: _Heard, now: Now) -> int:
    by_wall = now.wall_us - heard.at_ms * MILLISECOND_US
    return max(by_wall, now.monotonic_us - heard.heard_at, 0)
