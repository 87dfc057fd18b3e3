"""Whatever the order of arrival, replicas hold the same and judge the same (P9)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hive.memory.log import State
from hive.protocol import events as ev
from hive.protocol.messages import Deltas, Forks, Records
from hive.trust.records import SealEntry
from hive.trust.rotation import rotate_agent
from hive.wire.clock import MILLISECOND_US
from hive.wire.ids import Digest
from hive.wire.schema import Record
from tests.protocol.peer.peer_federation import found, key
from tests.protocol.peer.peer_history import (
    AT_MS,
    HOUR_MS,
    PEERS,
    History,
    digest_of,
    history,
    log,
    observer,
    pen,
    revoked,
    tell,
)

orders = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@cache
def the() -> tuple[History, Digest]:
    """The history, and what an observer holds who heard it in order."""
    told = history()
    world, node = observer(told.federation)
    tell(world, node, told.messages)
    return told, digest_of(node)


def heal(world, node, told: History) -> None:  # type: ignore[no-untyped-def]
    """What reconciliation does in the end: everything is offered again."""
    for _ in range(3):
        tell(world, node, told.messages, PEERS[1])


def test_the_history_in_order_comes_out_as_it_should() -> None:
    told, _ = the()
    world, node = observer(told.federation)
    tell(world, node, told.messages)
    held = {
        state: sum(
            line.state is state
            for name in node.store.namespaces()
            for line in node.store.summaries(name, 0, 2**64 - 1, 1_000)  # type: ignore[arg-type]
        )
        for state in State
    }
    # ann 2 and her forget (of a1 and, by forget_any, of c1), 2 elsewhere, 2 expired, b1, c2,
    # e1 e2 e3 e4, v1, l1 l2; v2 is void for its epoch
    assert held == {State.LIVE: 16, State.FORGOTTEN: 2, State.VOID: 1}
    assert len(node.store.forks()) == 1
    assert not node.store.missing_bodies(10)


def test_one_agent_on_two_machines_never_forks() -> None:
    told, _ = the()
    world, node = observer(told.federation)
    tell(world, node, told.messages)
    ann = next(h.author for h in node.store.heads("acme/notes") if len(_logs(node, h.author)) == 2)
    assert {head.sequence for head in _logs(node, ann)} == {4, 2}
    assert not node.peer.core.quarantine.has_author(ann, 0)


def _logs(node, author):  # type: ignore[no-untyped-def]
    return node.store.heads_of(author)


@st.composite
def arrivals(draw: st.DrawFn) -> list[Record]:
    """The history in any order, with repetitions, some of it gathered into batches."""
    told, _ = the()
    messages = list(draw(st.permutations(told.messages)))
    again = draw(st.lists(st.sampled_from(told.messages), max_size=12))
    for message in again:
        messages.insert(draw(st.integers(0, len(messages))), message)
    return _gathered(draw, messages)


def _gathered(draw: st.DrawFn, messages: list[Record]) -> list[Record]:
    gathered: list[Record] = []
    for message in messages:
        last = gathered[-1] if gathered else None
        if isinstance(message, Deltas) and isinstance(last, Deltas) and draw(st.booleans()):
            gathered[-1] = Deltas((*last.envelopes, *message.envelopes))
        else:
            gathered.append(message)
    return gathered


@orders
@given(messages=arrivals(), keep=st.integers(0, 100))
def test_any_order_of_arrival_ends_in_the_same_replica(messages: list[Record], keep: int) -> None:
    told, digest = the()
    world, node = observer(told.federation)
    tell(world, node, messages[: len(messages) * keep // 100 or None])
    heal(world, node, told)
    assert digest_of(node) == digest
    assert not node.store.missing_bodies(10)


@pytest.mark.parametrize("kind", [Records, Deltas, Forks])
def test_a_late_joiner_who_hears_one_kind_last_holds_the_same(kind: type[Record]) -> None:
    told, digest = the()
    world, node = observer(told.federation)
    tell(world, node, [m for m in told.messages if not isinstance(m, kind)])
    tell(world, node, [m for m in told.messages if isinstance(m, kind)][::-1])
    heal(world, node, told)
    assert digest_of(node) == digest


def test_a_restart_in_the_middle_ends_in_the_same_replica() -> None:
    told, digest = the()
    world, node = observer(told.federation)
    tell(world, node, told.messages[::-1][: len(told.messages) // 2])
    other, again = observer(told.federation)
    again.store = node.store
    restarted = other.add("bell", "observer", store=node.store, boot=2)
    other.run(0.001)
    for peer in PEERS:
        other._put(0, restarted.peer.core.own.peer, ev.StreamOpened(peer))
    heal(other, restarted, told)
    assert digest_of(restarted) == digest


def test_a_deeper_seal_cuts_what_a_later_generation_built_above_it() -> None:
    """Who held the log when the second revocation came keeps no more than who comes after."""
    federation = found("acme", "bell", threshold=1)
    acme = federation.orgs["acme"]
    agent, writer = acme.agent("erin", now_ms=AT_MS - 1_000), acme.node("acme-1", "eu", AT_MS)
    old = log(pen(federation, agent, writer), "e1", "e2")
    rotation = rotate_agent(
        acme.issuer,
        acme.issuer_key,
        agent,
        revealed=key("erin-next"),
        next_digest=key("erin-3").public.digest,
        seal=[SealEntry(old[1].header.chain, 2, old[1].id)],
        now_ms=AT_MS,
    )
    new_pen = replace(pen(federation, rotation.record, writer), agent_key=key("erin-next"))
    new = log(new_pen, "e3", "e4", after=old[1])
    records = [agent, writer, rotation.record, rotation.revocation]
    told = [Records((signed.to_bytes(),)) for signed in records]
    deltas = [Deltas((delta.to_bytes(),)) for delta in (*old, *new)]
    deeper = Records((revoked(acme, agent, old[0]).to_bytes(),))
    early_world, early = observer(federation)
    tell(early_world, early, [*told, *deltas])
    assert early.store.head(old[0].header.chain).sequence == 4  # type: ignore[union-attr]
    tell(early_world, early, [deeper])
    late_world, late = observer(federation)
    tell(late_world, late, [*told, deeper, *deltas])
    assert early.store.head(old[0].header.chain).sequence == 1  # type: ignore[union-attr]
    assert digest_of(early) == digest_of(late)


def test_a_clock_behind_at_a_restart_keeps_nobody_from_a_revocation() -> None:
    """The clock was right when the records came: what the store kept is known again."""
    federation = found("acme", "bell", threshold=1)
    acme = federation.orgs["acme"]
    agent, writer = acme.agent("erin", now_ms=AT_MS - 1_000), acme.node("acme-1", "eu", AT_MS)
    deltas = log(pen(federation, agent, writer), "e1", "e2")
    told = [Records((signed.to_bytes(),)) for signed in (agent, writer)]
    told += [Deltas((delta.to_bytes(),)) for delta in deltas]
    world, node = observer(federation)
    tell(world, node, told)
    other, _ = observer(federation)
    behind = -2 * HOUR_MS * MILLISECOND_US
    restarted = other.add("bell", "observer", store=node.store, boot=2, skew_us=behind)
    restarted.skew_us = 0
    for peer in PEERS:
        other._put(0, restarted.peer.core.own.peer, ev.StreamOpened(peer))
    tell(other, restarted, [Records((revoked(acme, agent, deltas[0]).to_bytes(),))])
    assert restarted.store.head(deltas[0].header.chain).sequence == 1  # type: ignore[union-attr]
