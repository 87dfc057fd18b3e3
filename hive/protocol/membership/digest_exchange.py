"""Anti-entropy between two views: offer, buckets, summary, then statements and pulls.

Every interval a 32-byte digest goes to one member, every second time to one that is dead or
was only introduced, so that partitions heal. An equal view says nothing. A different one
answers with short digests of its buckets; the offerer then sends summaries of the ranges that
differ; whoever holds the newer statement sends it. What arrives here is only a hint: nothing
changes but by signed statements.
"""

from __future__ import annotations

from hive.protocol.membership.cell import Cell
from hive.protocol.membership.judge import Judge
from hive.protocol.membership.messages import (
    BUCKET_DIGEST_BYTES,
    BUCKETS,
    ENTRIES_MAX,
    SUBJECTS_MAX,
    Buckets,
    DigestOffer,
    Entry,
    Pull,
    Signed,
    Standing,
    Summary,
)
from hive.protocol.membership.view import Member, bucket_range
from hive.wire.clock import MonotonicUs
from hive.wire.ids import PeerId

_LIVE = (Standing.ALIVE, Standing.SUSPECT)


class DigestExchange:
    """Offers on a timer and answers; every answer is within the peer's budget."""

    def __init__(self, cell: Cell, judge: Judge) -> None:
        self._cell = cell
        self._judge = judge
        self._offers = 0
        self._offers_at: int | None = None

    @property
    def deadline(self) -> MonotonicUs | None:
        """When the next offer goes out."""
        return None if self._offers_at is None else MonotonicUs(self._offers_at)

    def start(self) -> None:
        """Begins the offers at a random phase."""
        if self._offers_at is None:
            phase = self._cell.stream.below(self._cell.config.digest_interval_us)
            self._offers_at = self._cell.now_us + phase

    def delay(self, by_us: int) -> None:
        """Moves the next offer: we were not listening for that long."""
        if self._offers_at is not None:
            self._offers_at += by_us

    def tick(self) -> None:
        """Offers our digest to one member, when it is time."""
        cell = self._cell
        if self._offers_at is None or cell.now_us < self._offers_at:
            return
        self._offers_at = cell.now_us + cell.config.digest_interval_us
        self._offers += 1
        self._judge.reap()
        sought = cell.view.pick_sought(cell.stream) if self._offers % 2 else None
        picked = [sought] if sought is not None else cell.view.pick_live(cell.stream, 1)
        for peer in picked:
            self.offer(peer)

    def offer(self, peer: PeerId) -> None:
        """Says the digest of our view."""
        self._cell.send(peer, DigestOffer(self._cell.view.root()))

    def offered(self, sender: PeerId, offer: DigestOffer) -> None:
        """Answers only a different view."""
        if offer.root != self._cell.view.root() and self._may_answer(sender):
            self._cell.send(sender, Buckets(self._cell.view.bucket_digests()))

    def compare(self, sender: PeerId, buckets: Buckets) -> None:
        """Sends summaries of the ranges whose digests differ."""
        ours = self._cell.view.bucket_digests()
        for first, last in _differing(ours, buckets.digests):
            for page in self._pages(*bucket_range(first, last)):
                if not self._may_answer(sender):
                    return
                self._cell.send(sender, page)

    def summarised(self, sender: PeerId, summary: Summary) -> None:
        """Sends what is newer here and pulls what is newer there."""
        if not self._may_answer(sender):
            return
        theirs = {entry.peer: entry for entry in summary.entries}
        newer: list[Signed] = []
        for member in self._cell.view.between(summary.low, summary.high):
            newer += _newer_here(member, theirs.get(member.peer))
        self._cell.send_statements(sender, newer)
        pulled = [entry.peer for entry in summary.entries if self._is_newer_there(sender, entry)]
        if pulled:
            self._cell.send(sender, Pull(tuple(pulled[:SUBJECTS_MAX])))

    def pulled(self, sender: PeerId, pull: Pull) -> None:
        """Sends what we can prove of the subjects."""
        if not self._may_answer(sender):
            return
        found = [self._cell.view.get(subject) for subject in pull.subjects]
        evidence = [signed for member in found if member is not None for signed in member.evidence]
        self._cell.send_statements(sender, evidence)

    def _pages(self, low: PeerId, high: PeerId) -> list[Summary]:
        entries = self._cell.view.entries_between(low, high)
        pages: list[Summary] = []
        while len(entries) > ENTRIES_MAX:
            page, entries = entries[:ENTRIES_MAX], entries[ENTRIES_MAX:]
            pages.append(Summary(low, page[-1].peer, tuple(page)))
            low = _successor(page[-1].peer)
        return [*pages, Summary(low, high, tuple(entries))]

    def _is_newer_there(self, sender: PeerId, entry: Entry) -> bool:
        member = self._cell.view.get(entry.peer)
        if member is not None:
            return entry.incarnation > member.incarnation or (
                entry.incarnation == member.incarnation
                and member.is_live
                and entry.standing not in _LIVE
            )
        if entry.standing in _LIVE:
            self._judge.stranger(entry.peer, sender)
        return entry.standing in _LIVE

    def _may_answer(self, sender: PeerId) -> bool:
        if self._cell.exchanges.take(sender, self._cell.now_us):
            return True
        self._cell.tally.over_budget += 1
        return False


def _differing(ours: bytes, theirs: bytes) -> list[tuple[int, int]]:
    """The runs of neighbouring buckets that differ, as (first, last)."""
    runs: list[tuple[int, int]] = []
    for bucket in range(BUCKETS):
        part = slice(bucket * BUCKET_DIGEST_BYTES, (bucket + 1) * BUCKET_DIGEST_BYTES)
        if ours[part] == theirs[part]:
            continue
        if runs and runs[-1][1] == bucket - 1:
            runs[-1] = (runs[-1][0], bucket)
        else:
            runs.append((bucket, bucket))
    return runs


def _newer_here(member: Member, theirs: Entry | None) -> tuple[Signed, ...]:
    """What the other lacks of a member: a newer proof, or the evidence that it is gone."""
    if member.proof is None:
        return ()
    if theirs is None:
        return (member.proof,) if member.is_live else ()
    is_gone_here = not member.is_live and theirs.standing in _LIVE
    if member.incarnation > theirs.incarnation:
        return member.evidence
    if member.incarnation == theirs.incarnation and is_gone_here:
        return member.evidence
    return ()


def _successor(peer: PeerId) -> PeerId:
    """The next peer id; of the highest, itself."""
    highest = (1 << 8 * len(peer)) - 1
    return PeerId(min(int.from_bytes(peer, "big") + 1, highest).to_bytes(len(peer), "big"))
