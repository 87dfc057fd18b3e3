"""Every bound and period of discovery, with its unit and what more or less of it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from hive.errors import ConfigError
from hive.wire.clock import HOUR_US, MILLISECOND_US, SECOND_US

DATAGRAM_BYTES_MAX = 1_090
"""Payload that fits a sealed datagram of 1,200 bytes with its header and tag: at most 1,094."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryConfig:
    """Settings of one `Discovery`; the defaults are those of the open internet."""

    k: int = 20
    """Contacts in a bucket, in an answer and in a result. More survives more churn and costs
    queries; 8..32."""
    alpha: int = 10
    """Queries in flight while a lookup approaches. More is faster and wastes more; 3..16."""
    beta: int = 3
    """Nearest candidates that must have answered before a path asks all of its k at once; 1..k."""
    record_paths: int = 4
    """Disjoint paths of a record read or write. Each costs about k queries more; 1..8."""
    refresh_paths: int = 1
    """Disjoint paths of a plain lookup or refresh; 1..8."""
    region_peers: int = 40
    """Peers expected in the region of a record key, of whom a read or write asks every one that
    it hears of, however many Sybils are nearer. More resists more of them; k..4 k."""
    diverse_min: int = 10
    """Of those asked near a record key, how many must be within `contacts_per_org_max` of their
    organisation before a path is done; 1..k."""
    holders_max: int = 128
    """Peers that one publication stores at, where its key is contested; 2 k..256."""
    split_bits: int = 1
    """Buckets off our own branch split until their depth is a multiple of it (b in the paper).
    More shortens lookups and widens the table; 1..5."""

    contacts_per_org_max: int = 2
    """Contacts of one org in a bucket. Less resists grinding, more suits few orgs; 1..k."""
    contacts_per_subnet_max: int = 2
    """Contacts of one IPv4 /24, IPv6 /48 or host name in a bucket; 1..k."""
    siblings_max: int = 40
    """Nearest verified contacts kept whatever their bucket; at least 2 k makes k-sets exact."""
    siblings_per_org_max: int = 10
    """Siblings of one organisation; 1..siblings_max."""
    answer_bytes_max: int = DATAGRAM_BYTES_MAX - 32
    """Bytes of pointers and records in an answer; less makes more pages; 960..1,058."""
    named_max: int = 128
    """Contacts that we name of one target, over all pages; at least 2 k, so that a lookup sees
    past k silent dead. More costs the asked, never the asker; 2 k..255."""
    passers_max: int = 512
    """Verified contacts kept outside buckets and siblings, so that nobody is introduced twice."""
    fails_max: int = 3
    """Failed exchanges in a row before a contact leaves; one loss never suffices; 2..8."""
    probe_idle_us: int = 15 * 60 * SECOND_US
    """Silence after which the oldest contact of a full bucket is pinged for a newcomer's sake."""
    closeness_margin_bits: int = 24
    """An id that shares more than log2(network) + this many bits with a target and is not the
    target is dropped from answers: chance yields one in 2^margin; 16..64."""

    rto_initial_us: int = 150 * MILLISECOND_US
    """First retransmission timeout towards a peer whose round trip is unknown; 100..1000 ms."""
    rto_min_us: int = 20 * MILLISECOND_US
    """Floor of the adaptive timeout; below the scheduling noise it only makes duplicates."""
    rto_max_us: int = 2 * SECOND_US
    """Ceiling of the adaptive timeout and of its doubling."""
    tries_max: int = 5
    """Transmissions of one request before the exchange fails; 2..6. At 5 % loss each way, 4 lose
    one exchange in 11,000, 5 one in 110,000; a lookup has some 30."""
    estimates_max: int = 1_024
    """Peers whose round-trip estimate is remembered."""
    exchanges_max: int = 4_096
    """Requests in flight; at least lookups_max * max(paths) * k, so that none is refused."""

    lookups_max: int = 32
    """Lookups, reads and publications at one time; those beyond it wait in a queue."""
    lookups_waiting_max: int = 1_024
    """Requests waiting for a free lookup; those beyond it finish at once with nothing."""
    lookup_timeout_us: int = 10 * SECOND_US
    """A lookup ends with what it has; longer waits for more of the dead."""
    introduction_timeout_us: int = 4 * SECOND_US
    """How long the composer may take to establish a session before a lookup goes on without."""
    candidates_max: int = 128
    """Candidates a path remembers; at least 2 k."""
    queries_max: int = 128
    """Peers one path may introduce or ask; at least 2 k. Bounds what liars can make us do."""
    bad_pointers_max: int = 10
    """Pointers of one answerer that may lead nowhere before the rest of them is ignored."""
    hedge_us: int = SECOND_US // 2
    """Age at which an open query is slow: the next candidate is asked as well; 0.2..1 s."""
    patience_us: int = 3 * SECOND_US // 2
    """Age at which it is in doubt: the lookup waits for it no longer. Less hides the dead sooner
    and misses more of the slow; above the time of the last retransmission, up to 3 s."""
    pages_max: int = 12
    """Pages asked of one peer in one lookup; six records a page must reach records_per_key_max."""

    records_max: int = 8_192
    """Records kept for others; at the cap the one farthest from us gives way."""
    records_per_key_max: int = 64
    """Records kept under one key (providers of one namespace); at the cap the organisation with
    the most of them gives way to one with fewer."""
    records_per_org_max: int = 1_024
    """Records kept for one organisation, over all keys."""
    records_per_read_max: int = 256
    """Records by unknown signers that one read remembers."""
    records_per_org_read_max: int = 64
    """Records of one organisation that one read gives; others' are not counted against it."""
    bad_records_max: int = 8
    """Badly signed records of one answerer before a read looks at none of it any more."""
    verifications_max: int = 1_024
    """Signature batches at the driver; stores beyond it are answered `BUSY`."""
    verifications_per_peer_max: int = 32
    """Of these, stores asked by one peer."""
    sweep_interval_us: int = 5 * 60 * SECOND_US
    """Period at which expired records are dropped; answers never contain them anyway."""
    record_lifetime_us: int = 3 * HOUR_US
    """How long a record is kept without being republished."""
    record_lifetime_jitter_us: int = HOUR_US // 4
    """Random addition to the lifetime, so that holders do not forget at one moment."""
    republish_interval_us: int = HOUR_US
    """Period of republishing own records; less than the lifetime, or records vanish."""
    republish_jitter_us: int = HOUR_US // 10
    """Random addition to that period."""
    publications_max: int = 1_024
    """Own records kept published."""
    refresh_interval_us: int = 10 * 60 * SECOND_US
    """Age at which an untouched bucket is refreshed."""
    refresh_jitter_us: int = 60 * SECOND_US
    """Random addition to that age."""

    def __post_init__(self) -> None:
        widest = self.k * max(self.record_paths, self.refresh_paths)
        rules = (
            (1 <= self.beta <= self.k, "beta must lie in 1..k"),
            (1 <= self.alpha <= self.k, "alpha must lie in 1..k"),
            (min(self.record_paths, self.refresh_paths) >= 1, "a lookup needs a path"),
            (self.siblings_max >= self.k, "siblings_max must be at least k"),
            (self.holders_max >= 2 * self.k, "holders_max must be at least 2 k"),
            (
                960 <= self.answer_bytes_max <= DATAGRAM_BYTES_MAX - 32,
                "answer_bytes_max must hold a record and leave room for kind and flags",
            ),
            (2 * self.k <= self.named_max <= 255, "named_max must lie in 2 k..255"),
            (self.fails_max >= 2, "fails_max must be at least 2: one loss never evicts"),
            (1 <= self.tries_max <= 6, "tries_max must lie in 1..6"),
            (
                0 < self.rto_min_us <= self.rto_initial_us <= self.rto_max_us,
                "the retransmission timeouts must rise: min, initial, max",
            ),
            (
                self.exchanges_max >= self.lookups_max * max(widest, self.holders_max),
                "exchanges_max must be at least lookups_max * paths * k, and * holders_max",
            ),
            (self.hedge_us <= self.patience_us, "hedge_us must not exceed patience_us"),
            (self.candidates_max >= 2 * self.k, "candidates_max must be at least 2 k"),
            (self.queries_max >= 2 * self.k, "queries_max must be at least 2 k"),
            (
                self.republish_interval_us + self.republish_jitter_us < self.record_lifetime_us,
                "records must be republished before they expire",
            ),
        )
        for holds, message in rules:
            if not holds:
                raise ConfigError(message, hint="see the docstrings of DiscoveryConfig")

    @classmethod
    def for_internet(cls) -> Self:
        """Many organisations, hostile subnets, long ways."""
        return cls()

    @classmethod
    def for_lan(cls) -> Self:
        """One or few organisations on one subnet: diversity limits off, quick timeouts."""
        return cls(
            contacts_per_org_max=20,
            contacts_per_subnet_max=20,
            siblings_per_org_max=40,
            rto_initial_us=100 * MILLISECOND_US,
            rto_min_us=5 * MILLISECOND_US,
        )

    @classmethod
    def for_simulation(cls) -> Self:
        """The internet's rules with small tables, for many peers in one process."""
        return cls(passers_max=128, records_max=1_024, estimates_max=256, records_per_org_max=256)
