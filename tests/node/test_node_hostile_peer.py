"""Goal: what a hostile enrolled peer sends over its real stream is refused, counted, not kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from node_world import Living, Skew, federation, found, run, until

from cli.demo.intruder import Intruder, after
from hive.errors import Refused
from hive.memory.delta import Delta
from hive.node.home import Home
from hive.node.node import Node
from hive.protocol.messages import Deltas
from hive.trust.keys import SEED_BYTES, Ed25519Key
from hive.wire.codec import encode
from hive.wire.ids import FederationId, Inception, RecordId

Make = Callable[["Hostile"], bytes]


class Hostile(Intruder):
    """corp's node in the hands of somebody who signs what it likes with corp's agent."""

    def __init__(self, node: Node, victim: Node) -> None:
        super().__init__(node, victim.peer.core.own.peer)
        self.agent, self.leaf = next(iter(node.peer.recordkeeping.agents.items()))
        self.key = node.keyring.signer("agent-me")
        self.victim_node = victim

    def say(self, text: str, namespace: str = "commons/notes", **more: object) -> Delta:
        return self.write(self.agent, self.leaf, self.key, namespace, text, **more)  # type: ignore[arg-type]

    def throw(self, *envelopes: bytes) -> None:
        assert self.node.driver.links is not None
        self.node.driver.links.send(self.victim, Deltas(envelopes).to_body())


def foreign_author(hostile: Hostile) -> tuple[Inception, RecordId]:
    return next(iter(hostile.victim_node.peer.recordkeeping.agents.items()))


def forged(hostile: Hostile) -> bytes:
    author, leaf = foreign_author(hostile)
    key = Ed25519Key(bytes(SEED_BYTES))
    return hostile.write(author, leaf, key, "acme/plans", "acme sells").to_bytes()


def over_wide(hostile: Hostile) -> bytes:
    delta = hostile.say("x")
    narrow, wide = encode(delta.proof.to_plain()), b"\x94" + encode(delta.proof.signature)
    return delta.to_bytes().replace(narrow, wide + b"\xcc\x00\x00\x90")


def swapped_body(hostile: Hostile) -> bytes:
    return replace(hostile.say("x"), body=hostile.say("y").body).to_bytes()


CASES: list[tuple[str, Make]] = [
    ("malformed", lambda h: b"\x00garbage"),
    ("malformed", lambda h: h.say("x").to_bytes()[:-1]),
    ("not_canonical", over_wide),
    ("wrong_federation", lambda h: h.say("x", federation=FederationId(bytes(32))).to_bytes()),
    ("bad_namespace", lambda h: h.say("x", namespace="Commons").to_bytes()),
    ("not_covered", lambda h: h.say("x", namespace="acme/plans").to_bytes()),
    ("receipt_missing", lambda h: replace(h.say("x"), receipt=b"").to_bytes()),
    ("forged_signature", forged),
    ("body_mismatch", swapped_body),
]


def test_deltas_that_fail_a_step_are_refused_counted_neither_kept_nor_passed_on(
    tmp_path: Path,
) -> None:
    realm = found(tmp_path)
    homes = [realm.member(org) for org in ("acme", "bell", "corp")]

    async def main() -> None:
        async with federation(*homes) as (acme, bell, corp):
            hostile = Hostile(corp.node, acme.node)
            fair = hostile.say("said fairly")
            hostile.send(fair)
            await until(lambda: acme.holds(fair.id.hex()), "the control is admitted")
            for reason, make in CASES:
                before = await counted(acme, reason)
                rows = acme.node.store.last_row()
                hostile.throw(make(hostile))
                await until_counted(acme, reason, before)
                assert acme.node.store.last_row() == rows, reason
            await check_aftermath(acme, bell, fair)

    run(main)


async def counted(node: Living, reason: str) -> int:
    return int((await node.call("metrics"))["refused_by_reason"][reason])


async def until_counted(node: Living, reason: str, before: int) -> None:
    refused = node.node.metrics.refused
    await until(lambda: refused[reason] > before, f"{reason}: {dict(refused)}", 5)


async def check_aftermath(acme: Living, bell: Living, fair: Delta) -> None:
    """Steps in log and metrics agree, the sender paid, others saw only what is good."""
    for line in acme.logged("refused"):
        assert line["step"] >= 1
    health = {p["name"]: p["health_permille"] for p in (await acme.call("peers"))["peers"]}
    assert health["corp-1"] < health["bell-1"] == 1_000
    await until(lambda: bell.holds(fair.id.hex()), "the fair one went round")
    assert bell.node.store.last_row() == 1
    assert set(bell.node.metrics.refused) <= {"chain_unknown", "duplicate"}
    written = (await acme.call("remember", text="acme goes on", namespace="commons/notes"))["id"]
    await until(lambda: bell.holds(written), "acme goes on")


def test_a_fork_is_proven_told_to_everybody_and_ended_by_a_new_generation(
    tmp_path: Path,
) -> None:
    realm = found(tmp_path)
    homes: list[Home] = [realm.member(org) for org in ("acme", "bell", "corp")]

    async def main() -> None:
        async with federation(*homes) as (acme, bell, corp):
            hostile = Hostile(corp.node, acme.node)
            first = hostile.say("I say yes")
            one, two = (hostile.say(text, head=after(first)) for text in ("yes", "no"))
            hostile.send(first, one)
            await until(lambda: acme.holds(one.id.hex()), "the first branch")
            hostile.send(two)
            for node in (acme, bell, corp):
                await until(lambda node=node: node.node.peer.core.quarantine.proofs(), "the proof")
                (fork,) = (await node.call("log"))["forks"]
                assert fork["sequence"] == 2
                assert {fork["first"], fork["second"]} == {one.id.hex(), two.id.hex()}
                if node is not corp:
                    what = "what stands before the fork, by digest and graft"
                    await until(lambda node=node: node.holds(first.id.hex()), what)
            assert acme.node.metrics.counts["forks"] == 1
            with pytest.raises(Refused) as caught:
                await corp.call("remember", text="as if nothing was", namespace="commons/notes")
            assert caught.value.reason == "quarantined"
            assert caught.value.hint
            await corp.call("rotate", name="me")
            again = await corp.call("remember", text="reformed", namespace="commons/notes")
            await until(lambda: acme.holds(again["id"]) and bell.holds(again["id"]), "it counts")

    run(main)


def test_a_delta_from_ten_minutes_ahead_is_refused_and_not_kept(tmp_path: Path, skew: Skew) -> None:
    realm = found(tmp_path)
    homes = [realm.member(org) for org in ("acme", "bell", "corp")]

    async def main() -> None:
        async with federation(*homes) as (acme, _, corp):
            hostile = Hostile(corp.node, acme.node)
            fair = hostile.say("said in time")
            hostile.send(fair)
            await until(lambda: acme.holds(fair.id.hex()), "the control is admitted")
            skew.ms = 600_000
            late = hostile.say("said before its time", head=after(fair))
            skew.ms = 0
            hostile.send(late)
            await until_counted(acme, "from_the_future", 0)
            assert not acme.holds(late.id.hex())

    run(main)
