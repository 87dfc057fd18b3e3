"""The asking side: lookups, reads and publications under way.

An errand seeks first (its lookup), then a read waits for signatures and a publication stores;
each stage ends when nothing is open any more or when the errand's time is up, and then the
next begins with what there is. Introductions are shared: two errands that need one peer ask
the composer once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial

from hive.errors import MalformedFrame
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import Contact, address_from_untrusted, to_integer
from hive.protocol.discovery.errand import Errand, Purpose, Querying, Repairing, Storing, Wish
from hive.protocol.discovery.events import (
    DiscoveryEffect,
    Introduce,
    LookupFinished,
    Published,
    RecordFound,
)
from hive.protocol.discovery.lookup import Lookup, Thoroughness
from hive.protocol.discovery.messages import SKIP_MAX, Answer, Found, Records, Store, Stored
from hive.protocol.discovery.reading import Reading
from hive.protocol.discovery.records import KeyBook, Opened
from hive.protocol.discovery.rpc import Exchange, Rpc
from hive.protocol.discovery.service import Attesting, Service, Verifications
from hive.protocol.discovery.shortlist import Candidate, Standing
from hive.protocol.discovery.storage import StoreVerdict
from hive.protocol.discovery.table import Table
from hive.wire.clock import Now
from hive.wire.ids import PeerId


class Errands:
    """All errands, those that wait, and the introductions they need."""

    def __init__(
        self,
        own: PeerId,
        config: DiscoveryConfig,
        table: Table,
        rpc: Rpc[Purpose],
        key_book: KeyBook,
        verifications: Verifications,
        service: Service,
    ) -> None:
        self._own = own
        self._config = config
        self._table = table
        self._rpc = rpc
        self._key_book = key_book
        self._verifications = verifications
        self._service = service
        self._number = 0
        self._errands: dict[int, Errand] = {}
        self._waiting: deque[Wish] = deque()
        self._introductions: dict[PeerId, int] = {}
        self.has_joined = False
        self.finished_count = 0

    def __len__(self) -> int:
        return len(self._errands)

    @property
    def deadline(self) -> int | None:
        """When an errand or introduction runs out; both begin in order of time."""
        times = [errand.ends_at for errand in self._errands.values()]
        times += list(self._introductions.values())[:1]
        for errand in self._errands.values():
            times += [] if errand.doubt_at is None else [errand.doubt_at]
        return min(times, default=None)

    def begin(self, wish: Wish, now: Now) -> list[DiscoveryEffect]:
        """Starts an errand, or lets it wait for a free place."""
        if len(self._errands) >= self._config.lookups_max:
            if len(self._waiting) >= self._config.lookups_waiting_max:
                return wish.in_vain()
            self._waiting.append(wish)
            return []
        paths = self._config.record_paths if wish.is_for_record else self._config.refresh_paths
        start = self._table.nearest(to_integer(wish.target), self._config.k * paths)
        lookup = Lookup(
            wish.target,
            self._own,
            start,
            paths,
            self._table.network_bits(),
            self._config,
            self._thoroughness(wish),
        )
        self._table.touch(lookup.target, now.monotonic_us)
        reading = Reading(wish.target, self._key_book, self._config) if wish.is_read else None
        if reading is not None:
            reading.take_verified([kept.opened for kept in self._service.live(wish.target, now)])
        self._number += 1
        ends_at = now.monotonic_us + self._config.lookup_timeout_us
        self._errands[self._number] = Errand(wish, lookup, ends_at, reading)
        return self._advance(self._number, now)

    def _thoroughness(self, wish: Wish) -> Thoroughness | None:
        if not wish.is_for_record:
            return None
        config = self._config
        possible = config.contacts_per_org_max * self._table.org_count()
        region = self._table.region_of(config.region_peers)
        return Thoroughness(region, min(config.diverse_min, config.k, possible))

    def contact_verified(self, contact: Contact, now: Now) -> list[DiscoveryEffect]:
        """A session stands: whoever waits for it asks."""
        self._introductions.pop(contact.peer, None)
        effects: list[DiscoveryEffect] = []
        for number, errand in list(self._errands.items()):
            candidate = errand.lookup.candidate(contact.peer)
            if candidate is not None and candidate.standing is Standing.INTRODUCING:
                self._ask(number, errand, candidate, contact, now, effects)
        return effects

    def unreachable(self, peer: PeerId, now: Now) -> list[DiscoveryEffect]:
        """No session came about."""
        self._introductions.pop(peer, None)
        effects: list[DiscoveryEffect] = []
        for number, errand in list(self._errands.items()):
            if errand.lookup.candidate(peer) is not None:
                errand.lookup.failed(peer)
                effects += self._advance(number, now)
        return effects

    def answered(
        self, exchange: Exchange[Purpose], answer: Answer, now: Now
    ) -> list[DiscoveryEffect]:
        """Takes the answer to a query or store."""
        purpose = exchange.purpose
        match purpose:
            case Querying():
                return self._queried(exchange.peer, purpose, answer, now)
            case Storing():
                is_kept = isinstance(answer, Stored) and answer.verdict == StoreVerdict.STORED
                return self._stored(purpose.errand, exchange.peer, is_kept=is_kept, now=now)
            case _:
                return []

    def failed(self, exchange: Exchange[Purpose], now: Now) -> list[DiscoveryEffect]:
        """An exchange got no answer, or an absurd one."""
        purpose = exchange.purpose
        match purpose:
            case Querying(errand=number) if number in self._errands:
                self._errands[number].lookup.failed(exchange.peer)
                return self._advance(number, now)
            case Storing():
                return self._stored(purpose.errand, exchange.peer, is_kept=False, now=now)
            case _:
                return []

    def verified(
        self, attesting: Attesting, verdicts: Sequence[bool], now: Now
    ) -> list[DiscoveryEffect]:
        """Takes the verdicts on what a read found."""
        errand = self._errands.get(attesting.errand)
        if errand is None or errand.reading is None:
            return []
        errand.reading.take_verdicts(attesting.digests, verdicts)
        return self._advance(attesting.errand, now)

    def expire(self, now: Now) -> list[DiscoveryEffect]:
        """Ends introductions and errands whose time is up."""
        effects: list[DiscoveryEffect] = []
        late = [p for p, due_at in self._introductions.items() if due_at <= now.monotonic_us]
        for peer in late:
            effects += self.unreachable(peer, now)
        for number, errand in list(self._errands.items()):
            if errand.doubt_at is not None and errand.doubt_at <= now.monotonic_us:
                errand.lookup.doubt(now.monotonic_us)
                effects += self._advance(number, now)
        over = [n for n, errand in self._errands.items() if errand.ends_at <= now.monotonic_us]
        for number in over:
            if number in self._errands:
                effects += self._next_stage(number, now, is_late=True)
        return effects

    def _advance(self, number: int, now: Now) -> list[DiscoveryEffect]:
        errand = self._errands[number]
        if errand.has_found:
            return self._next_stage(number, now, is_late=False) if errand.reading else []
        effects: list[DiscoveryEffect] = []
        while candidates := errand.lookup.next_queries(now.monotonic_us):
            for candidate in candidates:
                contact = self._table.contact(candidate.id)
                if contact is not None:
                    self._ask(number, errand, candidate, contact, now, effects)
                elif candidate.id not in self._introductions:
                    self._introduce(errand, candidate, now, effects)
        if not errand.lookup.is_done:
            return effects
        for candidate in errand.lookup.next_pages(now.monotonic_us):
            wanted = candidate.pointer_count + self._config.k
            query = Querying(number, wanted, SKIP_MAX, candidate.pointer_count)
            self._query(errand, candidate.id, query, now, effects)
        if errand.lookup.is_done:
            effects += self._next_stage(number, now, is_late=False)
        return effects

    def _introduce(
        self, errand: Errand, candidate: Candidate, now: Now, effects: list[DiscoveryEffect]
    ) -> None:
        try:
            address = address_from_untrusted(candidate.untrusted_address)
        except MalformedFrame:
            errand.lookup.failed(candidate.id)
            return
        due_at = now.monotonic_us + self._config.introduction_timeout_us
        self._introductions[candidate.id] = due_at
        effects.append(Introduce(candidate.id, address))

    def _ask(
        self,
        number: int,
        errand: Errand,
        candidate: Candidate,
        contact: Contact,
        now: Now,
        effects: list[DiscoveryEffect],
    ) -> None:
        candidate.standing = Standing.ASKED
        candidate.contact = contact
        self._query(errand, contact.peer, Querying(number, self._config.k), now, effects)

    def _query(
        self,
        errand: Errand,
        peer: PeerId,
        query: Querying,
        now: Now,
        effects: list[DiscoveryEffect],
    ) -> None:
        make = query.request(errand.wish.target, is_read=errand.wish.is_read)
        send = self._rpc.ask(peer, make, query, now.monotonic_us)
        if send is not None:
            effects.append(send)

    def _queried(
        self, peer: PeerId, query: Querying, answer: Answer, now: Now
    ) -> list[DiscoveryEffect]:
        errand = self._errands.get(query.errand)
        candidate = errand.lookup.candidate(peer) if errand is not None else None
        if errand is None or candidate is None:
            return []
        effects: list[DiscoveryEffect] = []
        has_news = True
        if isinstance(answer, Records) and errand.reading is not None:
            seen_count = errand.reading.seen_count
            effects += self._attest(query.errand, errand.reading, peer, answer, now)
            has_news = errand.reading.seen_count > seen_count
        if isinstance(answer, Found | Records):
            self._turn_page(errand, candidate, query, answer, has_news, now, effects)
        else:
            errand.lookup.failed(peer)
        return effects + self._advance(query.errand, now)

    def _attest(
        self, number: int, reading: Reading, peer: PeerId, answer: Records, now: Now
    ) -> list[DiscoveryEffect]:
        checks, digests = reading.take(peer, answer.records, now.wall_us)
        return [self._verifications.ask(checks, Attesting(number, digests))] if checks else []

    def _turn_page(
        self,
        errand: Errand,
        candidate: Candidate,
        query: Querying,
        answer: Found | Records,
        has_news: bool,
        now: Now,
        effects: list[DiscoveryEffect],
    ) -> None:
        candidate.pages += 1
        candidate.pointer_count = query.skip_pointers + len(answer.pointers)
        next_page = query.next_page(answer, has_news=has_news)
        if next_page is None or candidate.pages >= self._config.pages_max:
            has_more = answer.has_more if isinstance(answer, Found) else answer.has_more_pointers
            errand.lookup.answered(candidate.id, answer.pointers, has_more=has_more)
        elif errand.lookup.learnt(candidate.id, answer.pointers):
            self._query(errand, candidate.id, next_page, now, effects)
        else:
            errand.lookup.failed(candidate.id)

    def _next_stage(self, number: int, now: Now, *, is_late: bool) -> list[DiscoveryEffect]:
        errand = self._errands[number]
        if errand.reading is not None:
            errand.has_found = True
            if errand.reading.is_waiting and not is_late:
                return []
            effects = self._repair(errand, now)
            records = errand.reading.newest()
            if errand.wish.token is not None:
                effects.append(RecordFound(errand.wish.token, records))
            return effects + self._end(number, now)
        if errand.wish.opened is not None:
            if not errand.has_found:
                return self._begin_storing(number, errand, errand.wish.opened, now)
            return self._end_storing(number, errand, now)
        effects = []
        if errand.wish.token is not None:
            effects.append(LookupFinished(errand.wish.token, errand.lookup.closest()))
        self.has_joined = self.has_joined or errand.wish.is_join
        return effects + self._end(number, now)

    def _begin_storing(
        self, number: int, errand: Errand, opened: Opened, now: Now
    ) -> list[DiscoveryEffect]:
        errand.has_found = True
        errand.ends_at = now.monotonic_us + self._config.lookup_timeout_us
        effects: list[DiscoveryEffect] = []
        for contact in errand.lookup.holders():
            send = self._rpc.ask(
                contact.peer,
                partial(Store, signed=opened.signed),
                Storing(number),
                now.monotonic_us,
            )
            if send is not None:
                errand.storing[contact.peer] = None
                effects.append(send)
        return effects if errand.storing else self._end_storing(number, errand, now)

    def _stored(
        self, number: int, peer: PeerId, *, is_kept: bool, now: Now
    ) -> list[DiscoveryEffect]:
        errand = self._errands.get(number)
        if errand is None:
            return []
        errand.storing.pop(peer, None)
        errand.stored_count += is_kept
        return [] if errand.storing else self._end_storing(number, errand, now)

    def _end_storing(self, number: int, errand: Errand, now: Now) -> list[DiscoveryEffect]:
        effects: list[DiscoveryEffect] = []
        if errand.wish.token is not None:
            effects.append(Published(errand.wish.token, errand.stored_count))
        return effects + self._end(number, now)

    def _repair(self, errand: Errand, now: Now) -> list[DiscoveryEffect]:
        effects: list[DiscoveryEffect] = []
        if errand.reading is None:
            return effects
        nearest = [contact.peer for contact in errand.lookup.closest()]
        for peer, opened in errand.reading.stale_holders(nearest):
            make = partial(Store, signed=opened.signed)
            send = self._rpc.ask(peer, make, Repairing(), now.monotonic_us)
            if send is not None:
                effects.append(send)
        return effects

    def _end(self, number: int, now: Now) -> list[DiscoveryEffect]:
        del self._errands[number]
        self.finished_count += 1
        return self.begin(self._waiting.popleft(), now) if self._waiting else []
