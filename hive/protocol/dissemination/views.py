"""Partial views: with whom a node keeps streams, when its cell is too large for all.

Theory of operation (HyParView, Leitao, Pereira and Rodrigues 2007, section 4). Neighbours are
symmetric: both sides hold each other in their *active* view, and a stream connects them. The
*passive* view names peers to take when a neighbour fails; shuffles renew it. A newcomer asks one
contact to `Join`, which takes it and walks its name to others. While a place is free a random
passive peer is asked; it declines where it has no place, except to who has no neighbour at all.
Up to `mesh_max` members nobody asks: everybody is everybody's neighbour.

Hive adds, against take-over by many identities (gossipsub's evaluation names the attacks):
members are attested and come from membership, so the passive view cannot be filled with names
from shuffles alone; no org has more than its share of active places; `own_choice_min` places are
filled only by this node's own requests and are never given up for others'; a few *outlooks* of
other orgs, chosen here at random and changed each shuffle, hear and tell digests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from hive.errors import MalformedFrame
from hive.protocol.bounded import BoundedMap
from hive.protocol.dissemination.config import ViewConfig
from hive.protocol.dissemination.events import (
    LinkClosed,
    LinkOpened,
    LinkUnwanted,
    LinkWanted,
    Locate,
    MemberKnown,
    MemberLost,
    Say,
    ViewEffect,
    ViewEvent,
)
from hive.protocol.dissemination.messages import (
    VIEW_MESSAGES,
    Disconnect,
    ForwardJoin,
    Join,
    Neighbour,
    NeighbourReply,
    Shuffle,
    ShuffleReply,
    ViewMessage,
)
from hive.protocol.dissemination.places import Place, Places
from hive.protocol.machine import Received, Ticked
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import PeerId
from hive.wire.randomness import Stream
from hive.wire.schema import label_of_untrusted

AS_OUTLOOK, AS_ANY, IN_NEED = 0, 1, 2


class PartialView:
    """The neighbours of one node on one layer."""

    def __init__(
        self, config: ViewConfig, layer: int, own: PeerId, own_org: bytes, stream: Stream
    ) -> None:
        self._config = config
        self._layer = layer
        self._own = own
        self._own_org = own_org
        self._stream = stream
        self._places = Places(config)
        self._members: dict[PeerId, bytes] = {}
        self._passive: BoundedMap[PeerId, None] = BoundedMap(config.passive_max)
        self._asked: dict[PeerId, tuple[int, MonotonicUs]] = {}
        self._linked: dict[PeerId, None] = {}
        self._shunned: BoundedMap[PeerId, MonotonicUs] = BoundedMap(config.passive_max)
        self._fill_at: MonotonicUs | None = None
        self._fill_wait_us = config.fill_interval_us
        self._shuffle_at: MonotonicUs | None = None
        self._out: list[ViewEffect] = []
        self.is_mesh = config.mesh_max > 0
        self.declined_count = 0
        self.malformed_count = 0

    @property
    def deadline(self) -> MonotonicUs | None:
        """The next look at free places, or the next shuffle."""
        if not self._members or self.is_mesh:
            return None
        return min((at for at in (self._fill_at, self._shuffle_at) if at is not None), default=None)

    @property
    def active(self) -> tuple[PeerId, ...]:
        """The neighbours that deltas are passed to."""
        return tuple(self._linked) if self.is_mesh else tuple(self._places.active)

    @property
    def passive(self) -> tuple[PeerId, ...]:
        """The peers kept in reserve."""
        return tuple(peer for peer, _ in self._passive.items())

    @property
    def outlooks(self) -> tuple[PeerId, ...]:
        """Peers of other orgs to whom own deltas go too, where a stream is open."""
        return tuple(peer for peer, place in self._places.outlooks.items() if place.is_linked)

    def is_wanted(self, peer: PeerId) -> bool:
        """Whether a stream to the peer is wanted."""
        if self.is_mesh:
            return peer in self._members
        return self._places.find(peer) is not None

    def is_guest(self, peer: PeerId) -> bool:
        """Whether the link is only one for digests: an outlook or a guest."""
        return not self.is_mesh and peer not in self._places.active

    def handle(self, event: ViewEvent, now: Now) -> Sequence[ViewEffect]:
        """Takes one event and gives what to say and which streams to have, in order."""
        now_us = now.monotonic_us
        match event:
            case MemberKnown():
                self._know(event.member, event.place.org, now_us)
            case MemberLost():
                self._lose(event.member, now_us)
            case LinkOpened():
                self._linked_with(event.peer, event.place.org, now_us)
            case LinkClosed():
                self._unlinked(event.peer, now_us)
            case Received():
                self._hear(event.sender, event.untrusted_payload, now_us)
            case Ticked():
                self._tick(now_us)
            case _:
                assert_never(event)
        effects, self._out = self._out, []
        return effects

    # Members.

    def _know(self, peer: PeerId, org: bytes, now_us: MonotonicUs) -> None:
        if peer == self._own or peer in self._members:
            return
        if len(self._members) >= self._config.member_max:
            return
        is_first = not self._members
        self._members[peer] = org
        self._settle(now_us)
        if self.is_mesh:
            self._out.append(LinkWanted(peer))
            return
        self._keep(peer)
        if is_first:
            self._asked[peer] = (IN_NEED, self._after_request(now_us))
            self._say(peer, Join(self._layer))
        self._arm(now_us)

    def _settle(self, now_us: MonotonicUs) -> None:
        """From mesh to views when the cell outgrows it, and back when it shrank clearly."""
        config, count = self._config, len(self._members)
        if self.is_mesh and count > config.mesh_max:
            self.is_mesh = False
            for peer in self._linked:
                self._places.active[peer] = Place(now_us, True, True)
            for peer in self._members:
                self._keep(peer)
            self._arm(now_us)
        elif not self.is_mesh and 0 < count <= config.mesh_max - 2:
            self.is_mesh = True
            self._places = Places(self._config)
            self._asked.clear()
            self._out += [LinkWanted(peer) for peer in self._members]

    def _keep(self, peer: PeerId) -> None:
        if peer != self._own and peer not in self._places.active and peer not in self._shunned:
            self._passive.put(peer, None)

    def _lose(self, peer: PeerId, now_us: MonotonicUs) -> None:
        self._members.pop(peer, None)
        self._passive.pop(peer)
        self._asked.pop(peer, None)
        if self._places.pop(peer) is not None:
            self._hasten(now_us)
        self._settle(now_us)

    def failed(self, peer: PeerId, now: Now) -> Sequence[ViewEffect]:
        """A neighbour does not do its part: it gives its place to another."""
        if not self.is_mesh and self._places.find(peer) is not None:
            self._shunned.put(peer, MonotonicUs(now.monotonic_us + self._config.shun_us))
            self._drop(peer, now.monotonic_us)
            self._passive.pop(peer)
        effects, self._out = self._out, []
        return effects

    # Streams.

    def _linked_with(self, peer: PeerId, org: bytes, now_us: MonotonicUs) -> None:
        self._linked[peer] = None
        if self.is_mesh:
            return
        asked = self._asked.pop(peer, None)
        place = self._places.find(peer)
        if place is None and asked is not None:
            place = self._take(peer, asked[0], now_us)
        if place is None and len(self._places.guests) < self._config.guest_max:
            place = self._places.guests[peer] = Place(now_us, False)
        if place is None:
            self._out.append(LinkUnwanted(peer))
            return
        place.is_linked = True
        self._arm(now_us)

    def _unlinked(self, peer: PeerId, now_us: MonotonicUs) -> None:
        self._linked.pop(peer, None)
        if self._places.pop(peer) is not None and peer in self._members:
            self._keep(peer)
        self._hasten(now_us)

    # Messages.

    def _hear(self, sender: PeerId, untrusted: bytes, now_us: MonotonicUs) -> None:
        cls = VIEW_MESSAGES.get(label_of_untrusted(untrusted))
        try:
            message = cls.from_body_untrusted(untrusted) if cls is not None else None
        except MalformedFrame:
            message = None
        if message is None or message.layer != self._layer:
            self.malformed_count += 1
        elif sender in self._members:
            self._message(sender, message, now_us)

    def _message(self, sender: PeerId, message: ViewMessage, now_us: MonotonicUs) -> None:
        match message:
            case Join():
                self._joined(sender, now_us)
            case ForwardJoin():
                self._walked(sender, message, now_us)
            case Neighbour():
                self._requested(sender, message.urgency, now_us)
            case NeighbourReply():
                self._replied(sender, bool(message.is_accepted), now_us)
            case Disconnect():
                if self._places.pop(sender) is not None:
                    self._keep(sender)
                    self._out.append(LinkUnwanted(sender))
                    self._hasten(now_us)
            case Shuffle():
                self._shuffled(sender, message)
            case ShuffleReply():
                self._learn(message.peers)
            case _:
                assert_never(message)

    def _joined(self, newcomer: PeerId, now_us: MonotonicUs) -> None:
        self._requested(newcomer, IN_NEED, now_us)
        walk = ForwardJoin(self._layer, newcomer, self._config.join_walk_hops)
        for peer in self._places.active:
            if peer != newcomer:
                self._say(peer, walk)

    def _walked(self, sender: PeerId, walk: ForwardJoin, now_us: MonotonicUs) -> None:
        newcomer = PeerId(walk.newcomer)
        if newcomer == self._own or newcomer in self._places.active:
            return
        onward = [peer for peer in self._places.active if peer not in (sender, newcomer)]
        if walk.hops_left == 0 or not onward:
            self._learn((newcomer,))
            if newcomer in self._members and self._places.has_room(
                newcomer, self._members, is_asked=False
            ):
                self._ask(newcomer, AS_ANY, now_us)
            return
        if walk.hops_left == self._config.passive_walk_hops:
            self._learn((newcomer,))
        hops_left = min(walk.hops_left, self._config.join_walk_hops) - 1
        next_step = onward[self._stream.below(len(onward))]
        self._say(next_step, ForwardJoin(self._layer, newcomer, hops_left))

    def _requested(self, sender: PeerId, urgency: int, now_us: MonotonicUs) -> None:
        is_accepted = self._accepts(sender, urgency, now_us)
        self._say(sender, NeighbourReply(self._layer, int(is_accepted)))
        if is_accepted:
            self._out.append(LinkWanted(sender))
        else:
            self.declined_count += 1

    def _accepts(self, sender: PeerId, urgency: int, now_us: MonotonicUs) -> bool:
        if self.is_mesh:
            return True
        if sender in self._places.active:
            return True
        if urgency == AS_OUTLOOK:
            return self._welcomes(sender, now_us)
        if self._shuns(sender, now_us):
            return False
        asked = self._asked.pop(sender, None)
        is_asked = asked is not None and asked[0] != AS_OUTLOOK
        if not self._places.has_room(sender, self._members, is_asked=is_asked):
            victim = self._victim(sender) if urgency == IN_NEED else None
            if victim is None:
                return False
            self._drop(victim, now_us)
        self._take(sender, AS_ANY, now_us).is_own_choice = asked is not None
        return True

    def _welcomes(self, guest: PeerId, now_us: MonotonicUs) -> bool:
        places = self._places
        if places.find(guest) is None:
            if len(places.guests) >= self._config.guest_max:
                return False
            places.guests[guest] = Place(now_us, False, guest in self._linked)
        return True

    def _victim(self, sender: PeerId) -> PeerId | None:
        pool = self._places.given_up_for(sender, self._members)
        return pool[self._stream.below(len(pool))] if pool else None

    def _take(self, peer: PeerId, urgency: int, now_us: MonotonicUs) -> Place:
        self._places.pop(peer)
        place = Place(now_us, True, peer in self._linked)
        group = self._places.outlooks if urgency == AS_OUTLOOK else self._places.active
        group[peer] = place
        self._passive.pop(peer)
        self._arm(now_us)
        return place

    def _drop(self, peer: PeerId, now_us: MonotonicUs) -> None:
        if self._places.pop(peer) is None:
            return
        self._say(peer, Disconnect(self._layer))
        self._out.append(LinkUnwanted(peer))
        self._keep(peer)
        self._hasten(now_us)

    def _replied(self, sender: PeerId, is_accepted: bool, now_us: MonotonicUs) -> None:
        asked = self._asked.pop(sender, None)
        if asked is None:
            if is_accepted and not self.is_wanted(sender):
                self._say(sender, Disconnect(self._layer))
            return
        if not is_accepted:
            self._look_in(self._fill_wait_us // 8, now_us)
            return
        if asked[0] != AS_OUTLOOK and len(self._places.active) >= self._config.active_max:
            self._say(sender, Disconnect(self._layer))
            return
        if self._places.find(sender) is None or asked[0] != AS_OUTLOOK:
            self._take(sender, asked[0], now_us)
        self._out.append(LinkWanted(sender))

    # Shuffles.

    def _shuffle(self) -> None:
        active = list(self._places.active)
        if not active:
            return
        config = self._config
        named = self._stream.sample(active, config.shuffle_active_count)
        named += self._stream.sample(list(self.passive), config.shuffle_passive_count)
        receiver = active[self._stream.below(len(active))]
        peers = tuple(peer for peer in named if peer != receiver)
        shuffle = Shuffle(self._layer, self._own, config.join_walk_hops, peers)
        self._say(receiver, shuffle)

    def _shuffled(self, sender: PeerId, shuffle: Shuffle) -> None:
        origin = PeerId(shuffle.origin)
        onward = [peer for peer in self._places.active if peer not in (sender, origin)]
        if shuffle.hops_left > 0 and onward:
            hops_left = min(shuffle.hops_left, self._config.join_walk_hops) - 1
            receiver = onward[self._stream.below(len(onward))]
            self._say(receiver, Shuffle(self._layer, origin, hops_left, shuffle.peers))
            return
        if origin == self._own:
            return
        back = self._stream.sample(list(self.passive), len(shuffle.peers))
        if origin in self._members:
            self._say(origin, ShuffleReply(self._layer, tuple(back)))
        self._learn((origin, *shuffle.peers))

    def _learn(self, peers: Sequence[bytes]) -> None:
        """Names from others: those introduced here are kept, the others sought."""
        for peer in map(PeerId, peers):
            if peer in self._members:
                self._keep(peer)
            elif peer != self._own:
                self._out.append(Locate(peer))

    # Time.

    def _after_request(self, now_us: MonotonicUs) -> MonotonicUs:
        return MonotonicUs(now_us + self._config.request_timeout_us)

    def _arm(self, now_us: MonotonicUs) -> None:
        config = self._config
        if self._fill_at is None:
            self._fill_at = MonotonicUs(now_us + self._stream.below(config.fill_interval_us) + 1)
        if self._shuffle_at is None:
            wait_us = self._stream.below(config.shuffle_interval_us) + 1
            self._shuffle_at = MonotonicUs(now_us + wait_us)

    def _hasten(self, now_us: MonotonicUs) -> None:
        """A place became free: it is filled soon, not at the next look."""
        if not self.is_mesh:
            self._fill_wait_us = self._config.fill_interval_us
            self._look_in(self._fill_wait_us // 8, now_us)

    def _look_in(self, wait_us: int, now_us: MonotonicUs) -> None:
        self._fill_at = MonotonicUs(min(self._fill_at or now_us + wait_us, now_us + wait_us))

    def _tick(self, now_us: MonotonicUs) -> None:
        if self.is_mesh:
            return
        if self._fill_at is not None and now_us >= self._fill_at:
            self._expire(now_us)
            asked_count = len(self._asked)
            self._fill(now_us)
            self._rest(len(self._asked) > asked_count)
            self._fill_at = MonotonicUs(now_us + self._fill_wait_us)
        if self._shuffle_at is not None and now_us >= self._shuffle_at:
            self._shuffle_at = MonotonicUs(now_us + self._config.shuffle_interval_us)
            self._shuffle()
            self._change_outlooks(now_us)

    def _rest(self, has_asked: bool) -> None:
        """Whoever has neighbours enough to live on and finds all others taken asks ever less."""
        config = self._config
        is_poor = len(self._places.active) < config.own_choice_min
        wait_us = 2 * self._fill_wait_us if has_asked and not is_poor else 0
        self._fill_wait_us = min(max(wait_us, config.fill_interval_us), config.fill_rest_us)

    def _expire(self, now_us: MonotonicUs) -> None:
        for peer in [peer for peer, (_, due) in self._asked.items() if now_us >= due]:
            del self._asked[peer]
            self._passive.pop(peer)
        for peer in [peer for peer, until in self._shunned.items() if now_us >= until]:
            self._shunned.pop(peer)
        for group in self._places.groups():
            for peer, place in list(group.items()):
                if not place.is_linked and now_us >= place.since + self._config.link_timeout_us:
                    self._drop(peer, now_us)

    def _shuns(self, peer: PeerId, now_us: MonotonicUs) -> bool:
        until = self._shunned.get(peer)
        return until is not None and now_us < until

    def _fill(self, now_us: MonotonicUs) -> None:
        config, active = self._config, self._places.active
        while len(active) > config.active_max:
            self._drop(self._stream.sample(list(active), 1)[0], now_us)
        wanted = config.active_max - len(active)
        wanted -= sum(1 for urgency, _ in self._asked.values() if urgency != AS_OUTLOOK)
        if wanted > 0:
            urgency = AS_ANY if active else IN_NEED
            for peer in self._reserves(wanted, now_us):
                self._ask(peer, urgency, now_us)
        self._fill_outlooks(now_us)

    def _reserves(self, count: int, now_us: MonotonicUs) -> list[PeerId]:
        """Random passive peers within their orgs' shares; members where too few are left."""
        pool = [peer for peer in self.passive if peer in self._members]
        if len(pool) < self._config.active_max:
            for peer in self._stream.sample(list(self._members), self._config.passive_max):
                if not self._shuns(peer, now_us):
                    self._keep(peer)
            pool = [peer for peer in self.passive if peer in self._members]
        share_max = self._places.share_max(self._members)
        free = [
            peer
            for peer in pool
            if peer not in self._asked and self._places.share(peer, self._members) < share_max
        ]
        return self._stream.sample(free, count)

    def _ask(self, peer: PeerId, urgency: int, now_us: MonotonicUs) -> None:
        if peer not in self._asked:
            self._asked[peer] = (urgency, self._after_request(now_us))
            self._say(peer, Neighbour(self._layer, urgency))

    def _change_outlooks(self, now_us: MonotonicUs) -> None:
        oldest = next(iter(self._places.outlooks), None)
        if oldest is not None and len(self._places.outlooks) >= self._config.outlook_count:
            self._drop(oldest, now_us)
        self._fill_outlooks(now_us)

    def _fill_outlooks(self, now_us: MonotonicUs) -> None:
        """Peers of orgs other than ours, each of another, drawn from all members."""
        wanted = self._config.outlook_count - len(self._places.outlooks)
        wanted -= sum(1 for urgency, _ in self._asked.values() if urgency == AS_OUTLOOK)
        if wanted <= 0 or not self._places.active:
            return
        taken = [self._members.get(peer) for peer in self._places.outlooks]
        taken.append(self._own_org)
        for peer in self._stream.sample(list(self._members), 4 * wanted):
            is_free = self._places.find(peer) is None and peer not in self._asked
            if is_free and self._members[peer] not in taken and not self._shuns(peer, now_us):
                taken.append(self._members[peer])
                self._ask(peer, AS_OUTLOOK, now_us)
                wanted -= 1
            if wanted == 0:
                return

    def _say(self, receiver: PeerId, message: ViewMessage) -> None:
        self._out.append(Say(receiver, message.to_body()))
