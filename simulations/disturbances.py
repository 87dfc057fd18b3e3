"""What can be wrong with links: each disturbance is data, and says what it does to one packet.

A disturbance covers packets from `sources` to `destinations`; an empty tuple stands for
everybody. Each draws from its own stream, so that leaving one out reshuffles no other. What a
packet is on a stream survives loss by being sent again; a cut or a changed byte breaks it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

from .draws import MILLION, Draws, entity_key

RESEND_US: Final = 200_000
"""What one loss costs on a stream: the usual smallest retransmission timeout."""


@dataclass(slots=True)
class Packet:
    """One packet on its way, and what became of it."""

    source: int
    destination: int
    bytes_count: int
    at_us: int
    is_stream: bool
    is_lost: bool = False
    is_corrupt: bool = False
    copies_at_us: tuple[int, ...] = ()

    def lose(self) -> None:
        """Lost; on a stream it comes later."""
        if self.is_stream:
            self.at_us += RESEND_US
        else:
            self.is_lost = True


class Luck:
    """The draws of one disturbance in force: one stream and one state a source."""

    __slots__ = ("_draws", "_name", "_seed", "bad", "until_us")

    def __init__(self, seed: bytes, name: str, until_us: int) -> None:
        self._seed = seed
        self._name = name
        self._draws: dict[int, Draws] = {}
        self.bad: dict[int, bool] = {}
        self.until_us = until_us

    def of(self, source: int) -> Draws:
        """The draws for packets of a source."""
        draws = self._draws.get(source)
        if draws is None:
            draws = self._draws[source] = Draws(self._seed, self._name, entity_key(source))
        return draws


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance(ABC):
    """Something wrong between some and others."""

    sources: tuple[int, ...] = ()
    destinations: tuple[int, ...] = ()

    @abstractmethod
    def strike(self, packet: Packet, luck: Luck) -> None:
        """Does to one covered packet what it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut(Disturbance):
    """Nothing passes; with `is_mutual` neither back. Symmetric, one-way and partial partitions."""

    is_mutual: bool = True

    def strike(self, packet: Packet, luck: Luck) -> None:
        packet.is_lost = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Clog(Disturbance):
    """Packets are held and arrive together when it ends."""

    def strike(self, packet: Packet, luck: Luck) -> None:
        packet.at_us = max(packet.at_us, luck.until_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss(Disturbance):
    """Each packet is lost at a rate."""

    rate_ppm: int

    def strike(self, packet: Packet, luck: Luck) -> None:
        if luck.of(packet.source).hits(self.rate_ppm):
            packet.lose()


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst(Disturbance):
    """Gilbert–Elliott: a source falls into a bad state and leaves it; there it loses much."""

    enter_ppm: int
    leave_ppm: int
    rate_ppm: int

    def strike(self, packet: Packet, luck: Luck) -> None:
        draws = luck.of(packet.source)
        is_bad = luck.bad.get(packet.source, False)
        if draws.hits(self.leave_ppm if is_bad else self.enter_ppm):
            is_bad = luck.bad[packet.source] = not is_bad
        if is_bad and draws.hits(self.rate_ppm):
            packet.lose()


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate(Disturbance):
    """A datagram arrives again, up to `delay_us` later: duplication, and late replay."""

    rate_ppm: int
    delay_us: int

    def strike(self, packet: Packet, luck: Luck) -> None:
        draws = luck.of(packet.source)
        if not packet.is_stream and draws.hits(self.rate_ppm):
            again = packet.at_us + draws.below(self.delay_us + 1)
            packet.copies_at_us = (*packet.copies_at_us, again)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorder(Disturbance):
    """A packet is held back, so that later ones overtake it."""

    rate_ppm: int
    delay_us: int

    def strike(self, packet: Packet, luck: Luck) -> None:
        draws = luck.of(packet.source)
        if draws.hits(self.rate_ppm):
            packet.at_us += draws.below(self.delay_us + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrupt(Disturbance):
    """A byte of a packet is changed."""

    rate_ppm: int

    def strike(self, packet: Packet, luck: Luck) -> None:
        if luck.of(packet.source).hits(self.rate_ppm):
            packet.is_corrupt = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay(Disturbance):
    """Every packet takes longer, with a spread."""

    delay_us: int
    spread_us: int = 0

    def strike(self, packet: Packet, luck: Luck) -> None:
        packet.at_us += self.delay_us
        if self.spread_us:
            packet.at_us += luck.of(packet.source).waits(self.spread_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle(Disturbance):
    """A narrow link: each packet takes its size's time, and large ones long."""

    bytes_per_second: int

    def strike(self, packet: Packet, luck: Luck) -> None:
        packet.at_us += packet.bytes_count * MILLION // self.bytes_per_second
