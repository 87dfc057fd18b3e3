"""A history with everything in it that arrival order could bring apart, and observers of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hive.memory.delta import Delta
from hive.memory.fork import fork_proof
from hive.protocol import events as ev
from hive.protocol.messages import Deltas, Forks, Records
from hive.protocol.peer_config import PeerConfig
from hive.protocol.reconciliation.digests import replica_digest
from hive.trust.envelope import Signed, sign_record
from hive.trust.records import AgentRecord, NodeRecord, SealEntry
from hive.trust.revocation import COMPROMISED, make_revocation
from hive.trust.rotation import rotate_agent
from hive.wire.ids import Digest, Inception, PeerId
from hive.wire.schema import Record
from tests.protocol.ingress.ingress_gate import Pen
from tests.protocol.peer.peer_federation import NOW_MS, Federation, Org, found, key
from tests.protocol.peer.peer_world import Node, World

HOUR_MS = 3_600_000
LATER_MS = 26 * HOUR_MS
"""Observers live this long after the founding: the first leaves have expired by then."""

AT_MS = NOW_MS + LATER_MS - HOUR_MS
PEERS = (PeerId(b"a" * 20), PeerId(b"b" * 20))


@dataclass(frozen=True)
class History:
    """Messages in an order in which everything can be taken at once."""

    federation: Federation
    messages: tuple[Record, ...]


def pen(federation: Federation, agent: Signed[AgentRecord], node: Signed[NodeRecord]) -> Pen:
    """An agent's pen, its keys being those of the names."""
    return Pen(federation, agent, node, key(agent.record.name), key(node.record.name))


def revoked(org: Org, signed: Signed[AgentRecord], *good: Delta) -> Signed[Record]:
    """A revocation by the issuer that leaves the log up to the last good delta."""
    seal = [SealEntry(d.header.chain, d.header.sequence, d.id) for d in good[-1:]]
    revocation = make_revocation(
        federation=org.issuer.record.federation,  # type: ignore[arg-type]
        org=Inception(org.issuer.record.org),
        signer_record=org.issuer.id,
        subject=Inception(signed.record.inception),
        generation=signed.record.generation,
        reason=COMPROMISED,
        at_ms=AT_MS,
        seal=seal,
    )
    return sign_record(revocation, org.issuer_key)


def log(
    pen: Pen, *texts: str, after: Delta | None = None, at_ms: int = AT_MS, **changes: object
) -> list[Delta]:
    """Consecutive memories of one log."""
    deltas: list[Delta] = []
    for text in texts:
        after = pen.write(text, after=after, admitted_at_ms=at_ms, **changes)  # type: ignore[arg-type]
        deltas.append(after)
    return deltas


def history() -> History:
    """Expired leaves, a fork, seals, a rotation, voids, forgets and bodies that come late."""
    federation = found("acme", "bell", threshold=1)
    acme, bell = federation.orgs["acme"], federation.orgs["bell"]
    agents = {
        name: acme.agent(name, now_ms=AT_MS - HOUR_MS)
        for name in ("ann", "carl", "erin", "void", "late")
    }
    bob = bell.agent("bob", now_ms=AT_MS - HOUR_MS)
    old = acme.agent("old")
    nodes = [acme.node("acme-1", "eu", AT_MS - HOUR_MS), acme.node("acme-2", "us", AT_MS - HOUR_MS)]
    old_node, bell_node = acme.node("acme-old", "eu"), bell.node("bell-1", "eu", AT_MS - HOUR_MS)

    ann = log(pen(federation, agents["ann"], nodes[0]), "a1", "a2", "a3")
    twice = log(pen(federation, agents["ann"], nodes[1]), "on another machine", "again")
    expired = log(pen(federation, old, old_node), "o1", "o2", at_ms=NOW_MS + HOUR_MS)
    bobs = pen(federation, bob, bell_node)
    stem = log(bobs, "b1", namespace="bell/notes")
    one = log(bobs, "b2", "b3", after=stem[0], namespace="bell/notes")
    other = log(bobs, "B2", after=stem[0], namespace="bell/notes")
    carls = log(pen(federation, agents["carl"], nodes[0]), "c1", "c2", "c3", "c4")
    erins = log(pen(federation, agents["erin"], nodes[0]), "e1", "e2", "stolen")
    rotation = rotate_agent(
        acme.issuer,
        acme.issuer_key,
        agents["erin"],
        revealed=key("erin-next"),
        next_digest=key("erin-3").public.digest,
        seal=[SealEntry(erins[1].header.chain, 2, erins[1].id)],
        now_ms=AT_MS,
    )
    new_pen = Pen(federation, rotation.record, nodes[0], key("erin-next"), key("acme-1"))
    renewed = log(new_pen, "e3", "e4", after=erins[1])
    void_pen = pen(federation, agents["void"], nodes[0])
    void = void_pen.write("v1", admitted_at_ms=AT_MS, receipt_changes={"epochs": (1, 2)})
    mended = void_pen.write("v1", admitted_at_ms=AT_MS)
    epoch = void_pen.write("v2", after=mended, admitted_at_ms=AT_MS, epochs=(3,))
    lates = log(pen(federation, agents["late"], nodes[0]), "l1", "l2")
    own_forget = pen(federation, agents["ann"], nodes[0]).forget(
        ann[0].id, carls[0].id, after=ann[-1], admitted_at_ms=AT_MS
    )
    records = [*agents.values(), bob, old, *nodes, old_node, bell_node, rotation.record]
    revocations = [
        rotation.revocation,
        revoked(acme, agents["carl"], *carls[:2]),
    ]
    deltas = [*ann, own_forget, *twice, *expired, *stem, *one, *other, *carls, *erins]
    deltas += [*renewed, void, mended, epoch, replace(lates[0], body=b""), *lates]
    proof = fork_proof(one[0], other[0])
    messages: list[Record] = [Records((signed.to_bytes(),)) for signed in records]
    messages += [Records((signed.to_bytes(),)) for signed in revocations]
    messages += [Deltas((delta.to_bytes(),)) for delta in deltas]
    messages.append(Forks((proof.to_bytes(),)))
    return History(federation, tuple(messages))


def observer(
    federation: Federation, seconds: int = 0, config: PeerConfig | None = None
) -> tuple[World, Node]:
    """A node of bell with two peers connected, at the later time."""
    world = World(federation)
    world.now_us = LATER_MS * 1_000
    node = world.add("bell", "observer", config=config)
    # Its own record of the founding has expired: it observes, and writes nothing.
    world.run(0.001)
    for peer in PEERS:
        world._put(0, node.peer.core.own.peer, ev.StreamOpened(peer))
    world.run(0.001 + seconds)
    return world, node


def tell(world: World, node: Node, messages: Sequence[Record], sender: PeerId = PEERS[0]) -> None:
    """One frame a message, in this order."""
    for message in messages:
        frame = ev.FrameReceived(sender, message.to_body())
        world._put(0, node.peer.core.own.peer, frame)
    world.run(0.001)


def digest_of(node: Node) -> Digest:
    """What the node holds, as P9 compares it."""
    return replica_digest(node.store, node.store.namespaces())
