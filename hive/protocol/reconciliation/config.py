"""Every interval and bound of reconciliation."""

from __future__ import annotations

from dataclasses import dataclass

from hive.errors import ConfigError
from hive.protocol.messages import DELTA_COUNT_MAX
from hive.protocol.reconciliation.messages import (
    HEAD_COUNT_MAX,
    RANGE_COUNT_MAX,
    SHORT_ID_COUNT_MAX,
)
from hive.wire.clock import MILLISECOND_US, SECOND_US

MEBIBYTE = 1_024 * 1_024


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconciliationConfig:
    """The settings of one reconciler; peers need not use the same."""

    round_interval_us: int = 15 * SECOND_US
    """Between rounds; less finds a lost push sooner at < 100 B each. 1–300 s."""
    round_jitter_us: int = 5 * SECOND_US
    """Added at random to each interval, so that peers do not fall into step."""
    round_peers: int = 3
    """Random connected peers probed in a round; more heals faster. 1–8."""
    greeting_us: int = 500 * MILLISECOND_US
    """From a peer's connection to its first probe at most (at random below it)."""
    follow_up_us: int = 500 * MILLISECOND_US
    """From the end of a fetch to the probe that checks it."""
    session_timeout_us: int = 30 * SECOND_US
    """A session that is not done by then is dropped."""
    session_messages_max: int = 256
    """Messages one session may receive; caps rounds and what a hostile peer can cause."""
    session_namespaces_max: int = 64
    """Namespaces compared in one session; the rest waits for the next."""
    sessions_max: int = 256
    """Sessions alive at once, own and others'; further ones are refused and counted."""
    peers_max: int = 1_024
    """Connected peers kept; beyond it the newcomer is not reconciled with."""

    slots_from_heads: int = 32
    """Below this many chains the heads themselves are sent, not 256 slot digests (2 KiB)."""
    heads_page: int = 2_048
    """Heads in one message (about 73 B each)."""
    leaves_max: int = 32
    """Dirty time buckets opened in one session; the rest waits for the next."""
    leaf_ids_max: int = 8_192
    """Short ids of one time bucket in one message (8 B each); a fuller bucket goes in pages."""
    namespaces_cached_max: int = 4_096
    """Namespaces whose digests are kept; a dropped one is scanned again."""

    ask_deltas_max: int = 512
    """Deltas asked for at once of one peer; at most what the intake can buffer."""
    ask_timeout_us: int = 20 * SECOND_US
    """A peer that has not answered an ask by then loses it."""
    settle_us: int = 3 * SECOND_US
    """How long answered deltas may take through ingress before they count as not taken."""
    asks_waiting_max: int = 16_384
    """Chain ranges waiting to be asked of one peer."""
    fruitless_us: int = 60 * SECOND_US
    """How long what was asked in vain is not asked of the same peer again; doubles each time."""
    fruitless_longest_us: int = 3_600 * SECOND_US
    """The end of that doubling; more saves bytes where peers judge differently for good."""
    fruitless_max: int = 65_536
    """Asks in vain remembered; the oldest go first."""
    missing_bodies_max: int = 64
    """Missing bodies asked of a peer in one round."""
    settled_us: int = 300 * SECOND_US
    """How long two roots known to differ for good (other interests, quarantine) are left alone."""

    serve_message_bytes: int = MEBIBYTE
    """Deltas in one message, in bytes; one larger delta still goes alone."""
    serve_ask_bytes: int = 4 * MEBIBYTE
    """Deltas sent for one ask; the rest is asked for again."""
    serve_burst_bytes: int = 32 * MEBIBYTE
    """Deltas one peer may draw at once before the refill limits it."""
    serve_refill_bytes_per_s: int = 16 * MEBIBYTE
    """Refill of that budget; about the rate at which a core verifies."""
    fork_window: int = 64
    """Positions before a fork sent with it, so that its first position is found. 1–256."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < (0 if name == "round_jitter_us" else 1):
                raise ConfigError(f"{name} must be at least 1")
        if self.heads_page > HEAD_COUNT_MAX or self.leaf_ids_max > SHORT_ID_COUNT_MAX:
            raise ConfigError("a page exceeds what one message can hold")
        if self.ask_deltas_max > RANGE_COUNT_MAX:
            raise ConfigError(f"ask_deltas_max must be at most {RANGE_COUNT_MAX}")
        if self.serve_burst_bytes < self.serve_ask_bytes:
            raise ConfigError("serve_burst_bytes must cover serve_ask_bytes")
        if self.fruitless_longest_us < self.fruitless_us:
            raise ConfigError("fruitless_longest_us must be at least fruitless_us")
        if self.settle_us >= self.session_timeout_us:
            raise ConfigError("settle_us must be shorter than session_timeout_us")
        if self.fork_window > DELTA_COUNT_MAX:
            raise ConfigError(f"fork_window must be at most {DELTA_COUNT_MAX}")

    @classmethod
    def for_lan(cls) -> ReconciliationConfig:
        """One site: a lost push is found within seconds."""
        return cls(round_interval_us=5 * SECOND_US, round_jitter_us=2 * SECOND_US)

    @classmethod
    def for_internet(cls) -> ReconciliationConfig:
        """Many orgs, slow links: fewer rounds, more time for an answer."""
        return cls(
            round_interval_us=30 * SECOND_US,
            round_jitter_us=10 * SECOND_US,
            session_timeout_us=60 * SECOND_US,
            ask_timeout_us=40 * SECOND_US,
        )

    @classmethod
    def for_simulation(cls) -> ReconciliationConfig:
        """As on a LAN."""
        return cls.for_lan()
