"""From an address to an attested contact, and from a contact to a stream.

Theory of operation. A greeting brings a node record; its chain must verify up to the root, be
valid now and not revoked. Then sealed datagrams flow, and both sides exchange *peer records*:
where each listens, signed by its node key. With a peer record a contact is complete: membership
and discovery hear of it, and the one with the smaller peer id opens the stream; the other does
where that takes too long, as behind a NAT. Contacts that died are greeted again from time to
time, so that a healed partition is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hive.errors import ConfigError, MalformedFrame
from hive.protocol.bounded import BoundedMap
from hive.protocol.core import Core, Effects
from hive.protocol.discovery.contact import Address, Contact, subnet_of
from hive.protocol.discovery.records import PeerRecord, SignedRecord, open_untrusted
from hive.protocol.events import (
    INTRODUCTION,
    INTRODUCTION_WANTED,
    AdmitContact,
    Dial,
    Endpoint,
    Greeted,
    OpenStream,
    RefuseContact,
    SendDatagram,
    WantChain,
)
from hive.protocol.machine import Check, Token, Verify
from hive.trust.chain import Chain
from hive.trust.envelope import parse_untrusted
from hive.trust.records import NodeRecord
from hive.wire.clock import SECOND_US, MonotonicUs, Now
from hive.wire.ids import Inception, PeerId, RecordId, peer_id


@dataclass(frozen=True, slots=True, kw_only=True)
class IntroductionConfig:
    """How persistently contacts are made."""

    contact_count_max: int = 4_096
    """Contacts remembered; the oldest goes first."""
    repeat_interval_us: int = SECOND_US
    """Between two tries for a missing peer record or stream."""
    redial_interval_us: int = 5 * SECOND_US
    """Between two greetings of a contact believed dead."""
    reverse_dial_after_us: int = 3 * SECOND_US
    """The one with the larger peer id dials where no stream came so long: the other may be unable
    to reach it behind its NAT. Less makes two streams at once likelier."""
    introduce_timeout_us: int = 3 * SECOND_US
    """After this long a pointer that discovery wants introduced counts as unreachable."""

    def __post_init__(self) -> None:
        if min(self.contact_count_max, self.repeat_interval_us, self.redial_interval_us) < 1:
            raise ConfigError("introductions need positive bounds and intervals")


@dataclass(slots=True)
class Known:
    """One contact: who it is, where it was reached, and what it says of itself."""

    peer: PeerId
    chain: Chain
    endpoint: Endpoint
    datagram_key: bytes
    is_reached: bool = False
    version: int = 0
    record: PeerRecord | None = None
    signed: SignedRecord | None = None
    is_dead: bool = False
    tried_at: MonotonicUs | None = None
    missed_at: MonotonicUs | None = None
    dialled_at: MonotonicUs | None = None


class Introductions:
    """The part of a peer that makes contacts."""

    def __init__(self, core: Core, config: IntroductionConfig, own: SignedRecord) -> None:
        self._core = core
        self._config = config
        self.own_record = own
        self.known: BoundedMap[PeerId, Known] = BoundedMap(config.contact_count_max)
        self._checking: BoundedMap[Token, tuple[PeerId, SignedRecord, PeerRecord]] = BoundedMap(
            config.contact_count_max
        )
        self._wanted: dict[PeerId, MonotonicUs] = {}
        self._due_at: MonotonicUs | None = None
        self.wants_stream: Callable[[Known], bool] = lambda known: True
        """With which complete contacts streams are kept; who replicates says so."""

    @property
    def deadline(self) -> MonotonicUs | None:
        """When contacts are looked after next."""
        return self._due_at

    # Greetings.

    def greeted(self, event: Greeted, now: Now) -> Effects:
        """Judges a node record; its chain has been taken into the trust state before."""
        found = self._node_behind(event.untrusted_records)
        if found is None:
            return [RefuseContact(event.conversation)]
        record, record_id = found
        if self._core.trust.signed(record_id) is None:
            is_whole = len(event.untrusted_records) > 1
            return [(RefuseContact if is_whole else WantChain)(event.conversation)]
        chain = self._core.live_chain(record_id, now)
        if chain is None or chain.kind != "node" or chain.identity == self._core.own.inception:
            return [RefuseContact(event.conversation)]
        peer = peer_id(chain.identity, chain.org)
        known = self._remember(peer, chain, event.endpoint, record.datagram_key)
        known.is_dead = False
        return [
            AdmitContact(event.conversation, peer, chain.org, event.endpoint, record.datagram_key)
        ]

    def _node_behind(self, untrusted: Sequence[bytes]) -> tuple[NodeRecord, RecordId] | None:
        try:
            signed = parse_untrusted(untrusted[0]) if untrusted else None
        except MalformedFrame:
            return None
        if signed is None or not isinstance(signed.record, NodeRecord):
            return None
        return signed.record, signed.id

    def _remember(
        self, peer: PeerId, chain: Chain, endpoint: Endpoint, datagram_key: bytes
    ) -> Known:
        known = self.known.get(peer)
        if known is None:
            known = Known(peer, chain, endpoint, datagram_key)
            self.known.put(peer, known)
        known.chain, known.endpoint, known.datagram_key = chain, endpoint, datagram_key
        self._core.regions.put(peer, chain.region)
        return known

    def reached(self, peer: PeerId, endpoint: Endpoint, now: Now) -> Effects:
        """Datagrams flow: say where we listen, ask where they do."""
        known = self.known.get(peer)
        if known is None:
            return []
        known.is_reached, known.is_dead, known.endpoint = True, False, endpoint
        subnet = subnet_of(endpoint.host)
        self._core.budgets.place(peer, known.chain.org, subnet, now.monotonic_us)
        self._arm(now)
        return [*self._introduce_to(peer), *self._ask(known, now)]

    def _introduce_to(self, peer: PeerId) -> Effects:
        return [SendDatagram(peer, INTRODUCTION, self.own_record.to_bytes())]

    def _ask(self, known: Known, now: Now) -> Effects:
        if known.record is not None:
            return []
        known.tried_at = now.monotonic_us
        return [SendDatagram(known.peer, INTRODUCTION_WANTED, b"")]

    def announce(self, record: SignedRecord) -> Effects:
        """We listen elsewhere from now on: whoever is reached hears of it at once."""
        self.own_record = record
        reached = [peer for peer, known in self.known.items() if known.is_reached]
        return [effect for peer in reached for effect in self._introduce_to(peer)]

    def wanted(self, sender: PeerId) -> Effects:
        """A contact asks where we listen."""
        return self._introduce_to(sender)

    # Peer records.

    def introduced(self, sender: PeerId, untrusted: bytes, now: Now) -> Effects:
        """A contact's own peer record, to be verified with its node key at its own cost."""
        known = self.known.get(sender)
        if known is None:
            return []
        try:
            signed = SignedRecord.from_bytes_untrusted(untrusted)
            opened = open_untrusted(signed)
        except MalformedFrame:
            return []
        record = opened.record
        if not isinstance(record, PeerRecord) or record.inception != known.chain.identity:
            return []
        if known.record is not None and known.record.sequence >= record.sequence:
            return []
        if self._core.budgets.pay(sender, len(untrusted), 1, now.monotonic_us) is not None:
            return []
        token = self._core.tokens.fresh()
        self._checking.put(token, (sender, signed, record))
        key = known.chain.key
        check = Check(key.algorithm, key.octets, PeerRecord.LABEL, opened.digest, signed.signature)
        return [Verify(self._core.tokens.route("introduction", token), (check,))]

    def verified(self, token: Token, is_valid: bool, now: Now) -> Known | None:
        """The complete contact, where its peer record is genuine."""
        checked = self._checking.pop(token)
        if checked is None:
            return None
        sender, signed, record = checked
        if not is_valid:
            self._core.budgets.blame(sender, now.monotonic_us)
            return None
        known = self.known.get(sender)
        if known is None:
            return None
        known.record, known.signed = record, signed
        self._wanted.pop(sender, None)
        return known

    def contact_of(self, known: Known) -> Contact:
        """The contact as discovery keeps it: the address that was reached comes first."""
        assert known.record is not None
        endpoint, first = known.endpoint, known.record.addresses[0]
        listens = (each for each in known.record.addresses if each.host == endpoint.host)
        tls_port = next(listens, first).tls_port
        reached = Address(endpoint.host, endpoint.port, tls_port)
        others = tuple(address for address in known.record.addresses if address != reached)
        return Contact(known.peer, known.chain.org, (reached, *others)[:4], known.record.sequence)

    # Streams.

    def stream_wanted(self, known: Known, now: Now) -> Effects:
        """Opens the stream where none is there and it is ours to open, or nobody else does."""
        is_there = known.peer in self._core.connected
        if is_there or known.record is None or known.is_dead or not self.wants_stream(known):
            known.missed_at = None
            return []
        if self._core.budgets.is_shunned(known.peer, now.monotonic_us):
            return []
        known.missed_at = known.missed_at or now.monotonic_us
        missed_us = now.monotonic_us - known.missed_at
        if self._core.own.peer > known.peer and missed_us < self._config.reverse_dial_after_us:
            return []
        known.tried_at = now.monotonic_us
        port = self.contact_of(known).addresses[0].tls_port
        return [OpenStream(known.peer, known.chain.identity, known.endpoint.host, port)]

    # Discovery asks for introductions.

    def introduce(self, peer: PeerId, address: Address, now: Now) -> Known | Effects:
        """The complete contact at once, or a greeting on its way."""
        known = self.known.get(peer)
        if known is not None and known.record is not None and known.is_reached:
            return known
        self._wanted[peer] = MonotonicUs(now.monotonic_us + self._config.introduce_timeout_us)
        self._arm(now)
        return [Dial(Endpoint(address.host, address.udp_port))]

    # Upkeep.

    def died(self, peer: PeerId) -> None:
        """Membership gave the contact up."""
        known = self.known.get(peer)
        if known is not None:
            known.is_dead = True

    def lives(self, peer: PeerId) -> Known | None:
        """Membership says that the contact lives."""
        known = self.known.get(peer)
        if known is not None:
            known.is_dead = False
        return known

    def retire(self, peer: PeerId) -> None:
        """The contact's record ended or was revoked."""
        self.known.pop(peer)

    def _arm(self, now: Now) -> None:
        due = MonotonicUs(now.monotonic_us + self._config.repeat_interval_us)
        self._due_at = due if self._due_at is None else min(self._due_at, due)

    def ticked(self, now: Now) -> tuple[Effects, list[PeerId], list[PeerId]]:
        """Upkeep; also names peers unreachable for discovery, and those whose records ended."""
        if self._due_at is not None and now.monotonic_us < self._due_at:
            return [], [], []
        self._due_at = MonotonicUs(now.monotonic_us + self._config.repeat_interval_us)
        effects: Effects = []
        ended: list[PeerId] = []
        for peer, known in self.known.items():
            if self._has_ended(known, now):
                ended.append(peer)
            else:
                effects += self._look_after(known, now)
        late = [peer for peer, at in self._wanted.items() if at <= now.monotonic_us]
        for peer in late:
            del self._wanted[peer]
        return effects, late, ended

    def _has_ended(self, known: Known, now: Now) -> bool:
        if self._core.live_chain(known.chain.leaf, now) is not None:
            return False
        newest = self._core.trust.node_chain(Inception(known.chain.identity))
        if newest is None or self._core.live_chain(newest.leaf, now) is None:
            return True
        known.chain = newest
        return False

    def _look_after(self, known: Known, now: Now) -> Effects:
        if known.is_dead or not known.is_reached:
            return self._redial(known, now)
        if known.record is None:
            return self._ask(known, now)
        return self.stream_wanted(known, now)

    def _redial(self, known: Known, now: Now) -> Effects:
        interval_us = self._config.redial_interval_us
        if known.dialled_at is not None and now.monotonic_us - known.dialled_at < interval_us:
            return []
        known.dialled_at = now.monotonic_us
        return [Dial(known.endpoint)]


class NodeKeys:
    """The key book that discovery asks: live, verified nodes only."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.now: Now | None = None

    def _chain(self, inception: Inception) -> Chain | None:
        chain = self._core.trust.node_chain(inception)
        if chain is None or self.now is None:
            return None
        return self._core.live_chain(chain.leaf, self.now)

    def signing_key(self, inception: Inception) -> tuple[int, bytes] | None:
        """Algorithm and key that sign for a node now."""
        chain = self._chain(inception)
        return (chain.key.algorithm, chain.key.octets) if chain else None

    def org_of(self, inception: Inception) -> Inception | None:
        """The organisation that the node's verified record names."""
        chain = self._chain(inception)
        return chain.org if chain else None
