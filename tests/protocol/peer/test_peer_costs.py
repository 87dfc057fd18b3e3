"""What one peer may cost another in work: asks pay by their length, and none is a lever."""

from __future__ import annotations

import pytest

from hive.protocol import events as ev
from hive.protocol import refusals
from hive.protocol.discovery.records import SignedRecord
from hive.protocol.freshness import _Heard
from hive.protocol.machine import Verified, Verify
from hive.protocol.messages import REVOCATION_COUNT_MAX, RevocationList
from hive.wire import merkle
from hive.wire.clock import MonotonicUs
from hive.wire.ids import Digest, Inception
from tests.protocol.peer.peer_federation import found
from tests.protocol.peer.peer_history import PEERS, history, observer, tell
from tests.protocol.peer.peer_world import World


def test_long_lists_of_ids_cost_a_peer_by_their_length() -> None:
    world, node = observer(history().federation)
    frame = RevocationList((bytes(32),) * REVOCATION_COUNT_MAX).to_body()
    refused = []
    for _ in range(25):
        effects = node.peer.handle(ev.FrameReceived(PEERS[0], frame), world.now(node))
        refused += [effect for effect in effects if isinstance(effect, ev.RefusedNews)]
    assert refused
    assert {each.refusal.reason for each in refused} == {refusals.OVER_BUDGET}


def test_lists_that_no_issuer_stated_crowd_out_no_root_that_one_did() -> None:
    told = history()
    world, node = observer(told.federation)
    tell(world, node, told.messages)
    freshness, trust = node.peer.core.freshness, node.peer.core.trust
    ids = trust.revocation_ids()
    assert len(ids) > 1
    stated = merkle.root(ids[:1])
    freshness._heard[Inception(bytes(32))] = _Heard(1, 0, stated, MonotonicUs(0), None)
    assert not freshness.cover(ids[:1])
    assert not freshness.lacks(stated)
    others = merkle.root(ids[1:])
    assert not freshness.cover(ids[1:])
    assert freshness.lacks(others)


def test_one_orgs_revocation_reads_one_delta_of_each_log_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = history()
    world, node = observer(told.federation)
    tell(world, node, told.messages)
    heads = [head for name in node.store.namespaces() for head in node.store.heads(name)]
    assert max(head.sequence for head in heads) > 1
    read, chain_slice = [], node.store.chain_slice

    def counting(chain: Digest, first: int, count: int):  # type: ignore[no-untyped-def]
        page = chain_slice(chain, first, count)
        read.extend(page)
        return page

    monkeypatch.setattr(node.store, "chain_slice", counting)
    for head in heads:
        assert not node.peer.recordkeeping._first_bad(head, Inception(bytes(32)))
    assert len(read) == len(heads)


def test_forged_peer_records_cost_their_sender_its_budget() -> None:
    federation = found("acme", "bell", threshold=1)
    world = World(federation)
    one, other = world.add("acme", "one"), world.add("bell", "other")
    world.join_all(one, other)
    world.run(5)
    own, sender = one.peer, other.peer.core.own.peer
    genuine = other.peer.introductions.own_record
    known = own.introductions.known.get(sender)
    assert known is not None
    known.record = None
    forged = SignedRecord(genuine.body, bytes(64)).to_bytes()
    before = own.core.budgets.health(sender)
    asked = 0
    for _ in range(200):
        datagram = ev.DatagramOpened(sender, ev.INTRODUCTION, forged)
        for effect in own.handle(datagram, world.now(one)):
            if isinstance(effect, Verify):
                asked += 1
                own.handle(Verified(effect.token, (False,)), world.now(one))
    assert own.core.budgets.health(sender) < before
    assert asked < 200
    assert known.record is None
