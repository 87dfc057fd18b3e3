"""The first step: heads, compared by root, then 256-way; exact, cheapest, finds forks.

Chains are held without gaps from position 1, so heads decide which ids are held. What a peer is
ahead in becomes a gap to fetch; a different id at a position we hold is a fork, and the piece
of the peer's chain before it is fetched so that ingress makes the proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from hive.memory.log import Head
from hive.protocol.messages import Forks
from hive.protocol.ports import KeptFork
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.fetcher import Fetcher, Gap
from hive.protocol.reconciliation.messages import SLOT_BYTES, HeadEntry, Heads, Slots
from hive.protocol.reconciliation.replica import (
    ALL_SLOTS,
    NO_SLOTS,
    Replica,
    bitmap,
    cut,
    entry_of,
    is_in,
)
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

    def opening(self, session: Session, namespace: str) -> Heads | Slots | None:
        """The initiator's first word: its heads where they are few, else 256 digests.

        None where it has too many to compare.
        """
        heads = self._replica.few_heads(namespace)
        if heads is None:
            return None
        if len(heads) < self._config.slots_from_heads:
            entries = tuple(map(entry_of, heads))
            return Heads(session.id, namespace, ALL_SLOTS, False, True, False, False, entries)
        return Slots(session.id, namespace, self._replica.slots(session.key, heads))

    def answer_slots(self, session: Session, message: Slots) -> HeadsAnswer:
        """The heads of all slots that differ, unless those are too many to list."""
        namespace = message.namespace
        heads = self._replica.few_heads(namespace)
        if heads is None:
            return [self._declined(session, namespace)]
        own = cut(self._replica.slots(session.key, heads), SLOT_BYTES)
        pairs = zip(own, cut(message.digests, SLOT_BYTES), strict=True)
        slots = bitmap(slot for slot, (ours, theirs) in enumerate(pairs) if ours != theirs)
        listed = [entry_of(head) for head in heads if is_in(slots, head.chain[0])]
        if len(listed) > self._config.heads_listed_max:
            return [self._declined(session, namespace)]
        entries = tuple(listed)
        return [Heads(session.id, namespace, slots, False, True, False, False, entries)]

    def answer_heads(
        self, session: Session, message: Heads, state: Comparison, now_us: MonotonicUs
    ) -> HeadsAnswer:
        """Notes what to fetch; a list that is no reply is answered by what the peer lacks."""
        heads = () if message.is_reply else self._replica.few_heads(message.namespace)
        if heads is None:
            return [] if session.is_own else [self._declined(session, message.namespace)]
        found = self._note_gaps(session.peer, message.namespace, message.heads, now_us)
        session.found += found
        state.moved = state.moved or found > 0 or message.is_fetching
        answer: HeadsAnswer = list(self.proofs(session.peer, message.heads, now_us))
        if not message.is_reply:
            lacking = self._lacking(message, heads)
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
        namespace, slots = message.namespace, message.slots
        return Heads(session.id, namespace, slots, True, True, is_fetching, False, lacking)

    def _declined(self, session: Session, namespace: str) -> Heads:
        return Heads(session.id, namespace, NO_SLOTS, True, True, False, True, ())

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

    def _lacking(self, message: Heads, heads: Sequence[Head]) -> tuple[HeadEntry, ...]:
        theirs = {entry.chain: entry for entry in message.heads}
        lacking = [
            head
            for head in heads
            if is_in(message.slots, head.chain[0]) and self._is_lacked(head, theirs.get(head.chain))
        ]
        return tuple(map(entry_of, lacking[: self._config.heads_page]))

    def _is_lacked(self, head: Head, theirs: HeadEntry | None) -> bool:
        return theirs is None or head.sequence > theirs.sequence or self._replica.diverges(theirs)

    def proofs(
        self, peer: PeerId, entries: Sequence[HeadEntry], now_us: MonotonicUs
    ) -> Iterator[Forks]:
        """Proofs of forks that we know and whose chain the peer still holds beyond them."""
        if not entries:
            return
        reach = {entry.chain: entry.sequence for entry in entries}
        yield from self._tell(peer, lambda fork: reach.get(fork.chain, 0) >= fork.sequence, now_us)

    def all_proofs(self, peer: PeerId, now_us: MonotonicUs) -> Iterator[Forks]:
        """Proofs of forks for a peer whose heads were not listed; each once in a while."""
        yield from self._tell(peer, lambda fork: True, now_us)

    def _tell(
        self, peer: PeerId, is_of_use: Callable[[KeptFork], bool], now_us: MonotonicUs
    ) -> Iterator[Forks]:
        fresh = (
            fork.proof
            for fork in self._replica.reader.forks()
            if is_of_use(fork) and self._fetcher.is_first_time(peer + fork.id, now_us)
        )
        proofs = tuple(islice(fresh, FORK_COUNT_MAX))
        if proofs:
            yield Forks(proofs)
