"""Whole peers of three organisations in a virtual world."""

from __future__ import annotations

from hive.memory.log import State
from hive.protocol import events as ev
from hive.protocol.commands import Authored, Declined, Recalled
from tests.protocol.peer.peer_federation import found
from tests.protocol.peer.peer_world import World


def three_orgs() -> tuple[World, list, list]:
    federation = found("acme", "bell", "corp")
    world = World(federation)
    agents = [federation.orgs[name].agent(f"{name}-agent") for name in federation.orgs]
    nodes = [
        world.add(name, f"{name}-1", agents=(agent,), is_issuer=True)
        for name, agent in zip(federation.orgs, agents, strict=True)
    ]
    world.join_all(*nodes)
    world.run(20)
    return world, nodes, agents


def test_a_memory_reaches_every_org_and_is_recalled_there_with_its_provenance():
    world, nodes, agents = three_orgs()
    request = world.remember(nodes[0], agents[0], "the aurora is green", "otters hold hands")
    world.run(1)
    answer = nodes[0].answers[request]
    assert isinstance(answer, Authored), answer
    assert len(set(world.digests())) == 1
    question = world.recall(nodes[2], agents[2], "aurora")
    world.run(1)
    recalled = nodes[2].answers[question]
    assert isinstance(recalled, Recalled)
    assert [hit.held.delta.id for hit in recalled.hits] == [answer.deltas[0].id]


def test_a_forget_wins_everywhere():
    world, nodes, agents = three_orgs()
    request = world.remember(nodes[0], agents[0], "a secret")
    world.run(1)
    target = nodes[0].answers[request].deltas[0].id
    world.forget(nodes[0], agents[0], target)
    world.run(1)
    for node in nodes:
        held = node.store.delta(target)
        assert held is not None
        assert held.state is State.FORGOTTEN
        assert held.delta.body == b""
    assert len(set(world.digests())) == 1


def test_a_partition_heals_to_identical_digests():
    world, nodes, agents = three_orgs()
    world.partition(nodes[:2], nodes[2:])
    world.run(5)
    for node, agent in zip(nodes, agents, strict=True):
        world.remember(node, agent, f"said in the dark by {node.name}")
    world.run(3)
    assert len(set(world.digests())) == 2
    world.heal()
    world.run(60)
    assert len(set(world.digests())) == 1
    assert all(
        node.store.heads("commons/notes") == nodes[0].store.heads("commons/notes") for node in nodes
    )


def test_a_node_alone_of_three_stops_writing_when_it_is_no_longer_fresh():
    world, nodes, agents = three_orgs()
    world.partition(nodes[:1], nodes[1:])
    world.run(60)
    request = world.remember(nodes[0], agents[0], "too late")
    other = world.remember(nodes[1], agents[1], "still fresh")
    world.run(1)
    declined = nodes[0].answers[request]
    assert isinstance(declined, Declined)
    assert declined.refusal.reason.code == "not_fresh"
    assert isinstance(nodes[1].answers[other], Authored)


def test_a_failed_store_is_answered_with_a_refusal_and_nothing_goes_out():
    world, nodes, agents = three_orgs()
    nodes[0].store_fails = True
    request = world.remember(nodes[0], agents[0], "lost")
    world.run(1)
    assert isinstance(nodes[0].answers[request], Declined)
    assert all(not node.store.heads("commons/notes") for node in nodes)
    nodes[0].store_fails = False
    again = world.remember(nodes[0], agents[0], "kept")
    world.run(1)
    assert isinstance(nodes[0].answers[again], Authored)
    assert len(set(world.digests())) == 1


def test_a_stopped_member_is_declared_dead():
    world, nodes, _ = three_orgs()
    world.stop(nodes[2])
    world.run(15)
    gone = nodes[2].peer.core.own.peer
    for node in nodes[:2]:
        deaths = [n for n in node.news if isinstance(n, ev.MemberNews) and n.state == "dead"]
        assert [death.peer for death in deaths] == [gone]
