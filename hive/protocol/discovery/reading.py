"""What one read has found: verified, awaiting its signature, or by an unknown signer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hive.errors import MalformedFrame
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.events import FoundRecord
from hive.protocol.discovery.records import KeyBook, Opened, SignedRecord, open_untrusted
from hive.protocol.discovery.service import check_of, is_org_true
from hive.protocol.machine import Check
from hive.wire.ids import Digest, Inception, PeerId

_Slot = tuple[str, Inception]


class Reading:
    """The records of one key, newest by slot; bounded by `records_per_read_max`."""

    def __init__(self, key: bytes, key_book: KeyBook, config: DiscoveryConfig) -> None:
        self._key = key
        self._key_book = key_book
        self._config = config
        self._seen: dict[Digest, bool] = {}
        self._pending: dict[Digest, Opened] = {}
        self._attested: dict[_Slot, Opened] = {}
        self._unattested: dict[_Slot, Opened] = {}
        self._holders: dict[PeerId, dict[_Slot, tuple[int, int]]] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether signatures are at the driver."""
        return bool(self._pending)

    @property
    def seen_count(self) -> int:
        """How many different records were seen: a page without news needs no next page."""
        return len(self._seen)

    def take_verified(self, held: Iterable[Opened]) -> None:
        """Takes records of our own store, which were verified when they came."""
        for opened in held:
            self._seen[opened.digest] = True
            _keep_newest(self._attested, opened)

    def take(
        self, sender: PeerId, untrusted: Sequence[SignedRecord], wall_us: int
    ) -> tuple[list[Check], tuple[Digest, ...]]:
        """Takes what a peer answered; gives the signatures that need verifying."""
        checks: list[Check] = []
        digests: list[Digest] = []
        for signed in untrusted:
            opened = self._open(signed, wall_us)
            if opened is None:
                continue
            ranks = self._holders.setdefault(sender, {})
            ranks[opened.slot] = opened.rank
            identity = Digest(opened.digest + signed.signature)
            if identity in self._seen or len(self._seen) >= self._config.records_per_read_max:
                continue
            self._seen[identity] = True
            key = self._key_book.signing_key(opened.record.inception)
            org = self._key_book.org_of(opened.record.inception)
            if key is None or org is None:
                _keep_newest(self._unattested, opened)
            elif is_org_true(opened, org):
                self._pending[identity] = opened
                checks.append(check_of(opened, key))
                digests.append(identity)
        return checks, tuple(digests)

    def take_verdicts(self, digests: Sequence[Digest], verdicts: Sequence[bool]) -> None:
        """Takes the verdicts on a batch, in its order."""
        for identity, is_good in zip(digests, verdicts, strict=False):
            opened = self._pending.pop(identity, None)
            if opened is not None and is_good:
                _keep_newest(self._attested, opened)

    def newest(self) -> tuple[FoundRecord, ...]:
        """The newest attested record of each slot, then slots without any attested one."""
        attested = [FoundRecord(o.signed, o.record, True) for o in self._attested.values()]
        unattested = [
            FoundRecord(o.signed, o.record, False)
            for slot, o in self._unattested.items()
            if slot not in self._attested
        ]
        return (*attested, *unattested)

    def stale_holders(self, peers: Iterable[PeerId]) -> list[tuple[PeerId, Opened]]:
        """Which of these peers answered with an older record than the newest attested one."""
        return [
            (peer, newest)
            for peer in peers
            for slot, rank in self._holders.get(peer, {}).items()
            if (newest := self._attested.get(slot)) is not None and rank < newest.rank
        ]

    def _open(self, untrusted: SignedRecord, wall_us: int) -> Opened | None:
        try:
            opened = open_untrusted(untrusted)
        except MalformedFrame:
            return None
        is_fitting = opened.key == self._key and not opened.has_ended(wall_us)
        return opened if is_fitting else None


def _keep_newest(held: dict[_Slot, Opened], opened: Opened) -> None:
    known = held.get(opened.slot)
    if known is None or known.rank < opened.rank:
        held[opened.slot] = opened
