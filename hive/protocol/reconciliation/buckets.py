"""The second step: time buckets, for what heads cannot show (states, partial holders).

Upper buckets, then the leaves of those that differ, then the (id, state) pairs of a leaf as
8-byte session ids. What one side does not know by its session id the other offers by full id
and state; only full ids are ever asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from hive.memory.log import State
from hive.protocol.messages import WantDeltas
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.digests import (
    LEAF_LAST,
    leaf_of,
    leaf_span,
    pair,
    short,
    summaries_between,
)
from hive.protocol.reconciliation.fetcher import Fetcher
from hive.protocol.reconciliation.messages import (
    BUCKET_BYTES,
    BUCKET_COUNT_MAX,
    LEAF_COUNT_MAX,
    NUMBER_BYTES,
    OFFER_COUNT_MAX,
    Buckets,
    Differences,
    Leaves,
    Offer,
    Offers,
    ShortIds,
)
from hive.protocol.reconciliation.replica import Replica, cut
from hive.protocol.reconciliation.session import Session
from hive.wire.clock import Hlc, MonotonicUs
from hive.wire.ids import DIGEST_BYTES, DeltaId, Digest, PeerId


class BucketsStep:
    """Compares the time buckets of one namespace at a time."""

    def __init__(self, config: ReconciliationConfig, replica: Replica, fetcher: Fetcher) -> None:
        self._config = config
        self._replica = replica
        self._fetcher = fetcher

    def opening(self, session: Session, namespace: str) -> Buckets:
        """The initiator's upper buckets, the newest where there are too many."""
        buckets = self._tree_parents(namespace)
        numbers = list(buckets)[-BUCKET_COUNT_MAX:]
        return Buckets(session.id, namespace, _pack(session.key, buckets, numbers))

    def answer_buckets(self, session: Session, message: Buckets) -> Leaves:
        """The leaves of every upper bucket that differs, newest first."""
        own = self._tree_parents(message.namespace)
        numbers = _differing(session.key, own, message.buckets)
        parents, leaves, count = list[int](), b"", 0
        for parent in reversed(numbers):
            found = self._tree_leaves(message.namespace, parent)
            if count + len(found) > LEAF_COUNT_MAX or len(parents) == BUCKET_COUNT_MAX:
                break
            parents.append(parent)
            leaves += _pack(session.key, found, found)
            count += len(found)
        run = b"".join(parent.to_bytes(NUMBER_BYTES, "big") for parent in parents)
        return Leaves(session.id, message.namespace, run, leaves)

    def answer_leaves(self, session: Session, message: Leaves) -> list[ShortIds]:
        """Session ids of every leaf that differs, newest first, as far as the pages reach."""
        own: dict[int, Digest] = {}
        for run in cut(message.parents, NUMBER_BYTES):
            own |= self._tree_leaves(message.namespace, int.from_bytes(run, "big"))
        answer: list[ShortIds] = []
        for leaf in reversed(_differing(session.key, own, message.leaves)):
            for page in self._pages(session, message.namespace, leaf):
                if session.pages_left == 0:
                    return answer
                session.pages_left -= 1
                answer.append(page)
        return answer

    def answer_ids(
        self, session: Session, message: ShortIds, now_us: MonotonicUs
    ) -> Differences | None:
        """What the sender lacks by full id, and which of its session ids mean nothing here."""
        first, last = Hlc(message.first), Hlc(message.last)
        if first > last or leaf_of(first) != leaf_of(last) or session.pages_left == 0:
            return None
        session.pages_left -= 1
        own = self._pairs(session.key, message.namespace, first, last)
        theirs = dict.fromkeys(cut(message.ids))
        unknown = [key for key in theirs if key not in own][:OFFER_COUNT_MAX]
        offers = _offers(entry for key, entry in own.items() if key not in theirs)
        return Differences(
            session.id, message.namespace, b"".join(unknown), message.first, message.last, offers
        )

    def answer_differences(
        self, session: Session, message: Differences, now_us: MonotonicUs
    ) -> list[Offers | WantDeltas]:
        """Asks for what was offered, and names what was unknown."""
        answer: list[Offers | WantDeltas] = list(self.wants(session, message.offers, now_us))
        first, last = Hlc(message.first), Hlc(message.last)
        if message.unknown and first <= last and leaf_of(first) == leaf_of(last):
            own = self._pairs(session.key, message.namespace, first, last)
            offers = _offers(own[key] for key in cut(message.unknown) if key in own)
            if offers:
                answer.append(Offers(session.id, message.namespace, offers))
        return answer

    def wants(
        self, session: Session, offers: Sequence[Offer], now_us: MonotonicUs
    ) -> Iterator[WantDeltas]:
        """An ask for those offered deltas that are not held here in the state offered."""
        ids = [offer.delta for offer in offers if self._is_wanted(session.peer, offer)]
        want = self._fetcher.want_ids(session.peer, ids, now_us)
        if want is not None:
            session.found += len(want.ids)
            yield want

    def _is_wanted(self, peer: PeerId, offer: Offer) -> bool:
        held = self._replica.reader.delta(DeltaId(offer.delta))
        if held is None:
            return True
        if held.state == offer.state or held.state is State.FORGOTTEN:
            return False
        return self._replica.admissible(peer, held.delta.header.namespace)

    def _pairs(self, key: bytes, namespace: str, first: Hlc, last: Hlc) -> dict[bytes, bytes]:
        lines = summaries_between(self._replica.reader, namespace, first, last)
        bounded = islice(map(pair, lines), 4 * self._config.leaf_ids_max)
        return {short(key, entry): entry for entry in bounded}

    def _pages(self, session: Session, namespace: str, leaf: int) -> Iterator[ShortIds]:
        first, end = leaf_span(leaf)
        lines = list(summaries_between(self._replica.reader, namespace, first, end))
        start = 0
        while True:
            stop = start + self._config.leaf_ids_max
            if stop >= len(lines):
                break
            while stop > start + 1 and lines[stop - 1].hlc == lines[stop].hlc:
                stop -= 1
            last = lines[stop - 1].hlc
            ids = b"".join(short(session.key, pair(line)) for line in lines[start:stop])
            yield ShortIds(session.id, namespace, first, last, ids)
            first, start = Hlc(last + 1), stop
        ids = b"".join(short(session.key, pair(line)) for line in lines[start:])
        yield ShortIds(session.id, namespace, first, end, ids)

    def _tree_parents(self, namespace: str) -> dict[int, Digest]:
        return self._replica.digests.tree(namespace).parents(self._replica.reader)

    def _tree_leaves(self, namespace: str, parent: int) -> dict[int, Digest]:
        return self._replica.digests.tree(namespace).leaves(self._replica.reader, parent)


def _pack(key: bytes, digests: dict[int, Digest], numbers: Iterable[int]) -> bytes:
    return b"".join(
        number.to_bytes(NUMBER_BYTES, "big") + short(key, digests[number]) for number in numbers
    )


def _differing(key: bytes, own: dict[int, Digest], untrusted_run: bytes) -> list[int]:
    """Numbers of the buckets that differ or that only one side has, ascending.

    A number beyond the last leaf names no time and is dropped.
    """
    items = cut(untrusted_run, BUCKET_BYTES)
    claimed = {int.from_bytes(item[:NUMBER_BYTES], "big"): item[NUMBER_BYTES:] for item in items}
    theirs = {number: claimed[number] for number in claimed if number <= LEAF_LAST}
    ours = {number: short(key, own[number]) for number in own}
    return sorted(number for number in {**ours, **theirs} if ours.get(number) != theirs.get(number))


def _offers(entries: Iterable[bytes]) -> tuple[Offer, ...]:
    return tuple(
        Offer(entry[:DIGEST_BYTES], entry[DIGEST_BYTES])
        for entry in islice(entries, OFFER_COUNT_MAX)
    )
