"""What an exchange costs, what it never says, and what no peer can make it do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reconciliation_world import (
    Replica,
    World,
    agreements,
    chain_of,
    memory,
    peer,
    pen_of,
)

from hive.errors import ConfigError, MalformedFrame
from hive.memory.delta import Delta, parse_delta_untrusted
from hive.protocol.machine import Received, Send
from hive.protocol.messages import Deltas, WantDeltas
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.events import PeerConnected, PeerGone, ReconcileRequested
from hive.protocol.reconciliation.messages import (
    HEAD_COUNT_MAX,
    LABELS,
    Buckets,
    ChainRange,
    CodedSymbols,
    Done,
    Found,
    HeadEntry,
    Heads,
    Ids,
    LaidOut,
    Message,
    Probe,
    Pull,
    Root,
    Roots,
    Same,
    Served,
    Slots,
    WantChains,
    WantIds,
    WantRoots,
    WantSymbols,
    parse_untrusted,
)
from hive.protocol.reconciliation.replica import ALL_SLOTS
from hive.wire.clock import SECOND_US
from hive.wire.codec import INTEGER_MAX
from hive.wire.ids import Inception, PeerId

NOTES = "acme/notes"
STRANGER = peer(9)
FAR_HEAD = HeadEntry(b"c" * 32, INTEGER_MAX, b"i" * 32)
ONE_OF_EACH: tuple[Message, ...] = (
    Probe(b"s" * 8, b"r" * 32),
    Same(b"s" * 8, True),
    Roots(b"s" * 8, b"t" * 8, "", False, (Root(NOTES, b"h" * 8, b"s" * 8),)),
    WantRoots(b"s" * 8, "zzz"),
    Slots(b"s" * 8, NOTES, b"d" * 1_024),
    Heads(b"s" * 8, NOTES, ALL_SLOTS, False, True, True, False, (FAR_HEAD,)),
    Buckets(b"s" * 8, NOTES, 1, (3,), (96, 1), (INTEGER_MAX, 7), b"d" * 8),
    Ids(b"s" * 8, NOTES, 2, (1, 2), True, b"i" * 16),
    WantIds(b"s" * 8, NOTES, 0, (INTEGER_MAX, INTEGER_MAX)),
    CodedSymbols(b"s" * 8, NOTES, 3, (5, 1), 0, b"y" * 24),
    WantSymbols(b"s" * 8, NOTES, INTEGER_MAX),
    Found(b"s" * 8, NOTES, INTEGER_MAX, b"u" * 16, b"\xff"),
    LaidOut(b"s" * 8, NOTES, INTEGER_MAX),
    Pull(2, b"s" * 8, NOTES, INTEGER_MAX, INTEGER_MAX),
    Done(b"s" * 8),
    WantChains(3, (ChainRange(b"c" * 32, INTEGER_MAX, 1, b""),)),
    Served(1, INTEGER_MAX, INTEGER_MAX),
    WantDeltas((b"i" * 32,)),
)


def chain(number: int = 1, length: int = 8, namespace: str = NOTES) -> list[Delta]:
    return chain_of(pen_of(number, namespace), [memory(f"{number}/{i}") for i in range(length)])


def served_to(replica: Replica, world: World, sender: PeerId, message: Message) -> list[Send]:
    effects = replica.machine.handle(Received(sender, message.to_body()), world.now())
    return [effect for effect in effects if isinstance(effect, Send)]


def alone(config: ReconciliationConfig | None = None) -> tuple[World, Replica]:
    """One replica with a connected peer that the test plays."""
    replica = Replica(peer(1), config=config or ReconciliationConfig())
    world = World(replica)
    world.feed(replica, PeerConnected(STRANGER))
    return world, replica


def test_nothing_new_costs_at_most_100_bytes() -> None:
    one, two = Replica(peer(1)), Replica(peer(2))
    world = World(one, two)
    for number in range(50):
        deltas = chain(number, 3, f"acme/n{number % 7}")
        world.give(one, deltas)
        world.give(two, deltas)
    world.connect()
    world.reconcile(one, two)
    assert agreements(one) == agreements(two) == 1
    assert world.bytes_sent() == 76 <= 100


def test_roots_that_differ_for_good_soon_cost_as_little() -> None:
    """One side refuses a chain that the other keeps."""
    refused = chain(7)
    one = Replica(peer(1), refuses=lambda delta: delta.header.author == refused[0].header.author)
    two = Replica(peer(2))
    world = World(one, two)
    world.give(two, chain(1) + refused)
    world.connect()
    world.run(200 * SECOND_US)
    world.sent.clear()
    world.run(90 * SECOND_US)
    probes = [send for _, send in world.sent if send.payload[2:10] == b"rc-probe"]
    assert probes
    assert world.bytes_sent() <= 100 * len(probes)


def test_newest_differences_cost_at_most_14_bytes_each() -> None:
    """1,000 newest of 10,000 in 20 chains; the deltas themselves not counted."""
    one, two = Replica(peer(1)), Replica(peer(2))
    world = World(one, two)
    for number in range(20):
        deltas = chain(number, 500)
        world.give(one, deltas)
        world.give(two, deltas[:450])
    world.connect()
    world.run(10 * SECOND_US)
    assert one.digest() == two.digest()
    assert world.bytes_of_talk() <= 14 * 1_000


def test_an_inadmissible_namespace_is_neither_named_nor_served_nor_asked_for() -> None:
    def is_open(other: PeerId, namespace: str) -> bool:
        return not namespace.startswith("acme/secret")

    one, two = Replica(peer(1), admissible=is_open), Replica(peer(2))
    world = World(one, two)
    secret = chain(1, 5, "acme/secret")
    world.give(one, secret)
    world.give(one, chain(2, 5))
    world.give(two, chain(3, 5, "acme/secret/two"))
    world.connect()
    world.run(30 * SECOND_US)
    assert two.store.namespaces() == (NOTES, "acme/secret/two")
    assert one.store.namespaces() == (NOTES, "acme/secret")
    by_one = b"".join(send.payload for sender, send in world.sent if sender == one.id)
    assert b"acme/secret" not in by_one
    for delta in secret:
        assert delta.id not in by_one
        assert delta.header.chain not in by_one
    head = secret[-1].header
    asks: tuple[Message, ...] = (
        WantChains(7, (ChainRange(head.chain, 1, 5, b""),)),
        WantDeltas(tuple(delta.id for delta in secret)),
    )
    for ask in asks:
        answers = served_to(one, world, two.id, ask)
        assert not any(answer.payload[2:8] == b"deltas" for answer in answers)


def test_a_chain_is_served_in_order_within_the_message_bounds() -> None:
    world, replica = alone(ReconciliationConfig(serve_message_bytes=20_000))
    deltas = chain(1, 600)
    world.give(replica, deltas)
    want = WantChains(5, (ChainRange(deltas[0].header.chain, 1, 600, b""),))
    *answers, last = served_to(replica, world, STRANGER, want)
    messages = [Deltas.from_body_untrusted(answer.payload) for answer in answers]
    got = [parse_delta_untrusted(each) for message in messages for each in message.envelopes]
    assert [delta.id for delta in got] == [delta.id for delta in deltas]
    assert all(sum(map(len, message.envelopes)) <= 20_000 for message in messages)
    assert parse_untrusted(last.payload) == Served(5, 1, 0)


def test_an_asker_whose_log_forked_before_its_gap_is_shown_the_fork() -> None:
    world, replica = alone(ReconciliationConfig(fork_window=4))
    deltas = chain(1, 20)
    world.give(replica, deltas)
    for previous, first in ((deltas[9].id[:16], 11), (b"x" * 16, 7), (b"", 11)):
        want = WantChains(0, (ChainRange(deltas[0].header.chain, 11, 12, previous),))
        (answer,) = served_to(replica, world, STRANGER, want)
        envelopes = Deltas.from_body_untrusted(answer.payload).envelopes
        got = [parse_delta_untrusted(each).header.sequence for each in envelopes]
        assert got == list(range(first, 13))


def test_serving_stops_at_its_budget_and_says_how_far_it_came() -> None:
    config = ReconciliationConfig(
        serve_message_bytes=3_000, serve_ask_bytes=5_000, serve_burst_bytes=8_000
    )
    world, replica = alone(config)
    deltas = chain(1, 100)
    world.give(replica, deltas)
    reached = 1
    for _ in range(4):
        want = WantChains(1, (ChainRange(deltas[0].header.chain, reached, 100, b""),))
        served = parse_untrusted(served_to(replica, world, STRANGER, want)[-1].payload)
        assert isinstance(served, Served)
        assert served.index == 0
        reached = served.sequence
    assert 15 < reached < 40
    assert replica.machine.counters["serving_throttled"]


def test_want_chain_asks_any_peer_for_a_gap() -> None:
    one, two = Replica(peer(1)), Replica(peer(2))
    world = World(one, two)
    deltas = chain(1, 20)
    world.give(one, deltas)
    world.give(two, deltas[:4])
    world.feed(one, PeerConnected(two.id))
    header = deltas[0].header
    payload = two.machine.want_chain(
        Inception(header.author), Inception(header.writer), NOTES, 5, 9
    )
    world.feed(one, Received(two.id, payload))
    world.settle()
    (head,) = two.store.heads(NOTES)
    assert head.sequence == 9


def test_a_silent_peer_times_out_and_the_next_one_is_asked() -> None:
    one, two = Replica(peer(1)), Replica(peer(2))
    world = World(one, two)
    deltas = chain(1, 6)
    world.give(two, deltas)
    world.feed(one, PeerConnected(STRANGER))
    world.feed(one, ReconcileRequested(STRANGER))
    probe = parse_untrusted(world.sent[-1][1].payload)
    assert isinstance(probe, Probe)
    entry = HeadEntry(deltas[0].header.chain, 6, deltas[5].id)
    for lure in (
        Roots(probe.session, b"t" * 8, "", True, (Root(NOTES, b"h" * 8, b"s" * 8),)),
        Heads(probe.session, NOTES, ALL_SLOTS, True, True, False, False, (entry,)),
    ):
        world.feed(one, Received(STRANGER, lure.to_body()))
    assert world.sent[-1][1].payload[2:16] == b"rc-want-chains"
    world.connect()
    world.run(60 * SECOND_US)
    assert one.machine.counters["asks_timed_out"] == 1
    assert one.digest() == two.digest()


def test_what_was_refused_is_not_asked_again_while_nothing_changed() -> None:
    one = Replica(peer(1), refuses=lambda delta: True)
    two = Replica(peer(2))
    world = World(one, two)
    world.give(two, chain())
    world.connect()
    world.run(50 * SECOND_US)
    asks = [send for _, send in world.sent if send.payload[2:16] == b"rc-want-chains"]
    assert len(asks) == 1


def test_a_peer_that_left_leaves_nothing_behind() -> None:
    world, replica = alone()
    world.give(replica, chain())
    world.feed(replica, ReconcileRequested(STRANGER))
    world.feed(replica, PeerGone(STRANGER))
    assert replica.machine.deadline is None


def test_rash_probes_are_ignored() -> None:
    world, replica = alone()
    world.give(replica, chain())
    answers = [
        served_to(replica, world, STRANGER, Probe(bytes([number]) * 8, b"r" * 32))
        for number in range(30)
    ]
    assert sum(map(bool, answers)) == 8


def test_strangers_are_not_answered() -> None:
    world, replica = alone()
    world.give(replica, chain())
    for message in ONE_OF_EACH:
        assert not served_to(replica, world, peer(77), message)


def test_a_session_ends_after_too_many_messages() -> None:
    world, replica = alone(ReconciliationConfig(session_messages_max=3))
    world.give(replica, chain())
    served_to(replica, world, STRANGER, Probe(b"s" * 8, b"r" * 32))
    ask = WantRoots(b"s" * 8, "")
    answers = [served_to(replica, world, STRANGER, ask) for _ in range(5)]
    assert [bool(answer) for answer in answers] == [True, True, True, False, False]


def test_every_message_survives_its_encoding() -> None:
    assert {type(message).LABEL for message in ONE_OF_EACH} == set(LABELS)
    for message in ONE_OF_EACH:
        assert parse_untrusted(message.to_body()) == message


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_raise_malformed_frame_only(untrusted: bytes) -> None:
    with pytest.raises(MalformedFrame):
        parse_untrusted(untrusted)


def recorded() -> list[bytes]:
    """Every kind of message of real exchanges."""
    config = ReconciliationConfig(slots_from_heads=2, descend_from=2)
    one, two = Replica(peer(1), config=config), Replica(STRANGER, config=config)
    world = World(one, two)
    for number in range(6):
        deltas = chain(number, 6)
        world.give(one, deltas[: 1 + number])
        world.give(two, deltas[: 6 - number])
    deltas = chain(8, 9, "acme/plans")
    world.give(one, deltas)
    world.give(two, deltas[:4], body=False)
    world.give(two, deltas[4:])
    world.connect()
    world.run(60 * SECOND_US)
    return [send.payload for sender, send in world.sent if sender == two.id]


RECORDED = recorded()
_BLOBS = st.sampled_from(RECORDED + [message.to_body() for message in ONE_OF_EACH])


@settings(max_examples=150, deadline=None)
@given(
    script=st.lists(
        st.tuples(_BLOBS, st.booleans(), st.integers(0, 2**16), st.integers(1, 255)), max_size=25
    ),
    is_own=st.booleans(),
)
def test_replayed_twisted_and_shuffled_messages_never_raise(
    script: list[tuple[bytes, bool, int, int]], is_own: bool
) -> None:
    world, replica = alone(ReconciliationConfig(slots_from_heads=2, descend_from=2))
    for number in range(6):
        world.give(replica, chain(number, 3))
    live = b"s" * 8
    if is_own:
        world.feed(replica, ReconcileRequested(STRANGER))
        own = parse_untrusted(world.sent[-1][1].payload)
        assert isinstance(own, Probe)
        live = own.session
    else:
        world.feed(replica, Received(STRANGER, Probe(live, b"r" * 32).to_body()))
    for payload, is_twisted, position, mask in script:
        octets = bytearray(_with_session(payload, live))
        if is_twisted:
            octets[position % len(octets)] ^= mask
        world.feed(replica, Received(STRANGER, bytes(octets)))
        world.run(SECOND_US)
    assert replica.machine.handle(PeerGone(STRANGER), world.now()) is not None


def _with_session(payload: bytes, session: bytes) -> bytes:
    """The message as if it belonged to a live session (8 octets behind label and version)."""
    end = 2 + (payload[1] & 0x1F) + 1
    if payload[end : end + 2] != b"\xc4\x08":
        return payload
    return payload[: end + 2] + session + payload[end + 10 :]


def test_contradicting_bounds_are_refused() -> None:
    with pytest.raises(ConfigError):
        ReconciliationConfig(heads_page=HEAD_COUNT_MAX + 1)
    with pytest.raises(ConfigError):
        ReconciliationConfig(round_interval_us=0)
    for preset in (
        ReconciliationConfig.for_lan(),
        ReconciliationConfig.for_internet(),
        ReconciliationConfig.for_simulation(),
    ):
        assert preset.round_peers >= 1
