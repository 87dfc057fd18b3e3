"""The second step: time buckets, for what heads cannot show cheaply or at all.

The initiator shows its top buckets. The answer holds, for those that differ, the buckets inside
(where going down pays: few of them, and many deltas in each), else the same ones as the responder
has them. So every message takes the comparison down by one level, and its end is a list of
buckets that differ with what either side holds in each: work for the third step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.digests import (
    FINE,
    LEAF,
    NOTHING,
    TOP,
    Bucket,
    Buckets,
    scan,
    short,
    span_of,
)
from hive.protocol.reconciliation.elements import Toll, numbers_of_untrusted, steps_of
from hive.protocol.reconciliation.messages import BUCKET_COUNT_MAX, BUCKET_DIGEST_BYTES
from hive.protocol.reconciliation.messages import Buckets as BucketsMessage
from hive.protocol.reconciliation.replica import Replica, cut
from hive.protocol.reconciliation.session import Dirty, Session
from hive.protocol.reconciliation.slices import Work

CHILD_COUNT = 32


class BucketsStep:
    """Compares the time buckets of one namespace, level by level."""

    def __init__(self, config: ReconciliationConfig, replica: Replica) -> None:
        self._config = config
        self._replica = replica

    def opening(self, session: Session, namespace: str) -> Work[BucketsMessage]:
        """The initiator's top buckets."""
        tree = yield from self._replica.digests.refresh(namespace)
        return self._message(session, namespace, TOP, (), tree.level(TOP))

    def answer(
        self, session: Session, message: BucketsMessage, toll: Toll
    ) -> Work[BucketsMessage | None]:
        """One level down where that pays, else what differs on this one; None: too dear."""
        parents = numbers_of_untrusted(message.parents, max(0, message.level - 1))
        own = yield from self._own(message.namespace, message.level, parents, toll)
        if own is None:
            return None
        dirty = self._differing(session, own, message, own)
        below = self._worth_opening(message.level, dirty)
        if below is None:
            shown = {each.number: own.get(each.number, NOTHING) for each in dirty}
            return self._message(session, message.namespace, message.level, (), shown)
        return (yield from self.open(session, message.namespace, message.level + 1, below, toll))

    def compare(
        self, session: Session, message: BucketsMessage, toll: Toll
    ) -> Work[BucketsMessage | list[Dirty]]:
        """What to show next, or the buckets that are left to compare by ids."""
        parents = numbers_of_untrusted(message.parents, max(0, message.level - 1))
        numbers = numbers_of_untrusted(message.numbers, message.level)
        if message.parents:
            own = yield from self._own(message.namespace, message.level, parents, toll)
            scope: Iterable[int] = own or ()
        else:
            above = {number >> 5: None for number in numbers} if message.level == FINE else {}
            own = yield from self._own(message.namespace, message.level, tuple(above), toll)
            scope = ()
        if own is None:
            return []
        dirty = self._differing(session, own, message, scope)
        below = self._worth_opening(message.level, dirty) if message.parents else None
        if below is None:
            return dirty
        opened = yield from self.open(session, message.namespace, message.level + 1, below, toll)
        return opened if opened is not None else []

    def open(
        self, session: Session, namespace: str, level: int, parents: Sequence[int], toll: Toll
    ) -> Work[BucketsMessage | None]:
        """The buckets inside these ones."""
        own = yield from self._own(namespace, level, parents, toll)
        if own is None:
            return None
        return self._message(session, namespace, level, parents, own)

    def _own(
        self, namespace: str, level: int, parents: Sequence[int], toll: Toll
    ) -> Work[Buckets | None]:
        tree = yield from self._replica.digests.refresh(namespace)
        if level == TOP:
            return tree.level(TOP)
        if not parents:
            return tree.level(level) if level < FINE else None
        if len(parents) > self._config.descend_max:
            return None
        own: Buckets = {}
        for parent in parents:
            if level < FINE:
                own |= tree.inside(level, parent)
            elif (leaf := tree.level(LEAF).get(parent)) is not None:
                if not toll(leaf.count):
                    return None
                reader, slice = self._replica.reader, self._replica.digests.slice
                own |= yield from scan(reader, namespace, *span_of(parent, LEAF), FINE, slice)
        return own

    def _worth_opening(self, level: int, dirty: Sequence[Dirty]) -> list[int] | None:
        """Whose insides to show; None where ids are cheaper than 32 more digests a bucket."""
        if level >= FINE or not dirty:
            return None
        chosen = dirty[: self._config.descend_max]
        if any(each.count > self._config.window_elements for each in dirty):
            return [each.number for each in chosen]
        total = sum(each.count for each in dirty)
        if len(dirty) > len(chosen) or total < self._config.descend_from * len(dirty):
            return None
        return [each.number for each in chosen]

    def _differing(
        self, session: Session, own: Buckets, message: BucketsMessage, scope: Iterable[int]
    ) -> list[Dirty]:
        """Buckets that differ or that only one side has, ascending."""
        numbers = numbers_of_untrusted(message.numbers, message.level)
        digests = cut(message.digests, BUCKET_DIGEST_BYTES)
        theirs = {
            number: (count, key)
            for number, count, key in zip(numbers, message.counts, digests, strict=False)
        }
        found = []
        for number in sorted({**dict.fromkeys(scope), **theirs}):
            ours = own.get(number, NOTHING)
            count, digest = theirs.get(number, (0, b""))
            if ours.count != count or (count and self._short(session, ours) != digest):
                found.append(Dirty(number, ours.count, count))
        return found

    def _message(
        self,
        session: Session,
        namespace: str,
        level: int,
        parents: Sequence[int],
        buckets: Buckets,
    ) -> BucketsMessage:
        shown = {number: buckets[number] for number in islice(sorted(buckets), BUCKET_COUNT_MAX)}
        return BucketsMessage(
            session.id,
            namespace,
            level,
            steps_of(parents),
            steps_of(list(shown)),
            tuple(each.count for each in shown.values()),
            b"".join(self._short(session, each) for each in shown.values()),
        )

    def _short(self, session: Session, bucket: Bucket) -> bytes:
        return short(session.key, bucket.digest, BUCKET_DIGEST_BYTES)
