"""What one peer may cost another in work: asks pay by their length, and none is a lever."""

from __future__ import annotations

import pytest

from hive.protocol import events as ev
from hive.protocol import refusals
from hive.protocol.freshness import _Heard
from hive.protocol.messages import REVOCATION_COUNT_MAX, RevocationList
from hive.wire import merkle
from hive.wire.clock import MonotonicUs
from hive.wire.ids import Digest, Inception
from tests.protocol.peer.peer_history import PEERS, history, observer, tell


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
