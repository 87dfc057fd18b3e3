"""Neighbours: the seam between introductions, membership and discovery.

A complete contact joins membership and enters discovery; deaths leave both; a peer that
membership hears of and nobody introduced is sought in the DHT; a pointer that discovery follows
is greeted first. All three speak sealed datagrams.
"""

from __future__ import annotations

from typing import Final, assert_never

from hive.protocol.commands import Announce, Join, Leave
from hive.protocol.core import Core, Effects
from hive.protocol.discovery.events import (
    ContactAlive,
    ContactDied,
    ContactSuspected,
    ContactUnreachable,
    ContactVerified,
    DiscoveryEvent,
    Introduce,
    LookupFinished,
    Published,
    PublishRequested,
    RecordFound,
    RecordRequested,
    RefreshRequested,
)
from hive.protocol.discovery.kademlia import Discovery
from hive.protocol.discovery.records import PeerRecord, SignedRecord
from hive.protocol.events import (
    CLUSTER_RING,
    DISCOVERY,
    INTRODUCTION,
    INTRODUCTION_WANTED,
    MEMBERSHIP,
    REGION_RING,
    RING_ASIDE,
    DatagramOpened,
    Dial,
    Endpoint,
    MemberNews,
    Reached,
    RetireContact,
    SendDatagram,
    Unreachable,
)
from hive.protocol.introductions import Introductions, Known, NodeKeys
from hive.protocol.machine import Received, Send, Sign, Ticked, Token, Verify
from hive.protocol.membership.events import Event as SwimEvent
from hive.protocol.membership.events import (
    Introduction,
    Joined,
    LeaveRequested,
    MemberAlive,
    MemberDied,
    MemberLeft,
    MemberReaped,
    MemberSuspected,
    PeerUnknown,
    Retired,
    SelfRefuted,
)
from hive.protocol.membership.hierarchy import Hierarchy
from hive.protocol.membership.place import Level, Place
from hive.protocol.membership.rings import Effects as GroupEffects
from hive.protocol.membership.swim import Swim
from hive.protocol.membership.view import View
from hive.protocol.peer_config import PeerConfig
from hive.trust.records import NodeRecord
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import PeerId
from hive.wire.randomness import Stream

_KINDS: Final = {
    Level.CELL: MEMBERSHIP,
    Level.CLUSTER: CLUSTER_RING,
    Level.REGION: REGION_RING,
    Level.ASIDE: RING_ASIDE,
}
_LEVELS: Final = {kind: level for level, kind in _KINDS.items()}


class Neighbours:
    """Who is near, who is alive, and who is where."""

    def __init__(
        self,
        core: Core,
        config: PeerConfig,
        own_record: SignedRecord,
        members: View | None,
        seed: bytes,
    ) -> None:
        own = core.own
        self._core = core
        self._keys = NodeKeys(core)
        self.introductions = Introductions(core, config.introduction, own_record)
        place = Place.of(own.region, own.cell)
        introduction = Introduction(own.peer, own.key.algorithm, own.key.octets, own.org, place)
        life = own.boot << 20
        self.membership = Swim(
            config.membership,
            introduction,
            seed=seed,
            incarnation=life,
            view=members,
            scope=place.cell_scope,
        )
        self.hierarchy = Hierarchy(
            config.hierarchy, self.membership, introduction, seed=seed, incarnation=life
        )
        self.discovery = Discovery(
            own.peer, config.discovery, self._keys, Stream(seed, "discovery", own.peer)
        )
        self.bootstrap: tuple[Endpoint, ...] = ()
        self._is_published = False

    @property
    def deadline(self) -> MonotonicUs | None:
        """The earliest timer of the three."""
        times = (
            self.hierarchy.deadline,
            self.discovery.deadline,
            self.introductions.deadline,
        )
        return min((time for time in times if time is not None), default=None)

    def now_is(self, now: Now) -> None:
        """Which time the key book judges by, for the event at hand."""
        self._keys.now = now

    def asked(self, command: Join | Announce | Leave, now: Now) -> Effects:
        """Greets bootstrap addresses, tells everybody a new address of ours, or says goodbye."""
        match command:
            case Join():
                self.bootstrap = tuple(Endpoint(host, port) for host, port in command.addresses)
                return [Dial(endpoint) for endpoint in self.bootstrap]
            case Announce():
                record = SignedRecord(command.body, command.signature)
                return [*self.introductions.announce(record), *self._publish(now)]
            case Leave():
                return self.tell_membership(LeaveRequested(), now)
            case _:
                assert_never(command)

    def _publish(self, now: Now) -> Effects:
        """Puts our peer record where those who seek us look for it."""
        if not self._is_published:
            return []
        own = self.introductions.own_record.to_bytes()
        return self.tell_discovery(PublishRequested(Token(0), own), now)

    def ticked(self, now: Now) -> Effects:
        """Timers, upkeep of contacts, and the bootstrap while nobody is known."""
        effects = self.tell_membership(Ticked(), now)
        effects += self.tell_discovery(Ticked(), now)
        upkeep, late, ended = self.introductions.ticked(now)
        effects += upkeep
        for peer in late:
            effects += self.tell_discovery(ContactUnreachable(peer), now)
        for peer in ended:
            effects += self.retire(peer, now)
        if not self.introductions.known:
            effects += [Dial(endpoint) for endpoint in self.bootstrap]
        return effects

    # Contacts.

    def reached(self, event: Reached, now: Now) -> Effects:
        """Datagrams flow: the peer joins membership; a complete contact enters discovery."""
        known = self.introductions.known.get(event.peer)
        effects = self.introductions.reached(event.peer, event.endpoint, now)
        if known is None:
            return effects
        known.version = event.version
        effects += self.tell_membership(Joined(self._introduction_of(known)), now)
        if known.record is not None:
            effects += self.complete(known, now)
        return effects

    def _introduction_of(self, known: Known) -> Introduction:
        key, leaf = known.chain.key, self._core.trust.signed(known.chain.leaf)
        record = None if leaf is None else leaf.record
        place = Place(known.chain.region)
        if isinstance(record, NodeRecord):
            place = Place.of(record.region, record.cell)
        return Introduction(known.peer, key.algorithm, key.octets, known.chain.org, place)

    def unreachable(self, event: Unreachable, now: Now) -> Effects:
        """Nobody admissible answered where a certain peer was sought."""
        if event.peer is None:
            return []
        return self.tell_discovery(ContactUnreachable(event.peer), now)

    def complete(self, known: Known, now: Now) -> Effects:
        """A contact whose peer record is verified."""
        contact = self.introductions.contact_of(known)
        effects = self.tell_discovery(ContactVerified(contact), now)
        effects += self.introductions.stream_wanted(known, now)
        if not self._is_published:
            self._is_published = True
            effects += self.tell_discovery(RefreshRequested(), now)
            effects += self._publish(now)
        return effects

    def retire(self, peer: PeerId, now: Now) -> Effects:
        """The peer's record ended or was revoked: it leaves everything at once."""
        self.introductions.retire(peer)
        effects: Effects = [RetireContact(peer)]
        effects += self.tell_membership(Retired(peer), now)
        effects += self.tell_discovery(ContactDied(peer), now)
        return effects

    def datagram(self, event: DatagramOpened, now: Now) -> Effects:
        """A sealed datagram goes to the machine of its kind; unknown kinds go nowhere.

        Who is shunned is heard by membership only: who is alive is no favour to whoever says it.
        """
        before = self._malformed_count
        effects = self._heard(event, now)
        if self._malformed_count > before:
            self._core.budgets.blame(event.sender, now.monotonic_us)
        return effects

    @property
    def _malformed_count(self) -> int:
        return self.hierarchy.malformed_count + self.discovery.counts.malformed

    def _heard(self, event: DatagramOpened, now: Now) -> Effects:
        if (level := _LEVELS.get(event.kind)) is not None:
            return self._of_membership(self._hear(level, event, now), now)
        if self._core.budgets.is_shunned(event.sender, now.monotonic_us):
            return []
        if event.kind == DISCOVERY:
            received = Received(event.sender, event.untrusted_payload)
            return self.tell_discovery(received, now)
        if event.kind == INTRODUCTION:
            return self.introductions.introduced(event.sender, event.untrusted_payload, now)
        if event.kind == INTRODUCTION_WANTED:
            return self.introductions.wanted(event.sender)
        return []

    # Membership.

    def tell_membership(self, event: SwimEvent, now: Now) -> Effects:
        """An event for SWIM in its groups; effects for the driver, news for discovery."""
        return self._of_membership(self.hierarchy.tell(event, now), now)

    def _hear(self, level: Level, event: DatagramOpened, now: Now) -> GroupEffects:
        if level == Level.ASIDE:
            return self.hierarchy.told(event.sender, event.untrusted_payload, now)
        return self.hierarchy.received(level, event.sender, event.untrusted_payload, now)

    def _of_membership(self, found: GroupEffects, now: Now) -> Effects:
        effects: Effects = []
        for level, effect in found:
            match effect:
                case Send():
                    kind = _KINDS[level]
                    effects.append(SendDatagram(effect.receiver, kind, effect.payload))
                case Verify():
                    outer = self._core.tokens.route("membership", effect.token)
                    effects.append(Verify(outer, effect.checks))
                case Sign():
                    effects.append(self._core.sign("membership", effect))
                case MemberAlive():
                    effects += self._alive(effect, now)
                case MemberSuspected():
                    effects.append(MemberNews(effect.peer, "suspect", effect.incarnation))
                    effects += self.tell_discovery(ContactSuspected(effect.peer), now)
                case MemberDied():
                    effects += self._dead(effect.peer, "dead", effect.incarnation, now)
                case MemberLeft():
                    effects += self._dead(effect.peer, "left", effect.incarnation, now)
                case MemberReaped():
                    effects.append(MemberNews(effect.peer, "reaped", 0))
                case SelfRefuted():
                    effects.append(MemberNews(self._core.own.peer, "alive", effect.incarnation))
                case PeerUnknown():
                    effects += self.locate(effect.peer, now)
                case _:
                    assert_never(effect)
        return effects

    def _alive(self, news: MemberAlive, now: Now) -> Effects:
        effects: Effects = [MemberNews(news.peer, "alive", news.incarnation)]
        effects += self.tell_discovery(ContactAlive(news.peer), now)
        known = self.introductions.lives(news.peer)
        if known is not None:
            effects += self.introductions.stream_wanted(known, now)
        return effects

    def _dead(self, peer: PeerId, state: str, incarnation: int, now: Now) -> Effects:
        self.introductions.died(peer)
        gone = self.tell_discovery(ContactDied(peer), now)
        return [MemberNews(peer, state, incarnation), *gone]

    def locate(self, peer: PeerId, now: Now) -> Effects:
        """Somebody spoke of a peer unknown here: its record in the DHT says where it is."""
        return self.tell_discovery(RecordRequested(self._core.tokens.fresh(), peer), now)

    # Discovery.

    def tell_discovery(self, event: DiscoveryEvent, now: Now) -> Effects:
        """An event for Kademlia; what it wants introduced goes to introductions."""
        effects: Effects = []
        for effect in self.discovery.handle(event, now):
            match effect:
                case Send():
                    effects.append(SendDatagram(effect.receiver, DISCOVERY, effect.payload))
                case Verify():
                    outer = self._core.tokens.route("discovery", effect.token)
                    effects.append(Verify(outer, effect.checks))
                case Introduce():
                    effects += self._introduce(effect, now)
                case RecordFound():
                    effects += self._located(effect)
                case LookupFinished() | Published():
                    pass
                case _:
                    assert_never(effect)
        return effects

    def _introduce(self, wanted: Introduce, now: Now) -> Effects:
        outcome = self.introductions.introduce(wanted.peer, wanted.untrusted_address, now)
        if isinstance(outcome, Known):
            contact = self.introductions.contact_of(outcome)
            return self.tell_discovery(ContactVerified(contact), now)
        return outcome

    def _located(self, found: RecordFound) -> Effects:
        for each in found.records:
            if isinstance(each.record, PeerRecord):
                address = each.record.addresses[0]
                return [Dial(Endpoint(address.host, address.udp_port))]
        return []
