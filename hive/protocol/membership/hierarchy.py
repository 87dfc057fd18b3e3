"""Cells, clusters and regions: who belongs where, who speaks for whom, what is told upward.

The door of membership: events of all groups enter here, effects leave with the group that they
belong to. Reads are cheap and may be asked at any time.
"""

from __future__ import annotations

from typing import Final, assert_never

from hive.errors import MalformedFrame
from hive.protocol.bounded import BoundedMap
from hive.protocol.budget import TokenBuckets
from hive.protocol.machine import Received, Send, SignatureMade, Ticked, Verified
from hive.protocol.membership.election import elect
from hive.protocol.membership.events import (
    Event,
    Introduction,
    Joined,
    LeaveRequested,
    PeerUnknown,
    Retired,
)
from hive.protocol.membership.messages import Standing
from hive.protocol.membership.outlines import Outlines, Told
from hive.protocol.membership.place import Level, Place
from hive.protocol.membership.ring_messages import (
    InterestTold,
    Outline,
    RingMessage,
    Speakers,
    SpeakersWanted,
    ring_message_from_untrusted,
)
from hive.protocol.membership.rings import Effects, HierarchyConfig, Rings, belongs
from hive.protocol.membership.swim import Swim
from hive.protocol.membership.view import Member
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import Inception, PeerId
from hive.wire.randomness import Stream

SEATS: Final = 3
"""Super-peers of a cell, and of a cluster in the ring above it."""
RINGS: Final = (Level.CLUSTER, Level.REGION)


class Hierarchy:
    """Where this node stands, its groups, and who speaks for them."""

    __slots__ = (
        "_answers",
        "_config",
        "_contacts",
        "_elected",
        "_interest_told_to",
        "_malformed_count",
        "_own",
        "_rings",
        "_seeks_at",
        "_sought",
        "_stream",
        "_told",
        "_wanted",
        "cell",
        "outlines",
        "place",
    )

    def __init__(
        self,
        config: HierarchyConfig,
        cell: Swim,
        own: Introduction,
        *,
        seed: bytes,
        incarnation: int = 1,
    ) -> None:
        self.place = own.place
        self.cell = cell
        self.outlines = Outlines()
        self._config = config
        self._own = own.peer
        self._malformed_count = 0
        self._rings = Rings(config, cell, own, seed, incarnation)
        self._contacts: BoundedMap[PeerId, Introduction] = BoundedMap(config.contacts_max)
        self._sought: BoundedMap[PeerId, Level] = BoundedMap(config.contacts_max)
        self._answers: TokenBuckets[PeerId] = TokenBuckets(
            config.answers_burst, config.answers_refill_us, config.contacts_max
        )
        self._elected: BoundedMap[Place, tuple[object, tuple[PeerId, ...]]] = BoundedMap(
            config.contacts_max
        )
        self._stream = Stream(seed, "hierarchy", own.peer)
        self._seeks_at: int | None = None
        self._told: dict[Level, tuple[Outline, int]] = {}
        self._wanted = InterestTold(1, ())
        self._interest_told_to: tuple[PeerId, ...] = ()

    # Reads.

    @property
    def is_super_peer(self) -> bool:
        """Whether this node speaks for its cell."""
        return self._own in self.super_peers()

    @property
    def is_region_peer(self) -> bool:
        """Whether this node also speaks for its cluster, in the ring of all regions."""
        return self._own in self.cluster_speakers(self.place)

    def member(self, peer: PeerId) -> Member | None:
        """The peer as our cell sees it, else as our rings do; None where neither knows it."""
        for level in (Level.CELL, *RINGS):
            swim = self._rings.swims.get(level)
            if swim is not None and (found := swim.view.get(peer)) is not None:
                return found
        return None

    def place_of(self, peer: PeerId) -> Place | None:
        """Where the peer belongs, by its verified record; None where it is unknown."""
        if (member := self.member(peer)) is not None:
            return member.introduction.place
        contact = self._contacts.get(peer)
        return None if contact is None else contact.place

    def places(self) -> tuple[Place, ...]:
        """Every cell that somebody live or in contact is known of, in order."""
        found = {contact.place: None for _, contact in self._contacts.items()}
        found |= {member.introduction.place: None for member in self._live()}
        return tuple(sorted({**found, self.place: None}))

    def cell_peers(self, place: Place | None = None) -> tuple[PeerId, ...]:
        """The live members of a cell, ours unless told, by peer id; of others those known."""
        return tuple(peer for peer, _ in self._candidates(place or self.place))

    def super_peers(self, place: Place | None = None) -> tuple[PeerId, ...]:
        """Who speaks for a cell, ours unless told, best first; of other cells those known."""
        place = place or self.place
        key = (place, tuple(swim.view.root() for swim in self._rings.swims.values()))
        if (known := self._elected.get(place)) is None or known[0] != key:
            chosen = elect(place.cell_scope, self._candidates(place), SEATS)
            known = (key, chosen)
            self._elected.put(place, known)
        return known[1]

    def cluster_peers(self) -> tuple[PeerId, ...]:
        """The super-peers of all cells of our cluster, as far as known."""
        cells = (place for place in self.places() if place.shares_cluster(self.place))
        return tuple(peer for place in cells for peer in self.super_peers(place))

    def cluster_speakers(self, place: Place) -> tuple[PeerId, ...]:
        """Who speaks for the cluster of a place among all clusters, best first."""
        candidates = []
        for other in self.places():
            if other.shares_cluster(place):
                orgs = dict(self._candidates(other))
                candidates += [(peer, orgs[peer]) for peer in self.super_peers(other)]
        return elect(place.cluster_scope, candidates, SEATS)

    def region_peers(self) -> tuple[PeerId, ...]:
        """Everybody in the ring of all regions, as far as known."""
        clusters = {place.cluster_scope: place for place in self.places()}
        return tuple(peer for place in clusters.values() for peer in self.cluster_speakers(place))

    @property
    def malformed_count(self) -> int:
        """Messages of any group that were none."""
        swims = self._rings.swims.values()
        return self._malformed_count + sum(swim.tally.malformed_messages for swim in swims)

    def is_in_ring(self, level: Level) -> bool:
        """Whether this node takes part in the ring of its cluster, or of all regions."""
        return self._rings.is_running(level)

    def _live(self) -> list[Member]:
        found = {m.peer: m for level in (*RINGS[::-1], Level.CELL) for m in self._seen(level)}
        return [found[peer] for peer in sorted(found)]

    def _seen(self, level: Level) -> list[Member]:
        """A ring knows its own cell worse than the cell does."""
        members = self._rings.members(level)
        if level == Level.CELL:
            return members
        return [m for m in members if m.introduction.place != self.place]

    def _candidates(self, place: Place) -> list[tuple[PeerId, Inception]]:
        return [
            (member.peer, member.introduction.org)
            for member in (self._rings.members(Level.CELL) if place == self.place else self._live())
            if member.introduction.place == place and not self.cell.is_suppressed(member.peer)
        ]

    # The door.

    @property
    def deadline(self) -> MonotonicUs | None:
        """When it next wants a tick."""
        times = (self._rings.deadline, self._seeks_at)
        return min((MonotonicUs(time) for time in times if time is not None), default=None)

    def joined(self, introduction: Introduction, now: Now) -> Effects:
        """A contact with a verified record: it enters our cell, or waits for a ring."""
        peer = introduction.peer
        if introduction.place == self.place:
            return self._settled(self._rings.tell(Level.CELL, Joined(introduction), now), now)
        self._contacts.put(peer, introduction)
        self._rings.is_dirty = True
        if self._seeks_at is None:
            self._seeks_at = now.monotonic_us
        level = self._sought.pop(peer)
        found = [] if level is None else self._enter(level, peer, now)
        return self._settled(found, now)

    def received(self, level: Level, sender: PeerId, untrusted_payload: bytes, now: Now) -> Effects:
        """A datagram of one of our groups, or of a ring that we are not in."""
        received = Received(sender, untrusted_payload)
        if level != Level.CELL and self._rings.is_gone(level):
            return self._answer(level, sender, now)
        return self._settled(self._rings.tell(level, received, now), now)

    def told(self, sender: PeerId, untrusted_payload: bytes, now: Now) -> Effects:
        """What super-peers tell each other beside SWIM."""
        try:
            message = ring_message_from_untrusted(untrusted_payload)
        except MalformedFrame:
            self._malformed_count += 1
            return []
        return self._settled(self._hear(sender, message, now), now)

    def ticked(self, now: Now) -> Effects:
        """Time passes."""
        found = self._rings.ticked(now)
        if self._seeks_at is not None and self._seeks_at <= now.monotonic_us:
            self._seeks_at = now.monotonic_us + self._config.seek_interval_us
            self._rings.is_dirty = True
            found += self._seek(now)
            found += self._tell_outlines(now)
            found += self._tell_interest()
        return self._settled(found, now)

    def tell(self, event: Event, now: Now) -> Effects:
        """Every other event, for the group that it concerns."""
        match event:
            case Verified(token, verdicts):
                found = self._rings.verified(token, verdicts, now)
            case SignatureMade(token, signature):
                found = self._rings.signed(token, signature, now)
            case Retired(peer):
                self._contacts.pop(peer)
                self.outlines.forget(peer)
                found = self._rings.retire(peer, now)
            case LeaveRequested():
                found = self._rings.tell(Level.CELL, event, now)
                for level in RINGS:
                    if self._rings.is_running(level):
                        found += self._rings.leave(level, now)
            case Joined(introduction):
                return self.joined(introduction, now)
            case Received(sender, payload):
                return self.received(Level.CELL, sender, payload, now)
            case Ticked():
                return self.ticked(now)
            case _:
                assert_never(event)
        return self._settled(found, now)

    # Rings.

    def _settled(self, found: Effects, now: Now) -> Effects:
        """Takes in who is known already, then enters and leaves rings as elections have it."""
        while self._rings.unknown:
            level, unknown = self._rings.unknown.pop(0)
            if self._contacts.get(unknown.peer) or self.cell.view.get(unknown.peer):
                found += self._enter(level, unknown.peer, now)
            else:
                self._sought.put(unknown.peer, level)
                found.append((level, unknown))
        if self._rings.is_dirty:
            self._rings.is_dirty = False
            for level in RINGS:
                found += self._elect(level, now)
        return found

    def _elect(self, level: Level, now: Now) -> Effects:
        is_wanted = not self.cell.is_leaving and self._is_entitled(level)
        if is_wanted and self._rings.is_gone(level):
            self._seeks_at = now.monotonic_us
            return self._rings.start(level, now)
        if not is_wanted and self._rings.is_running(level):
            return self._rings.leave(level, now)
        return []

    def _is_entitled(self, level: Level) -> bool:
        """Elected, and not alone up there."""
        if not self._foreign(level):
            return False
        return self.is_super_peer if level == Level.CLUSTER else self.is_region_peer

    def _companions(self, level: Level) -> tuple[PeerId, ...]:
        """Who speaks with us for our own group: the way into a ring."""
        own = self.super_peers() if level == Level.CLUSTER else self.cluster_speakers(self.place)
        return tuple(peer for peer in own if peer != self._own)

    def _enter(self, level: Level, peer: PeerId, now: Now) -> Effects:
        member = self.cell.view.get(peer)
        introduction = self._contacts.get(peer) if member is None else member.introduction
        if introduction is None or not belongs(level, self.place, introduction.place):
            return []
        return self._rings.join(level, introduction, now)

    def _foreign(self, level: Level) -> dict[Place, list[PeerId]]:
        """Contacts by the group that they would bring into a ring of ours."""
        found: dict[Place, list[PeerId]] = {}
        for peer, contact in self._contacts.items():
            place = contact.place
            is_near = place.shares_cluster(self.place)
            if level == Level.CLUSTER and is_near:
                found.setdefault(place, []).append(peer)
            elif level == Level.REGION and not is_near:
                found.setdefault(Place(place.region, place.cluster), []).append(peer)
        return found

    def _seek(self, now: Now) -> Effects:
        """Takes in who speaks with us; asks groups that lack in a ring who speaks for them."""
        found: Effects = []
        for level in RINGS:
            if not self._rings.is_running(level):
                continue
            for peer in self._rings.silent(level, now.monotonic_us - self._config.silent_after_us):
                found += self._rings.tell(level, Retired(peer), now)
            for peer in self._companions(level):
                found += self._enter(level, peer, now)
            present = [member.introduction.place for member in self._rings.members(level)]
            groups = self._foreign(level)
            for group in sorted(groups):
                if not any(_is_of(level, group, place) for place in present):
                    asked = groups[group][self._stream.below(len(groups[group]))]
                    found.append(self._say(asked, SpeakersWanted(int(level))))
        return found

    def _answer(self, level: Level, asker: PeerId, now: Now) -> Effects:
        """Who speaks for our own group; said to contacts, and not too often."""
        if self.place_of(asker) is None or not self._answers.take(asker, now.monotonic_us):
            return []
        own = self.super_peers() if level == Level.CLUSTER else self.cluster_speakers(self.place)
        return [self._say(asker, Speakers(int(level), own))] if own else []

    # What is told.

    def _hear(self, sender: PeerId, message: RingMessage, now: Now) -> Effects:
        place = self.place_of(sender)
        if place is None:
            return []
        match message:
            case SpeakersWanted():
                return self._answer(Level(message.level), sender, now)
            case Speakers():
                return self._meet(sender, place, message, now)
            case Outline():
                self._keep(sender, place, message, now)
            case InterestTold():
                if place == self.place:
                    self.outlines.want(sender, message)
            case _:
                assert_never(message)
        return []

    def _meet(self, sender: PeerId, place: Place, speakers: Speakers, now: Now) -> Effects:
        level = Level(speakers.level)
        if not self._rings.is_running(level) or not belongs(level, self.place, place):
            return []
        found: Effects = []
        for peer in speakers.peers:
            if peer == self._own:
                continue
            if self._contacts.get(peer) is not None:
                found += self._enter(level, peer, now)
            elif self.cell.view.get(peer) is None:
                self._sought.put(peer, level)
                found.append((level, PeerUnknown(peer, sender)))
        return found

    def _keep(self, sender: PeerId, place: Place, outline: Outline, now: Now) -> None:
        """A group's outline counts from its speakers only."""
        is_cell = outline.level == Level.CLUSTER
        speakers = self.super_peers(place) if is_cell else self.cluster_speakers(place)
        is_near = belongs(Level(outline.level), self.place, place)
        if sender in speakers and is_near and place != self.place:
            self.outlines.hear(place, Told(outline, sender, now.monotonic_us))

    def _tell_outlines(self, now: Now) -> Effects:
        """Our group's outline to its ring, by its first speaker, where it changed or is old."""
        own_cell = self.outlines.outline_of_cell(self.cell.view.live_count, self.cell.view.root())
        outlines = {Level.CLUSTER: own_cell}
        if self._rings.is_running(Level.REGION):
            outlines[Level.REGION] = self.outlines.outline_of_cluster(own_cell, self.place)
        found: Effects = []
        for level, outline in outlines.items():
            first = (self.super_peers() if level == Level.CLUSTER else ()) or (
                self.cluster_speakers(self.place)
            )
            if not self._rings.is_running(level) or first[:1] != (self._own,):
                continue
            before, told_at = self._told.get(level, (None, 0))
            wait = self._config.outline_interval_us
            if before == outline:
                wait = self._config.outline_repeat_us
            if before is not None and now.monotonic_us - told_at < wait:
                continue
            self._told[level] = (outline, now.monotonic_us)
            for member in self._rings.members(level):
                if member.peer != self._own and member.introduction.place != self.place:
                    found.append(self._say(member.peer, outline))
        return found

    def wants(self, wants_all: bool, tokens: tuple[bytes, ...]) -> None:
        """What this node wants pushed: tokens of namespaces, or everything."""
        self._wanted = InterestTold(int(wants_all), () if wants_all else tokens)
        self._interest_told_to = ()
        self.outlines.want(self._own, self._wanted)

    def _tell_interest(self) -> Effects:
        """Members tell their super-peers and nobody else; new super-peers are told again."""
        self.outlines.want(self._own, self._wanted)
        now_speaking = self.super_peers()
        fresh = [peer for peer in now_speaking if peer not in self._interest_told_to]
        self._interest_told_to = now_speaking
        return [self._say(peer, self._wanted) for peer in fresh if peer != self._own]

    @staticmethod
    def _say(receiver: PeerId, message: RingMessage) -> tuple[Level, Send]:
        return Level.ASIDE, Send(receiver, message.to_body())

    def standing(self, peer: PeerId) -> Standing | None:
        """How the peer stands where it is best known."""
        member = self.member(peer)
        return None if member is None else member.standing


def _is_of(level: Level, group: Place, place: Place) -> bool:
    return place == group if level == Level.CLUSTER else place.shares_cluster(group)
