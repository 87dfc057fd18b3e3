"""Byzantine nodes: a real machine with a liar around it.

A liar hears and says everything through its peer, and changes what the peer says, or adds to it.
It holds the keys that its node holds and no others, so that whatever it makes is either validly
signed by itself or forged. Each kind of lie is a class of its own; a liar has one or more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from hive.memory.bodies import MemoryBody
from hive.memory.delta import (
    Delta,
    Header,
    Kind,
    Proof,
    commitment_of,
)
from hive.memory.log import Head
from hive.memory.receipt import Receipt, receipt_proofs
from hive.protocol import events as ev
from hive.protocol.core import Core, Effects
from hive.protocol.membership.cell import scope_of
from hive.protocol.membership.hierarchy import Hierarchy
from hive.protocol.membership.messages import (
    SIGNED_LABEL,
    Gossip,
    Signed,
    Standing,
    Statement,
)
from hive.protocol.messages import Deltas
from hive.protocol.peer import Peer
from hive.trust.records import chain_digest
from hive.wire import merkle
from hive.wire.clock import MILLISECOND_US, MonotonicUs, Now
from hive.wire.ids import ZERO_DIGEST, DeltaId, Digest, Inception, PeerId
from hive.wire.randomness import Stream
from hive.wire.schema import label_of_untrusted

from .federation import COMMONS
from .nodes import Machine, Node
from .world import World

EVERY_US: Final = 2_000_000
"""How often a liar makes something up."""
AHEAD_MS: Final = 120_000
FLOOD_COUNT: Final = 40
TWICE: Final = f"{COMMONS}/twice"


class Liar:
    """Around a peer: hears, says, and lies."""

    def __init__(self, peer: Peer, node: Node, world: World, lies: Sequence[str]) -> None:
        self._peer = peer
        self.node = node
        self.world = world
        self.stream = Stream(world.seed, "liar", peer.core.own.peer)
        self.heard: list[ev.Effect] = []
        self._lies = [(name, LIES[name]) for name in lies]
        self._next_us = 0
        self.forked_at: Delta | None = None

    @property
    def core(self) -> Core:
        """The peer's."""
        return self._peer.core

    @property
    def hierarchy(self) -> Hierarchy:
        """The peer's."""
        return self._peer.hierarchy

    @property
    def deadline(self) -> MonotonicUs | None:
        """The peer's; lies wait for the next event."""
        return self._peer.deadline

    def recover(self, now: Now) -> None:
        """The peer recovers."""
        self._peer.recover(now)

    def handle(self, event: ev.Event, now: Now) -> Effects:
        """The peer's effects, and the lies."""
        self._hear(event)
        effects = self._peer.handle(event, now)
        is_time = now.monotonic_us >= self._next_us and bool(self.connected)
        if is_time:
            self._next_us = now.monotonic_us + EVERY_US
        for name, lie in self._lies:
            said = lie(self, effects, now, is_time)
            if said is not effects:
                self.world.note(f"lie: {name}")
            effects = said
        return effects

    def _hear(self, event: ev.Event) -> None:
        others = [peer for peer in self.connected if len(self.heard) < 256]
        if not others:
            return
        match event:
            case ev.FrameReceived():
                self.heard.append(ev.SendFrame(others[0], event.untrusted_payload))
            case ev.DatagramOpened():
                told = ev.SendDatagram(others[0], event.kind, event.untrusted_payload)
                self.heard.append(told)
            case _:
                pass

    @property
    def connected(self) -> list[PeerId]:
        """Whom it can tell."""
        return list(self.core.connected)

    def somebody(self) -> PeerId:
        """One of them."""
        return self.connected[self.stream.below(len(self.connected))]

    def written(
        self,
        text: str,
        now: Now,
        *,
        namespace: str = f"{COMMONS}/notes",
        ahead_ms: int = 0,
        after: Head | None = None,
        residency: tuple[str, ...] = (),
    ) -> Delta:
        """A delta by the node's agent, right in everything that is not asked to be wrong."""
        agent = self.node.identity.agents[0]
        record = self.node.identity.record
        body = MemoryBody(text.encode().ljust(32, b"-")[:32], text, "lie", (), 0, 0).to_body()
        wall_ms = now.wall_us // MILLISECOND_US
        header = Header(
            self.core.federation,
            namespace,
            agent.record.inception,
            record.record.inception,
            agent.id,
            after.sequence + 1 if after else 1,
            after.delta if after else ZERO_DIGEST,
            max((wall_ms + ahead_ms) << 16, after.hlc + 1 if after else 0),
            (1,),
            0,
            residency,
            int(Kind.MEMORY),
            (),
            commitment_of(body),
        )
        header_bytes = header.to_body()
        id = DeltaId(Header.id_of(header_bytes))
        signature = self.sign(agent.record.key.digest, Header.LABEL, Digest(id))
        delta = Delta(id, header, header_bytes, Proof(signature, 0, 0, ()), body, b"")
        return replace(delta, receipt=self.receipt(delta, wall_ms))

    def receipt(self, delta: Delta, wall_ms: int) -> bytes:
        """The node's own receipt for one delta."""
        record = self.node.identity.record
        header, root = delta.header, merkle.root([delta.id])
        receipt = Receipt(
            header.federation, header.writer, record.id, wall_ms, (1,), 0, wall_ms, 1, root
        )
        subject = Receipt.id_of(receipt.to_body())
        signed = self.sign(record.record.key.digest, Receipt.LABEL, subject)
        return receipt_proofs(receipt, signed, [delta.id])[0].to_bytes()

    def sign(self, key: Digest, label: str, subject: Digest) -> bytes:
        """By a key that the node holds."""
        return self.node.custody.by_digest[key].sign(label, subject)

    def accusation(self, victim: PeerId, incarnation: int, standing: Standing) -> Signed:
        """A statement about another, signed by this node's own key."""
        own = self.core.own
        scope = scope_of(self.hierarchy.place.cell_scope)
        statement = Statement.of(scope, own.peer, victim, standing, incarnation)
        root = merkle.root([statement.to_body()])
        signature = self.sign(own.key.digest, SIGNED_LABEL, root)
        return Signed.of(statement, signature)

    def head(self, namespace: str) -> Head | None:
        """Where its own log ends, by its own store."""
        agent, writer = self.node.identity.agents[0], self.node.identity.record
        chain = chain_digest(
            Inception(agent.record.inception), Inception(writer.record.inception), namespace
        )
        return self.node.store.head(chain)


Lie = Callable[[Liar, Effects, Now, bool], Effects]


def _tell(liar: Liar, *deltas: Delta, to: PeerId | None = None) -> Effects:
    payload = Deltas(tuple(delta.to_bytes() for delta in deltas)).to_body()
    return [ev.SendFrame(to or liar.somebody(), payload)]


def _bad_signature(liar: Liar, effects: Effects, now: Now, is_time: bool) -> Effects:
    """Own words with a signature that is none."""
    if not is_time:
        return effects
    delta = liar.written(f"forged {now.monotonic_us}", now, namespace="commons/forged")
    broken = bytes([delta.proof.signature[0] ^ 1]) + delta.proof.signature[1:]
    return [*effects, *_tell(liar, replace(delta, proof=Proof(broken, 0, 0, ())))]


def _stolen_name(liar: Liar, effects: Effects, now: Now, is_time: bool) -> Effects:
    """Another's agent as author, signed by the own one."""
    others = [n for n in liar.world.nodes if n.number != liar.node.number]
    if not is_time or not others:
        return effects
    agent = others[liar.stream.below(len(others))].identity.agents[0]
    delta = liar.written(f"stolen {now.monotonic_us}", now, namespace="commons/stolen")
    header = replace(delta.header, author=agent.record.inception, leaf=agent.id)
    header_bytes = header.to_body()
    id = DeltaId(Header.id_of(header_bytes))
    return [*effects, *_tell(liar, replace(delta, id=id, header=header, header_bytes=header_bytes))]


def _overreach(liar: Liar, effects: Effects, now: Now, is_time: bool) -> Effects:
    """Writes where another organisation owns."""
    own = liar.node.identity.org
    others = [org for org in liar.world.federation.orgs if org != own]
    if not is_time or not others:
        return effects
    delta = liar.written(f"over {now.monotonic_us}", now, namespace=f"{others[0]}/notes")
    return [*effects, *_tell(liar, delta)]


def _future(liar: Liar, effects: Effects, now: Now, is_time: bool) -> Effects:
    """A stamp two minutes ahead."""
    if not is_time:
        return effects
    delta = liar.written("future", now, namespace="commons/future", ahead_ms=AHEAD_MS)
    return [*effects, *_tell(liar, delta)]


def _equivocation(liar: Liar, effects: Effects, now: Now, is_time: bool) -> Effects:
    """Two words at one position, each told to another half."""
    if not is_time or liar.forked_at is not None or len(liar.connected) < 2:
        return effects
    one = liar.written("yes", now, namespace="commons/forked")
    other = liar.written("no", now, namespace="commons/forked")
    liar.forked_at = one
    half = len(liar.connected) // 2
    told = [*effects]
    for position, peer in enumerate(liar.connected):
        told += _tell(liar, one if position < half else other, to=peer)
    return told


def _malleable(liar: Liar, effects: Effects, now: Now, is_time: bool) -> Effects:
    """A longer encoding of the same header, validly signed: one content, two ids."""
    if not is_time:
        return effects
    delta = liar.written(f"twice {now.monotonic_us}", now, namespace=TWICE, after=liar.head(TWICE))
    assert delta.header_bytes[:1] == b"\xdc"
    header_bytes = b"\xdd\x00\x00" + delta.header_bytes[1:]
    id = DeltaId(Header.id_of(header_bytes))
    signature = liar.sign(liar.node.identity.agents[0].record.key.digest, Header.LABEL, Digest(id))
    longer = replace(delta, id=id, header_bytes=header_bytes, proof=Proof(signature, 0, 0, ()))
    wall_ms = now.wall_us // MILLISECOND_US
    return [*effects, *_tell(liar, replace(longer, receipt=liar.receipt(longer, wall_ms)))]


def _replay(liar: Liar, effects: Effects, now: Now, is_time: bool) -> Effects:
    """Others' words, late and to others, as if they were its own."""
    if not is_time or not liar.heard:
        return effects
    again: Effects = []
    for effect in liar.stream.sample(liar.heard, 8):
        if isinstance(effect, ev.SendFrame | ev.SendDatagram):
            again.append(replace(effect, receiver=liar.somebody()))
    return [*effects, *again]


def _garbage(liar: Liar, effects: Effects, now: Now, is_time: bool) -> Effects:
    """Bytes that are nothing, and bytes that were something."""
    if not is_time:
        return effects
    told: Effects = []
    for effect in liar.stream.sample(liar.heard, 4):
        if isinstance(effect, ev.SendFrame | ev.SendDatagram) and effect.payload:
            at = liar.stream.below(len(effect.payload))
            changed = effect.payload[:at] + bytes([liar.stream.below(256)])
            told.append(
                replace(
                    effect, receiver=liar.somebody(), payload=changed + effect.payload[at + 1 :]
                )
            )
    noise = bytes(liar.stream.below(256) for _ in range(40))
    told.append(ev.SendFrame(liar.somebody(), noise))
    told += [ev.SendDatagram(liar.somebody(), kind, noise) for kind in (16, 17, 18, 99)]
    return [*effects, *told]


def _flood(liar: Liar, effects: Effects, now: Now, is_time: bool) -> Effects:
    """The same forged delta and ping many times at once."""
    if not is_time:
        return effects
    victim = liar.somebody()
    delta = liar.written("flood", now, namespace="commons/flood")
    broken = replace(delta, proof=Proof(bytes(64), 0, 0, ()))
    frame = Deltas((broken.to_bytes(),) * 16).to_body()
    flood: Effects = [ev.SendFrame(victim, frame)] * FLOOD_COUNT
    return [*effects, *flood]


def _members(liar: Liar) -> list[tuple[PeerId, int]]:
    own = liar.core.own.peer
    found = []
    for node in liar.world.nodes:
        member = liar.hierarchy.cell.view.get(node.id)
        if member is not None and node.id != own:
            found.append((node.id, member.incarnation))
    return found


def _gossip(liar: Liar, statement: Signed) -> Effects:
    payload = Gossip((statement,)).to_body()
    return [ev.SendDatagram(peer, ev.MEMBERSHIP, payload) for peer in liar.connected]


def _false_accusation(liar: Liar, effects: Effects, now: Now, is_time: bool) -> Effects:
    """Suspects a member that answers, again and again."""
    members = _members(liar)
    if not is_time or not members:
        return effects
    victim, incarnation = members[0]
    said = liar.accusation(victim, max(1, incarnation), Standing.SUSPECT)
    return [*effects, *_gossip(liar, said)]


def _lying_membership(liar: Liar, effects: Effects, now: Now, is_time: bool) -> Effects:
    """Says in others' names that they left, or live in incarnations they never signed."""
    members = _members(liar)
    if not is_time or not members:
        return effects
    victim, incarnation = members[liar.stream.below(len(members))]
    said = liar.accusation(victim, incarnation + 5, Standing.DEAD)
    forged = replace(said, author=victim, standing=int(Standing.LEFT))
    return [*effects, *_gossip(liar, said), *_gossip(liar, forged)]


def _eclipse(liar: Liar, effects: Effects, now: Now, is_time: bool) -> Effects:
    """Answers no lookup and passes nothing on: whoever hears only this node hears nothing."""
    kept = [
        effect
        for effect in effects
        if not (isinstance(effect, ev.SendDatagram) and effect.kind == ev.DISCOVERY)
        and not (isinstance(effect, ev.SendFrame) and _is_deltas(effect.payload))
    ]
    return effects if len(kept) == len(effects) else kept


def _is_deltas(payload: bytes) -> bool:
    return label_of_untrusted(payload) == Deltas.LABEL


def _breach(liar: Liar, effects: Effects, now: Now, is_time: bool) -> Effects:
    """Tells everybody what is marked as bound to one region."""
    if not is_time:
        return effects
    region = liar.node.identity.region
    namespace = "commons/bound"
    head = liar.head(namespace)
    if head is not None:
        return effects
    delta = liar.written("bound", now, namespace=namespace, residency=(region,))
    told = [*effects]
    for peer in liar.connected:
        told += _tell(liar, delta, to=peer)
    return told


LIES: Final[dict[str, Lie]] = {
    "bad signature": _bad_signature,
    "stolen name": _stolen_name,
    "overreach": _overreach,
    "replay": _replay,
    "equivocation": _equivocation,
    "future stamp": _future,
    "malleable bytes": _malleable,
    "garbage": _garbage,
    "flood": _flood,
    "lying membership": _lying_membership,
    "false accusation": _false_accusation,
    "eclipse": _eclipse,
    "residency breach": _breach,
}
"""Every kind of lie by its name in scenarios and reports."""


def wrap(world: World, lies: Sequence[str]) -> Callable[[Peer, Node], Machine]:
    """What makes a node of the world a liar."""
    return lambda peer, node: Liar(peer, node, world, lies)
