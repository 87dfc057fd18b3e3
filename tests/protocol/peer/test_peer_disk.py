"""Peers whose disk or keys fail for a while: nothing is claimed that is not there (P8)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hive.memory.fork import ForkProof, fork_proof
from hive.protocol import events as ev
from hive.protocol.commands import AdmitRecords, Authored, Declined, RecordsTaken
from hive.protocol.quarantine import PROOFS_OF_AUTHOR_MAX, Quarantine
from hive.trust.envelope import Signed
from hive.trust.records import AgentRecord
from tests.protocol.peer.peer_federation import found
from tests.protocol.peer.peer_history import AT_MS, log, pen
from tests.protocol.peer.peer_world import Node, World


class Watched(World):
    """Counts the stores of each event, and lets keys refuse to sign."""

    stores_max = 0
    is_mute = False

    def _perform(self, node: Node, effects: Sequence[ev.Effect]) -> None:
        stores = sum(isinstance(effect, ev.Store) for effect in effects)
        self.stores_max = max(self.stores_max, stores)
        super()._perform(node, effects)

    def _perform_one(self, node: Node, effect: ev.Effect) -> None:
        if isinstance(effect, ev.SignAs) and self.is_mute:
            own = node.peer.core.own.peer
            self._put(0, own, ev.SignatureMade(effect.token, b""))
            return
        super()._perform_one(node, effect)


def alone() -> tuple[Watched, Node, Signed[AgentRecord]]:
    federation = found("acme")
    agent = federation.orgs["acme"].agent("ann")
    world = Watched(federation)
    node = world.add("acme", "acme-1", agents=(agent,), is_issuer=True)
    world.run(1)
    return world, node, agent


def test_a_record_that_the_disk_refused_is_declined_and_stored_when_the_disk_is_back() -> None:
    world, node, _ = alone()
    other = world.federation.orgs["acme"].agent("bob")
    node.store_fails = True
    request = world.ask(node, AdmitRecords((other.to_bytes(),)))
    world.run(2)
    answer = node.answers[request]
    assert isinstance(answer, Declined)
    assert answer.refusal.reason.code == "store_failed"
    node.store_fails = False
    world.run(15)
    assert other.to_bytes() in list(node.store.records())
    again = world.ask(node, AdmitRecords((other.to_bytes(),)))
    world.run(1)
    assert node.answers[again] == RecordsTaken(("admitted",))


def test_a_command_of_many_drafts_never_names_as_written_what_is_not_durable() -> None:
    world, node, agent = alone()
    node.store_fails = True
    request = world.remember(node, agent, *(f"text {number}" for number in range(150)))
    world.run(2)
    answer = node.answers[request]
    assert isinstance(answer, Declined)
    assert answer.already == ()
    node.store_fails = False
    request = world.remember(node, agent, *(f"again {number}" for number in range(150)))
    world.run(2)
    answer = node.answers[request]
    assert isinstance(answer, Authored)
    assert all(node.store.has(delta.id) for delta in answer.deltas)
    assert [delta.header.sequence for delta in answer.deltas] == list(range(1, 151))


def test_a_key_that_does_not_sign_declines_the_write_and_blocks_nothing() -> None:
    world, node, agent = alone()
    world.is_mute = True
    request = world.remember(node, agent, "unsigned")
    world.run(1)
    world.is_mute = False
    assert isinstance(node.answers[request], Declined)
    request = world.remember(node, agent, "signed")
    world.run(1)
    assert isinstance(node.answers[request], Authored)


def test_one_event_is_one_store() -> None:
    federation = found("acme", "bell", threshold=1)
    world = Watched(federation)
    agents = [federation.orgs[name].agent(f"{name}-agent") for name in federation.orgs]
    nodes = [
        world.add(name, f"{name}-1", agents=(agent,), is_issuer=True)
        for name, agent in zip(federation.orgs, agents, strict=True)
    ]
    world.join_all(*nodes)
    world.run(5)
    for number in range(5):
        world.remember(nodes[0], agents[0], f"text {number}", f"more {number}")
        world.run(0.5)
    assert world.stores_max == 1


@pytest.fixture
def proofs() -> list[ForkProof]:
    """Forks of one log at positions 1 to 4, later ones first."""
    federation = found("acme")
    acme = federation.orgs["acme"]
    writer = pen(federation, acme.agent("eve"), acme.node("acme-1", "eu"))
    stem = log(writer, "1", "2", "3", "4", at_ms=AT_MS)
    before = [None, *stem[:-1]]
    rivals = [
        writer.write(f"rival {n}", after=after, admitted_at_ms=AT_MS, lease=0)
        for n, after in enumerate(before)
    ]
    return [fork_proof(a, b) for a, b in zip(stem, rivals, strict=True)][::-1]


def test_only_a_proof_that_moves_the_exclusion_down_is_kept(proofs: list[ForkProof]) -> None:
    quarantine = Quarantine()
    assert [quarantine.add(proof, 0) for proof in proofs] == [True] * 4
    assert not any(quarantine.add(proof, 0) for proof in proofs)
    assert quarantine.excludes(proofs[0].chain, 1, 0)
    assert not quarantine.excludes(proofs[0].chain, 1, 1)
    assert quarantine.add(proofs[0], 1)


def test_a_hostile_author_cannot_fill_memory_with_forks(proofs: list[ForkProof]) -> None:
    quarantine = Quarantine()
    for generation in range(2 * PROOFS_OF_AUTHOR_MAX):
        quarantine.add(proofs[0], generation)
    assert quarantine.version == PROOFS_OF_AUTHOR_MAX
