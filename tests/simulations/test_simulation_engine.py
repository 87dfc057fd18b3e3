"""Goal: one order of events, one history. Method: compare the calendar with a plain heap."""

from __future__ import annotations

from heapq import heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.calibration import measure
from simulations.engine import Engine, Item, digest_of

Seen = tuple[int, int, int, str]


class Recorder:
    """Notes what is delivered; an event is a list of (delay, destination) to post in turn."""

    def __init__(self, entities: int, page_us: int) -> None:
        self.seen: list[tuple[int, int, int]] = []
        self.engine = Engine(self.deliver, entities, page_us=page_us)

    def deliver(self, destination: int, source: int, event: list[tuple[int, int]]) -> None:
        self.seen.append((self.engine.now_us, destination, source))
        for delay_us, other in event:
            self.engine.post(delay_us, other, destination, event[1:])


class Heap:
    """The specification: always the pending event with the least key."""

    def __init__(self, entities: int) -> None:
        self.seen: list[tuple[int, int, int]] = []
        self.now_us = 0
        self.counts = [0] * entities
        self.heap: list[tuple[int, int, int, int, list[tuple[int, int]]]] = []

    def post(
        self, delay_us: int, destination: int, source: int, event: list[tuple[int, int]]
    ) -> None:
        self.counts[source] += 1
        heappush(
            self.heap, (self.now_us + delay_us, destination, source, self.counts[source], event)
        )

    def run(self, until_us: int) -> None:
        while self.heap and self.heap[0][0] < until_us:
            self.now_us, destination, source, _, event = heappop(self.heap)
            self.seen.append((self.now_us, destination, source))
            for delay_us, other in event:
                self.post(delay_us, other, destination, event[1:])
        self.now_us = until_us


steps = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3)), max_size=4)
first = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 3), st.integers(0, 3), steps))


@given(first, st.sampled_from([1, 7, 128]), st.lists(st.integers(0, 600), max_size=4))
def test_the_calendar_is_a_heap(
    given_events: list[tuple[int, int, int, list[tuple[int, int]]]], page_us: int, ends: list[int]
) -> None:
    recorder, heap = Recorder(4, page_us), Heap(4)
    for event in given_events:
        recorder.engine.post(*event)
        heap.post(*event)
    for end in [*sorted(ends), 10_000]:
        assert (recorder.engine.next_us is None) == (not heap.heap)
        if heap.heap:
            assert recorder.engine.next_us == heap.heap[0][0]
        assert recorder.engine.pending_count == len(heap.heap)
        recorder.engine.run(end)
        heap.run(end)
        assert recorder.seen == heap.seen
    assert recorder.engine.event_count == len(heap.seen)


def test_events_of_one_tick_come_by_destination_source_and_number() -> None:
    seen: list[tuple[int, int, str]] = []
    engine = Engine(lambda to, of, event: seen.append((to, of, event)), 3)
    for destination, source, event in ((2, 0, "a"), (1, 2, "b"), (1, 0, "c"), (1, 0, "d")):
        engine.post(5, destination, source, event)
    engine.run(6)
    assert seen == [(1, 0, "c"), (1, 0, "d"), (1, 2, "b"), (2, 0, "a")]


def test_what_is_due_at_the_end_waits_for_the_next_run() -> None:
    seen: list[int] = []
    engine = Engine(lambda to, of, event: seen.append(event), 1)
    engine.post(10, 0, 0, 1)
    assert engine.run(10) == 0
    assert engine.now_us == 10
    assert engine.run(11) == 1
    assert seen == [1]


def test_the_digest_depends_on_order_time_source_and_mark() -> None:
    def digest(*events: tuple[int, int, int, int]) -> str:
        engine = Engine(lambda to, of, event: None, 3)
        for delay_us, destination, source, mark in events:
            engine.post(delay_us, destination, source, None, mark)
        engine.run(1_000)
        return engine.digest()

    told = [(5, 1, 2, 0), (6, 1, 0, 0)]
    assert digest(*told) == digest(*told)
    others = [[(5, 1, 2, 1), told[1]], [(4, 1, 2, 0), told[1]], [(5, 1, 0, 0), told[1]], told[:1]]
    assert digest(*told) not in [digest(*other) for other in others]


def test_two_engines_that_share_the_entities_tell_the_same_history() -> None:
    """Each owns every other entity; what crosses is handed over between windows."""
    lookahead_us, end_us, count = 50, 5_000, 6

    def world(owned: tuple[int, ...]) -> tuple[Engine, list[Item]]:
        crossing: list[Item] = []

        def deliver(destination: int, source: int, event: int) -> None:
            if event:
                other = (destination * 5 + event) % count
                away = 0 if other == destination else lookahead_us + event % 7
                if other in owned:
                    engine.post(away, other, destination, event - 1, event)
                else:
                    engine.post_away(away, other, destination, event - 1, crossing, event)

        engine = Engine(deliver, count)
        for entity in owned:
            engine.post(entity, entity, entity, 90 + entity)
        return engine, crossing

    whole, _ = world(tuple(range(count)))
    whole.run(end_us)
    halves = [world((0, 2, 4)), world((1, 3, 5))]
    for window in range(0, end_us, lookahead_us):
        for engine, _ in halves:
            engine.run(window + lookahead_us)
        for (_, crossing), (other, _) in zip(halves, reversed(halves), strict=True):
            for item in crossing:
                other.accept(item)
            crossing.clear()
    traces = [halves[entity % 2][0].traces[entity] for entity in range(count)]
    assert whole.event_count == sum(engine.event_count for engine, _ in halves) > 400
    assert digest_of(traces) == whole.digest()


def test_an_event_that_raises_is_counted_and_leaves_the_rest() -> None:
    def deliver(to: int, of: int, event: int) -> None:
        if event:
            raise ValueError("ours")

    engine = Engine(deliver, 1)
    engine.post(1, 0, 0, 1)
    engine.post(1, 0, 0, 0)
    with pytest.raises(ValueError, match="ours"):
        engine.run(5)
    assert engine.event_count == 1
    assert engine.run(5) == 1


def test_one_seed_is_one_history_and_two_seeds_are_two() -> None:
    one, two, other = (measure(200, 5, seed) for seed in (b"a", b"a", b"b"))
    assert one.digest == two.digest != other.digest
    assert one.answer_count > 0
