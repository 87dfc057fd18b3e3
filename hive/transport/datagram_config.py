"""The bounds of the datagram machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from hive.errors import ConfigError
from hive.wire.clock import MILLISECOND_US, SECOND_US

PAGE_COUNT_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DatagramConfig:
    """Budgets against strangers, patience with peers, and memory.

    Rates are tokens a second, bursts tokens at once; a token is one datagram unless said
    otherwise. Budgets live in tables of `bucket_slot_count` slots (8 bytes each, five tables).
    """

    cookie_life_us: int = 10 * SECOND_US
    """A cookie is good for one to two of these; less breaks slow links, more helps a thief of
    an address."""
    hello_per_second: int = 50
    hello_burst: int = 200
    """Cookies given per subnet; many nodes behind one address need more."""
    claim_per_second: int = 20
    claim_burst: int = 100
    """Claims (one chain verification each) per subnet."""
    cold_walk_per_second: int = 1
    cold_walk_burst: int = 1
    """Fetches of unknown issuer and org records per subnet."""
    org_per_second: int = 20_000
    org_burst: int = 40_000
    """Sealed datagrams per org; an org with many nodes here needs more."""
    bucket_slot_count: int = 1_024
    """More slots make fewer subnets share one budget."""
    retry_first_us: int = 250 * MILLISECOND_US
    retry_most_us: int = 2 * SECOND_US
    """Unanswered first-contact messages are repeated after the first, doubling up to the most."""
    silence_us: int = 3 * SECOND_US
    """Nobody is there when a hello stayed unanswered this long."""
    conversation_life_us: int = 15 * SECOND_US
    """A first contact that is not complete by then has failed."""
    linger_us: int = 5 * SECOND_US
    """How long a completed call still answers a repeated welcome."""
    call_count_max: int = 256
    greeting_count_max: int = 1_024
    """Conversations under way, at most 2.5 kB each; more serve larger cold starts."""
    fetch_count_max: int = 32
    """Fetches of records under way, at most `records_bytes_max` each."""
    records_bytes_max: int = 32_768
    """All records of one chain together; at most 64 pages."""
    record_count_max: int = 16
    """Records in one chain."""
    contact_count_max: int = 16_384
    """Peers known at once, about 1 kB each."""
    held_count_max: int = 1_024
    held_per_peer_count_max: int = 8
    """Messages held while their receiver is being dialled, in all and per peer."""
    rehello_interval_us: int = SECOND_US
    """Least time between two calls, or two path challenges, to one contact."""
    renewal_batch_count: int = 8
    """Contacts called anew every `retry_first_us` after our own record was renewed."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive")
        if self.retry_first_us > self.retry_most_us:
            raise ConfigError("retry_first_us exceeds retry_most_us")
        if self.silence_us > self.conversation_life_us:
            raise ConfigError("silence_us exceeds conversation_life_us")
        if self.conversation_life_us > 2 * self.cookie_life_us:
            raise ConfigError("a conversation outlives every cookie")
        if self.records_bytes_max > PAGE_COUNT_MAX * 1_024:
            raise ConfigError("records_bytes_max exceeds 64 pages")

    @classmethod
    def for_lan(cls) -> Self:
        """Many nodes in one subnet, short round trips: a laptop, a rack, a demo."""
        return cls(
            hello_per_second=500,
            hello_burst=2_000,
            claim_per_second=200,
            claim_burst=1_000,
            cold_walk_per_second=50,
            cold_walk_burst=100,
            retry_first_us=100 * MILLISECOND_US,
        )

    @classmethod
    def for_internet(cls) -> Self:
        """The defaults."""
        return cls()

    @classmethod
    def for_simulation(cls) -> Self:
        """Many machines in one process: small tables."""
        return cls(bucket_slot_count=64, contact_count_max=2_048)
