"""The answering side: what others ask of us.

Every request comes from an attested peer through a sealed session. Answers name only contacts
that have not failed since they last answered us. A store is judged cheap first: shape, end,
signer known, organisation true, place and rank, and only then its signature, by the driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import assert_never

from hive.errors import MalformedFrame
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import to_integer
from hive.protocol.discovery.messages import (
    POINTERS_MAX,
    RECORDS_MAX,
    Answer,
    Find,
    Found,
    Ping,
    Pong,
    Read,
    Records,
    Request,
    Store,
    Stored,
    encode_message,
    fitting,
    pointer_size,
    record_size,
)
from hive.protocol.discovery.records import KeyBook, Opened, SignedRecord, open_untrusted
from hive.protocol.discovery.storage import Kept, RecordStore, StoreVerdict
from hive.protocol.discovery.table import Table
from hive.protocol.machine import Check, Send, Token, Verify
from hive.wire.clock import Now
from hive.wire.ids import Digest, Inception, PeerId
from hive.wire.randomness import Stream

_RECORD_BYTES = 900
"""Of that, room for records, so that an answer also leads on; one record always fits."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """A store waiting for its signature."""

    sender: PeerId
    request: int
    opened: Opened
    org: Inception


@dataclass(frozen=True, slots=True)
class Attesting:
    """A read waiting for signatures."""

    errand: int
    digests: tuple[Digest, ...]


class Verifications:
    """Signature batches at the driver."""

    def __init__(self, config: DiscoveryConfig) -> None:
        self._config = config
        self._numbers = count(1)
        self._waiting: dict[Token, Keeping | Attesting] = {}
        self._of_sender: dict[PeerId, int] = {}

    def is_full_for(self, sender: PeerId) -> bool:
        """Whether a store of this peer has to be refused for now."""
        return (
            len(self._waiting) >= self._config.verifications_max
            or self._of_sender.get(sender, 0) >= self._config.verifications_per_peer_max
        )

    def ask(self, checks: Sequence[Check], purpose: Keeping | Attesting) -> Verify:
        """Hands a batch to the driver."""
        token = Token(next(self._numbers))
        self._waiting[token] = purpose
        if isinstance(purpose, Keeping):
            self._of_sender[purpose.sender] = self._of_sender.get(purpose.sender, 0) + 1
        return Verify(token, tuple(checks))

    def answered(self, token: Token) -> Keeping | Attesting | None:
        """What the batch was for."""
        purpose = self._waiting.pop(token, None)
        if isinstance(purpose, Keeping):
            self._of_sender[purpose.sender] -= 1
            if not self._of_sender[purpose.sender]:
                del self._of_sender[purpose.sender]
        return purpose


def check_of(opened: Opened, key: tuple[int, bytes]) -> Check:
    """The signature of a record as a check."""
    algorithm, public_key = key
    return Check(algorithm, public_key, opened.record.LABEL, opened.digest, opened.signed.signature)


def is_org_true(opened: Opened, org: Inception | None) -> bool:
    """Whether a record that names an organisation names its signer's; else it chose its key."""
    return org is not None and getattr(opened.record, "org", org) == org


class Service:
    """Answers requests and keeps records."""

    def __init__(
        self,
        own: PeerId,
        config: DiscoveryConfig,
        table: Table,
        key_book: KeyBook,
        verifications: Verifications,
        stream: Stream,
    ) -> None:
        self._config = config
        self._table = table
        self._key_book = key_book
        self._verifications = verifications
        self._stream = stream
        self.store = RecordStore(own, config)

    def handle(self, sender: PeerId, request: Request, now: Now) -> Send | Verify:
        """Answers a request, now or after its signature was verified."""
        match request:
            case Ping():
                return _send(sender, Pong(request.request))
            case Find():
                return _send(sender, self._find(sender, request))
            case Read():
                return _send(sender, self._read(sender, request, now))
            case Store():
                return self._store(sender, request, now)
            case _:
                assert_never(request)

    def verified(self, keeping: Keeping, *, is_good: bool, now: Now) -> Send:
        """Keeps a record whose signature held; the place is judged again as time has passed."""
        verdict = StoreVerdict.BAD_SIGNATURE
        if is_good:
            verdict = self.keep(keeping.opened, keeping.org, now)
        return _send(keeping.sender, Stored(keeping.request, verdict))

    def keep(self, opened: Opened, org: Inception, now: Now) -> StoreVerdict:
        """Keeps a verified record if its place allows it."""
        verdict = self.store.verdict_on(opened, org)
        if verdict is StoreVerdict.STORED:
            jitter_us = self._stream.below(self._config.record_lifetime_jitter_us + 1)
            kept_at = now.monotonic_us
            expires_at = kept_at + self._config.record_lifetime_us + jitter_us
            self.store[opened.key] = Kept(opened, org, kept_at, expires_at)
        return verdict

    def live(self, key: bytes, now: Now) -> list[Kept]:
        """The records under a key that have not ended and whose signer still stands."""
        return [
            kept
            for kept in self.store.get(key) or ()
            if kept.expires_at > now.monotonic_us
            and not kept.opened.has_ended(now.wall_us)
            and self._key_book.signing_key(kept.opened.record.inception) is not None
        ]

    def _find(self, sender: PeerId, request: Find) -> Found:
        named = self._named(sender, request.target, request.skip)
        room = self._config.answer_bytes_max
        pointers, _ = fitting(named[: self._config.k], pointer_size, POINTERS_MAX, room)
        return Found(request.request, pointers, len(pointers) < len(named))

    def _read(self, sender: PeerId, request: Read, now: Now) -> Records:
        held = [kept.opened.signed for kept in self.live(request.key, now)][request.skip_records :]
        records, used = fitting(held, record_size, RECORDS_MAX, _RECORD_BYTES)
        named = self._named(sender, request.key, request.skip_pointers)
        room = self._config.answer_bytes_max - used
        pointers, _ = fitting(named[: self._config.k], pointer_size, POINTERS_MAX, room)
        return Records(
            request.request,
            records,
            pointers,
            len(records) < len(held),
            len(pointers) < len(named),
        )

    def _named(self, sender: PeerId, target: bytes, first: int) -> list[bytes]:
        """The contacts of one page and one more, which says that there are more."""
        count = min(first + self._config.k + 1, self._config.named_max)
        nearest = self._table.nearest(to_integer(target), count, (sender,), fails_most=0)
        return [contact.pointer for contact in nearest[first:]]

    def _store(self, sender: PeerId, request: Store, now: Now) -> Send | Verify:
        judged = self._judge(sender, request.signed, now)
        if isinstance(judged, StoreVerdict):
            return _send(sender, Stored(request.request, judged))
        opened, org, key = judged
        keeping = Keeping(sender, request.request, opened, org)
        return self._verifications.ask([check_of(opened, key)], keeping)

    def _judge(
        self, sender: PeerId, untrusted: SignedRecord, now: Now
    ) -> StoreVerdict | tuple[Opened, Inception, tuple[int, bytes]]:
        try:
            opened = open_untrusted(untrusted)
        except MalformedFrame:
            return StoreVerdict.MALFORMED
        if opened.has_ended(now.wall_us):
            return StoreVerdict.ENDED
        inception = opened.record.inception
        key, org = self._key_book.signing_key(inception), self._key_book.org_of(inception)
        if key is None or org is None:
            return StoreVerdict.UNKNOWN_SIGNER
        if not is_org_true(opened, org):
            return StoreVerdict.FOREIGN_ORG
        if (verdict := self.store.verdict_on(opened, org)) is not StoreVerdict.STORED:
            return verdict
        if self.store.held(opened) is not None:
            return self._keep_again(sender, opened, org, now)
        if self._verifications.is_full_for(sender):
            return StoreVerdict.BUSY
        return opened, org, key

    def _keep_again(self, sender: PeerId, opened: Opened, org: Inception, now: Now) -> StoreVerdict:
        """The same bytes again: only a peer itself prolongs its own peer record's life, so that
        nobody else keeps alive who has gone; a provider record ends by its own `not_after`."""
        if opened.record.LABEL == "provider" or sender == opened.key:
            return self.keep(opened, org, now)
        return StoreVerdict.STORED


def _send(receiver: PeerId, answer: Answer) -> Send:
    return Send(receiver, encode_message(answer))
