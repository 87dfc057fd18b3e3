"""Mutants: the shipped machines with one thing wrong, each of which a sweep must catch.

Without them the checks prove nothing. A mutant is composed here, from the product's steps without
one of them or from a machine with something around it; nothing installed can be set to leave a
check out, and nothing but this module and its tests makes a mutant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from hive.memory.log import State
from hive.protocol import events as ev
from hive.protocol import ingress
from hive.protocol.core import Core, Effects
from hive.protocol.membership.hierarchy import Hierarchy
from hive.protocol.peer import Peer
from hive.protocol.ports import PutDelta, PutForget, Write
from hive.wire.clock import MonotonicUs, Now

from .nodes import Machine, Node
from .scenario import Scenario, load, with_settings
from .trial import Alter, Outcome, Trial, case_of
from .world import Make, World

Around = Callable[[Peer, Node, World], Machine]


class Wrapped:
    """A machine with something around it."""

    def __init__(self, peer: Peer, node: Node, world: World) -> None:
        self.peer = peer
        self.node = node
        self.world = world

    @property
    def core(self) -> Core:
        """The peer's."""
        return self.peer.core

    @property
    def hierarchy(self) -> Hierarchy:
        """The peer's."""
        return self.peer.hierarchy

    @property
    def deadline(self) -> MonotonicUs | None:
        """The peer's."""
        return self.peer.deadline

    def recover(self, now: Now) -> None:
        """The peer recovers."""
        self.peer.recover(now)

    def handle(self, event: ev.Event, now: Now) -> Effects:
        """The peer's effects, twisted."""
        return self.twist(self.peer.handle(event, now))

    def twist(self, effects: Effects) -> Effects:
        """What becomes of the effects."""
        return effects


class NeverSyncs(Wrapped):
    """Says that writes are durable before the disk has them."""

    def __init__(self, peer: Peer, node: Node, world: World) -> None:
        super().__init__(peer, node, world)
        node.disk.lie()


class NeverForgets(Wrapped):
    """Keeps the forgetting delta and does not carry it out."""

    def twist(self, effects: Effects) -> Effects:
        return [_without(effect, PutForget) for effect in effects]


class LosesBodies(Wrapped):
    """Stores what came from others as if it had no effect."""

    def twist(self, effects: Effects) -> Effects:
        return [_voided(effect) for effect in effects]


class KeepsForksQuiet(Wrapped):
    """Proves forks and tells nobody, nor keeps the proof."""

    def handle(self, event: ev.Event, now: Now) -> Effects:
        if isinstance(event, ev.FrameReceived) and b"forks" in event.untrusted_payload[:8]:
            return []
        return super().handle(event, now)

    def twist(self, effects: Effects) -> Effects:
        return [effect for effect in effects if not _is_frame(effect, b"forks")]


class NeverReconciles(Wrapped):
    """Hears deltas pushed and asks for none that it missed."""

    def handle(self, event: ev.Event, now: Now) -> Effects:
        if isinstance(event, ev.FrameReceived) and b"deltas" not in event.untrusted_payload[:14]:
            kept = (b"records", b"interest", b"revocation", b"forks")
            if not any(name in event.untrusted_payload[:24] for name in kept):
                return []
        return super().handle(event, now)


class TellsNoRevocations(Wrapped):
    """Answers no question about revocations and passes no record on."""

    def twist(self, effects: Effects) -> Effects:
        return [e for e in effects if not _is_frame(e, b"records") and not _is_frame(e, b"revoc")]


class ChokesOnGarbage(Wrapped):
    """Raises where bytes are none of ours."""

    def handle(self, event: ev.Event, now: Now) -> Effects:
        effects = super().handle(event, now)
        for effect in effects:
            if isinstance(effect, ev.RefusedNews) and effect.refusal.reason.code == "malformed":
                raise ValueError("an exception of the codec escaped")
        return effects


class AnswersNoPing(Wrapped):
    """Hears no sealed datagram of membership, once it is among others."""

    def handle(self, event: ev.Event, now: Now) -> Effects:
        if isinstance(event, ev.DatagramOpened) and event.kind == ev.MEMBERSHIP:
            return []
        return super().handle(event, now)


def _without(effect: ev.Effect, kind: type[Write]) -> ev.Effect:
    if not isinstance(effect, ev.Store):
        return effect
    return replace(effect, writes=tuple(w for w in effect.writes if not isinstance(w, kind)))


def _voided(effect: ev.Effect) -> ev.Effect:
    if not isinstance(effect, ev.Store):
        return effect
    writes = tuple(
        replace(w, state=State.VOID) if isinstance(w, PutDelta) and w.delta.receipt else w
        for w in effect.writes
    )
    return replace(effect, writes=writes)


def _is_frame(effect: ev.Effect, name: bytes) -> bool:
    return isinstance(effect, ev.SendFrame) and name in effect.payload[:14]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """What is wrong, in which scenario it shows, and which promise must catch it."""

    name: str
    promises: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    around: Around | None = None
    settings: tuple[tuple[str, str], ...] = ()
    is_everybody: bool = True

    def make(self) -> Make:
        """The constructor of its peers."""
        if not self.left_out:
            return Peer
        steps = tuple(step for step in ingress.STEPS if step.name not in self.left_out)
        return partial(Peer, steps=steps)

    def alter(self) -> Alter | None:
        """Puts the wrapper around honest nodes: all, or the last issuer's."""
        around = self.around
        if around is None:
            return None

        def alter(world: World) -> None:
            for node in world.nodes if self.is_everybody else world.nodes[1:2]:
                if node.number not in world.wraps:
                    world.wraps[node.number] = lambda peer, node: around(peer, node, world)

        return alter

    def scenario(self) -> Scenario:
        """Where it is looked for."""
        return with_settings(load("mutants"), dict(self.settings))

    def run(self, seed: int) -> Outcome:
        """One seed of it."""
        case = case_of(self.scenario(), seed)
        return Trial(case, make=self.make(), alter=self.alter()).run()

    def is_caught(self, outcome: Outcome) -> bool:
        """Whether the promise it breaks is among the broken."""
        return any(violation.promise in self.promises for violation in outcome.violations)


def _lie(kind: str) -> tuple[tuple[str, str], ...]:
    return (("liars.count", "2"), ("liars.kinds", f'["{kind}"]'))


MUTANTS: Final = (
    Mutant(
        name="signatures are not checked",
        promises=("P1",),
        left_out=("author's signature",),
        settings=_lie("bad signature"),
    ),
    Mutant(
        name="capabilities are not checked",
        promises=("P3",),
        left_out=("capability",),
        settings=_lie("overreach"),
    ),
    Mutant(
        name="receipts are anybody's",
        promises=("P1",),
        left_out=("receipt by writer", "receipt's signature", "author's signature"),
        settings=_lie("stolen name"),
    ),
    Mutant(
        name="any encoding will do",
        promises=("P2",),
        left_out=("canonical form",),
        settings=_lie("malleable bytes"),
    ),
    Mutant(
        name="answers before the disk",
        promises=("P8",),
        around=NeverSyncs,
        settings=(("world.nodes", "1"), ("world.orgs", '["acme"]'), ("faults.crash", "1")),
    ),
    Mutant(name="never carries out a forget", promises=("P11",), around=NeverForgets),
    Mutant(
        name="voids what is good",
        promises=("P8", "P9"),
        around=LosesBodies,
        is_everybody=False,
    ),
    Mutant(
        name="keeps forks quiet",
        promises=("P5", "P9"),
        around=KeepsForksQuiet,
        settings=_lie("equivocation"),
    ),
    Mutant(name="never reconciles", promises=("P9",), around=NeverReconciles, is_everybody=False),
    Mutant(name="tells no revocations", promises=("P4",), around=TellsNoRevocations),
    Mutant(
        name="chokes on garbage",
        promises=("P13",),
        around=ChokesOnGarbage,
        settings=_lie("garbage"),
    ),
    Mutant(name="answers no ping", promises=("M1",), around=AnswersNoPing, is_everybody=False),
)


def seeds_to_catch(mutant: Mutant, seeds: Iterable[int]) -> int | None:
    """How many seeds it took; None where none caught it."""
    for count, seed in enumerate(seeds, 1):
        if mutant.is_caught(mutant.run(seed)):
            return count
    return None
