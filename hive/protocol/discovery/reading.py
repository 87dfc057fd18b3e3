"""What one read has found: verified, awaiting its signature, or by an unknown signer.

Bounds are counted apart, so that nobody's flood hides another's record: for each peer that
answers, what it passes on and how much of that was badly signed (a little is honest: keys
rotate); for each organisation, what proved true; and in all, what cannot be proven here.
"""

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
    """The records of one key, newest by slot."""

    def __init__(self, key: bytes, key_book: KeyBook, config: DiscoveryConfig) -> None:
        self._key = key
        self._key_book = key_book
        self._config = config
        self._seen: dict[Digest, bool] = {}
        self._of_sender: dict[PeerId, int] = {}
        self._bad_of_sender: dict[PeerId, int] = {}
        self._pending: dict[Digest, tuple[Opened, PeerId]] = {}
        self._attested: dict[Inception | None, dict[_Slot, Opened]] = {}
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
            self._keep(opened)

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
            self._note_holder(sender, opened)
            identity = Digest(opened.digest + signed.signature)
            key = self._key_book.signing_key(opened.record.inception)
            org = self._key_book.org_of(opened.record.inception) if key else None
            if not self._has_room(sender, identity):
                continue
            if key is None or org is None:
                _keep_newest(self._unattested, opened, self._config.records_per_read_max)
            elif is_org_true(opened, org):
                self._pending[identity] = opened, sender
                checks.append(check_of(opened, key))
                digests.append(identity)
        return checks, tuple(digests)

    def _note_holder(self, sender: PeerId, opened: Opened) -> None:
        ranks = self._holders.setdefault(sender, {})
        if len(ranks) < self._config.records_per_key_max or opened.slot in ranks:
            ranks[opened.slot] = opened.rank

    def _has_room(self, sender: PeerId, identity: Digest) -> bool:
        """Whether the record is new and its bringer within bounds."""
        of_sender = self._of_sender.get(sender, 0)
        bad_count = self._bad_of_sender.get(sender, 0)
        if (
            identity in self._seen
            or of_sender >= self._config.records_per_key_max
            or bad_count >= self._config.bad_records_max
        ):
            return False
        self._of_sender[sender] = of_sender + 1
        self._seen[identity] = True
        return True

    def take_verdicts(self, digests: Sequence[Digest], verdicts: Sequence[bool]) -> None:
        """Takes the verdicts on a batch, in its order."""
        for identity, is_good in zip(digests, verdicts, strict=False):
            opened, sender = self._pending.pop(identity, (None, None))
            if opened is not None and is_good:
                self._keep(opened)
            elif sender is not None:
                self._bad_of_sender[sender] = self._bad_of_sender.get(sender, 0) + 1

    def newest(self) -> tuple[FoundRecord, ...]:
        """The newest attested record of each slot, then slots without any attested one."""
        attested = self._newest_attested()
        unattested = [
            FoundRecord(o.signed, o.record, False)
            for slot, o in self._unattested.items()
            if slot not in attested
        ]
        return (*(FoundRecord(o.signed, o.record, True) for o in attested.values()), *unattested)

    def _newest_attested(self) -> dict[_Slot, Opened]:
        return {slot: o for share in self._attested.values() for slot, o in share.items()}

    def stale_holders(self, peers: Iterable[PeerId]) -> list[tuple[PeerId, Opened]]:
        """Which of these peers answered with an older record than the newest attested one."""
        attested = self._newest_attested()
        return [
            (peer, newest)
            for peer in peers
            for slot, rank in self._holders.get(peer, {}).items()
            if (newest := attested.get(slot)) is not None and rank < newest.rank
        ]

    def _keep(self, opened: Opened) -> None:
        org = self._key_book.org_of(opened.record.inception)
        share = self._attested.setdefault(org, {})
        _keep_newest(share, opened, self._config.records_per_org_read_max)

    def _open(self, untrusted: SignedRecord, wall_us: int) -> Opened | None:
        try:
            opened = open_untrusted(untrusted)
        except MalformedFrame:
            return None
        is_fitting = opened.key == self._key and not opened.has_ended(wall_us)
        return opened if is_fitting else None


def _keep_newest(held: dict[_Slot, Opened], opened: Opened, slots_max: int) -> None:
    known = held.get(opened.slot)
    if known is None and len(held) >= slots_max:
        return
    if known is None or known.rank < opened.rank:
        held[opened.slot] = opened
