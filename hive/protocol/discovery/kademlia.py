"""The discovery machine: Kademlia, sans-I/O.

Theory of operation. Peers and record keys share one 160-bit space with the XOR metric. The
*table* holds verified contacts; the *service* answers finds, reads and stores from it and from
the record store; *errands* are our own lookups, reads and publications; *rpc* carries both over
sealed datagrams that may be lost. This module routes events to them and owns the slow timers.

1. A contact enters on `ContactVerified` only. Pointers from answers are introduced first.
2. SWIM's verdicts come as `ContactAlive`, `ContactSuspected` and `ContactDied`: who lives is
   probed no more, who is suspected is not named to others, who died leaves.
   It leaves on `ContactDied`, or after `fails_max` failed exchanges in a row; a first failure
   starts probes that settle the matter, and meanwhile it is not named to others.
3. A full bucket prefers whom it has; its oldest contact is probed for a newcomer's sake only
   after long silence.
4. Own records are published to the nearest peers and to a set of diverse organisations
   (`Lookup.holders`), by us alone and again and again; copies expire unless we do.
5. Records of others are kept and reported as attested only after their signature verified by
   a key the `KeyBook` gave; never is one cached that was merely read.
6. Answers of the wrong kind, absurd ones and none at all are one thing: a failed exchange.

What the composer does: sessions (`Introduce`), budgets per peer on `Received`, signing own
records, verifying node and peer records, and keeping restricted namespaces out of here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from hive.errors import MalformedFrame, StateError
from hive.protocol.discovery.bucket import ID_BITS, Bucket
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import Contact
from hive.protocol.discovery.errand import Probing, Purpose, Wish
from hive.protocol.discovery.errands import Errands
from hive.protocol.discovery.events import (
    ContactAlive,
    ContactDied,
    ContactMoved,
    ContactSuspected,
    ContactUnreachable,
    ContactVerified,
    DiscoveryEffect,
    DiscoveryEvent,
    LookupRequested,
    Published,
    PublishRequested,
    RecordRequested,
    RefreshRequested,
    WithdrawRequested,
)
from hive.protocol.discovery.messages import (
    Answer,
    Find,
    Ping,
    Pong,
    Read,
    Store,
    decode_message_untrusted,
)
from hive.protocol.discovery.publications import Publications
from hive.protocol.discovery.records import (
    KEY_BYTES,
    KeyBook,
    Opened,
    SignedRecord,
    open_untrusted,
)
from hive.protocol.discovery.rpc import Exchange, Rpc
from hive.protocol.discovery.service import Keeping, Service, Verifications
from hive.protocol.discovery.table import Table
from hive.protocol.machine import Received, Ticked, Token, Verified
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import PeerId
from hive.wire.randomness import Stream


@dataclass(slots=True)
class Counts:
    """What happened, for metrics."""

    malformed: int = 0
    strays: int = 0
    exchanges_failed: int = 0
    retransmissions: int = 0


class Discovery:
    """One peer's part in the DHT; see the module's theory of operation."""

    def __init__(
        self, own: PeerId, config: DiscoveryConfig, key_book: KeyBook, stream: Stream
    ) -> None:
        self.table = Table(own, config)
        self.counts = Counts()
        self._own = own
        self._config = config
        self._key_book = key_book
        self._stream = stream
        self._rpc: Rpc[Purpose] = Rpc(config, stream)
        self._verifications = Verifications(config)
        self._service = Service(own, config, self.table, key_book, self._verifications, stream)
        self._errands = Errands(
            own, config, self.table, self._rpc, key_book, self._verifications, self._service
        )
        self._probing: dict[PeerId, None] = {}
        self._publications = Publications(config, stream)
        self._refresh_at: int | None = None
        self._sweep_at: int | None = None

    @property
    def deadline(self) -> MonotonicUs | None:
        """The earliest of all timers."""
        timers = (
            self._rpc.deadline,
            self._errands.deadline,
            self._refresh_at,
            self._sweep_at,
            self._publications.deadline,
        )
        times = [time for time in timers if time is not None]
        return MonotonicUs(min(times)) if times else None

    @property
    def finished_count(self) -> int:
        """Lookups, reads and publications that came to their end."""
        return self._errands.finished_count

    def handle(self, event: DiscoveryEvent, now: Now) -> list[DiscoveryEffect]:
        """Takes one event and gives the effects in their order."""
        self._start_timers(now)
        match event:
            case Received():
                return self._received(event, now)
            case Ticked():
                return self._tick(now)
            case Verified():
                return self._verified(event, now)
            case ContactVerified():
                return self._contact_verified(event.contact, now)
            case ContactUnreachable():
                self.table.failed(event.peer)
                return self._errands.unreachable(event.peer, now)
            case ContactAlive():
                self.table.heard(event.peer, now.monotonic_us)
                return []
            case ContactSuspected():
                self.table.suspected(event.peer)
                return []
            case ContactDied():
                return self._contact_died(event.peer, now)
            case ContactMoved():
                return self._contact_moved(event)
            case _:
                return self._command(event, now)

    def _command(
        self,
        command: LookupRequested
        | RecordRequested
        | PublishRequested
        | WithdrawRequested
        | RefreshRequested,
        now: Now,
    ) -> list[DiscoveryEffect]:
        match command:
            case LookupRequested():
                target = _checked_key(command.target)
                return self._errands.begin(Wish(target, command.token), now)
            case RecordRequested():
                key = _checked_key(command.key)
                return self._errands.begin(Wish(key, command.token, is_read=True), now)
            case PublishRequested():
                return self._publish(command, now)
            case WithdrawRequested():
                self._publications.withdraw(command.key, command.inception)
                return []
            case RefreshRequested():
                return self._errands.begin(Wish(self._own, is_join=True), now)
            case _:
                assert_never(command)

    def _received(self, event: Received, now: Now) -> list[DiscoveryEffect]:
        if event.sender == self._own:
            return []
        try:
            message = decode_message_untrusted(event.untrusted_payload)
        except MalformedFrame:
            self.counts.malformed += 1
            return []
        if isinstance(message, Ping | Find | Read | Store):
            self.table.heard(event.sender, now.monotonic_us)
            return [self._service.handle(event.sender, message, now)]
        return self._answered(event.sender, message, now)

    def _answered(self, sender: PeerId, answer: Answer, now: Now) -> list[DiscoveryEffect]:
        exchange = self._rpc.answered(sender, answer.request, now.monotonic_us)
        if exchange is None:
            self.counts.strays += 1
            return []
        self._probing.pop(sender, None)
        if isinstance(exchange.purpose, Probing) and not isinstance(answer, Pong):
            return self._failed(exchange, now)
        self.table.heard(sender, now.monotonic_us, self._rpc.round_trip_us(sender))
        effects = self._errands.answered(exchange, answer, now)
        return effects + self._after_join(now)

    def _failed(self, exchange: Exchange[Purpose], now: Now) -> list[DiscoveryEffect]:
        self.counts.exchanges_failed += 1
        if isinstance(exchange.purpose, Probing):
            self._probing.pop(exchange.peer, None)
        self.table.failed(exchange.peer)
        effects = self._errands.failed(exchange, now)
        return effects + self._probe(exchange.peer, now) + self._after_join(now)

    def _probe(self, peer: PeerId, now: Now) -> list[DiscoveryEffect]:
        if peer in self._probing or self.table.contact(peer) is None:
            return []
        send = self._rpc.ask(peer, Ping, Probing(), now.monotonic_us)
        if send is None:
            return []
        self._probing[peer] = None
        return [send]

    def _tick(self, now: Now) -> list[DiscoveryEffect]:
        sends, failed = self._rpc.expire(now.monotonic_us)
        self.counts.retransmissions += len(sends)
        effects: list[DiscoveryEffect] = [*sends]
        for exchange in failed:
            effects += self._failed(exchange, now)
        effects += self._errands.expire(now)
        effects += self._after_join(now)
        effects += self._republish(now)
        return effects + self._periodic(now)

    def _periodic(self, now: Now) -> list[DiscoveryEffect]:
        if self._sweep_at is not None and self._sweep_at <= now.monotonic_us:
            self._sweep_at = now.monotonic_us + self._config.sweep_interval_us
            self._service.store.advance(now)
        if self._refresh_at is not None and self._refresh_at <= now.monotonic_us:
            self._refresh_at = now.monotonic_us + self._config.refresh_interval_us
            self._refresh_at += self._stream.below(self._config.refresh_jitter_us + 1)
            return self._refresh(now)
        return []

    def _start_timers(self, now: Now) -> None:
        if self._refresh_at is None:
            jitter_us = self._stream.below(self._config.refresh_jitter_us + 1)
            self._refresh_at = now.monotonic_us + self._config.refresh_interval_us + jitter_us
            self._sweep_at = now.monotonic_us + self._config.sweep_interval_us

    def _after_join(self, now: Now) -> list[DiscoveryEffect]:
        if not self._errands.has_joined:
            return []
        self._errands.has_joined = False
        return self._refresh(now)

    def _refresh(self, now: Now) -> list[DiscoveryEffect]:
        effects: list[DiscoveryEffect] = []
        for bucket in self.table.lonely_buckets(now.monotonic_us):
            effects += self._errands.begin(Wish(self._target_in(bucket)), now)
        return effects

    def _target_in(self, bucket: Bucket) -> bytes:
        drawn = self._stream.bits(bucket.free_bits) if bucket.free_bits else 0
        return (bucket.range[0] + drawn).to_bytes(ID_BITS // 8, "big")

    def _verified(self, event: Verified, now: Now) -> list[DiscoveryEffect]:
        purpose = self._verifications.answered(event.token)
        if purpose is None:
            return []
        if isinstance(purpose, Keeping):
            is_good = event.verdicts == (True,)
            return [self._service.verified(purpose, is_good=is_good, now=now)]
        return self._errands.verified(purpose, event.verdicts, now)

    def _contact_verified(self, contact: Contact, now: Now) -> list[DiscoveryEffect]:
        if contact.peer == self._own:
            return []
        fresh = contact.heard(now.monotonic_us)
        silent = self.table.add_contact(fresh)
        effects = self._errands.contact_verified(fresh, now)
        return effects + (self._probe(silent.peer, now) if silent is not None else [])

    def _contact_died(self, peer: PeerId, now: Now) -> list[DiscoveryEffect]:
        known = self.table.contact(peer)
        if known is not None:
            self.table.remove_contact(known)
        effects: list[DiscoveryEffect] = []
        for exchange in self._rpc.abandon(peer):
            effects += self._failed(exchange, now)
        return effects + self._errands.unreachable(peer, now) + self._after_join(now)

    def _contact_moved(self, event: ContactMoved) -> list[DiscoveryEffect]:
        known = self.table.contact(event.peer)
        if known is not None and event.addresses and event.sequence > known.sequence:
            moved = replace(known, addresses=event.addresses, sequence=event.sequence)
            self.table.remove_contact(known)
            self.table.add_contact(moved)
        return []

    def _publish(self, command: PublishRequested, now: Now) -> list[DiscoveryEffect]:
        try:
            opened = open_untrusted(SignedRecord.from_bytes_untrusted(command.signed_record))
        except MalformedFrame as error:
            raise StateError("the record to publish is malformed") from error
        if self._publications.is_outdated(opened):
            return [Published(command.token, 0)]
        return self._publish_now(opened, command.token, now)

    def _publish_now(self, opened: Opened, token: Token | None, now: Now) -> list[DiscoveryEffect]:
        org = self._key_book.org_of(opened.record.inception)
        if org is not None:
            self._service.keep(opened, org, now)
        self._publications.published(opened, now)
        return self._errands.begin(Wish(opened.key, token, opened=opened), now)

    def _republish(self, now: Now) -> list[DiscoveryEffect]:
        effects: list[DiscoveryEffect] = []
        for opened in self._publications.due(now):
            effects += self._publish_now(opened, None, now)
        return effects


def _checked_key(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise StateError(f"a target has {KEY_BYTES} bytes, not {len(key)}")
    return key
