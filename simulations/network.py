"""The network: what becomes of each packet, and what it costs.

Generic over what is carried: the world asks where and when a packet of so many bytes arrives
(`packet` for datagrams, `frame` for streams) and posts its own events. Latency is the topology's
plus a spread drawn from the source's own stream; disturbances in force then strike in the order
in which they began. Streams keep their order and lose nothing: what would be lost comes later,
what cannot pass breaks the stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hive.errors import ConfigError

from .disturbances import Cut, Disturbance, Luck, Packet
from .draws import MILLION, Draws, entity_key
from .topology import Topology

HEADER_BYTES: Final = 48
"""IP, UDP and the seal around each packet, counted as traffic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """The weather that always is.

    `spread_ppm`: mean of the exponential part of latency, in millionths of the base.
    `uplink_bytes_per_second`: what one entity can send; 0 is without bound.
    """

    spread_ppm: int = 50_000
    uplink_bytes_per_second: int = 0

    def __post_init__(self) -> None:
        if min(self.spread_ppm, self.uplink_bytes_per_second) < 0:
            raise ConfigError("neither spread nor bandwidth may be negative")


@dataclass(slots=True)
class Traffic:
    """What went from one region to another; lost packets count as sent."""

    packet_count: int = 0
    bytes_count: int = 0
    lost_count: int = 0
    corrupt_count: int = 0


class _Live:
    """A disturbance in force."""

    __slots__ = ("destinations", "disturbance", "is_mutual", "luck", "sources")

    def __init__(self, disturbance: Disturbance, luck: Luck) -> None:
        self.disturbance = disturbance
        self.luck = luck
        self.sources = frozenset(disturbance.sources)
        self.destinations = frozenset(disturbance.destinations)
        self.is_mutual = isinstance(disturbance, Cut) and disturbance.is_mutual

    def covers(self, source: int, destination: int) -> bool:
        """Whether packets this way meet it."""
        if self._covers(source, destination):
            return True
        return self.is_mutual and self._covers(destination, source)

    def _covers(self, source: int, destination: int) -> bool:
        return (not self.sources or source in self.sources) and (
            not self.destinations or destination in self.destinations
        )


class Network:
    """Links between all entities of a topology."""

    def __init__(
        self, topology: Topology, seed: bytes, config: NetworkConfig | None = None
    ) -> None:
        config = config or NetworkConfig()
        self.topology = topology
        self._seed = seed
        self._spread_ppm = config.spread_ppm
        self._uplink = config.uplink_bytes_per_second
        self._draws: dict[int, Draws] = {}
        self._live: dict[str, _Live] = {}
        self._free_us: dict[int, int] = {}
        self._last_us: dict[tuple[int, int], int] = {}
        count = len(topology.regions)
        self._traffic = [[Traffic() for _ in range(count)] for _ in range(count)]

    # Disturbances.

    def begin(self, name: str, disturbance: Disturbance, until_us: int) -> None:
        """From now on this is wrong; the name keys its draws, the end is what a clog waits for."""
        luck = Luck(self._seed, f"disturbance {name}", until_us)
        self._live[name] = _Live(disturbance, luck)

    def end(self, name: str) -> None:
        """No longer wrong; a name that is not in force is left alone."""
        self._live.pop(name, None)

    def heal(self) -> None:
        """Nothing is wrong any more."""
        self._live.clear()

    def is_cut(self, source: int, destination: int) -> bool:
        """Whether nothing passes this way now."""
        return any(
            isinstance(live.disturbance, Cut) and live.covers(source, destination)
            for live in self._live.values()
        )

    # Packets.

    def packet(self, source: int, destination: int, bytes_count: int, now_us: int) -> Packet:
        """The fate of one datagram."""
        size = bytes_count + HEADER_BYTES
        at_us = self._arrival_us(source, destination, size, now_us)
        packet = Packet(source, destination, size, at_us, False)
        self._strike(packet)
        return packet

    def frame(self, source: int, destination: int, bytes_count: int, now_us: int) -> Packet:
        """The fate of one frame of a stream; lost or corrupt says that the stream breaks."""
        size = bytes_count + HEADER_BYTES
        at_us = self._arrival_us(source, destination, size, now_us)
        packet = Packet(source, destination, size, at_us, True)
        self._strike(packet)
        link = (source, destination)
        packet.at_us = self._last_us[link] = max(packet.at_us, self._last_us.get(link, 0))
        return packet

    def _arrival_us(self, source: int, destination: int, size: int, now_us: int) -> int:
        base = self.topology.base_us(source, destination)
        draws = self._draws.get(source)
        if draws is None:
            draws = self._draws[source] = Draws(self._seed, "latency", entity_key(source))
        if self._uplink:
            free = max(now_us, self._free_us.get(source, 0)) + size * MILLION // self._uplink
            self._free_us[source] = now_us = free
        return now_us + base + draws.waits(base * self._spread_ppm // MILLION)

    def _strike(self, packet: Packet) -> None:
        source, destination = packet.source, packet.destination
        for live in self._live.values():
            if live.covers(source, destination):
                live.disturbance.strike(packet, live.luck)
        here, there = self.topology.place(source), self.topology.place(destination)
        traffic = self._traffic[here.region][there.region]
        traffic.packet_count += 1
        traffic.bytes_count += packet.bytes_count
        traffic.lost_count += packet.is_lost
        traffic.corrupt_count += packet.is_corrupt

    # Accounting.

    def traffic(self, source_region: int, destination_region: int) -> Traffic:
        """What went from one region to another."""
        return self._traffic[source_region][destination_region]

    def traffic_table(self) -> dict[str, Traffic]:
        """What went between regions, by "from>to", the pairs with traffic only."""
        names = self.topology.regions
        return {
            f"{names[a]}>{names[b]}": traffic
            for a, row in enumerate(self._traffic)
            for b, traffic in enumerate(row)
            if traffic.packet_count
        }


def corrupted(payload: bytes, draws: Draws) -> bytes:
    """The bytes with one of them changed."""
    if not payload:
        return b"\x00"
    at = draws.below(len(payload))
    return payload[:at] + bytes([payload[at] ^ (1 + draws.below(255))]) + payload[at + 1 :]
