"""A fleet: as many whole peers as a machine holds, in cells that know each other already.

Theory of operation. The correctness worlds start every node from nothing and give it a disk and
faults; a fleet is about numbers. Its peers are the shipped `Peer` with ingress, membership,
dissemination and reconciliation at work, under virtual time and over the simulated network. They
begin settled (`settlement`); discovery has nobody to ask, and there is no rail. An oracle answers
`Verify` effects: a signature holds where it is the one that its key makes.

Cells do not talk to each other here: a delta is wanted in the cell of its author. That is what
the run leaves out of a federation, and its report says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from zlib import crc32

from hive.errors import HiveError
from hive.protocol import events as ev
from hive.protocol.commands import Author
from hive.protocol.machine import Check, SignatureMade, Ticked, Verified, Verify
from hive.wire.clock import SECOND_US, MonotonicUs, Now, WallUs
from hive.wire.ids import DeltaId, PeerId

from .cells import DATAGRAM_BYTES, signature_of
from .disturbances import Loss
from .draws import Draws, entity_key
from .engine import Engine
from .federation import START_US
from .network import HEADER_BYTES, Network
from .settlement import FleetConfig, Settlement, Settler, draft_of
from .topology import Place, Topology, TopologyConfig

WRITES_FROM_US: Final = 15 * SECOND_US
WRITES_WITHIN_US: Final = 20 * SECOND_US
"""When agents write: once neighbours are found and freshness is stated."""
STARTS_WITHIN_US: Final = SECOND_US
"""Peers begin within so long of each other, as their probes do in life."""

TICK, INSIDE, DATAGRAM, FRAME, LINK = range(1, 6)

Event: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Spread:
    """One delta: when it was made, and how long it took to each peer that holds it."""

    made_at_us: int
    cell: int
    delays_us: list[int]


class Fleet:
    """The cells of one process; `cells` are all unless told."""

    def __init__(
        self, config: FleetConfig, seed: bytes, cells: Sequence[int] | None = None
    ) -> None:
        self.config = config
        self.settlement = Settlement(config, seed)
        self.network = Network(self._topology(), seed)
        if config.loss_ppm:
            self.network.begin("loss", Loss(rate_ppm=config.loss_ppm), 0)
        self.engine = Engine(self._deliver, config.peer_count)
        self.settlers: dict[int, Settler] = {}
        self.spreads: dict[DeltaId, Spread] = {}
        self.death_count = self.written_count = self.refused_count = 0
        self._seed = seed
        self._numbers: dict[PeerId, int] = {}
        for cell in range(config.cell_count) if cells is None else cells:
            self._settle(cell)

    def _topology(self) -> Topology:
        config = self.config
        topology = Topology(TopologyConfig(cluster_count=config.cluster_count))
        places = [
            Place(topology.region_of(cluster), cluster, cluster * 3 + zone)
            for cluster in range(config.cluster_count)
            for zone in range(3)
        ]
        for number in range(config.peer_count):
            cluster = number // config.cell_size % config.cluster_count
            topology.add(places[cluster * 3 + number % 3])
        return topology

    def _settle(self, cell: int) -> None:
        settled = self.settlement.settle(cell)
        for number, settler in zip(self.settlement.numbers(cell), settled, strict=True):
            self.settlers[number] = settler
            self._numbers[settler.id] = number
            draws = Draws(self._seed, "start", entity_key(number))
            self.engine.post(draws.below(STARTS_WITHIN_US), number, number, Ticked(), TICK)
            if settler.agent is not None:
                write = ev.Asked(
                    ev.RequestId(1),
                    Author(
                        settler.agent,
                        self.settlement.namespace(cell),
                        (draft_of(number, self._seed),),
                    ),
                )
                at = WRITES_FROM_US + draws.below(WRITES_WITHIN_US)
                self.engine.post(at, number, number, write, INSIDE)

    # What is asked.

    def run(self, until_us: int) -> None:
        """Runs virtual time forward."""
        self.engine.run(until_us)

    def kill(self, number: int) -> None:
        """A peer stops, without a word; its streams break."""
        settler = self.settlers[number]
        settler.is_up = False
        for other in list(settler.streams):
            self._close(number, other)

    # What happens.

    def _deliver(self, destination: int, source: int, event: Event) -> None:
        settler = self.settlers[destination]
        if not settler.is_up:
            return
        if type(event) is Ticked:
            if settler.tick_at is not None and settler.tick_at > self.engine.now_us:
                return  # set before an earlier one was wanted
            settler.tick_at = None
        self._feed(destination, settler, event)

    def _feed(self, number: int, settler: Settler, event: Event) -> None:
        now_us = self.engine.now_us
        now = Now(MonotonicUs(now_us), WallUs(START_US + now_us))
        peer, events = settler.peer, [event]
        for each in events:
            for effect in peer.handle(each, now):
                self._perform(number, settler, effect, events)
        due = peer.deadline
        if due is not None and (settler.tick_at is None or due < settler.tick_at):
            settler.tick_at = due
            self.engine.post(due - now_us, number, number, Ticked(), TICK)

    def _perform(
        self, number: int, settler: Settler, effect: ev.Effect, events: list[Event]
    ) -> None:
        match effect:
            case ev.SendDatagram():
                self._send_datagram(number, settler, effect)
            case ev.SendFrame():
                self._send_frame(number, settler, effect)
            case Verify():
                verdicts = tuple(map(_holds, effect.checks))
                events.append(Verified(effect.token, verdicts))
            case ev.SignAs():
                made = settler.keys.sign(effect.key, effect.label, effect.digest)
                events.append(SignatureMade(effect.token, made))
            case ev.Store():
                events.append(_stored(settler, effect))
            case ev.OpenStream():
                self._open(number, effect.peer)
            case ev.CloseStream():
                self._close(number, self._numbers[effect.peer])
            case ev.Admitted():
                self._note_admitted(number, effect)
            case ev.MemberNews():
                self.death_count += effect.state == "dead"
            case ev.RefusedNews():
                self.refused_count += 1
            case _:
                pass

    # Links.

    def _send_datagram(self, number: int, settler: Settler, sent: ev.SendDatagram) -> None:
        other = self._numbers.get(sent.receiver)
        size = len(sent.payload) + DATAGRAM_BYTES
        settler.bytes_sent += size
        if other is None:
            return
        now_us = self.engine.now_us
        packet = self.network.packet(number, other, size - HEADER_BYTES, now_us)
        if not packet.is_lost:
            opened = ev.DatagramOpened(settler.id, sent.kind, sent.payload)
            mark = crc32(sent.payload) << 4 | DATAGRAM
            self.engine.post(packet.at_us - now_us, other, number, opened, mark)

    def _send_frame(self, number: int, settler: Settler, sent: ev.SendFrame) -> None:
        other = self._numbers.get(sent.receiver)
        if other is None or other not in settler.streams:
            return
        size = len(sent.payload) + DATAGRAM_BYTES
        settler.bytes_sent += size
        now_us = self.engine.now_us
        packet = self.network.frame(number, other, size - HEADER_BYTES, now_us)
        received = ev.FrameReceived(settler.id, sent.payload)
        mark = crc32(sent.payload) << 4 | FRAME
        self.engine.post(packet.at_us - now_us, other, number, received, mark)

    def _open(self, number: int, peer: PeerId) -> None:
        other = self._numbers[peer]
        here, there = self.settlers[number], self.settlers[other]
        if other in here.streams or not there.is_up:
            return
        here.streams[other] = there.streams[number] = None
        delay = self.network.topology.base_us(number, other)
        self.engine.post(2 * delay, number, other, ev.StreamOpened(peer), LINK)
        self.engine.post(delay, other, number, ev.StreamOpened(here.id), LINK)

    def _close(self, number: int, other: int) -> None:
        here, there = self.settlers[number], self.settlers[other]
        if here.streams.pop(other, 0) is None and there.streams.pop(number, 0) is None:
            self.engine.post(0, number, other, ev.StreamClosed(there.id), LINK)
            self.engine.post(0, other, number, ev.StreamClosed(here.id), LINK)

    # What is measured.

    def _note_admitted(self, number: int, news: ev.Admitted) -> None:
        now_us = self.engine.now_us
        for delta in news.deltas:
            if news.sender is None:
                cell = number // self.config.cell_size
                self.spreads[delta.id] = Spread(now_us, cell, [])
                self.written_count += 1
            elif delta.id in self.spreads:
                spread = self.spreads[delta.id]
                spread.delays_us.append(now_us - spread.made_at_us)


def _holds(check: Check) -> bool:
    """The oracle: a stand-in holds where it is the one its key makes."""
    return signature_of(check.public_key, check.label, check.digest) == check.signature


def _stored(settler: Settler, store: ev.Store) -> Event:
    try:
        settler.store.apply(store.writes)
    except HiveError as error:
        return ev.StoreFailed(store.token, False, str(error))
    return ev.Stored(store.token)
