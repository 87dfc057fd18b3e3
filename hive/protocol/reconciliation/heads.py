"""The first step: heads, compared by root, then 256-way; exact, cheapest, finds forks.

Chains are held without gaps from position 1, so heads decide which ids are held. What a peer is
ahead in becomes a gap to fetch; a different id at a position we hold is a fork, and the piece
of the peer's chain before it is fetched so that ingress makes the proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hive.memory.log import Head
from hive.protocol.messages import Forks
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.fetcher import Fetcher, Gap
from hive.protocol.reconciliation.messages import HeadEntry, Heads, Slots
from hive.protocol.reconciliation.replica import ALL_SLOTS, Replica, bitmap, cut, entry_of
from hive.protocol.reconciliation.session import Comparison, Session
from hive.wire.clock import MonotonicUs
from hive.wire.ids import Digest, PeerId

FORK_COUNT_MAX = 16
HeadsAnswer = list[Heads | Forks]


class HeadsStep:
    """Compares the heads of one namespace at a time."""

    def __init__(self, config: ReconciliationConfig, replica: Replica, fetcher: Fetcher) -> None:
        self._config = config
        self._replica = replica
        self._fetcher = fetcher

    def opening(self, session: Session, namespace: str) -> Heads | Slots:
        """The initiator's first word: its heads where they are few, else 256 digests."""
        heads = self._replica.heads(namespace)
        if len(heads) < self._config.slots_from_heads:
            entries = tuple(map(entry_of, heads))
            return Heads(session.id, namespace, ALL_SLOTS, False, True, False, entries)
        return Slots(session.id, namespace, self._replica.slots(session.key, namespace))

    def answer_slots(self, session: Session, message: Slots) -> HeadsAnswer:
        """The heads of all slots that differ, in pages."""
        own = cut(self._replica.slots(session.key, message.namespace))
        pairs = zip(own, cut(message.digests), strict=True)
        slots = [slot for slot, (ours, theirs) in enumerate(pairs) if ours != theirs]
        return list(self._pages(session, message.namespace, slots))

    def answer_heads(
        self, session: Session, message: Heads, state: Comparison, now_us: MonotonicUs
    ) -> HeadsAnswer:
        """Notes what to fetch; a list that is no reply is answered by what the peer lacks."""
        found = self._note_gaps(session.peer, message.namespace, message.heads, now_us)
        session.found += found
        state.moved = state.moved or found > 0 or message.is_fetching
        answer: HeadsAnswer = list(self._proofs(session.peer, message.heads, now_us))
        if not message.is_reply:
            lacking = self._lacking(message)
            state.moved = state.moved or bool(lacking)
            if lacking or not session.is_own:
                answer.append(self._reply(session, message, lacking, is_fetching=found > 0))
        return answer

    def _reply(
        self,
        session: Session,
        message: Heads,
        lacking: tuple[HeadEntry, ...],
        *,
        is_fetching: bool,
    ) -> Heads:
        return Heads(session.id, message.namespace, message.slots, True, True, is_fetching, lacking)

    def _pages(self, session: Session, namespace: str, slots: Sequence[int]) -> Iterator[Heads]:
        by_slot: dict[int, list[Head]] = {slot: [] for slot in slots}
        for head in self._replica.heads(namespace, bitmap(slots)):
            by_slot[head.chain[0]].append(head)
        covered, heads = list[int](), list[Head]()
        for slot in slots:
            if heads and len(heads) + len(by_slot[slot]) > self._config.heads_page:
                yield self._page(session, namespace, covered, heads, is_last=False)
                covered, heads = [], []
            covered.append(slot)
            heads += by_slot[slot]
        yield self._page(session, namespace, covered, heads, is_last=True)

    def _page(
        self,
        session: Session,
        namespace: str,
        slots: Sequence[int],
        heads: Sequence[Head],
        *,
        is_last: bool,
    ) -> Heads:
        entries = tuple(map(entry_of, heads[: self._config.heads_page]))
        return Heads(session.id, namespace, bitmap(slots), False, is_last, False, entries)

    def _note_gaps(
        self, peer: PeerId, namespace: str, entries: Sequence[HeadEntry], now_us: MonotonicUs
    ) -> int:
        gaps = (self._gap(namespace, entry) for entry in entries)
        return sum(self._fetcher.add(peer, gap, now_us) for gap in gaps if gap is not None)

    def _gap(self, namespace: str, entry: HeadEntry) -> Gap | None:
        chain = Digest(entry.chain)
        head = self._replica.reader.head(chain)
        if head is not None and head.namespace != namespace:
            return None
        held = head.sequence if head else 0
        if entry.sequence > held:
            return Gap(namespace, chain, held + 1, entry.sequence, entry.delta)
        if self._replica.diverges(entry):
            first = max(1, entry.sequence - self._config.fork_window + 1)
            return Gap(namespace, chain, first, entry.sequence, entry.delta, is_fork=True)
        return None

    def _lacking(self, message: Heads) -> tuple[HeadEntry, ...]:
        theirs = {entry.chain: entry for entry in message.heads}
        heads = self._replica.heads(message.namespace, message.slots)
        lacking = [head for head in heads if self._is_lacked(head, theirs.get(head.chain))]
        return tuple(map(entry_of, lacking[: self._config.heads_page]))

    def _is_lacked(self, head: Head, theirs: HeadEntry | None) -> bool:
        return theirs is None or head.sequence > theirs.sequence or self._replica.diverges(theirs)

    def _proofs(
        self, peer: PeerId, entries: Sequence[HeadEntry], now_us: MonotonicUs
    ) -> Iterator[Forks]:
        """Proofs of forks that we know and whose chain the peer still holds beyond them."""
        kept = self._replica.reader.forks()
        if not kept:
            return
        reach = {entry.chain: entry.sequence for entry in entries}
        proofs = [
            fork.proof
            for fork in kept
            if reach.get(fork.chain, 0) >= fork.sequence
            and self._fetcher.is_first_time(peer + fork.id, now_us)
        ]
        if proofs:
            yield Forks(tuple(proofs[:FORK_COUNT_MAX]))
