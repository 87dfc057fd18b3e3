"""A small deterministic network of membership machines under virtual time.

Tokens are answered inline with real Ed25519; unknown peers are introduced after a while, as the
composer would. Latency, loss, cut links and silent (killed) nodes are the faults.
"""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass, field
from functools import lru_cache

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from hive.protocol.machine import (
    Check,
    Received,
    Send,
    Sign,
    SignatureMade,
    Ticked,
    Verified,
    Verify,
)
from hive.protocol.membership.cell import scope_of
from hive.protocol.membership.config import SwimConfig
from hive.protocol.membership.events import (
    Event,
    Introduction,
    Joined,
    LeaveRequested,
    MemberDied,
    News,
    PeerUnknown,
)
from hive.protocol.membership.messages import SIGNED_LABEL, Signed, Standing, Statement
from hive.protocol.membership.swim import Swim
from hive.protocol.membership.view import Member, View
from hive.wire import merkle
from hive.wire.clock import MonotonicUs, Now, WallUs
from hive.wire.ids import Inception, PeerId
from hive.wire.randomness import Stream

SECOND = 1_000_000


@lru_cache(maxsize=100_000)
def signature_holds(check: Check) -> bool:
    try:
        VerifyKey(check.public_key).verify(
            check.label.encode() + b"\0" + check.digest, check.signature
        )
    except BadSignatureError:
        return False
    return True


def now_at(us: int) -> Now:
    return Now(MonotonicUs(us), WallUs(us))


@dataclass
class Identity:
    """A peer's key and introduction, made from its name."""

    name: str
    key: SigningKey
    introduction: Introduction

    @classmethod
    def named(cls, name: str, org: str = "org") -> Identity:
        digest = hashlib.sha256(name.encode()).digest()
        key = SigningKey(digest)
        peer = PeerId(digest[:20])
        inception = Inception(hashlib.sha256(org.encode()).digest())
        return cls(name, key, Introduction(peer, 1, bytes(key.verify_key), inception))

    @property
    def peer(self) -> PeerId:
        return self.introduction.peer

    def signature(self, label: str, digest: bytes) -> bytes:
        return bytes(self.key.sign(label.encode() + b"\0" + digest).signature)

    def says(
        self, subject: PeerId, standing: Standing, incarnation: int, scope: str = ""
    ) -> Signed:
        return self.say((subject, standing, incarnation), scope=scope)[0]

    def say(self, *said: tuple[PeerId, Standing, int], scope: str = "") -> list[Signed]:
        """Several statements under one signature."""
        batch = [Statement.of(scope_of(scope), self.peer, *one) for one in said]
        root, paths = merkle.proofs([statement.to_body() for statement in batch])
        signature = self.signature(SIGNED_LABEL, root)
        return [
            Signed.of(statement, signature, index, len(batch), path)
            for index, (statement, path) in enumerate(zip(batch, paths, strict=True))
        ]


@dataclass
class Node:
    identity: Identity
    swim: Swim
    is_up: bool = True
    tick_at: int | None = None
    bytes_sent: int = 0
    sends: int = 0
    news: list[tuple[int, News]] = field(default_factory=list)


class Network:
    """Nodes by name; `run` advances virtual time."""

    def __init__(
        self,
        config: SwimConfig,
        seed: bytes = b"seed",
        latency_us: tuple[int, int] = (500, 3_000),
        loss_per_mille: int = 0,
    ) -> None:
        self.config = config
        self.seed = seed
        self.latency_us = latency_us
        self.loss_per_mille = loss_per_mille
        self.now = SECOND
        self.nodes: dict[str, Node] = {}
        self.names: dict[PeerId, str] = {}
        self.cut: dict[tuple[str, str], None] = {}
        self._stream = Stream(seed, "test-network")
        self._heap: list[tuple[int, int, str, Event]] = []
        self._count = 0
        self._trace = hashlib.sha256()

    # building

    def add(self, name: str, org: str = "org", incarnation: int = 1) -> Node:
        identity = Identity.named(name, org)
        swim = Swim(self.config, identity.introduction, seed=self.seed, incarnation=incarnation)
        return self._put(identity, swim)

    def _put(self, identity: Identity, swim: Swim) -> Node:
        node = self.nodes[identity.name] = Node(identity, swim)
        self.names[identity.peer] = identity.name
        self.feed(identity.name, Ticked())
        return node

    def add_converged(self, count: int, orgs: int = 1) -> None:
        """`count` nodes that all hold each other alive at incarnation 1."""
        identities = [Identity.named(f"n{i}", f"org{i % orgs}") for i in range(count)]
        members = [
            Member(
                identity.introduction,
                Standing.ALIVE,
                1,
                identity.says(identity.peer, Standing.ALIVE, 1),
                (),
                MonotonicUs(self.now),
            )
            for identity in sorted(identities, key=lambda identity: identity.peer)
        ]
        for identity in identities:
            view = View(identity.peer)
            for member in members:
                view.put(member)
            self._put(identity, Swim(self.config, identity.introduction, seed=self.seed, view=view))

    def introduce(self, name: str, to: str) -> None:
        self.feed(to, Joined(self.nodes[name].identity.introduction))

    # faults

    def kill(self, name: str) -> None:
        self.nodes[name].is_up = False

    def restart(self, name: str, incarnation: int) -> None:
        """The same identity with an empty memory."""
        old = self.nodes[name]
        swim = Swim(self.config, old.identity.introduction, seed=self.seed, incarnation=incarnation)
        self._put(old.identity, swim)

    def leave(self, name: str) -> None:
        self.feed(name, LeaveRequested())

    def partition(self, left: list[str], right: list[str]) -> None:
        for one in left:
            for other in right:
                self.cut[one, other] = self.cut[other, one] = None

    def heal(self) -> None:
        self.cut.clear()

    # running

    def feed(self, name: str, event: Event) -> None:
        """Hands an event in, answers tokens inline and performs the effects in order."""
        node = self.nodes[name]
        if not node.is_up:
            return
        events = [event]
        while events:
            for effect in node.swim.handle(events.pop(0), now_at(self.now)):
                self._trace.update(f"{self.now} {name} {effect!r}\n".encode())
                match effect:
                    case Send(receiver, payload):
                        self._carry(node, receiver, payload)
                    case Verify(token, checks):
                        verdicts = tuple(signature_holds(check) for check in checks)
                        events.append(Verified(token, verdicts))
                    case Sign(token, label, digest):
                        events.append(SignatureMade(token, node.identity.signature(label, digest)))
                    case _:
                        self._note(node, effect)
        self._schedule_tick(node)

    def run(self, duration_us: int) -> None:
        end = self.now + duration_us
        while self._heap and self._heap[0][0] <= end:
            self.now, _, name, event = heapq.heappop(self._heap)
            if isinstance(event, Ticked):
                self.nodes[name].tick_at = None
            self.feed(name, event)
        self.now = end

    def trace(self) -> str:
        return self._trace.hexdigest()

    def _note(self, node: Node, news: News) -> None:
        node.news.append((self.now, news))
        if isinstance(news, PeerUnknown) and news.peer in self.names:
            known = self.nodes[self.names[news.peer]].identity.introduction
            self._push(self.now + 50_000, node.identity.name, Joined(known))

    def _carry(self, node: Node, receiver: PeerId, payload: bytes) -> None:
        assert len(payload) <= 1_100
        node.bytes_sent += len(payload)
        node.sends += 1
        lowest, highest = self.latency_us
        delay = lowest + self._stream.below(highest - lowest + 1)
        is_lost = self._stream.below(1_000) < self.loss_per_mille
        name = self.names.get(receiver)
        if name is None or is_lost or (node.identity.name, name) in self.cut:
            return
        self._push(self.now + delay, name, Received(node.identity.peer, payload))

    def _schedule_tick(self, node: Node) -> None:
        due = node.swim.deadline
        if due is not None and (node.tick_at is None or due < node.tick_at):
            node.tick_at = max(due, self.now)
            self._push(node.tick_at, node.identity.name, Ticked())

    def _push(self, at: int, name: str, event: Event) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, name, event))

    # asking

    def standing(self, of: str, at: str) -> Standing | None:
        member = self.nodes[at].swim.view.get(self.nodes[of].identity.peer)
        return None if member is None else member.standing

    def standings(self, of: str) -> dict[str, Standing | None]:
        """How every other running node sees one."""
        return {
            name: self.standing(of, name)
            for name, node in self.nodes.items()
            if node.is_up and name != of
        }

    def roots(self) -> list[bytes]:
        """The different view digests of the running nodes."""
        roots = {node.swim.view.root(): None for node in self.nodes.values() if node.is_up}
        return list(roots)

    def deaths_of(self, name: str) -> list[int]:
        """When the running nodes declared it dead, in order."""
        peer = self.nodes[name].identity.peer
        return sorted(
            at
            for node in self.nodes.values()
            for at, news in node.news
            if isinstance(news, MemberDied) and news.peer == peer
        )
