"""Cached digests equal those of a fresh scan, whatever happened in between."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reconciliation_world import START_US, Replica, chain_of, forget, memory, peer, pen_of

from hive.memory.log import State, head_after
from hive.protocol.ports import LINE_BYTES, Truncate
from hive.protocol.reconciliation import digests as digests_module
from hive.protocol.reconciliation.digests import (
    LEAF,
    Digests,
    leaf_of,
    lines_between,
    replica_digest,
    span_of,
)
from hive.protocol.reconciliation.events import Changed
from hive.wire.clock import HLC_MAX, HOUR_US, Hlc

NOTES = "acme/notes"

Step = tuple[str, int, int]
_ACTIONS = st.sampled_from(["grow", "forget", "truncate"])
_STEPS = st.lists(
    st.tuples(_ACTIONS, st.integers(0, 3), st.integers(0, 9)),
    max_size=20,
)


def test_a_leaf_spans_its_stamps() -> None:
    first, last = span_of(leaf_of(12_345_678_901_234), LEAF)
    assert leaf_of(first) == leaf_of(last) == leaf_of(first - 1) + 1 == leaf_of(last + 1) - 1


@settings(max_examples=60, deadline=None)
@given(steps=_STEPS)
def test_cached_digests_equal_a_fresh_scan(steps: list[Step]) -> None:
    replica = Replica(peer(1))
    cached = Digests(replica.store, 8)
    for number, (action, author, amount) in enumerate(steps):
        for namespace, stamp in _carry_out(replica, action, author, amount, number):
            cached.changed(namespace, stamp)
        fresh = Digests(replica.store, 8)
        assert cached.states(NOTES) == fresh.states(NOTES)
        assert cached.heads(NOTES) == fresh.heads(NOTES)


def _carry_out(
    replica: Replica, action: str, author: int, amount: int, number: int
) -> list[tuple[str, Hlc | None]]:
    pen = pen_of(author)
    heads = [head for head in replica.store.heads(NOTES) if head.author == pen.author]
    head = heads[0] if heads else None
    wall_us = START_US + number * HOUR_US
    if action == "grow":
        drafts = [memory(f"{number}/{position}") for position in range(amount)]
        changed = [
            event
            for delta in chain_of(pen, drafts, head, wall_us)
            for event in replica.admit(delta)
        ]
    elif action == "forget" and head is not None:
        target = replica.store.at(head.chain, 1 + amount % head.sequence)
        assert target is not None
        (delta,) = chain_of(pen, [forget(target)], head, wall_us)
        changed = replica.admit(delta)
    elif action == "truncate" and head is not None:
        replica.store.apply([Truncate(head.chain, amount % head.sequence)])
        changed = [Changed(NOTES, None)]
    else:
        changed = []
    return [(event.namespace, event.hlc) for event in changed if isinstance(event, Changed)]


def test_a_replica_digest_covers_states_and_not_bodies() -> None:
    (delta,) = chain_of(pen_of(1), [memory("x")])
    with_body, without, void = (Replica(peer(number)) for number in (1, 2, 3))
    with_body.admit(delta)
    without.admit(delta, body=False)
    void.admit(delta, State.VOID)
    assert with_body.digest() == without.digest() != void.digest()


def test_a_replica_digest_ignores_namespaces_of_which_nothing_is_held() -> None:
    replica = Replica(peer(1))
    replica.admit(chain_of(pen_of(1), [memory("x")])[0])
    names = [NOTES, "acme/none"]
    assert replica_digest(replica.store, names) == replica_digest(replica.store, [NOTES])


def test_every_summary_is_read_once_even_where_stamps_are_equal_across_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replica = Replica(peer(1))
    for author in range(50):
        (first,) = chain_of(pen_of(author), [memory("x")])
        (second,) = chain_of(pen_of(author), [memory("y")], head_after(first))
        replica.admit(first)
        replica.admit(second)
    monkeypatch.setattr(digests_module, "PAGE", 7)
    pages = list(lines_between(replica.store, NOTES, Hlc(0), Hlc(HLC_MAX)))
    assert len(pages) > 1
    assert b"".join(pages) == replica.store.lines(NOTES, Hlc(0), Hlc(HLC_MAX), 1_000)
    assert sum(map(len, pages)) == 100 * LINE_BYTES
