"""What peers, their organisations and their subnets may cost this node (step 0).

Theory of operation. Every peer spends from three accounts at once: its own, that of its
organisation and that of the subnet it was reached in, so that a thousand cheap identities of one
organisation, or one machine behind many records, cost no more than a few peers would. An account
holds four kinds of tokens: bytes received, signatures to verify, requests, and bytes served in
answers. The last may go into debt, because an answer's size is known only when it is made; who is
in debt is asked to wait.

Beside its tokens an account has a *health* in permille: faults of the sender shrink it, and with
it refill and burst; time lets it grow back. Faults weigh a tenth on organisation and subnet, whose
health never falls under a quarter, so that one bad peer does not starve its neighbours. A peer
whose own health falls below the floor is *shunned* for a while: nothing of it is served and its
streams are closed; then it is heard again, on probation.

`TokenBuckets` count what has no price in bytes: accusations, answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from hive.errors import ConfigError
from hive.wire.clock import SECOND_US, MonotonicUs
from hive.wire.ids import Inception, PeerId

FULL_HEALTH: Final = 1_000
_GROUP_FAULT_DIVISOR: Final = 10
_GROUP_HEALTH_MIN: Final = 250
_REFILL_US_MIN: Final = 1_000


class Lack(Enum):
    """Why a cost was not paid; each is a refusal reason of step 0."""

    OVER_BUDGET = "the peer's own account lacks"
    CROWDED = "the account of its organisation or subnet lacks"
    SHUNNED = "the peer is not served for a while"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetConfig:
    """What one peer may cost; more admits bursts sooner, less bounds damage tighter."""

    bytes_per_second: int = 64 * 1024 * 1024
    """Bytes of deltas and records a peer may send, sustained. Sane: 1 MiB–1 GiB."""
    verifications_per_second: int = 20_000
    """Signatures a peer may make us verify, sustained. Sane: 100–50,000."""
    requests_per_second: int = 2_000
    """Asks of a peer, sustained: records, deltas, steps of reconciliation. Sane: 50–20,000."""
    served_bytes_per_second: int = 64 * 1024 * 1024
    """Bytes of answers a peer may draw, sustained. Sane: 1 MiB–1 GiB."""
    org_multiple: int = 4
    """All peers of one organisation together may cost so many peers. Sane: 1–64."""
    subnet_multiple: int = 16
    """All peers in one subnet together may cost so many peers. Sane: 1–256."""
    burst_seconds: int = 4
    """How many seconds of refill a full bucket holds. Sane: 1–60."""
    fault_cost_permille: int = 50
    """How much of its refill a peer loses for one fault of its own. Sane: 1–500."""
    excess_cost_permille: int = 5
    """How much it loses for coming when its account is empty. Sane: 1–100."""
    recovery_permille_per_second: int = 5
    """How much of its refill a well-behaved peer regains a second. Sane: 1–100."""
    health_permille_min: int = 10
    """The refill that even the worst peer keeps, so that it can recover. Sane: 1–100."""
    shun_below_permille: int = 100
    """A peer whose health falls below this is shunned. Sane: 20–400."""
    shun_us: int = 30 * SECOND_US
    """How long it is not served. Sane: 1 s–10 min."""
    peer_count_max: int = 4_096
    """Peers remembered; the longest unseen is dropped first, those in full health before others.
    Organisations and subnets are remembered as long as one of their peers is."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be positive")
        if self.health_permille_min > FULL_HEALTH:
            raise ConfigError("health_permille_min must lie in 1..1000")
        if self.shun_below_permille * 2 > FULL_HEALTH:
            raise ConfigError("shun_below_permille must lie in 1..500")

    @classmethod
    def for_lan(cls) -> Self:
        """Many nodes in one subnet: a laptop, a rack, a demo."""
        return cls(subnet_multiple=64)

    @classmethod
    def for_internet(cls) -> Self:
        """The defaults."""
        return cls()

    @classmethod
    def for_simulation(cls) -> Self:
        """Many machines in one process: few peers each."""
        return cls(peer_count_max=1_024)


class _Account:
    __slots__ = (
        "_burst_us",
        "_multiple",
        "_recovery",
        "bytes_left",
        "config",
        "health",
        "member_count",
        "requests_left",
        "served_left",
        "shunned_until",
        "updated_at",
        "verifications_left",
    )

    def __init__(self, config: BudgetConfig, multiple: int, now: MonotonicUs) -> None:
        self.config = config
        self._multiple = multiple
        self._burst_us = config.burst_seconds * SECOND_US
        self._recovery = config.recovery_permille_per_second
        self.health = FULL_HEALTH
        self.updated_at = MonotonicUs(now - self._burst_us)
        self.shunned_until = 0
        self.member_count = 0
        self.bytes_left = self.verifications_left = self.requests_left = self.served_left = 0
        self.refill(now)

    def refill(self, now: MonotonicUs) -> None:
        """Tokens and health for the time that went by."""
        elapsed = now - self.updated_at
        if elapsed < _REFILL_US_MIN:
            return
        self.updated_at = now
        if self.health < FULL_HEALTH:
            regained = elapsed * self._recovery // SECOND_US
            self.health = min(FULL_HEALTH, self.health + regained)
        config, burst = self.config, self._burst_us
        worth = self.health * self._multiple
        scale = FULL_HEALTH * SECOND_US
        gain, most = elapsed * worth, burst * worth
        rate = config.bytes_per_second
        self.bytes_left = min(rate * most // scale, self.bytes_left + rate * gain // scale)
        rate = config.verifications_per_second
        left = self.verifications_left + rate * gain // scale
        self.verifications_left = min(rate * most // scale, left)
        rate = config.requests_per_second
        self.requests_left = min(rate * most // scale, self.requests_left + rate * gain // scale)
        rate = config.served_bytes_per_second
        self.served_left = min(rate * most // scale, self.served_left + rate * gain // scale)

    def can_pay(self, bytes_count: int, verifications: int, requests: int) -> bool:
        """Whether every kind of token suffices; who asks must not be in debt for answers."""
        return (
            self.bytes_left >= bytes_count
            and self.verifications_left >= verifications
            and self.requests_left >= requests
            and (self.served_left >= 0 or not requests)
        )

    def take(self, bytes_count: int, verifications: int, requests: int) -> None:
        """Spends."""
        self.bytes_left -= bytes_count
        self.verifications_left -= verifications
        self.requests_left -= requests

    def weaken(self, cost_permille: int, health_min: int) -> None:
        """A fault: less health, and at once so much less to spend."""
        self.health = max(health_min, self.health - cost_permille)
        self.bytes_left = self.bytes_left * self.health // FULL_HEALTH
        self.verifications_left = self.verifications_left * self.health // FULL_HEALTH
        self.requests_left = self.requests_left * self.health // FULL_HEALTH


@dataclass(slots=True)
class _Tab:
    """A peer's own account, and those it shares."""

    own: _Account
    org: Inception | None = None
    shared: tuple[tuple[object, _Account], ...] = ()


class Budgets:
    """The accounts of every peer seen, of their organisations and of their subnets."""

    def __init__(self, config: BudgetConfig) -> None:
        self._config = config
        self._tabs: dict[PeerId, _Tab] = {}
        self._orgs: dict[object, _Account] = {}
        self._subnets: dict[object, _Account] = {}
        self._newly_shunned: list[PeerId] = []

    @property
    def account_count(self) -> int:
        """Accounts of all kinds: all that peers can make grow."""
        return len(self._tabs) + len(self._orgs) + len(self._subnets)

    # Who belongs together.

    def place(self, peer: PeerId, org: Inception, subnet: str, now: MonotonicUs) -> None:
        """A contact was made: from now on its peers pay with it."""
        tab = self._tab(peer, now)
        if tuple(name for name, _ in tab.shared) == (org, subnet):
            return
        self._leave(tab)
        config = self._config
        tab.org = org
        tab.shared = (
            (org, _joined(self._orgs, org, config, config.org_multiple, now)),
            (subnet, _joined(self._subnets, subnet, config, config.subnet_multiple, now)),
        )

    def org_of(self, peer: PeerId | None) -> bytes:
        """Whose peer it is as far as it was placed; else nobody's, which all unplaced share."""
        tab = self._tabs.get(peer) if peer is not None else None
        return tab.org if tab is not None and tab.org is not None else b""

    def _leave(self, tab: _Tab) -> None:
        for table, (name, account) in zip((self._orgs, self._subnets), tab.shared, strict=False):
            account.member_count -= 1
            if not account.member_count:
                del table[name]
        tab.shared = ()

    def _tab(self, peer: PeerId, now: MonotonicUs) -> _Tab:
        tab = self._tabs.get(peer)
        if tab is None:
            if len(self._tabs) >= self._config.peer_count_max:
                self._drop_one()
            tab = self._tabs[peer] = _Tab(_Account(self._config, 1, now))
        return tab

    def _drop_one(self) -> None:
        def rank(peer: PeerId) -> tuple[bool, int]:
            own = self._tabs[peer].own
            return own.health < FULL_HEALTH, own.updated_at

        self._leave(self._tabs.pop(min(self._tabs, key=rank)))

    # Costs.

    def pay(
        self,
        peer: PeerId,
        bytes_count: int,
        verifications: int,
        now: MonotonicUs,
        *,
        requests: int = 0,
    ) -> Lack | None:
        """Takes a cost from all the peer's accounts, or nothing and says what lacks.

        Who comes with its own account empty loses a little health; what its organisation or
        subnet used up is not held against it.
        """
        tab = self._tab(peer, now)
        own = tab.own
        own.refill(now)
        if own.shunned_until > now:
            return Lack.SHUNNED
        if not own.can_pay(bytes_count, verifications, requests):
            self._hurt(peer, tab, self._config.excess_cost_permille, now)
            return Lack.OVER_BUDGET
        for _, account in tab.shared:
            account.refill(now)
            if not account.can_pay(bytes_count, verifications, requests):
                return Lack.CROWDED
        own.take(bytes_count, verifications, requests)
        for _, account in tab.shared:
            account.take(bytes_count, verifications, requests)
        return None

    def charge(self, peer: PeerId, bytes_count: int, verifications: int, now: MonotonicUs) -> bool:
        """`pay` for those who need no reason: whether it was paid."""
        return self.pay(peer, bytes_count, verifications, now) is None

    def served(self, peer: PeerId, bytes_count: int, now: MonotonicUs) -> None:
        """An answer of so many bytes goes to the peer; it may leave its accounts in debt."""
        if not bytes_count:
            return
        tab = self._tab(peer, now)
        for account in (tab.own, *(account for _, account in tab.shared)):
            account.refill(now)
            account.served_left -= bytes_count

    # Faults.

    def blame(self, peer: PeerId, now: MonotonicUs) -> None:
        """The peer's own fault: its buckets shrink, at once and for the time to come."""
        self._hurt(peer, self._tab(peer, now), self._config.fault_cost_permille, now)

    def _hurt(self, peer: PeerId, tab: _Tab, cost_permille: int, now: MonotonicUs) -> None:
        own = tab.own
        own.refill(now)
        if own.shunned_until > now:
            return
        own.weaken(cost_permille, self._config.health_permille_min)
        for _, account in tab.shared:
            account.refill(now)
            share = max(1, cost_permille // _GROUP_FAULT_DIVISOR)
            account.weaken(share, max(_GROUP_HEALTH_MIN, self._config.health_permille_min))
        if own.health < self._config.shun_below_permille:
            own.shunned_until = now + self._config.shun_us
            own.health = 2 * self._config.shun_below_permille  # probation: no second chance soon
            self._newly_shunned.append(peer)

    def newly_shunned(self) -> list[PeerId]:
        """Peers shunned since the last call; their streams are to be closed."""
        news, self._newly_shunned = self._newly_shunned, []
        return news

    def is_shunned(self, peer: PeerId, now: MonotonicUs) -> bool:
        """Whether nothing of the peer is served now."""
        tab = self._tabs.get(peer)
        return tab is not None and tab.own.shunned_until > now

    def health(self, peer: PeerId) -> int:
        """The peer's refill in permille of the full one; 1000 where it is unknown."""
        tab = self._tabs.get(peer)
        return tab.own.health if tab else FULL_HEALTH

    def shunned_until(self, peer: PeerId) -> int:
        """When the peer is heard again; 0 where it never was shunned."""
        tab = self._tabs.get(peer)
        return tab.own.shunned_until if tab else 0


def _joined(
    table: dict[object, _Account],
    name: object,
    config: BudgetConfig,
    multiple: int,
    now: MonotonicUs,
) -> _Account:
    account = table.get(name)
    if account is None:
        account = table[name] = _Account(config, multiple, now)
    account.member_count += 1
    return account


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
