"""A week apart: the heal ends, and live deltas hardly notice it. Virtual time, real machines.

A link carries 400 kB a second each way with 20 ms delay, in order; behind it an ingress takes
4,000 deltas a second in order of arrival. Both sides wrote on a hundred chains for a week.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush

from reconciliation_world import START_US, Replica, chain_of, memory, peer, pen_of

from hive.memory.delta import Delta, parse_delta_untrusted
from hive.memory.log import Head, head_after
from hive.protocol.machine import Received, Send, Ticked
from hive.protocol.messages import Deltas
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.events import Event, PeerConnected, PeerGone, Taken
from hive.wire.clock import HOUR_US, MILLISECOND_US, SECOND_US, MonotonicUs, Now, WallUs
from hive.wire.ids import DeltaId, PeerId
from hive.wire.schema import label_of_untrusted

BYTES_PER_S = 400_000
DELAY_US = 20 * MILLISECOND_US
DELTAS_PER_S = 4_000
CHAINS, LENGTH = 100, 24


@dataclass
class Side:
    """A replica behind a link and an ingress, each with its own queue."""

    replica: Replica
    link_free_us: int = 0
    ingress_free_us: int = 0
    deltas_sent: int = 0


@dataclass(order=True)
class Happening:
    at_us: int
    number: int
    side: int = field(compare=False)
    event: Event | bytes = field(compare=False)


class Partition:
    """Two sides that find each other again, and a trickle of live writes on one of them."""

    def __init__(self, config: ReconciliationConfig) -> None:
        self.sides = [Side(Replica(peer(number), config=config)) for number in (1, 2)]
        self.now_us = SECOND_US
        self.delays_us: list[int] = []
        self._queue: list[Happening] = []
        self._count = 0
        self._pushed: dict[DeltaId, int] = {}
        self._live_head: Head | None = None
        for place, side in enumerate(self.sides):
            for number in range(CHAINS):
                for delta in week(100 * place + number):
                    self._feed_all(place, side.replica.admit(delta))

    def connect(self) -> None:
        for place, side in enumerate(self.sides):
            self._feed(place, PeerConnected(self._other(side).id))

    def cut(self) -> None:
        """The stream breaks; what is on its way is lost."""
        self._queue.clear()
        for place, side in enumerate(self.sides):
            self._feed(place, PeerGone(self._other(side).id))

    def write_live(self) -> None:
        """One side writes and pushes at once, over the same link."""
        draft = [memory(f"live {self.now_us}")]
        (delta,) = chain_of(pen_of(999), draft, self._live_head, START_US + 200 * HOUR_US)
        self._live_head = head_after(delta)
        self._feed_all(0, self.sides[0].replica.admit(delta))
        self._pushed[delta.id] = self.now_us
        self._send(0, Deltas((delta.to_bytes(),)).to_body())

    def run(self, span_us: int) -> None:
        end_us = self.now_us + span_us
        while True:
            dues = [side.replica.machine.deadline for side in self.sides]
            next_us = min((due for due in dues if due is not None), default=end_us)
            if self._queue and self._queue[0].at_us <= max(next_us, self.now_us):
                happening = heappop(self._queue)
                if happening.at_us > end_us:
                    heappush(self._queue, happening)
                    break
                self.now_us = max(self.now_us, happening.at_us)
                self._happen(happening)
                continue
            if next_us > end_us:
                break
            self.now_us = max(self.now_us, next_us)
            for place in range(2):
                self._feed(place, Ticked())
        self.now_us = end_us

    @property
    def is_healed(self) -> bool:
        return self.sides[0].replica.digest() == self.sides[1].replica.digest()

    def _happen(self, happening: Happening) -> None:
        place, event = happening.side, happening.event
        if not isinstance(event, bytes):
            self._feed(place, event)
            return
        sender = self._other(self.sides[place]).id
        if label_of_untrusted(event) != Deltas.LABEL:
            self._feed(place, Received(sender, event))
            return
        for envelope in Deltas.from_body_untrusted(event).envelopes:
            self._take(place, sender, parse_delta_untrusted(envelope))

    def _take(self, place: int, sender: PeerId, delta: Delta) -> None:
        """Ingress: in order of arrival, each a little later than the one before."""
        side = self.sides[place]
        side.ingress_free_us = max(side.ingress_free_us, self.now_us) + SECOND_US // DELTAS_PER_S
        if delta.id in self._pushed:
            pushed_us = self._pushed.pop(delta.id)
            self.delays_us.append(side.ingress_free_us - pushed_us)
        changed = side.replica.admit(delta)
        for event in [*changed, Taken(sender, 1)] if changed else []:
            self._later(side.ingress_free_us, place, event)

    def _feed_all(self, place: int, events: list[Event]) -> None:
        for event in events:
            self._feed(place, event)

    def _feed(self, place: int, event: Event) -> None:
        now = Now(MonotonicUs(self.now_us), WallUs(START_US + self.now_us))
        for effect in self.sides[place].replica.machine.handle(event, now):
            if isinstance(effect, Send):
                self._send(place, effect.payload)

    def _send(self, place: int, payload: bytes) -> None:
        side = self.sides[place]
        if label_of_untrusted(payload) == Deltas.LABEL:
            side.deltas_sent += len(Deltas.from_body_untrusted(payload).envelopes)
        side.link_free_us = max(side.link_free_us, self.now_us)
        side.link_free_us += len(payload) * SECOND_US // BYTES_PER_S
        self._later(side.link_free_us + DELAY_US, 1 - place, payload)

    def _later(self, at_us: int, place: int, event: Event | bytes) -> None:
        self._count += 1
        heappush(self._queue, Happening(at_us, self._count, place, event))

    def _other(self, side: Side) -> Replica:
        return self.sides[1 - self.sides.index(side)].replica


def week(number: int) -> list[Delta]:
    """A chain whose deltas lie hours apart."""
    deltas: list[Delta] = []
    head = None
    for hour in range(0, 7 * LENGTH, 7):
        wall_us = START_US + hour * HOUR_US + number * SECOND_US
        (delta,) = chain_of(pen_of(number), [memory(f"{number} at {hour}")], head, wall_us)
        deltas.append(delta)
        head = head_after(delta)
    return deltas


def heal(config: ReconciliationConfig, *, cut_at: int = 0) -> tuple[Partition, int]:
    """Runs until both sides are equal, a live write every 100 ms; gives the seconds it took."""
    partition = Partition(config)
    partition.connect()
    for second in range(1, 120):
        for _ in range(10):
            partition.write_live()
            partition.run(100 * MILLISECOND_US)
        if second == cut_at:
            partition.cut()
            partition.connect()
        heads = [len(side.replica.store.heads("acme/notes")) for side in partition.sides]
        if heads == [2 * CHAINS + 1] * 2:
            held = [
                sum(head.sequence for head in side.replica.store.heads("acme/notes"))
                for side in partition.sides
            ]
            if min(held) >= 2 * CHAINS * LENGTH:
                return partition, second
    raise AssertionError("not healed in two minutes")


def p99_us(delays_us: list[int]) -> int:
    return sorted(delays_us)[len(delays_us) * 99 // 100]


def test_a_week_long_partition_heals_without_starving_live_deltas() -> None:
    partition, seconds = heal(ReconciliationConfig())
    assert seconds <= 30
    assert p99_us(partition.delays_us) <= 500 * MILLISECOND_US
    partition.run(90 * SECOND_US)
    assert partition.is_healed
    assert all(side.deltas_sent < 1.3 * CHAINS * LENGTH + 400 for side in partition.sides)


def test_without_pacing_live_deltas_wait_behind_the_heal() -> None:
    """The twin: large asks without rest. What the pace is for."""
    paced, _ = heal(ReconciliationConfig())
    hasty = ReconciliationConfig(
        ask_deltas_first=1_024,
        ask_deltas_max=1_024,
        ask_span_us=60 * SECOND_US,
        ask_rest_permille=0,
        fetch_deltas_per_s=1_000_000,
    )
    rushed, _ = heal(hasty)
    assert p99_us(rushed.delays_us) > 2 * p99_us(paced.delays_us)


def test_a_heal_goes_on_where_the_stream_was_cut() -> None:
    partition, seconds = heal(ReconciliationConfig(), cut_at=4)
    assert seconds <= 40
    wasted = max(side.deltas_sent for side in partition.sides) - CHAINS * LENGTH - 10 * seconds
    assert wasted <= 1_100
    partition.run(90 * SECOND_US)
    assert partition.is_healed
