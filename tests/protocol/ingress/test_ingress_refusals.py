"""The refusal corpus: every reason has an attack, and every attack a twin that succeeds (P1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from ingress_gate import SENDER, Gate
from refusal_cases import CASES, Case

from hive.errors import HiveError
from hive.memory.log import State
from hive.protocol import events as ev
from hive.protocol import refusals
from hive.protocol.commands import Authored, Declined
from hive.protocol.ingress import (
    STEPS,
)
from hive.protocol.machine import Token, Verify
from hive.protocol.outcomes import DeltaRefused, Output
from hive.protocol.refusals import Fault
from hive.protocol.waiting import WaitingConfig
from hive.store.faults import StoreFull
from hive.store.memory_store import MemoryStore, MemoryStoreConfig
from hive.trust.envelope import Signed
from hive.trust.records import AgentRecord
from tests.protocol.peer.peer_federation import found, key
from tests.protocol.peer.peer_world import Node, World

NOT_BY_STEPS = {"store_full", "store_failed"}
"""Refusals by the disk: their twin is a driver that answers before it stored."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_attack_is_refused_for_its_reason(case: Case) -> None:
    gate = Gate(**case.gate)
    assert not case.attack(gate)
    assert case.code in gate.refused


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_attack_succeeds_where_the_check_is_removed(case: Case) -> None:
    assert case.attack(Gate(steps=case.twin, **case.twin_gate)), case.also


def test_every_reason_has_a_case() -> None:
    covered = {case.code for case in CASES} | NOT_BY_STEPS
    assert covered == set(refusals.REASONS)


def test_every_check_of_the_product_stops_a_case() -> None:
    """A check whose removal lets nothing in would be a check that does nothing."""
    names = {step.name for step in STEPS}
    kept = [{step.name for step in case.twin if step in STEPS} for case in CASES]
    lax = {"records"}
    assert {name for name in names if all(name in some for some in kept)} == lax


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_only_the_senders_own_fault_costs_it_budget(case: Case) -> None:
    gate = Gate(**case.gate)
    case.attack(gate)
    at_fault = [r for r in gate.refused if refusals.REASONS[r].fault is Fault.SENDER]
    if case.code != "no_session":
        assert (gate.health < 1_000) == bool(at_fault)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_refused_is_neither_live_nor_passed_on_with_a_body(case: Case) -> None:
    gate = Gate(**case.gate)
    case.attack(gate)
    refused = [o.delta for o in gate.outputs if getattr(o, "refusal", None) is not None]
    for id in refused:
        held = gate.store.delta(id)
        if case.code in ("duplicate", "fork", "quarantined") or held is None:
            continue
        assert held.state.name == "VOID"
        assert held.delta.body == b""


def test_seen_is_marked_only_after_step_10() -> None:
    gate = Gate()
    good = gate.pen().write()
    gate.send(replace(good, proof=replace(good.proof, signature=bytes(64))))
    assert gate.refused == ["forged_signature"]
    gate.send(good)
    assert gate.is_live(good)


def test_a_forged_twin_does_not_displace_what_waits_for_its_records() -> None:
    gate = Gate()
    pen = gate.pen(is_known=False)
    good = pen.write()
    other = type(SENDER)(b"t" * 20)
    gate.view.sessions = lambda peer: peer in (SENDER, other)
    gate.send(good)
    gate.send(replace(good, proof=replace(good.proof, signature=bytes(64))), sender=other)
    gate.knows(pen.node, pen.agent)
    gate._perform(gate.intake.records_admitted((pen.agent.id, pen.node.id), gate.now()))
    assert gate.is_live(good)


def test_a_long_run_that_waited_is_admitted_at_once_and_without_recursion() -> None:
    gate = Gate()
    pen = gate.pen()
    run = [pen.write("0")]
    for number in range(1, 600):
        run.append(pen.write(str(number), after=run[-1]))
    for delta in reversed(run):
        gate.send(delta)
    assert gate.admitted == [delta.id for delta in run]


def test_a_body_brings_nothing_but_itself() -> None:
    """A forged receipt beside a true body must not decide how far a forget reaches."""
    gate = Gate()
    pen, other = gate.pen(), gate.pen(gate.acme.agent("bob"))
    target = other.write("of somebody else")
    forget = pen.forget(target.id)
    gate.send(target)
    gate.send(replace(forget, body=b""))
    assert gate.is_live(forget)
    forged = pen.forget(
        target.id, admitted_at_ms=1, receipt_key=key("mallory"), hlc=forget.header.hlc
    )
    assert forged.id == forget.id
    gate.send(replace(forged, proof=replace(forged.proof, signature=bytes(64))))
    assert [f.is_any for f in gate.store.forgets_of(target.id)] == [True]
    passed_on = [o for o in gate.outputs if type(o).__name__ == "DeltasAdmitted"][-1].deltas[0]
    assert passed_on.receipt == forget.receipt
    assert passed_on.proof == forget.proof


def test_a_void_is_a_header_only_and_becomes_live_once_a_receipt_justifies_it() -> None:
    gate = Gate()
    pen = gate.pen()
    voided = pen.write(receipt_changes={"epochs": (1, 2)})
    gate.send(voided)
    second = pen.write("second", after=voided)
    gate.send(second)
    assert gate.store.delta(voided.id).state.name == "VOID"
    gate.send(pen.write())
    held = gate.store.delta(voided.id)
    assert held.state.name == "LIVE"
    assert held.delta.body == voided.body
    assert gate.view.store.head(voided.header.chain).delta == second.id


def test_a_void_with_another_vain_receipt_is_not_passed_on_again() -> None:
    gate = Gate()
    pen = gate.pen()
    gate.send(pen.write(receipt_changes={"epochs": (1, 2)}))
    gate.send(pen.write(receipt_changes={"epochs": (1, 3)}))
    assert len(gate.admitted) == 1


def test_what_flies_behind_a_fork_is_not_built_on_it() -> None:
    gate = Gate()
    pen = gate.pen()
    first = pen.write("first")
    one, other = pen.write("one", after=first), pen.write("other", after=first)
    gate.send(first)
    gate.send(one, other, pen.write("behind", after=one))
    assert gate.refused == ["fork", "quarantined"]
    assert gate.view.store.head(first.header.chain).delta == first.id


def test_a_durable_write_lifts_nothing_of_the_writes_behind_it() -> None:
    gate = Gate()
    pen = gate.pen()
    first = pen.write()
    second = pen.write("second", after=first)
    gate.view.store.admit(first, State.LIVE)
    gate.view.store.depart(Token(1), (first.id,))
    gate.view.store.admit(second, State.LIVE)
    gate.view.store.depart(Token(2), (second.id,))
    gate.view.store.settle(Token(7))
    gate.view.store.settle(Token(1))
    assert gate.view.store.head(first.header.chain).delta == second.id


# The disk's refusals, on whole peers.


@pytest.mark.parametrize("code", sorted(NOT_BY_STEPS))
@pytest.mark.parametrize("is_twin", [False, True], ids=["product", "twin"])
def test_a_write_that_the_disk_refuses_is_declined_unless_answers_come_before_the_store(
    code: str, is_twin: bool
) -> None:
    world, node, agent = _lonely_world(answers_first=is_twin, is_full=code == "store_full")
    request = world.remember(node, agent, "x" * 2_000)
    world.run(1)
    answer = node.answers[request]
    if is_twin:
        assert isinstance(answer, Authored)
        assert node.store.delta(answer.deltas[0].id) is None
    else:
        assert isinstance(answer, Declined)
        assert answer.refusal.reason.code == code


class Hasty(World):
    """A driver that, as a twin, performs what stands behind a store that failed."""

    answers_first = False

    def _store(self, node: Node, effect: ev.Store) -> bool:
        own = node.peer.core.own.peer
        try:
            if node.store_fails:
                raise HiveError("the disk is gone")
            node.store.apply(effect.writes)
        except HiveError as error:
            if not self.answers_first:
                is_full = isinstance(error, StoreFull)
                self._put(0, own, ev.StoreFailed(effect.token, is_full, str(error)))
            return self.answers_first
        self._put(0, own, ev.Stored(effect.token))
        return True


def _lonely_world(*, answers_first: bool, is_full: bool) -> tuple[World, Node, Signed[AgentRecord]]:
    federation = found("acme")
    agent = federation.orgs["acme"].agent("ann")
    world = Hasty(federation)
    world.answers_first = answers_first
    store = MemoryStore(MemoryStoreConfig(bytes_max=0) if is_full else None)
    node = world.add("acme", "acme-1", agents=(agent,), is_issuer=True, store=store)
    world.run(1)
    node.store_fails = not is_full
    return world, node, agent


def test_signatures_that_are_never_verified_hold_bounded_memory_and_blame_nobody() -> None:
    class Deaf(Gate):
        def _perform(self, outputs: Sequence[Output]) -> None:
            self.outputs += outputs
            self.refused += [o.refusal.reason.code for o in outputs if isinstance(o, DeltaRefused)]

    gate = Deaf()
    gate.intake.waiting.config = WaitingConfig(verifying_bytes_max=10_000)
    pen = gate.pen()
    for number in range(40):
        gate.send(pen.write(f"text {number}"))
    assert 0 < sum(isinstance(output, Verify) for output in gate.outputs) < 20
    assert gate.refused[-1] == "crowded"
    assert gate.health == 1_000


def test_a_body_that_comes_while_its_header_is_verified_is_kept() -> None:
    gate = Gate()
    delta = gate.pen().write()
    gate.send(replace(delta, body=b""), delta)
    held = gate.store.delta(delta.id)
    assert held is not None
    assert held.delta.body == delta.body
