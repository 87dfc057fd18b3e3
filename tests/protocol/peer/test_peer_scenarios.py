"""Whole peers against a hostile author, a revocation, a rotation, and records they never saw."""

from __future__ import annotations

from dataclasses import replace

from hive.memory.delta import Delta
from hive.memory.log import State
from hive.protocol import events as ev
from hive.protocol.commands import AdmitRecords, Authored, Declined
from hive.protocol.ingress import STEPS
from hive.protocol.messages import Deltas
from hive.trust.envelope import Signed, sign_record
from hive.trust.records import AgentRecord, SealEntry
from hive.trust.rotation import rotate_agent
from hive.wire.clock import SECOND_US
from hive.wire.ids import Inception
from tests.protocol.peer.peer_federation import NOW_MS, Federation, found, key
from tests.protocol.peer.peer_history import log, pen, revoked
from tests.protocol.peer.peer_world import Node, World

AT_MS = NOW_MS + 2_000
SPACE = "commons/notes"


def three() -> tuple[World, Federation, list[Node], list[Signed[AgentRecord]]]:
    """Three connected nodes of three orgs, each with an agent and its org's issuer."""
    federation = found("acme", "bell", "corp")
    world = World(federation)
    agents = [federation.orgs[name].agent(f"{name}-agent") for name in federation.orgs]
    nodes = [
        world.add(name, f"{name}-1", agents=(agent,), is_issuer=True)
        for name, agent in zip(federation.orgs, agents, strict=True)
    ]
    world.join_all(*nodes)
    world.run(20)
    return world, federation, nodes, agents


def inject(world: World, node: Node, sender: Node, *deltas: Delta) -> None:
    """A hostile sender says these to one node and to nobody else."""
    payload = Deltas(tuple(delta.to_bytes() for delta in deltas)).to_body()
    frame = ev.FrameReceived(sender.peer.core.own.peer, payload)
    world._put(0, node.peer.core.own.peer, frame)


def forked() -> tuple[World, Federation, list[Node], Signed[AgentRecord], list[Delta]]:
    """bell's node and agent show acme one branch and corp the other."""
    world, federation, nodes, agents = three()
    hostile = pen(federation, agents[1], federation.orgs["bell"].node("bell-1", "eu"))
    stem = log(hostile, "stem", at_ms=AT_MS, namespace=SPACE)
    one = log(hostile, "one", "more", after=stem[0], at_ms=AT_MS, namespace=SPACE)
    other = log(hostile, "other", after=stem[0], at_ms=AT_MS, namespace=SPACE)
    inject(world, nodes[0], nodes[1], *stem, *one)
    inject(world, nodes[2], nodes[1], *stem, *other)
    world.run(60)
    return world, federation, nodes, agents[1], [*stem, *one, *other]


def test_a_fork_is_proven_told_and_quarantined_everywhere_strictly_before_it() -> None:
    _, _, nodes, agent, deltas = forked()
    for node in (nodes[0], nodes[2]):
        assert len(node.store.forks()) == 1
        head = node.store.head(deltas[0].header.chain)
        assert head is not None
        assert head.sequence == 1
        assert node.peer.core.quarantine.has_author(Inception(agent.record.inception), 0)
        assert any(isinstance(news, ev.ForkNews) for news in node.news)
    assert len(nodes[1].store.forks()) == 1


def test_honest_relayers_of_a_fork_keep_their_budget() -> None:
    _, _, nodes, _, _ = forked()
    honest = [nodes[0], nodes[2]]
    for node in honest:
        for other in honest:
            assert node.peer.core.budgets.health(other.peer.core.own.peer) == 1_000


def rotated(federation: Federation, org: str, agent: Signed[AgentRecord], *good: Delta):  # type: ignore[no-untyped-def]
    """The agent's next generation, sealing what was good."""
    held = federation.orgs[org]
    name = agent.record.name
    seal = [SealEntry(d.header.chain, d.header.sequence, d.id) for d in good[-1:]]
    return rotate_agent(
        held.issuer,
        held.issuer_key,
        agent,
        revealed=key(f"{name}-next"),
        next_digest=key(f"{name}-third").public.digest,
        seal=seal,
        now_ms=NOW_MS + 10_000,
    )


def test_a_new_generation_ends_the_quarantine() -> None:
    world, federation, nodes, agent, deltas = forked()
    rotation = rotated(federation, "bell", agent, deltas[0])
    world.ask(nodes[1], AdmitRecords((rotation.record.to_bytes(), rotation.revocation.to_bytes())))
    world.run(2)
    node = federation.orgs["bell"].node("bell-1", "eu")
    honest = replace(
        pen(federation, rotation.record, node), agent_key=key(f"{agent.record.name}-next")
    )
    again = log(honest, "anew", after=deltas[0], at_ms=NOW_MS + 60_000, namespace=SPACE)
    inject(world, nodes[0], nodes[1], *again)
    world.run(60)
    for each in (nodes[0], nodes[2]):
        head = each.store.head(deltas[0].header.chain)
        assert head is not None
        assert head.delta == again[0].id


def test_a_rotated_agent_continues_its_log_and_is_no_forker() -> None:
    world, federation, nodes, agents = three()
    request = world.remember(nodes[0], agents[0], "before")
    world.run(1)
    first = nodes[0].answers[request].deltas[0]  # type: ignore[union-attr]
    rotation = rotated(federation, "acme", agents[0], first)
    fresh = key("acme-agent-next")
    nodes[0].keys.by_digest[fresh.public.digest] = fresh
    world.ask(nodes[0], AdmitRecords((rotation.record.to_bytes(), rotation.revocation.to_bytes())))
    world.run(1)
    request = world.remember(nodes[0], agents[0], "after")
    world.run(30)
    answer = nodes[0].answers[request]
    assert isinstance(answer, Authored), answer
    assert answer.deltas[0].header.sequence == 2
    assert answer.deltas[0].header.leaf == rotation.record.id
    assert len(set(world.digests())) == 1
    assert not any(node.store.forks() for node in nodes)


def test_a_revocation_bites_everywhere_connected_within_a_minute() -> None:
    world, federation, nodes, agents = three()
    first = world.remember(nodes[1], agents[1], "good")
    world.run(1)
    second = world.remember(nodes[1], agents[1], "bad")
    world.run(1)
    good = nodes[1].answers[first].deltas[0]  # type: ignore[union-attr]
    bad = nodes[1].answers[second].deltas[0]  # type: ignore[union-attr]
    assert all(node.store.has(bad.id) for node in nodes)
    revocation = revoked_now(federation, "bell", agents[1], good)
    world.ask(nodes[0], AdmitRecords((revocation.to_bytes(),)))
    world.run(60)
    for node in nodes:
        assert not node.store.has(bad.id)
        assert node.store.has(good.id)
    request = world.remember(nodes[1], agents[1], "still here?")
    world.run(1)
    assert isinstance(nodes[1].answers[request], Declined)


def revoked_now(federation: Federation, org: str, agent: Signed[AgentRecord], *good: Delta):  # type: ignore[no-untyped-def]
    """A revocation dated in the world's present."""
    held = federation.orgs[org]
    record = replace(revoked(held, agent, *good).record, at_ms=NOW_MS + 5_000)
    return sign_record(record, held.issuer_key)


def test_a_peer_that_cannot_hear_a_revocation_refuses_to_write() -> None:
    world, federation, nodes, agents = three()
    world.partition(nodes[1:2], [nodes[0], nodes[2]])
    revocation = revoked_now(federation, "bell", agents[1])
    world.ask(nodes[0], AdmitRecords((revocation.to_bytes(),)))
    world.run(60)
    request = world.remember(nodes[1], agents[1], "in the dark")
    world.run(1)
    answer = nodes[1].answers[request]
    assert isinstance(answer, Declined)
    assert answer.refusal.reason.code == "not_fresh"
    world.heal()
    world.run(60)
    assert len(set(world.digests())) == 1


def test_a_wrong_clock_is_named_once_others_were_heard_and_is_stale_knowledge_before() -> None:
    world, _, nodes, agents = three()
    world.run(30)
    nodes[1].skew_us = 600 * SECOND_US
    for seconds, code in ((0.5, "not_fresh"), (30, "clock_ahead")):
        request = world.remember(nodes[1], agents[1], "from the future")
        world.run(seconds)
        answer = nodes[1].answers[request]
        assert isinstance(answer, Declined)
        assert answer.refusal.reason.code == code
    nodes[1].skew_us = 0
    world.run(60)
    request = world.remember(nodes[1], agents[1], "at the right time")
    world.run(1)
    assert isinstance(nodes[1].answers[request], Authored)


def test_records_that_a_peer_never_saw_are_fetched_on_demand() -> None:
    world, _, nodes, agents = three()
    assert nodes[2].peer.core.trust.signed(agents[0].id) is None
    request = world.remember(nodes[0], agents[0], "from a stranger")
    world.run(1)
    delta = nodes[0].answers[request].deltas[0]  # type: ignore[union-attr]
    assert nodes[2].peer.core.trust.signed(agents[0].id) is not None
    assert nodes[2].store.has(delta.id)
    assert any(
        isinstance(news, ev.RefusedNews) and news.refusal.reason.code == "chain_unknown"
        for news in nodes[2].news
    )


def test_a_late_joiner_verifies_expired_leaves_at_the_time_they_were_used() -> None:
    world, federation, nodes, _ = three()
    short = federation.orgs["acme"].agent("brief", life_ms=60_000)
    nodes[0].keys.by_digest[key("brief").public.digest] = key("brief")
    world.ask(nodes[0], AdmitRecords((short.to_bytes(),)))
    world.run(1)
    request = world.remember(nodes[0], short, "while it lasted")
    world.run(120)
    delta = nodes[0].answers[request].deltas[0]  # type: ignore[union-attr]
    declined = world.remember(nodes[0], short, "too late")
    late = world.add("corp", "corp-2")
    world.join_all(nodes[0], late)
    world.run(60)
    assert isinstance(nodes[0].answers[declined], Declined)
    held = late.store.delta(delta.id)
    assert held is not None
    assert held.state is State.LIVE
    assert len(set(world.digests())) == 1


def test_a_world_whose_peers_do_not_check_signatures_takes_a_forgery_on() -> None:
    """The mutant must be caught by what the product refuses, or the scenario proves nothing."""
    lax = tuple(step for step in STEPS if step.name != "author's signature")
    for steps, is_taken in ((STEPS, False), (lax, True)):
        federation = found("acme", "bell", threshold=1)
        world = World(federation)
        agent = federation.orgs["acme"].agent("ann")
        nodes = [
            world.add("acme", "acme-1", agents=(agent,), is_issuer=True, steps=steps),
            world.add("bell", "bell-1", is_issuer=True, steps=steps),
        ]
        world.join_all(*nodes)
        world.run(10)
        forger = pen(federation, agent, federation.orgs["bell"].node("bell-1", "eu"))
        forged = forger.write(namespace=SPACE, admitted_at_ms=AT_MS, author_key=key("mallory"))
        inject(world, nodes[0], nodes[1], forged)
        world.run(2)
        assert nodes[0].store.has(forged.id) is is_taken


def test_a_node_of_another_org_cannot_forge_an_author_by_a_receipt_of_its_own() -> None:
    """A batch proof that leads nowhere leaves the receipt to verify, which is no author's word."""
    world, federation, nodes, agents = three()
    forger = pen(federation, agents[0], federation.orgs["bell"].node("bell-1", "eu"))
    delta = forger.write(namespace=SPACE, admitted_at_ms=AT_MS)
    forged = replace(delta, proof=replace(delta.proof, signature=bytes(64), count=5))
    inject(world, nodes[0], nodes[1], forged)
    world.run(2)
    assert not nodes[0].store.has(forged.id)
    assert nodes[0].peer.core.budgets.health(nodes[1].peer.core.own.peer) < 1_000
