"""Quotas: who takes how much of the store, fair under pressure, kept over a restart."""

from __future__ import annotations

from hive.protocol.commands import Authored, Declined
from hive.protocol.peer_config import PeerConfig
from hive.protocol.ports import Usage
from hive.protocol.quota import QuotaConfig, Shares
from hive.store.memory_store import MemoryStore, MemoryStoreConfig
from hive.trust.envelope import Signed
from hive.trust.records import AgentRecord
from hive.wire.ids import Inception
from tests.protocol.peer.peer_federation import found
from tests.protocol.peer.peer_world import Node, World


def alone(quota: QuotaConfig, bytes_max: int = 1 << 30) -> tuple[World, Node, Signed[AgentRecord]]:
    """A node of acme, in a federation with bell, that may write."""
    federation = found("acme", "bell", threshold=1)
    world = World(federation)
    agent = federation.orgs["acme"].agent("ann")
    store = MemoryStore(MemoryStoreConfig(bytes_max=bytes_max))
    config = PeerConfig(quota=quota)
    node = world.add("acme", "one", agents=(agent,), is_issuer=True, config=config, store=store)
    world.run(2)
    return world, node, agent


def written(world: World, node: Node, agent: Signed[AgentRecord], count: int) -> list[str]:
    """What became of so many memories of 1,000 letters, one after the other."""
    outcomes = []
    for number in range(count):
        request = world.remember(node, agent, f"{number:04}".ljust(1_000, "x"))
        world.run(2)
        answer = node.answers[request]
        is_written = isinstance(answer, Authored)
        assert is_written or isinstance(answer, Declined)
        outcomes.append("" if isinstance(answer, Authored) else answer.refusal.reason.code)
    return outcomes


def test_a_namespace_takes_so_many_bytes_of_one_organisation() -> None:
    world, node, agent = alone(QuotaConfig(namespace_bytes_max=10_000))
    outcomes = written(world, node, agent, 12)
    assert outcomes[:5] == [""] * 5
    assert outcomes[-1] == "over_quota"


def test_who_is_beyond_its_share_of_a_filling_store_is_refused_and_others_are_not() -> None:
    shares = Shares(QuotaConfig(reserved_permille=250), lambda leaf: None)
    world, node, agent = alone(QuotaConfig())
    written(world, node, agent, 1)
    (head,) = node.store.heads("commons/notes")
    held = node.store.delta(head.delta)
    assert held is not None
    acme, bell = Inception(b"a" * 32), Inception(b"b" * 32)
    header, delta = held.delta.header, held.delta
    shares.observe(Usage(0, 100_000), 2)
    while not shares.lack(acme, header, 1_000):
        shares.charge(acme, delta)
    assert 75_000 <= shares.totals()[0][1].bytes_count <= 77_000
    while not shares.lack(bell, header, 1_000):
        shares.charge(bell, delta)
    assert shares.totals()[1][1].bytes_count >= shares.guaranteed_bytes - 1_000
    assert shares.guaranteed_bytes == 12_500


def test_an_organisation_alone_has_the_whole_store() -> None:
    shares = Shares(QuotaConfig(), lambda leaf: None)
    shares.observe(Usage(90_000, 100_000), 1)
    assert shares.guaranteed_bytes == 100_000


def test_forgetting_gives_room_back_and_is_never_refused() -> None:
    world, node, agent = alone(QuotaConfig(namespace_bytes_max=10_000))
    written(world, node, agent, 12)
    (head,) = node.store.heads("commons/notes")
    targets = [held.delta.id for held in node.store.chain_slice(head.chain, 1, 100)]
    request = world.forget(node, agent, *targets)
    world.run(2)
    assert isinstance(node.answers[request], Authored)
    assert written(world, node, agent, 1) == [""]


def test_counts_after_a_restart_are_those_before() -> None:
    world, node, agent = alone(QuotaConfig(snapshot_every_count=4))
    written(world, node, agent, 10)
    shares = node.peer.core.shares
    before = [(org, vars_of(count)) for org, count in shares.totals()]
    assert node.store.meta("shares") is not None
    again = Shares(QuotaConfig(), node.peer.core.trust.org_of)
    again.recover(node.store)
    assert [(org, vars_of(count)) for org, count in again.totals()] == before
    afresh = Shares(QuotaConfig(), node.peer.core.trust.org_of)
    node.store._meta.clear()
    afresh.recover(node.store)
    assert [(org, vars_of(count)) for org, count in afresh.totals()] == before


def vars_of(count: object) -> tuple[int, ...]:
    return tuple(getattr(count, name) for name in ("bytes_count", "logs", "entities"))


def test_what_a_peer_brings_is_bounded_by_the_quota_too_and_the_peer_is_not_blamed() -> None:
    federation = found("acme", "bell", threshold=1)
    world = World(federation)
    agent = federation.orgs["acme"].agent("ann")
    writer = world.add("acme", "one", agents=(agent,), is_issuer=True)
    small = PeerConfig(quota=QuotaConfig(namespace_bytes_max=10_000))
    reader = world.add("bell", "two", config=small)
    world.join_all(writer, reader)
    world.run(5)
    written(world, writer, agent, 12)
    world.run(5)
    assert len(writer.store.summaries("commons/notes", 0, 2**63, 100)) == 12  # type: ignore[arg-type]
    held = reader.store.summaries("commons/notes", 0, 2**63, 100)  # type: ignore[arg-type]
    assert 4 <= len(held) < 12
    assert reader.peer.core.budgets.health(writer.peer.core.own.peer) == 1_000
