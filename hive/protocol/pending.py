"""Heads and ids that are decided but not yet durable.

Ingress must see what it admitted a moment ago, before the disk has it. A failed store drops the
whole overlay: everything decided since is judged again when it is sent again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from hive.memory.delta import Delta
from hive.memory.log import Head, State, head_after
from hive.protocol.machine import Token
from hive.protocol.ports import StoreReader
from hive.wire.ids import DeltaId, Digest


@dataclass(frozen=True, slots=True)
class _Entry:
    delta: Delta
    state: State


class PendingStore:
    """A store reader's answers with undecided writes laid over them."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader
        self._deltas: dict[DeltaId, _Entry] = {}
        self._heads: dict[Digest, Head] = {}
        self._positions: dict[tuple[Digest, int], DeltaId] = {}
        self._flights: deque[tuple[Token, tuple[DeltaId, ...]]] = deque()

    def admit(self, delta: Delta, state: State) -> None:
        """Lays an admitted delta over the store as its chain's head."""
        head = head_after(delta)
        self._deltas[delta.id] = _Entry(delta, state)
        self._heads[head.chain] = head
        self._positions[head.chain, head.sequence] = delta.id

    def depart(self, token: Token, deltas: tuple[DeltaId, ...]) -> None:
        """Notes that these deltas are on their way to the disk."""
        self._flights.append((token, deltas))

    def settle(self, token: Token) -> None:
        """The disk has them: the overlay for this write goes."""
        while self._flights:
            flight, deltas = self._flights.popleft()
            for delta in deltas:
                self._lift(delta)
            if flight == token:
                return

    def _lift(self, delta: DeltaId) -> None:
        entry = self._deltas.pop(delta, None)
        if entry is None:
            return
        header = entry.delta.header
        chain = header.chain
        self._positions.pop((chain, header.sequence), None)
        head = self._heads.get(chain)
        if head is not None and head.delta == delta:
            del self._heads[chain]

    def clear(self) -> None:
        """Drops every undecided write; what the disk holds is the truth again."""
        self._deltas.clear()
        self._heads.clear()
        self._positions.clear()
        self._flights.clear()

    def drop_chain(self, chain: Digest) -> None:
        """Drops undecided writes of one chain (it was truncated)."""
        for identifier in [
            i for i, entry in self._deltas.items() if entry.delta.header.chain == chain
        ]:
            self._lift(identifier)
        self._heads.pop(chain, None)

    def head(self, chain: Digest) -> Head | None:
        """The head of a chain, undecided writes included."""
        return self._heads.get(chain) or self._reader.head(chain)

    def at(self, chain: Digest, sequence: int) -> DeltaId | None:
        """The id at a position, undecided writes included."""
        return self._positions.get((chain, sequence)) or self._reader.at(chain, sequence)

    def has(self, delta: DeltaId) -> bool:
        """Whether an id is held or decided."""
        return delta in self._deltas or self._reader.has(delta)

    def delta(self, delta: DeltaId) -> Delta | None:
        """A decided or held delta, as it stands."""
        entry = self._deltas.get(delta)
        if entry is not None:
            return entry.delta
        held = self._reader.delta(delta)
        return held.delta if held else None

    def state(self, delta: DeltaId) -> State | None:
        """What a decided or held delta is worth."""
        entry = self._deltas.get(delta)
        if entry is not None:
            return entry.state
        held = self._reader.delta(delta)
        return held.state if held else None
