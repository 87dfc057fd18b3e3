"""Asks peers for what they have and we lack: pieces of chains, and what they laid out for us.

One ask at a time a peer. When it was answered the fetcher waits until ingress has taken the deltas
(or `settle_us` passed) before it asks on: the slower of network and ingress sets the pace. An ask
that took longer than `ask_span_us` makes the next one smaller, and behind each the fetcher rests
as long as it took: so a heal, however long, has at most half of link and ingress, and live deltas
wait for one ask at most. All peers together are asked `fetch_deltas_per_s`.

A chain is asked of one peer at a time. What was asked and not taken (refused, quarantined,
withheld) is not asked of the same peer again for `fruitless_us`, then twice as long each time,
unless the peer's head has changed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from hive.protocol.messages import ID_COUNT_MAX, WantDeltas
from hive.protocol.ports import StoreReader
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.messages import (
    PREVIOUS_BYTES,
    ChainRange,
    Pull,
    Served,
    WantChains,
)
from hive.protocol.reconciliation.pace import Allowance, Pace
from hive.wire.clock import MonotonicUs
from hive.wire.ids import Digest, PeerId


@dataclass(frozen=True, slots=True)
class Gap:
    """Positions of a chain that a peer holds and we lack, or must see because they fork."""

    namespace: str
    chain: Digest
    first: int
    last: int
    their_head: bytes
    is_fork: bool = False


@dataclass(frozen=True, slots=True)
class Parcel:
    """Places on a shelf that a peer filled for us, from `first` up to before `end`."""

    namespace: str
    session: bytes
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Taken:
    """How many deltas of a namespace that were asked of a peer are now in the log."""

    peer: PeerId
    namespace: str
    count: int


_UNSET = MonotonicUs(0)
IN_VAIN_MAX = 4
"""Asks of one peer, one after another, of which nothing was taken: the rest is left."""


class _Stage(Enum):
    IDLE = "idle"
    ASKED = "asked"
    SETTLING = "settling"


@dataclass(slots=True)
class _Fetch:
    pace: Pace
    waiting: deque[Gap] = field(default_factory=deque)
    parcels: deque[Parcel] = field(default_factory=deque)
    stage: _Stage = _Stage.IDLE
    ask: int = 0
    gaps: tuple[Gap, ...] = ()
    pulled: Parcel | None = None
    given: int = 0
    taken: int = 0
    in_vain: int = 0
    deadline: MonotonicUs = _UNSET
    has_progress: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing is asked and nothing waits."""
        return self.stage is _Stage.IDLE and not self.waiting and not self.parcels


@dataclass(frozen=True, slots=True)
class _InVain:
    their_head: bytes
    span_us: int
    until: MonotonicUs


@dataclass(slots=True)
class Advance:
    """What became of fetches: asks to send, deltas taken, and peers of whom all was asked."""

    asks: list[tuple[PeerId, WantChains | Pull]] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    finished: list[PeerId] = field(default_factory=list)


class Fetcher:
    """The asks of every peer, bounded."""

    def __init__(self, config: ReconciliationConfig, reader: StoreReader) -> None:
        self._config = config
        self._reader = reader
        self._fetches: dict[PeerId, _Fetch] = {}
        self._busy: dict[Digest, PeerId] = {}
        self._fruitless: dict[bytes, _InVain] = {}
        self._reached_of: dict[tuple[PeerId, str], tuple[bytes, int]] = {}
        self._allowance = Allowance(config)
        self._asks = 0
        self.timed_out_count = 0
        self.dropped_count = 0

    @property
    def deadline(self) -> MonotonicUs | None:
        """When the next ask or settling runs out, or a rest ends."""
        pending = [
            max(fetch.pace.rests_until, self._allowance.ready_at)
            if fetch.stage is _Stage.IDLE
            else fetch.deadline
            for fetch in self._fetches.values()
        ]
        return min(pending, default=None)

    def add(self, peer: PeerId, gap: Gap, now_us: MonotonicUs) -> bool:
        """Queues a gap to be asked of a peer; False where that would be in vain.

        A chain that is being asked of any peer already is under way: True, and not asked twice.
        """
        if self._is_fruitless(peer + gap.chain, gap.their_head, now_us):
            return False
        if gap.chain in self._busy:
            return True
        fetch = self._fetch_of(peer)
        if len(fetch.waiting) >= self._config.asks_waiting_max:
            self.dropped_count += 1
            return False
        self._busy[gap.chain] = peer
        fetch.waiting.append(gap)
        return True

    def add_parcel(self, peer: PeerId, session: bytes, namespace: str, end: int) -> bool:
        """Notes how much a peer laid out; a newer session's shelf takes an older one's place."""
        fetch = self._fetch_of(peer)
        known = self._reached_of.get((peer, namespace))
        first = known[1] if known is not None and known[0] == session else 0
        if end <= first or len(fetch.parcels) >= self._config.session_namespaces_max:
            return False
        kept = (each for each in fetch.parcels if each.namespace != namespace)
        fetch.parcels = deque([*kept, Parcel(namespace, session, first, end)])
        return True

    def note_taken(self, peer: PeerId, count: int) -> None:
        """Ingress took so many deltas that this peer sent."""
        if (fetch := self._fetches.get(peer)) is not None:
            fetch.taken += count

    def _fetch_of(self, peer: PeerId) -> _Fetch:
        fetch = self._fetches.get(peer)
        if fetch is None:
            fetch = self._fetches[peer] = _Fetch(Pace(self._config))
        return fetch

    def want_ids(
        self, peer: PeerId, ids: Sequence[bytes], now_us: MonotonicUs
    ) -> WantDeltas | None:
        """Asks for deltas by id, but for those asked of this peer a short while ago."""
        fresh = [id for id in ids[:ID_COUNT_MAX] if self.is_first_time(peer + id, now_us)]
        return WantDeltas(tuple(fresh)) if fresh else None

    def served(self, peer: PeerId, answer: Served, now_us: MonotonicUs) -> None:
        """Takes the end of an answer; what was not reached goes back to the front of the queue."""
        fetch = self._fetches.get(peer)
        if fetch is None or fetch.stage is not _Stage.ASKED or answer.ask != fetch.ask:
            return
        if fetch.pulled is not None:
            self._pulled(peer, fetch, fetch.pulled, answer)
        else:
            self._reached(fetch, answer)
        fetch.stage = _Stage.SETTLING
        fetch.deadline = MonotonicUs(now_us + self._config.settle_us)

    def _pulled(self, peer: PeerId, fetch: _Fetch, parcel: Parcel, answer: Served) -> None:
        reached = min(max(answer.index, parcel.first), parcel.end)
        fetch.given = min(answer.sequence, reached - parcel.first)
        fetch.pulled = replace(parcel, end=reached)
        if reached == parcel.end:
            return
        self._reached_of[peer, parcel.namespace] = (parcel.session, reached)
        rest = replace(parcel, first=reached)
        if fetch.parcels and fetch.parcels[0].first == parcel.end:
            rest = replace(rest, end=fetch.parcels.popleft().end)
        fetch.parcels.appendleft(rest)

    def _reached(self, fetch: _Fetch, answer: Served) -> None:
        index = min(answer.index, len(fetch.gaps))
        done, rest = list(fetch.gaps[:index]), list(fetch.gaps[index:])
        if rest and rest[0].first < answer.sequence <= rest[0].last:
            done.append(replace(rest[0], last=answer.sequence - 1))
            rest[0] = replace(rest[0], first=answer.sequence)
        fetch.waiting.extendleft(reversed(rest))
        fetch.gaps = tuple(done)

    def advance(self, now_us: MonotonicUs) -> Advance:
        """Moves every fetch on as far as store and time allow."""
        result = Advance()
        for peer, fetch in self._fetches.items():
            if fetch.stage is _Stage.ASKED and now_us >= fetch.deadline:
                self.timed_out_count += 1
                self._release(fetch)
            if fetch.stage is _Stage.SETTLING and self._is_settled(fetch, now_us):
                self._settle(peer, fetch, now_us, result)
            if fetch.stage is _Stage.IDLE and now_us >= fetch.pace.rests_until:
                count = self._allowance.take(fetch.pace.size, now_us) if not fetch.is_over else 0
                if count:
                    result.asks.append((peer, self._next_ask(peer, fetch, count, now_us)))
        for peer in [peer for peer, fetch in self._fetches.items() if fetch.is_over]:
            if self._fetches.pop(peer).has_progress:
                result.finished.append(peer)
        return result

    def is_first_time(self, key: bytes, now_us: MonotonicUs) -> bool:
        """Whether something was not said under this key for `fruitless_us`; notes that it is."""
        if self._is_fruitless(key, b"", now_us):
            return False
        self._note_fruitless(key, b"", now_us)
        return True

    def forget(self, peer: PeerId) -> None:
        """Drops what was asked of a peer that is gone."""
        if (fetch := self._fetches.pop(peer, None)) is not None:
            self._release(fetch)
        for key in [key for key in self._reached_of if key[0] == peer]:
            del self._reached_of[key]

    def want(self, gap: Gap) -> ChainRange:
        """A gap as it is asked for, with the beginning of the id held before it."""
        held = self._reader.at(gap.chain, gap.first - 1) if gap.first > 1 else None
        previous = held[:PREVIOUS_BYTES] if held is not None and not gap.is_fork else b""
        return ChainRange(gap.chain, gap.first, gap.last, previous)

    def _next_ask(
        self, peer: PeerId, fetch: _Fetch, count: int, now_us: MonotonicUs
    ) -> WantChains | Pull:
        self._asks += 1
        fetch.stage, fetch.ask = _Stage.ASKED, self._asks
        fetch.given = fetch.taken = 0
        fetch.deadline = MonotonicUs(now_us + self._config.ask_timeout_us)
        fetch.pace.begin(now_us)
        if fetch.waiting:
            return self._ask_chains(fetch, count)
        return self._ask_parcel(peer, fetch, count)

    def _ask_chains(self, fetch: _Fetch, left: int) -> WantChains:
        gaps = list[Gap]()
        while fetch.waiting and left > 0:
            gap = fetch.waiting.popleft()
            if gap.last - gap.first >= left:
                fetch.waiting.appendleft(replace(gap, first=gap.first + left))
                gap = replace(gap, last=gap.first + left - 1)
            left -= gap.last - gap.first + 1
            gaps.append(gap)
        fetch.gaps = tuple(gaps)
        return WantChains(fetch.ask, tuple(self.want(gap) for gap in gaps))

    def _ask_parcel(self, peer: PeerId, fetch: _Fetch, count: int) -> Pull:
        parcel = fetch.parcels.popleft()
        end = min(parcel.end, parcel.first + count)
        if end < parcel.end:
            fetch.parcels.appendleft(replace(parcel, first=end))
        fetch.pulled = replace(parcel, end=end)
        self._reached_of.pop((peer, parcel.namespace), None)
        if len(self._reached_of) >= self._config.fruitless_max:
            del self._reached_of[next(iter(self._reached_of))]
        self._reached_of[peer, parcel.namespace] = (parcel.session, end)
        return Pull(fetch.ask, parcel.session, parcel.namespace, parcel.first, end - parcel.first)

    def _is_settled(self, fetch: _Fetch, now_us: MonotonicUs) -> bool:
        if now_us >= fetch.deadline:
            return True
        if fetch.pulled is not None:
            return fetch.taken >= fetch.given
        return bool(fetch.gaps) and self._lacks(fetch.gaps[-1]) == 0

    def _lacks(self, gap: Gap) -> int:
        head = self._reader.head(gap.chain)
        return max(0, gap.last - max(head.sequence if head else 0, gap.first - 1))

    def _settle(self, peer: PeerId, fetch: _Fetch, now_us: MonotonicUs, result: Advance) -> None:
        fetch.pace.end(now_us)
        if fetch.pulled is not None:
            self._settle_parcel(peer, fetch, fetch.pulled, result)
        elif fetch.gaps:
            self._settle_gaps(peer, fetch, now_us, result)
        else:
            self._release(fetch)

    def _settle_parcel(self, peer: PeerId, fetch: _Fetch, parcel: Parcel, result: Advance) -> None:
        """What a peer laid out and ingress will not take is left after some asks in vain."""
        taken = min(fetch.taken, fetch.given)
        if taken:
            fetch.has_progress = True
            result.taken.append(Taken(peer, parcel.namespace, taken))
        fetch.in_vain = 0 if taken else fetch.in_vain + 1
        if fetch.in_vain >= IN_VAIN_MAX:
            fetch.parcels.clear()
            fetch.in_vain = 0
        fetch.stage, fetch.pulled = _Stage.IDLE, None

    def _settle_gaps(
        self, peer: PeerId, fetch: _Fetch, now_us: MonotonicUs, result: Advance
    ) -> None:
        refused: dict[Digest, None] = {}
        for gap in fetch.gaps:
            lacking = self._lacks(gap)
            taken = 0 if gap.is_fork else gap.last - gap.first + 1 - lacking
            if taken:
                fetch.has_progress = True
                result.taken.append(Taken(peer, gap.namespace, taken))
            if lacking or gap.is_fork:
                refused[gap.chain] = None
                self._note_fruitless(peer + gap.chain, gap.their_head, now_us)
        if refused:
            fetch.waiting = deque(gap for gap in fetch.waiting if gap.chain not in refused)
        still_waiting = {gap.chain: None for gap in fetch.waiting}
        self._free(gap.chain for gap in fetch.gaps if gap.chain not in still_waiting)
        fetch.stage, fetch.gaps = _Stage.IDLE, ()

    def _release(self, fetch: _Fetch) -> None:
        self._free(gap.chain for gap in (*fetch.gaps, *fetch.waiting))
        fetch.waiting.clear()
        fetch.parcels.clear()
        fetch.stage, fetch.gaps, fetch.pulled = _Stage.IDLE, (), None

    def _free(self, chains: Iterable[Digest]) -> None:
        for chain in chains:
            self._busy.pop(chain, None)

    def _is_fruitless(self, key: bytes, their_head: bytes, now_us: MonotonicUs) -> bool:
        known = self._fruitless.get(key)
        return known is not None and known.their_head == their_head and now_us < known.until

    def _note_fruitless(self, key: bytes, their_head: bytes, now_us: MonotonicUs) -> None:
        known = self._fruitless.pop(key, None)
        span_us = self._config.fruitless_us
        if known is not None and known.their_head == their_head:
            span_us = min(2 * known.span_us, self._config.fruitless_longest_us)
        elif len(self._fruitless) >= self._config.fruitless_max:
            del self._fruitless[next(iter(self._fruitless))]
        self._fruitless[key] = _InVain(their_head, span_us, MonotonicUs(now_us + span_us))
