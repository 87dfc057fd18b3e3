"""Hostile reconcilers: floods, endless rounds, clashes and lies. Capped, paid for, no stall."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from reconciliation_world import Replica, World, chain_of, memory, peer, pen_of

from hive.memory.delta import Delta
from hive.protocol.machine import Received, Send
from hive.protocol.reconciliation import elements
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.digests import TOP, bucket_of
from hive.protocol.reconciliation.events import PeerConnected, ReconcileRequested
from hive.protocol.reconciliation.messages import (
    Buckets,
    CodedSymbols,
    Done,
    Found,
    Ids,
    LaidOut,
    Message,
    Probe,
    Pull,
    Root,
    Roots,
    WantIds,
    WantSymbols,
    parse_untrusted,
)
from hive.protocol.reconciliation.reconciler import INBOX_MAX, Reconciler
from hive.protocol.reconciliation.short_ids import Numbers, rows_of, session_ids
from hive.wire.clock import HOUR_US, SECOND_US, MonotonicUs
from hive.wire.codec import INTEGER_MAX
from hive.wire.ids import PeerId
from hive.wire.randomness import Stream

NOTES = "acme/notes"
LIAR = peer(9)
SESSION = b"s" * 8


def chain(number: int = 1, length: int = 20) -> list[Delta]:
    return chain_of(pen_of(number), [memory(f"{number}/{place}") for place in range(length)])


class Victim:
    """A replica with one hostile session open, and what its peers' budgets were charged."""

    def __init__(
        self, config: ReconciliationConfig | None = None, allowance: int = 1 << 40
    ) -> None:
        self.replica = Replica(peer(1), config=config or ReconciliationConfig())
        self.charged: dict[PeerId, int] = {}
        self.allowance = allowance
        self.replica.machine = Reconciler(
            self.replica.config,
            self.replica.store,
            lambda peer, namespace: True,
            Stream(b"seed", "reconcile", self.replica.id),
            self._charge,
        )
        self.world = World(self.replica)
        self.world.feed(self.replica, PeerConnected(LIAR))
        for number in range(4):
            self.world.give(self.replica, chain(number))
        self.top = bucket_of(self.replica.store.newest_hlc(), TOP)

    def _charge(self, peer: PeerId, checks: int, now_us: MonotonicUs) -> bool:
        spent = self.charged.get(peer, 0) + checks
        if spent > self.allowance:
            return False
        self.charged[peer] = spent
        return True

    def hear(self, message: Message) -> list[Message]:
        sent = self.replica.machine.handle(Received(LIAR, message.to_body()), self.world.now())
        return [parse_untrusted(each.payload) for each in sent if isinstance(each, Send)]

    def open(self) -> None:
        """The liar opens a session, which the victim answers."""
        assert isinstance(self.hear(Probe(SESSION, b"r" * 32))[0], Roots)

    @property
    def counters(self) -> dict[str, int]:
        return self.replica.machine.counters


def symbols(count: int) -> bytes:
    return np.random.default_rng(1).bytes(12 * count)


def test_a_flood_of_symbols_ends_at_its_cap_and_is_paid_for() -> None:
    victim = Victim(ReconciliationConfig(symbols_max=4_096, lines_per_check=16))
    victim.open()
    answers, sent = list[Message](), 0
    while not answers or isinstance(answers[-1], WantSymbols):
        steps = () if sent else (victim.top,)
        answers += victim.hear(CodedSymbols(SESSION, NOTES, TOP, steps, sent, symbols(1_000)))
        sent += 1_000
    assert isinstance(answers[-1], Done)
    assert sent == 5_000
    assert victim.charged[LIAR] > sent // 16
    assert not victim.hear(CodedSymbols(SESSION, NOTES, TOP, (), sent, symbols(1)))


def test_who_has_no_budget_left_is_compared_with_no_further() -> None:
    victim = Victim(ReconciliationConfig(lines_per_check=16), allowance=12)
    victim.open()
    assert isinstance(victim.hear(WantIds(SESSION, NOTES, TOP, (victim.top,)))[-1], Ids)
    answer = victim.hear(WantIds(SESSION, NOTES, TOP, (victim.top,)))[-1]
    assert answer == Done(SESSION)
    assert victim.counters["comparisons_unpaid"]


def test_endless_rounds_end_at_the_session_bounds() -> None:
    victim = Victim(ReconciliationConfig(session_messages_max=40))
    victim.open()
    heard = [victim.hear(Buckets(SESSION, NOTES, TOP, (), (), (), b"")) for _ in range(100)]
    assert sum(map(bool, heard)) == 40
    victim.world.now_us += 60 * SECOND_US
    victim.open()
    span_us = victim.replica.config.session_longest_us
    for _ in range(30):
        victim.world.run(span_us // 30 + 1)
        victim.hear(LaidOut(SESSION, NOTES, 0))
    assert not victim.hear(Buckets(SESSION, NOTES, TOP, (), (), (), b""))


def test_a_probe_while_the_last_one_is_answered_takes_its_place() -> None:
    victim = Victim(ReconciliationConfig(slice_lines=1))
    answers = [victim.hear(Probe(bytes([number]) * 8, b"r" * 32)) for number in range(8)]
    victim.world.run(SECOND_US)
    assert sum(map(len, answers)) + len(victim.world.sent) <= 9
    assert victim.replica.machine.deadline is not None


def test_messages_that_pile_up_while_an_answer_is_made_end_the_session() -> None:
    victim = Victim(ReconciliationConfig(slice_lines=1))
    victim.hear(Probe(SESSION, b"r" * 32))
    victim.world.run(SECOND_US)
    for _ in range(INBOX_MAX + 3):
        victim.hear(WantIds(SESSION, NOTES, TOP, (victim.top,)))
    victim.world.run(SECOND_US)
    assert not victim.hear(Buckets(SESSION, NOTES, TOP, (), (), (), b""))


def test_colliding_session_ids_heal_in_the_next_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one session all ids clash; the next one has other keys and finds everything."""
    config = ReconciliationConfig(slots_from_heads=1, heads_listed_max=1)
    one, two = Replica(peer(1), config=config), Replica(peer(2), config=config)
    world = World(one, two)
    for number in range(6):
        deltas = chain(number)
        world.give(one, deltas[: 20 - number])
        world.give(two, deltas[: 14 + number])
    clashing: list[bytes] = []

    def clash(key: bytes, rows: Numbers) -> Numbers:
        clashing[:] = clashing or [key]
        honest = session_ids(key, rows)
        return honest & np.uint64(1) if key == clashing[0] else honest

    monkeypatch.setattr(elements, "session_ids", clash)
    world.connect()
    world.run(60 * SECOND_US)
    assert clashing
    assert one.digest() == two.digest()


def test_ids_chosen_against_one_key_mean_nothing_under_another() -> None:
    """Who knows one session's key gains nothing for the next."""
    lines = np.random.default_rng(1).bytes(41 * 5_000)
    first, second = (session_ids(bytes([key]) * 16, rows_of(lines)) for key in (1, 2))
    chosen = np.argsort(first)[:50]
    low = np.sort(second[chosen])
    assert low[0] < np.uint64(1 << 61)
    assert low[-1] > np.uint64(3 << 62)


LIES: tuple[tuple[str, Callable[[Victim], Message]], ...] = (
    ("counts", lambda v: Buckets(SESSION, NOTES, 0, (), (v.top,), (INTEGER_MAX,), b"dddd")),
    ("no such bucket", lambda v: Buckets(SESSION, NOTES, 3, (9, 1), (9,), (5,), b"dddd")),
    (
        "beyond time",
        lambda v: Buckets(SESSION, NOTES, 2, (INTEGER_MAX,), (INTEGER_MAX,), (1,), b""),
    ),
    ("too many parents", lambda v: Buckets(SESSION, NOTES, 3, (1,) * 4_096, (), (), b"")),
    ("laid out for ever", lambda v: LaidOut(SESSION, NOTES, INTEGER_MAX)),
    ("found without asking", lambda v: Found(SESSION, NOTES, INTEGER_MAX, b"i" * 80, b"\xff" * 64)),
    ("list without buckets", lambda v: Ids(SESSION, NOTES, 0, (), True, b"i" * 800)),
    ("unknown ids", lambda v: Ids(SESSION, NOTES, 0, (v.top,), True, b"i" * 800)),
    ("symbols of nothing", lambda v: CodedSymbols(SESSION, NOTES, 0, (v.top,), 0, bytes(1_200))),
    ("symbols out of turn", lambda v: CodedSymbols(SESSION, NOTES, 0, (), 77, symbols(5))),
    ("more of nothing", lambda v: WantSymbols(SESSION, NOTES, INTEGER_MAX)),
    ("an empty shelf", lambda v: Pull(1, SESSION, NOTES, INTEGER_MAX, INTEGER_MAX)),
)


@pytest.mark.parametrize(("name", "lie"), LIES, ids=[name for name, _ in LIES])
def test_lying_digests_cost_the_liar_and_convince_nobody(
    name: str, lie: Callable[[Victim], Message]
) -> None:
    """Nothing is stored, nothing raised; an honest peer is still answered and equal at the end."""
    victim = Victim()
    honest = Replica(peer(2))
    world = World(victim.replica, honest)
    world.give(honest, chain(7))
    victim.open()
    before = victim.replica.digest()
    for _ in range(5):
        victim.hear(lie(victim))
    assert victim.replica.digest() == before
    world.now_us = victim.world.now_us
    world.feed(victim.replica, PeerConnected(honest.id))
    world.feed(honest, PeerConnected(victim.replica.id))
    world.run(30 * SECOND_US)
    assert victim.replica.digest() == honest.digest()


def test_a_liar_that_is_asked_gets_bounded_work_and_no_windows_for_ever() -> None:
    """The victim opens the session; the liar claims differences that it never shows."""
    victim = Victim()
    victim.world.sent.clear()
    victim.world.feed(victim.replica, ReconcileRequested(LIAR))
    probe = parse_untrusted(victim.world.sent[-1][1].payload)
    assert isinstance(probe, Probe)
    root = Root(NOTES, b"h" * 8, b"s" * 8)
    said = victim.hear(Roots(probe.session, b"t" * 8, "", True, (root,)))
    for _ in range(300):
        said = victim.hear(
            Buckets(probe.session, NOTES, TOP, (), (victim.top,), (80,), b"dddd")
        ) + victim.hear(WantSymbols(probe.session, NOTES, 16))
    assert not said


def test_a_comparison_that_works_long_does_not_delay_another_peer() -> None:
    """Slices: an honest probe is answered while the liar's comparison is still being read."""
    config = ReconciliationConfig(slice_lines=20, slice_pause_us=10_000)
    victim = Victim(config)
    honest = peer(2)
    victim.world.feed(victim.replica, PeerConnected(honest))
    victim.hear(Probe(SESSION, b"r" * 32))
    victim.world.run(2 * SECOND_US)
    victim.hear(WantIds(SESSION, NOTES, TOP, (victim.top,)))
    begun_us = victim.world.now_us
    for number in range(4, 40):
        victim.world.give(victim.replica, chain(number))
    victim.world.sent.clear()
    victim.world.feed(victim.replica, Received(honest, Probe(b"h" * 8, b"r" * 32).to_body()))
    while not any(send.receiver == honest for _, send in victim.world.sent):
        victim.world.run(10_000)
        assert victim.world.now_us - begun_us < HOUR_US
    assert victim.world.now_us - begun_us <= 2 * SECOND_US
