"""What theory expects, to stand beside what is measured.

Membership: SWIM (Das et al. 2002, sections 3 and 4) and Lifeguard (Dadgar et al. 2018, section
4), with hive's own intervals. Dissemination: epidemics (Eugster et al. 2004) and trees over
partial views (Leitao et al. 2007). Lookups: Kademlia (Maymounkov and Mazieres 2002, section 3).
All are of an idealised world; a figure that is better than a bound is a mistake in one of both.
"""

from __future__ import annotations

import math

from hive.protocol.membership.config import SwimConfig


def first_suspicion_s(config: SwimConfig) -> float:
    """Mean: one interval until somebody probes the dead, one until the verdict on the probe."""
    return 2 * config.probe_interval_us / 1e6


def shortest_suspicion_s(members: int, config: SwimConfig) -> float:
    """How long a fully confirmed suspicion waits: multiplier * max(1, log10 n) intervals."""
    interval_s = config.probe_interval_us / 1e6
    scaled = config.suspicion_multiplier_milli / 1_000 * max(1.0, math.log10(members)) * interval_s
    return max(config.suspicion_floor_us / 1e6, scaled)


def declared_s(members: int, config: SwimConfig) -> float:
    """Mean time to the verdict, gossip excluded, where helpers confirm at once."""
    return first_suspicion_s(config) + shortest_suspicion_s(members, config)


def spread_rounds(members: int, fanout: int) -> float:
    """Rounds of push gossip until (nearly) all know: log_{1+f} n + ln(n) / f."""
    return math.log(members, 1 + fanout) + math.log(members) / fanout


def everybody_knows_s(members: int, config: SwimConfig) -> float:
    """The verdict and its spread."""
    spread = spread_rounds(members, config.gossip_fanout) * config.gossip_interval_us / 1e6
    return declared_s(members, config) + spread


def false_suspicions_per_hour(loss: float, config: SwimConfig) -> float:
    """A member's chance an hour to be suspected though alive: every direct try and every helper
    must lose a packet, (1 - q^2)^tries * (1 - q^4)^helpers in each interval, q = 1 - loss."""
    kept = 1 - loss
    chance = (1 - kept**2) ** config.ping_attempts * (1 - kept**4) ** config.helpers
    return chance * 3_600e6 / config.probe_interval_us


def hops_at_least(nodes: int, active: int) -> float:
    """The farthest of n nodes where each passes on to D - 1 others: log_{D-1} n."""
    return math.log(nodes, max(2, active - 1)) if nodes > 1 else 0.0


def missed_share(sends: float) -> float:
    """Share of members that push gossip misses where each statement is sent c times: e^-c."""
    return math.exp(-sends)


def lookup_hops_at_most(peers: int, k: int) -> float:
    """Each hop halves the distance at least, and the last k are one hop: log2(n / k) + 1."""
    return max(1.0, math.log2(max(2, peers) / k) + 1)
