"""What the parts of the machine share: view, queue, budgets, random stream and outbox."""

from __future__ import annotations

from dataclasses import dataclass, fields

from hive.protocol.budget import TokenBuckets
from hive.protocol.machine import Send, Token
from hive.protocol.membership.config import SwimConfig
from hive.protocol.membership.damping import Damping
from hive.protocol.membership.events import (
    Effect,
    Introduction,
    MemberAlive,
    MemberDied,
    MemberLeft,
    MemberSuspected,
)
from hive.protocol.membership.gossip_queue import GossipQueue
from hive.protocol.membership.health import LocalHealth
from hive.protocol.membership.messages import STATEMENTS_BYTES_MAX, Gossip, Message, Signed
from hive.protocol.membership.suspicion import Suspicions, sends_max
from hive.protocol.membership.view import Member, View
from hive.wire.clock import MonotonicUs
from hive.wire.ids import Digest, PeerId, digest
from hive.wire.randomness import Stream


@dataclass(slots=True)
class Tally:
    """What was dropped, and why; each only counts up."""

    malformed_messages: int = 0
    bad_signatures: int = 0
    unproven_accusations: int = 0
    over_budget: int = 0
    over_capacity: int = 0
    stalls: int = 0

    def as_dict(self) -> dict[str, int]:
        """The counters by name, for metrics."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Cell:
    """One node's knowledge of its cell and the effects of the event being handled."""

    def __init__(
        self,
        config: SwimConfig,
        own: Introduction,
        seed: bytes,
        incarnation: int,
        view: View,
        scope: str = "",
    ) -> None:
        self.config = config
        self.scope = scope_of(scope)
        self.own = own
        self.incarnation = incarnation
        self.is_leaving = False
        self.view = view
        self.queue = GossipQueue(config.queue_max)
        self.suspicions = Suspicions(config.ping_timeout_us // 2)
        self.health = LocalHealth(config.health_max)
        self.accusers: TokenBuckets[PeerId] = TokenBuckets(
            config.accusations_burst, config.accusation_refill_us, config.members_max
        )
        self.exchanges: TokenBuckets[PeerId] = TokenBuckets(
            config.exchange_burst, config.exchange_refill_us, config.members_max
        )
        self.damping = Damping(config)
        self.stream = Stream(seed, f"membership {scope}", own.peer)
        self.tally = Tally()
        self.now_us = MonotonicUs(0)
        self.heard_at = MonotonicUs(0)
        """When a member last said anything."""
        self.renewed: list[PeerId] = []
        """Members that came to life in this event: they are to be probed."""
        self._outbox: list[Effect] = []
        self._counter = 0

    def send(self, receiver: PeerId, message: Message) -> None:
        """Says a message to one member."""
        self._outbox.append(Send(receiver, message.to_body()))

    def tell(self, effect: Effect) -> None:
        """Hands an effect or news to the driver."""
        self._outbox.append(effect)

    def take_outbox(self) -> tuple[Effect, ...]:
        """The effects of this event, in order."""
        effects, self._outbox = tuple(self._outbox), []
        return effects

    def next_token(self) -> Token:
        """A number not used before: tokens and probe sequences are drawn from one counter."""
        self._counter += 1
        return Token(self._counter)

    def incarnation_known(self, peer: PeerId) -> int:
        """The newest incarnation of the peer that we can prove; 0 where none."""
        member = self.view.get(peer)
        return 0 if member is None else member.incarnation

    def statements_for(self, receiver: Member, *, is_behind: bool = False) -> tuple[Signed, ...]:
        """What rides along to a member: its own accusation first (buddy system), our newer
        incarnation where it `is_behind`, then what waits to be said."""
        first = receiver.accusations[-1:]
        own = self.view.get(self.own.peer)
        if is_behind and own is not None and own.proof is not None:
            first += (own.proof,)
        room = STATEMENTS_BYTES_MAX - sum(signed.size for signed in first)
        sends = sends_max(self.view.live_count, self.config.gossip_multiplier)
        return first + tuple(self.queue.take(room, sends))

    def send_statements(self, receiver: PeerId, statements: list[Signed]) -> None:
        """Says statements to one member at once, in as many messages as they need."""
        packed: list[Signed] = []
        for signed in statements:
            if sum(each.size for each in packed) + signed.size > STATEMENTS_BYTES_MAX:
                self.send(receiver, Gossip(tuple(packed)))
                packed = []
            packed.append(signed)
        if packed:
            self.send(receiver, Gossip(tuple(packed)))

    def tell_of(self, news: MemberAlive | MemberSuspected | MemberDied | MemberLeft) -> None:
        """Tells news of a member, unless it is suppressed for flapping."""
        if not self.damping.is_suppressed(news.peer):
            self.tell(news)


def scope_of(name: str) -> Digest:
    """What stands for a group of this name in the statements made there."""
    return digest("hive/membership-scope", name.encode())
