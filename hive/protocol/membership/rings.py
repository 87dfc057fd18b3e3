"""Rings above the cell: super-peers run the same SWIM among themselves.

Theory of operation. Every node runs SWIM in its cell. Who is elected to speak for its cell
(`election`) also runs it in the ring of its cluster, as soon as it knows of another cell there;
who is elected from that ring to speak for the cluster also runs it in the ring of all regions, as
soon as it knows of another cluster. Each ring is a group of its own: its statements hold in no
other. Who is no longer elected leaves its ring with a goodbye that concerns nobody else.

Everybody elects alike from what it sees, so a speaker that dies is replaced when its death is
declared: the next one starts the ring machine, joins through the speakers of its own group, which
are in it already, and learns the others by digest exchange. A speaker asks contacts of groups
from which nobody is in the ring who speaks for them (`Speakers`); what they answer is a hint, and
membership still needs the peer's own verified record. Rings take only peers whose record puts
them there; of those of one group the elected ones count, whoever else came in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from hive.errors import ConfigError
from hive.protocol.machine import Send, Sign, SignatureMade, Ticked, Token, Verified, Verify
from hive.protocol.membership.config import SwimConfig
from hive.protocol.membership.events import (
    Effect,
    Event,
    Introduction,
    Joined,
    LeaveRequested,
    MemberAlive,
    MemberDied,
    MemberLeft,
    MemberSuspected,
    PeerUnknown,
    Retired,
)
from hive.protocol.membership.place import Level, Place
from hive.protocol.membership.swim import Swim
from hive.protocol.membership.view import Member
from hive.wire.clock import HOUR_US, SECOND_US, MonotonicUs, Now
from hive.wire.ids import PeerId

Effects: TypeAlias = list[tuple[Level, Effect]]
LEVELS = len(Level)


@dataclass(frozen=True, kw_only=True, slots=True)
class HierarchyConfig:
    """The groups of one node."""

    cluster: SwimConfig
    """SWIM in the ring of a cluster."""
    region: SwimConfig
    """SWIM in the ring of all regions."""
    contacts_max: int = 4_096
    """Contacts of other cells remembered; the oldest goes first."""
    seek_interval_us: int = 5 * SECOND_US
    """Between two questions to groups from which nobody is in a ring. 1–60 s."""
    outline_interval_us: int = 10 * SECOND_US
    """Between two outlines of a group that changed. More: staler counts, less traffic. 1–60 s."""
    outline_repeat_us: int = 60 * SECOND_US
    """An outline that did not change is told again. 10–600 s."""
    silent_after_us: int = 30 * SECOND_US
    """After which somebody who never spoke in a ring is taken out of it. 10–300 s."""
    answers_burst: int = 8
    """Questions of one peer answered at once."""
    answers_refill_us: int = SECOND_US
    """Time for one further answer."""

    def __post_init__(self) -> None:
        if not SECOND_US <= self.seek_interval_us <= self.silent_after_us <= HOUR_US:
            raise ConfigError("rings seek often, and more often than they give up")
        if min(self.contacts_max, self.outline_interval_us, self.answers_burst) < 1:
            raise ConfigError("rings need positive bounds and intervals")
        if self.outline_repeat_us < self.outline_interval_us or self.answers_refill_us < 1:
            raise ConfigError("outlines are repeated more seldom than they change")

    @classmethod
    def for_lan(cls) -> HierarchyConfig:
        """Clusters on one site each; regions anywhere."""
        return cls(cluster=SwimConfig.for_lan(), region=SwimConfig.for_internet())


class Rings:
    """The SWIM machines of one node: its cell always, the rings while it is elected."""

    __slots__ = (
        "_configs",
        "_incarnation",
        "_leaving",
        "_own",
        "_seed",
        "is_dirty",
        "swims",
        "unknown",
    )

    def __init__(
        self, config: HierarchyConfig, cell: Swim, own: Introduction, seed: bytes, incarnation: int
    ) -> None:
        self.swims: dict[Level, Swim] = {Level.CELL: cell}
        self.is_dirty = False
        self.unknown: list[tuple[Level, PeerUnknown]] = []
        self._configs = {Level.CLUSTER: config.cluster, Level.REGION: config.region}
        self._own = own
        self._seed = seed
        self._incarnation = incarnation
        self._leaving: dict[Level, None] = {}

    @property
    def deadline(self) -> MonotonicUs | None:
        """The earliest timer of any group."""
        times = (swim.deadline for swim in self.swims.values())
        return min((time for time in times if time is not None), default=None)

    def is_running(self, level: Level) -> bool:
        """Whether we take part there and do not mean to leave."""
        return level in self.swims and level not in self._leaving

    def is_gone(self, level: Level) -> bool:
        """Whether no machine runs there, not even one that says goodbye."""
        return level not in self.swims

    def members(self, level: Level) -> list[Member]:
        """The live members of a group; none where we take no part."""
        swim = self.swims.get(level)
        return [] if swim is None else list(swim.view.live())

    def start(self, level: Level, now: Now) -> Effects:
        """Enters a ring."""
        self._incarnation += 1
        scope = self._own.place.cluster_scope if level == Level.CLUSTER else "regions"
        self.swims[level] = Swim(
            self._configs[level],
            self._own,
            seed=self._seed,
            incarnation=self._incarnation,
            scope=scope,
        )
        return self.tell(level, Ticked(), now)

    def leave(self, level: Level, now: Now) -> Effects:
        """Says goodbye to a ring; its machine ends when that was told."""
        self._leaving[level] = None
        return self.tell(level, LeaveRequested(), now)

    def join(self, level: Level, introduction: Introduction, now: Now) -> Effects:
        """Somebody with a verified record that puts it there."""
        if not self.is_running(level) or introduction.peer in self.swims[level].view:
            return []
        return self.tell(level, Joined(introduction), now)

    def ticked(self, now: Now) -> Effects:
        """Time passes in every group."""
        return [pair for level in list(self.swims) for pair in self.tell(level, Ticked(), now)]

    def verified(self, token: Token, verdicts: tuple[bool, ...], now: Now) -> Effects:
        """An answer of the driver finds its group by its token."""
        inner, level = divmod(token, LEVELS)
        return self.tell(Level(level), Verified(Token(inner), verdicts), now)

    def signed(self, token: Token, signature: bytes, now: Now) -> Effects:
        """As `verified`."""
        inner, level = divmod(token, LEVELS)
        return self.tell(Level(level), SignatureMade(Token(inner), signature), now)

    def tell(self, level: Level, event: Event, now: Now) -> Effects:
        """An event for one group; its effects, tokens made distinct, news sifted."""
        swim = self.swims.get(level)
        if swim is None:
            return []
        found: Effects = []
        for effect in swim.handle(event, now):
            match effect:
                case Send():
                    found.append((level, effect))
                case Verify(token, checks):
                    found.append((level, Verify(_outer(token, level), checks)))
                case Sign(token, label, digest):
                    found.append((level, Sign(_outer(token, level), label, digest)))
                case PeerUnknown() if level != Level.CELL:
                    self.unknown.append((level, effect))
                case _:
                    self.is_dirty = True
                    if level == Level.CELL or self._concerns_others(level, effect):
                        found.append((level, effect))
        return found

    def _concerns_others(self, level: Level, news: Effect) -> bool:
        """Of a ring only life and death of peers outside the cell are news; goodbyes are not."""
        match news:
            case MemberLeft(peer) if peer == self._own.peer and level in self._leaving:
                ended = self.swims.pop(level)
                self._incarnation = max(self._incarnation, ended.incarnation)
                self._leaving.pop(level, None)
                return False
            case MemberAlive(peer) | MemberSuspected(peer) | MemberDied(peer):
                return peer != self._own.peer and peer not in self.swims[Level.CELL].view
            case _:
                return False

    def retire(self, peer: PeerId, now: Now) -> Effects:
        """The peer's record ended or was revoked."""
        return [pair for level in list(self.swims) for pair in self.tell(level, Retired(peer), now)]

    def silent(self, level: Level, before_us: int) -> list[PeerId]:
        """Who was put into a ring and never spoke there."""
        swim = self.swims.get(level)
        if swim is None:
            return []
        return [
            member.peer
            for member in swim.view
            if member.proof is None and member.changed_at < before_us
            if member.peer != self._own.peer
        ]


def belongs(level: Level, own: Place, place: Place) -> bool:
    """Whether a ring of ours may take a peer of that place."""
    return level == Level.REGION or own.shares_cluster(place)


def _outer(token: Token, level: Level) -> Token:
    return Token(token * LEVELS + level)
