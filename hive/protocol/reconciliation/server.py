"""Answers asks for deltas: admissible ones only, in chain order, within a budget a peer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hive.memory.log import Held, State
from hive.protocol.messages import DELTA_COUNT_MAX, Deltas, WantDeltas
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.messages import ChainRange, Pull, Served, WantChains
from hive.protocol.reconciliation.replica import Replica
from hive.protocol.reconciliation.shelves import Shelves
from hive.wire.clock import SECOND_US, MonotonicUs
from hive.wire.ids import DeltaId, Digest, PeerId


@dataclass(slots=True)
class _Budget:
    bytes_left: int
    at: MonotonicUs


@dataclass(slots=True)
class Answer:
    """Messages that answer an ask, in order, and how many deltas of each namespace they hold."""

    messages: list[Deltas | Served]
    counts: dict[str, int]


class Server:
    """What this replica gives to others."""

    def __init__(self, config: ReconciliationConfig, replica: Replica) -> None:
        self._config = config
        self._replica = replica
        self._budgets: dict[PeerId, _Budget] = {}
        self.throttled_count = 0

    def forget(self, peer: PeerId) -> None:
        """Drops the budget of a peer that is gone."""
        self._budgets.pop(peer, None)

    def answer_chains(self, peer: PeerId, want: WantChains, now_us: MonotonicUs) -> Answer:
        """The deltas of the asked ranges as far as the bounds reach, then how far they reached."""
        parcel = _Parcel(self._config, self._allowance(peer, now_us))
        done, sequence = 0, 0
        for piece in want.ranges:
            sequence = self._pack_range(peer, piece, parcel)
            if sequence <= piece.last:
                break
            done, sequence = done + 1, 0
        answer = self._close(peer, parcel)
        if want.ask:
            answer.messages.append(Served(want.ask, done, sequence))
        return answer

    def answer_ids(self, peer: PeerId, want: WantDeltas, now_us: MonotonicUs) -> Answer:
        """The deltas of these ids; before a forgotten one the forgets that bind it."""
        parcel = _Parcel(self._config, self._allowance(peer, now_us))
        held = [held for id in want.ids for held in self._with_forgets(DeltaId(id))]
        held.sort(key=lambda each: (each.delta.header.hlc, each.delta.id))
        for each in held:
            namespace = each.delta.header.namespace
            if self._replica.admissible(peer, namespace) and not parcel.add(each):
                self.throttled_count += 1
                break
        return self._close(peer, parcel)

    def answer_pull(
        self, peer: PeerId, want: Pull, shelves: Shelves, now_us: MonotonicUs
    ) -> Answer:
        """What was laid out for the peer, from a place on, then how far that reached."""
        parcel, reached, given = _Parcel(self._config, self._allowance(peer, now_us)), want.first, 0
        count = min(want.count, self._config.ask_deltas_max)
        for id in shelves.page(peer, want.session, want.namespace, want.first, count):
            each = [held for held in self._with_forgets(id) if self._may_see(peer, held)]
            if not all(parcel.add(held) for held in each):
                self.throttled_count += 1
                break
            reached, given = reached + 1, given + bool(each)
            shelves.note_given(peer, id, now_us)
        answer = self._close(peer, parcel)
        answer.messages.append(Served(want.ask, reached, given))
        return answer

    def _may_see(self, peer: PeerId, held: Held) -> bool:
        return self._replica.admissible(peer, held.delta.header.namespace)

    def _pack_range(self, peer: PeerId, piece: ChainRange, parcel: _Parcel) -> int:
        """Packs what is held of a range; gives the first position not reached."""
        reader, chain = self._replica.reader, Digest(piece.chain)
        head = reader.head(chain)
        if head is None or not self._replica.admissible(peer, head.namespace):
            return piece.last + 1
        position, last = self._first_position(chain, piece), min(piece.last, head.sequence)
        while position <= last:
            page = reader.chain_slice(chain, position, min(DELTA_COUNT_MAX, last - position + 1))
            if not page:
                break
            for held in page:
                if not parcel.add(held):
                    self.throttled_count += 1
                    return max(piece.first, held.delta.header.sequence)
                position = held.delta.header.sequence + 1
        return piece.last + 1

    def _first_position(self, chain: Digest, piece: ChainRange) -> int:
        """Where to begin: earlier than asked, if the asker's log forked before its gap."""
        if piece.first > 1 and piece.previous:
            before = self._replica.reader.at(chain, piece.first - 1)
            if before is not None and not before.startswith(piece.previous):
                return max(1, piece.first - self._config.fork_window)
        return piece.first

    def _with_forgets(self, id: DeltaId) -> Iterator[Held]:
        reader = self._replica.reader
        held = reader.delta(id)
        if held is None:
            return
        if held.state is State.FORGOTTEN:
            for forget in reader.forgets_of(id):
                if (forgetting := reader.delta(forget.forgetting)) is not None:
                    yield forgetting
        yield held

    def _allowance(self, peer: PeerId, now_us: MonotonicUs) -> int:
        """What the peer may draw now, in bytes."""
        config = self._config
        budget = self._budgets.setdefault(peer, _Budget(config.serve_burst_bytes, now_us))
        refill = (now_us - budget.at) * config.serve_refill_bytes_per_s // SECOND_US
        budget.bytes_left = min(config.serve_burst_bytes, budget.bytes_left + refill)
        budget.at = now_us
        return min(config.serve_ask_bytes, budget.bytes_left)

    def _close(self, peer: PeerId, parcel: _Parcel) -> Answer:
        self._budgets[peer].bytes_left -= parcel.bytes_used
        return Answer(list(parcel.messages()), parcel.counts)


class _Parcel:
    """Envelopes cut into messages as they come, up to an allowance."""

    def __init__(self, config: ReconciliationConfig, allowance: int) -> None:
        self._message_bytes = config.serve_message_bytes
        self._allowance = allowance
        self._groups: list[list[bytes]] = []
        self._group_bytes = 0
        self.bytes_used = 0
        self.counts: dict[str, int] = {}

    def add(self, held: Held) -> bool:
        """Takes one more delta; False where the allowance is used up."""
        if self.bytes_used >= self._allowance:
            return False
        envelope = held.delta.to_bytes()
        if (
            not self._groups
            or len(self._groups[-1]) >= DELTA_COUNT_MAX
            or self._group_bytes + len(envelope) > self._message_bytes
        ):
            self._groups.append([])
            self._group_bytes = 0
        self._groups[-1].append(envelope)
        self._group_bytes += len(envelope)
        self.bytes_used += len(envelope)
        namespace = held.delta.header.namespace
        self.counts[namespace] = self.counts.get(namespace, 0) + 1
        return True

    def messages(self) -> Iterable[Deltas]:
        """The messages, in order."""
        return (Deltas(tuple(group)) for group in self._groups)
