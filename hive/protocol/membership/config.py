"""Every interval and bound of the membership machine."""

from __future__ import annotations

from dataclasses import dataclass

from hive.errors import ConfigError
from hive.wire.clock import HOUR_US, MILLISECOND_US, SECOND_US


@dataclass(frozen=True, kw_only=True, slots=True)
class SwimConfig:
    """The settings of one cell; all members of a cell should use the same."""

    probe_interval_us: int = 1_200 * MILLISECOND_US
    """One member is probed in each; less finds failures sooner and sends more (a ping and an ack
    are 340 B on the wire). 0.2–5 s."""
    ping_timeout_us: int = 500 * MILLISECOND_US
    """When helpers are asked; above the 99th percentile of a round trip. Not scaled by health."""
    ping_retry_us: int = 150 * MILLISECOND_US
    """Between direct pings of one probe; less survives bursts of loss at more bytes."""
    ping_attempts: int = 3
    """Direct pings before helpers are asked; all must fit in `ping_timeout_us`. 1–4."""
    helpers: int = 3
    """Members asked for an indirect ping; more costs bytes only when a probe fails. 1–5."""
    nack_timeout_us: int = 350 * MILLISECOND_US
    """How long a helper waits for the ack; a nack must be back before the probe ends."""
    health_max: int = 7
    """Local health at its worst: probes then take `health_max + 1` intervals. 0–8."""

    suspicion_multiplier_milli: int = 750
    """Shortest suspicion in thousandths of log10(n) probe intervals; less is rasher."""
    suspicion_floor_us: int = 2_500 * MILLISECOND_US
    """No suspicion is shorter, however small the cell: at least twice the dissemination time."""
    suspicion_maximum_factor: int = 6
    """An unconfirmed suspicion waits this many times the shortest. 1–10."""
    confirmations: int = 3
    """Further accusers that bring a suspicion to its shortest; `helpers` may nack at once. 0–5."""
    accusers_per_org_max: int = 1
    """Accusers of one org that count, or its even share of all that count where few orgs are
    live. More lets one org hurry a suspicion alone. 1–6."""
    accusations_burst: int = 16
    """Accusations one accuser (or we) may make at once before the refill limits it."""
    accusation_refill_us: int = 4 * SECOND_US
    """Time for one further accusation; more lets a half-connected node start fewer storms."""
    flap_half_life_us: int = 60 * SECOND_US
    """In which the penalty for coming back from the dead halves; more forgives later."""
    flap_limit_milli: int = 2_500
    """Penalty from which on news of a member are withheld; each return costs 1,000."""
    flap_reuse_milli: int = 1_000
    """Penalty below which they are told again; below the limit."""
    flap_ceiling_milli: int = 8_000
    """No penalty is higher: nobody is suppressed for more than three half-lives of quiet."""

    gossip_interval_us: int = 200 * MILLISECOND_US
    """Between gossip rounds while there is something to say; less spreads faster."""
    gossip_fanout: int = 3
    """Members told in one round. 2–5."""
    gossip_multiplier: int = 4
    """A statement is sent this often times the decimal digits of n. 2–6."""
    queue_max: int = 1_024
    """Statements waiting to be said; beyond it the most often said goes first."""

    digest_interval_us: int = 15 * SECOND_US
    """Between digest offers to a random member; less heals sooner, 190 B each."""
    exchange_burst: int = 128
    """Anti-entropy messages one peer may cause at once (512 members in 18 pages of summary)."""
    exchange_refill_us: int = 250 * MILLISECOND_US
    """Time for one further anti-entropy message of one peer."""

    members_max: int = 512
    """Members kept, the dead included; a full cell refuses further introductions."""
    reap_after_us: int = HOUR_US
    """How long the dead and the left are kept, and the dead sought again after a partition."""
    unknown_max: int = 512
    """Unknown peers remembered while their records are fetched, one statement each."""
    unknown_retry_us: int = 10 * SECOND_US
    """After which an unknown peer is reported again."""
    verifications_max: int = 256
    """Messages whose signatures are being verified; further ones are dropped and counted."""
    signatures_max: int = 64
    """Own statements being signed; further ones are dropped and counted."""
    relays_max: int = 64
    """Pings under way for others; further requests are dropped and counted."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            lowest = 0 if name in ("health_max", "suspicion_floor_us", "confirmations") else 1
            if getattr(self, name) < lowest:
                raise ConfigError(f"{name} must be at least {lowest}")
        if not self.flap_reuse_milli < self.flap_limit_milli <= self.flap_ceiling_milli:
            raise ConfigError("flap levels must rise: reuse, limit, ceiling")
        if self.ping_retry_us * (self.ping_attempts - 1) >= self.ping_timeout_us:
            raise ConfigError("ping_attempts do not fit into ping_timeout_us")
        if self.ping_timeout_us + self.nack_timeout_us >= self.probe_interval_us:
            raise ConfigError("a nack must be back before the probe ends")

    @classmethod
    def for_lan(cls) -> SwimConfig:
        """One site: a killed process is declared dead after 4–6 s."""
        return cls()

    @classmethod
    def for_internet(cls) -> SwimConfig:
        """Round trips up to 300 ms, orgs that do not trust each other: death after 4–12 s."""
        return cls(
            probe_interval_us=1_200 * MILLISECOND_US,
            ping_timeout_us=450 * MILLISECOND_US,
            ping_retry_us=150 * MILLISECOND_US,
            ping_attempts=3,
            nack_timeout_us=400 * MILLISECOND_US,
            suspicion_multiplier_milli=1_500,
            suspicion_floor_us=3 * SECOND_US,
            suspicion_maximum_factor=3,
            reap_after_us=24 * HOUR_US,
        )

    @classmethod
    def for_simulation(cls) -> SwimConfig:
        """As on a LAN, with a day's memory of the dead so that long partitions heal."""
        return cls(reap_after_us=24 * HOUR_US)
