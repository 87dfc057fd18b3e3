"""Heads and ids that are decided but not yet durable.

Ingress must see what it admitted a moment ago, before the disk has it, and must no longer see
what was cut a moment ago. A write that became durable lifts its own entries and no others: the
driver keeps several writes in flight. A failed store drops the overlay: everything decided since
is judged again when it is sent again; cuts stay until they are durable.

Beside the overlay stand two bounded memories of what the disk would say, so that it need not be
asked: the heads of chains, and the ids that are held whole, body and all. Whatever takes deltas
away (a failed store, a cut) clears them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hive.memory.delta import Delta
from hive.memory.log import Head, Held, State, head_after
from hive.protocol.bounded import BoundedMap
from hive.protocol.machine import Token
from hive.protocol.ports import StoreReader
from hive.wire.ids import DeltaId, Digest

HEADS_KNOWN_MAX: Final = 4_096
"""Heads of chains remembered, some 500 B each."""


@dataclass(slots=True)
class _Entry:
    delta: Delta
    state: State
    head: Head
    token: Token | None = None


class PendingStore:
    """A store reader's answers with undecided writes laid over them."""

    def __init__(self, reader: StoreReader, whole_count_max: int = 65_536) -> None:
        self._reader = reader
        self._known_heads: BoundedMap[Digest, Head] = BoundedMap(HEADS_KNOWN_MAX)
        self._whole: BoundedMap[DeltaId, None] = BoundedMap(whole_count_max)
        self._deltas: dict[DeltaId, _Entry] = {}
        self._heads: dict[Digest, Head] = {}
        self._positions: dict[tuple[Digest, int], DeltaId] = {}
        self._flights: dict[Token, tuple[DeltaId, ...]] = {}
        self._cuts: dict[Digest, int] = {}
        self._cutting: dict[Token, tuple[Digest, ...]] = {}

    # Deltas.

    def admit(self, delta: Delta, state: State) -> None:
        """Lays an admitted delta over the store; at the end of its chain it becomes the head."""
        head = head_after(delta)
        known = self.head(head.chain)
        self._deltas[delta.id] = _Entry(delta, state, head)
        if state is State.LIVE and delta.body:
            self._whole.put(delta.id, None)
        self._positions[head.chain, head.sequence] = delta.id
        if known is None or head.sequence > known.sequence:
            self._heads[head.chain] = head

    def depart(self, token: Token, deltas: tuple[DeltaId, ...]) -> None:
        """Notes that these deltas are on their way to the disk."""
        self._flights[token] = deltas
        for delta in deltas:
            self._deltas[delta].token = token

    def settle(self, token: Token) -> None:
        """The disk has this write: what was laid over the store for it goes."""
        for delta in self._flights.pop(token, ()):
            entry = self._deltas.get(delta)
            if entry is not None and entry.token == token:
                self._lift(delta)
                self._remember(entry.head)
        chains = self._cutting.pop(token, ())
        outstanding = {chain: None for others in self._cutting.values() for chain in others}
        for chain in chains:
            if chain not in outstanding:
                self._cuts.pop(chain, None)

    def _lift(self, delta: DeltaId) -> None:
        entry = self._deltas.pop(delta, None)
        if entry is None:
            return
        chain = entry.head.chain
        self._positions.pop((chain, entry.head.sequence), None)
        head = self._heads.get(chain)
        if head is not None and head.delta == delta:
            del self._heads[chain]

    def _remember(self, head: Head) -> None:
        known = self._known_heads.get(head.chain)
        if known is None or known.sequence < head.sequence:
            self._known_heads.put(head.chain, head)

    def _distrust(self) -> None:
        """What was remembered may no longer be what the disk holds."""
        self._known_heads.clear()
        self._whole.clear()

    def withdraw(self, deltas: Sequence[DeltaId]) -> None:
        """Takes back deltas of one chain that were decided and will not be stored."""
        for delta in reversed(deltas):
            entry = self._deltas.get(delta)
            if entry is None:
                continue
            self._lift(delta)
            self._whole.pop(delta)
            before = self._deltas.get(DeltaId(entry.delta.header.previous))
            if before is not None:
                self._heads.setdefault(entry.delta.header.chain, head_after(before.delta))

    def fail(self, token: Token) -> None:
        """A write failed: every undecided delta goes; cuts stay until a later write has them."""
        self._cutting.pop(token, None)
        self._deltas.clear()
        self._heads.clear()
        self._positions.clear()
        self._flights.clear()
        self._distrust()

    # Cuts.

    def truncate(self, chain: Digest, last_sequence: int) -> None:
        """Hides everything of a chain above a position, decided or durable, from now on."""
        above = [
            delta
            for delta, entry in self._deltas.items()
            if entry.delta.header.chain == chain and entry.delta.header.sequence > last_sequence
        ]
        self.withdraw(sorted(above, key=lambda delta: self._deltas[delta].delta.header.sequence))
        self._cuts[chain] = min(last_sequence, self._cuts.get(chain, last_sequence))
        self._distrust()

    def cutting(self, token: Token, chains: Iterable[Digest]) -> None:
        """Notes that the cuts of these chains are on their way to the disk."""
        self._cutting[token] = tuple(chains)

    def is_undecided(self, delta: DeltaId) -> bool:
        """Whether a delta lies over the store."""
        return delta in self._deltas

    def undecided(self, chain: Digest) -> tuple[Delta, ...]:
        """What lies over the store of one chain, by sequence."""
        found = [e.delta for e in self._deltas.values() if e.delta.header.chain == chain]
        return tuple(sorted(found, key=lambda delta: delta.header.sequence))

    def undecided_heads(self) -> tuple[Head, ...]:
        """The heads that lie over the store."""
        return tuple(self._heads.values())

    # Answers.

    def head(self, chain: Digest) -> Head | None:
        """The head of a chain, undecided writes included."""
        laid_over = self._heads.get(chain)
        if laid_over is not None:
            return laid_over
        last = self._cuts.get(chain)
        known = self._known_heads.get(chain)
        if known is not None and last is None:
            return known
        head = self._reader.head(chain)
        if head is not None and last is None:
            self._remember(head)
        if head is None or last is None or head.sequence <= last:
            return head
        held = self.at(chain, last)
        delta = self.delta(held) if held else None
        return head_after(delta) if delta else None

    def at(self, chain: Digest, sequence: int) -> DeltaId | None:
        """The id at a position, undecided writes included."""
        laid_over = self._positions.get((chain, sequence))
        if laid_over is not None or sequence > self._cuts.get(chain, sequence):
            return laid_over
        return self._reader.at(chain, sequence)

    def are_whole(self, deltas: Iterable[DeltaId]) -> list[bool]:
        """For each id whether it is known to be held with its body, or was until forgotten."""
        return self._whole.have(deltas)

    def has(self, delta: DeltaId) -> bool:
        """Whether an id is held or decided."""
        if delta in self._deltas:
            return True
        return self._held(delta) is not None if self._cuts else self._reader.has(delta)

    def delta(self, delta: DeltaId) -> Delta | None:
        """A decided or held delta, as it stands."""
        entry = self._deltas.get(delta)
        if entry is not None:
            return entry.delta
        held = self._held(delta)
        return held.delta if held else None

    def state(self, delta: DeltaId) -> State | None:
        """What a decided or held delta is worth."""
        entry = self._deltas.get(delta)
        if entry is not None:
            return entry.state
        held = self._held(delta)
        return held.state if held else None

    def _held(self, delta: DeltaId) -> Held | None:
        held = self._reader.delta(delta)
        if held is None or not self._cuts:
            return held
        header = held.delta.header
        is_cut = header.sequence > self._cuts.get(header.chain, header.sequence)
        return None if is_cut else held
