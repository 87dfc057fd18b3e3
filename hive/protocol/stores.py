"""Stores: what is on its way to the disk, what follows when it is there, and what is owed.

All writes of one event go in one `Store`, in their order. Deltas that were not taken are judged
again when they are sent again; records, forks and cuts are *duties*: they count already, so they
are stored again until the disk has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from hive.protocol.core import Core, Effects
from hive.protocol.events import Store
from hive.protocol.machine import Token
from hive.protocol.ports import PutDelta, PutForget, PutFork, PutRecord, Truncate, Write
from hive.wire.clock import Hlc

Change: TypeAlias = tuple[str, Hlc | None]
"""A namespace, and where on its time axis something changed (None: anywhere)."""


class Stores:
    """The writes of one peer that are not durable yet."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._changes: dict[Token, tuple[Change, ...]] = {}
        self._merged: dict[Token, tuple[Token, ...]] = {}
        self._duties: dict[Token, tuple[Write, ...]] = {}
        self._owed: list[Write] = []

    def store(self, token: Token, writes: tuple[Write, ...]) -> Store:
        """A store whose completion tells what changed."""
        self._changes[token] = self._changed_by(writes)
        duties = tuple(w for w in writes if isinstance(w, PutRecord | PutFork | Truncate))
        if duties:
            self._duties[token] = duties
            cut = (write.chain for write in duties if isinstance(write, Truncate))
            self._core.pending.cutting(token, cut)
        return Store(token, writes)

    def _changed_by(self, writes: Sequence[Write]) -> tuple[Change, ...]:
        changes: dict[Change, None] = {}
        for write in writes:
            match write:
                case PutDelta():
                    changes[write.delta.header.namespace, write.delta.header.stamp] = None
                case PutForget():
                    changes[write.forget.namespace, None] = None
                case Truncate():
                    changes |= {(name, None): None for name in self._core.reader.namespaces()}
                case _:
                    pass
        return tuple(changes)

    def in_one(self, effects: Effects) -> Effects:
        """All writes of one event in one `Store`, before everything else.

        Several would let the writes of a later event overtake the second one, since the driver
        hands it over only when the first is durable.
        """
        stores = [effect for effect in effects if isinstance(effect, Store)]
        if len(stores) < 2:
            return effects
        token = self._core.tokens.fresh()
        self._merged[token] = tuple(store.token for store in stores)
        writes = tuple(write for store in stores for write in store.writes)
        rest = [effect for effect in effects if not isinstance(effect, Store)]
        return [Store(token, writes), *rest]

    def settled(self, merged: Token) -> list[tuple[Token, tuple[Change, ...]]]:
        """The disk has a store: the tokens in it, and what each changed."""
        done = []
        for token in self._merged.pop(merged, (merged,)):
            self._duties.pop(token, None)
            done.append((token, self._changes.pop(token, ())))
        return done

    def failed(self, merged: Token) -> tuple[Token, ...]:
        """The disk did not take a store: its duties are owed; the tokens in it."""
        tokens = self._merged.pop(merged, (merged,))
        for token in tokens:
            self._changes.pop(token, None)
            self._owed += self._duties.pop(token, ())
        return tokens

    def pay_owed(self) -> Effects:
        """Duties that a failed store left undone, once more."""
        if not self._owed:
            return []
        owed, self._owed = tuple(self._owed), []
        return [self.store(self._core.tokens.fresh(), owed)]
