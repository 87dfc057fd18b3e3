"""Token buckets: what one peer may cost this node in bytes and verifications (step 0).

Faults of the sender shrink its bucket's refill; good behaviour lets it grow back. `TokenBuckets`
count what has no price in bytes: accusations, answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from hive.errors import ConfigError
from hive.wire.clock import SECOND_US, MonotonicUs
from hive.wire.ids import PeerId

_FULL_HEALTH: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetConfig:
    """What one peer may cost; more admits bursts sooner, less bounds damage tighter."""

    bytes_per_second: int = 64 * 1024 * 1024
    """Bytes of deltas and records a peer may send, sustained. Sane: 1 MiB–1 GiB."""
    verifications_per_second: int = 20_000
    """Signatures a peer may make us verify, sustained. Sane: 100–50,000."""
    burst_seconds: int = 4
    """How many seconds of refill a full bucket holds. Sane: 1–60."""
    fault_cost_permille: int = 50
    """How much of its refill a peer loses for one fault of its own. Sane: 1–500."""
    recovery_permille_per_second: int = 5
    """How much of its refill a well-behaved peer regains a second. Sane: 1–100."""
    health_permille_min: int = 10
    """The refill that even the worst peer keeps, so that it can recover. Sane: 1–100."""
    peer_count_max: int = 4_096
    """Peers remembered; the longest unseen is dropped first."""

    def __post_init__(self) -> None:
        if min(self.bytes_per_second, self.verifications_per_second, self.burst_seconds) < 1:
            raise ConfigError("budgets must be positive")
        if not 0 < self.health_permille_min <= _FULL_HEALTH:
            raise ConfigError("health_permille_min must lie in 1..1000")


class _Account:
    __slots__ = ("bytes_left", "health", "updated_at", "verifications_left")

    def __init__(self, config: BudgetConfig, now: MonotonicUs) -> None:
        self.bytes_left = config.bytes_per_second * config.burst_seconds
        self.verifications_left = config.verifications_per_second * config.burst_seconds
        self.health = _FULL_HEALTH
        self.updated_at = now

    def refill(self, config: BudgetConfig, now: MonotonicUs) -> None:
        elapsed = now - self.updated_at
        if elapsed < 1_000:
            return
        self.updated_at = now
        regained = elapsed * config.recovery_permille_per_second // SECOND_US
        self.health = min(_FULL_HEALTH, self.health + regained)
        share = elapsed * self.health
        for_bytes = config.bytes_per_second * share // (_FULL_HEALTH * SECOND_US)
        for_checks = config.verifications_per_second * share // (_FULL_HEALTH * SECOND_US)
        bytes_max = config.bytes_per_second * config.burst_seconds * self.health // _FULL_HEALTH
        checks_max = (
            config.verifications_per_second * config.burst_seconds * self.health // _FULL_HEALTH
        )
        self.bytes_left = min(bytes_max, self.bytes_left + for_bytes)
        self.verifications_left = min(checks_max, self.verifications_left + for_checks)


class Budgets:
    """One account a peer."""

    def __init__(self, config: BudgetConfig) -> None:
        self._config = config
        self._accounts: dict[PeerId, _Account] = {}

    def _account(self, peer: PeerId, now: MonotonicUs) -> _Account:
        account = self._accounts.get(peer)
        if account is None:
            if len(self._accounts) >= self._config.peer_count_max:
                oldest = min(self._accounts, key=lambda known: self._accounts[known].updated_at)
                del self._accounts[oldest]
            account = self._accounts[peer] = _Account(self._config, now)
        account.refill(self._config, now)
        return account

    def charge(self, peer: PeerId, bytes_count: int, verifications: int, now: MonotonicUs) -> bool:
        """Takes the cost from the peer's account; False, and nothing taken, where it lacks."""
        account = self._account(peer, now)
        if account.bytes_left < bytes_count or account.verifications_left < verifications:
            return False
        account.bytes_left -= bytes_count
        account.verifications_left -= verifications
        return True

    def blame(self, peer: PeerId, now: MonotonicUs) -> None:
        """The peer's own fault: its bucket shrinks, at once and for the time to come."""
        account = self._account(peer, now)
        floor = self._config.health_permille_min
        account.health = max(floor, account.health - self._config.fault_cost_permille)
        account.bytes_left = account.bytes_left * account.health // _FULL_HEALTH
        account.verifications_left = account.verifications_left * account.health // _FULL_HEALTH

    def health(self, peer: PeerId) -> int:
        """The peer's refill in permille of the full one; 1000 where it is unknown."""
        account = self._accounts.get(peer)
        return account.health if account else _FULL_HEALTH


class _Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...

    def __hash__(self) -> int: ...


N = TypeVar("N", bound=_Ordered)


class TokenBuckets(Generic[N]):
    """`burst` tokens a name, one more every `refill_us`; remembers at most `names_max` names.

    A bucket is the moment at which it will be full again (the generic cell rate algorithm).
    """

    def __init__(self, burst: int, refill_us: int, names_max: int) -> None:
        self._burst = burst
        self._refill_us = refill_us
        self._names_max = names_max
        self._full_at: dict[N, int] = {}

    def take(self, name: N, now_us: int) -> bool:
        """Takes a token, or says that none is left."""
        full_at = max(self._full_at.get(name, now_us), now_us) + self._refill_us
        if full_at - now_us > self._burst * self._refill_us:
            return False
        if name not in self._full_at and len(self._full_at) >= self._names_max:
            self._make_room(now_us)
        self._full_at[name] = full_at
        return True

    def _make_room(self, now_us: int) -> None:
        self._full_at = {name: at for name, at in self._full_at.items() if at > now_us}
        if len(self._full_at) >= self._names_max:
            del self._full_at[min(self._full_at, key=lambda name: (self._full_at[name], name))]
