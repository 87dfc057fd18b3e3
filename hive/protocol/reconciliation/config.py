"""Every interval and bound of reconciliation."""

from __future__ import annotations

from dataclasses import dataclass

from hive.errors import ConfigError
from hive.protocol.messages import DELTA_COUNT_MAX
from hive.protocol.reconciliation.messages import (
    BUCKET_COUNT_MAX,
    HEAD_COUNT_MAX,
    RANGE_COUNT_MAX,
    SYMBOL_COUNT_MAX,
)
from hive.wire.clock import MILLISECOND_US, SECOND_US

MEBIBYTE = 1_024 * 1_024
_MAY_BE_ZERO = ("round_jitter_us", "ask_rest_permille", "slice_pause_us")


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
    """A session in which nothing is said for so long is dropped."""
    session_longest_us: int = 600 * SECOND_US
    """The longest session, however much is said in it."""
    session_messages_max: int = 256
    """Messages one session may receive; caps rounds and what a hostile peer can cause."""
    session_namespaces_max: int = 64
    """Namespaces compared in one session; the rest waits for the next."""
    sessions_max: int = 256
    """Sessions alive at once, own and others'; further ones are refused and counted."""
    peers_max: int = 1_024
    """Connected peers kept; beyond it the newcomer is not reconciled with."""

    slots_from_heads: int = 32
    """Below this many chains the heads themselves are sent, not 256 slot digests (1 KiB)."""
    heads_page: int = 2_048
    """Heads in one message (about 73 B each)."""
    heads_listed_max: int = 64
    """Heads in slots that differ beyond which buckets are compared instead. 16–1,024."""
    descend_max: int = 120
    """Differing time buckets up to which those inside are compared; at most 32 each.
    More digests (7 B each), fewer ids to code (1 µs each). 8–120."""
    descend_from: int = 512
    """Deltas a differing bucket must hold on average for that; less saves ids, costs digests."""
    window_elements: int = 1 << 18
    """Deltas whose ids are compared at once (about 60 B of memory each). 2^12–2^20."""
    windows_max: int = 4
    """Such comparisons at once, own and others'; further ones wait for a later session."""
    symbols_growth: int = 4
    """Coded symbols sent next, as a share of those before; more is finer and takes more rounds."""
    symbols_max: int = 1 << 15
    """Coded symbols of one comparison (12 B each); beyond them ids are listed."""
    shelf_ids_max: int = 1 << 16
    """Deltas laid out for one peer in one session and namespace (32 B each)."""
    shelves_max: int = 64
    """Such shelves; the longest untouched goes first."""
    slice_lines: int = 16_384
    """Lines of the time index read or hashed in one call (about 1 µs each)."""
    slice_pause_us: int = 10 * MILLISECOND_US
    """Between two such slices; more leaves more of the processor to everything else."""
    lines_per_check: int = 256
    """Lines of work a peer causes for the price of one verification; 64 would be its time. At 256
    one comparison of 10^6 deltas fits into a peer's burst. 64–1,024."""
    namespaces_cached_max: int = 4_096
    """Namespaces whose digests are kept; a dropped one is scanned again."""
    leaves_cached_max: int = 1 << 18
    """Leaf buckets (17.5 minutes) whose digests are kept over all (about 250 B each)."""

    ask_deltas_max: int = 512
    """Deltas asked for at once of one peer; at most what the intake can buffer."""
    ask_deltas_first: int = 64
    """The first ask of a peer; doubled while answers are quick, halved while they are slow."""
    ask_span_us: int = 250 * MILLISECOND_US
    """From an ask to its last delta in the log: slower ones are made smaller. 50 ms–2 s."""
    ask_rest_permille: int = 1_000
    """Pause behind an ask, in permille of what it took: live deltas have the link then."""
    fetch_deltas_per_s: int = 8_000
    """Deltas asked for in a second, of all peers together: half of what one core verifies."""
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
            if getattr(self, name) < (0 if name in _MAY_BE_ZERO else 1):
                raise ConfigError(f"{name} must be at least 1")
        if self.heads_page > HEAD_COUNT_MAX or self.heads_listed_max > self.heads_page:
            raise ConfigError("a page exceeds what one message can hold")
        if self.symbols_max > SYMBOL_COUNT_MAX or self.descend_max * 32 > BUCKET_COUNT_MAX:
            raise ConfigError("a comparison exceeds what one message can hold")
        if self.ask_deltas_first > self.ask_deltas_max:
            raise ConfigError("ask_deltas_first must be at most ask_deltas_max")
        if self.ask_deltas_max > RANGE_COUNT_MAX:
            raise ConfigError(f"ask_deltas_max must be at most {RANGE_COUNT_MAX}")
        if self.serve_burst_bytes < self.serve_ask_bytes:
            raise ConfigError("serve_burst_bytes must cover serve_ask_bytes")
        if self.fruitless_longest_us < self.fruitless_us:
            raise ConfigError("fruitless_longest_us must be at least fruitless_us")
        if self.session_longest_us < self.session_timeout_us:
            raise ConfigError("session_longest_us must be at least session_timeout_us")
        if self.settle_us >= self.session_timeout_us:
            raise ConfigError("settle_us must be shorter than session_timeout_us")
        if self.fork_window > DELTA_COUNT_MAX:
            raise ConfigError(f"fork_window must be at most {DELTA_COUNT_MAX}")

    @property
    def elements_max(self) -> int:
        """Deltas read for one comparison: one bucket may alone exceed a window."""
        return 4 * self.window_elements

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
