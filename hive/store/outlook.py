"""Judges a batch against the chains it will change, before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hive.errors import StateError
from hive.memory.delta import Delta
from hive.memory.log import Continuation, Head, Held, continuation, head_after
from hive.protocol.ports import PutDelta, Truncate, Write
from hive.wire.ids import DeltaId, Digest


class Outlook:
    """What the chains will be after the writes so far, to judge a batch before touching it.

    For each chain: how many held deltas stay, and the deltas that the batch puts behind them.
    """

    def __init__(
        self,
        heads: dict[Digest, Head],
        chains: dict[Digest, list[DeltaId]],
        held: Callable[[DeltaId], Held | None],
    ) -> None:
        self._heads = heads
        self._chains = chains
        self._held = held
        self._tails: dict[Digest, tuple[int, list[Delta]]] = {}

    def require_fit(self, writes: Sequence[Write]) -> None:
        """Raises `StateError` where a delta would not continue its chain."""
        for write in writes:
            if isinstance(write, PutDelta):
                self._put(write.delta)
            elif isinstance(write, Truncate):
                kept, tail = self._tail(write.chain)
                last = write.last_sequence
                self._tails[write.chain] = (min(kept, last), tail[: max(last - kept, 0)])

    def _put(self, delta: Delta) -> None:
        chain = delta.header.chain
        kept, tail = self._tail(chain)
        position = delta.header.sequence - kept - 1
        at: DeltaId | None
        if position < 0:
            at = self._chains[chain][delta.header.sequence - 1]
        else:
            at = tail[position].id if position < len(tail) else None
        if at == delta.id:
            return
        if continuation(delta, self._head(chain), at) is not Continuation.NEXT:
            raise StateError("a delta does not continue its chain", hint="report this as a bug")
        tail.append(delta)

    def _tail(self, chain: Digest) -> tuple[int, list[Delta]]:
        return self._tails.setdefault(chain, (len(self._chains.get(chain, ())), []))

    def _head(self, chain: Digest) -> Head | None:
        kept, tail = self._tails[chain]
        if tail:
            return head_after(tail[-1])
        head = self._heads.get(chain)
        if kept == 0 or head is None or head.sequence == kept:
            return head if kept else None
        held = self._held(self._chains[chain][kept - 1])
        return None if held is None else head_after(held.delta)
