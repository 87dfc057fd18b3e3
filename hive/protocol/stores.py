"""Stores: what is on its way to the disk, what follows when it is there, and what is owed.

All writes of one event go in one `Store`, in their order. Deltas that were not taken are judged
again when they are sent again; records, forks and cuts are *duties*: they count already, so they
are stored again until the disk has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from hive.protocol.commands import Declined
from hive.protocol.core import Core, Effects
from hive.protocol.events import Effect, Reply, SignAs, Store
from hive.protocol.machine import Token, Verify
from hive.protocol.ports import PutDelta, PutForget, PutFork, PutRecord, Truncate, Write
from hive.protocol.reconciliation.digests import leaf_of
from hive.wire.clock import Hlc
from hive.wire.ids import Digest

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
        """One change for all deltas of a leaf bucket: buckets are what reconciliation compares."""
        changes: dict[Change, None] = {}
        leaves: dict[tuple[str, int], Hlc] = {}
        for write in writes:
            match write:
                case PutDelta():
                    header = write.delta.header
                    leaves[header.namespace, leaf_of(header.hlc)] = header.stamp
                case PutForget():
                    target = self._core.pending.delta(write.forget.target)
                    if target is not None:
                        header = target.header
                        leaves[header.namespace, leaf_of(header.hlc)] = header.stamp
                case Truncate():
                    changes |= {(name, None): None for name in self._cut_in(write.chain)}
                case _:
                    pass
        changes |= {(namespace, stamp): None for (namespace, _), stamp in leaves.items()}
        return tuple(changes)

    def _cut_in(self, chain: Digest) -> tuple[str, ...]:
        """The namespace of a chain that is cut; where its head is known no more, all of them."""
        head = self._core.reader.head(chain) or self._core.pending.head(chain)
        return (head.namespace,) if head is not None else self._core.reader.namespaces()

    def in_one(self, effects: Effects) -> Effects:
        """All writes of one event in one `Store`; before it only what no failure may swallow.

        Several stores would let the writes of a later event overtake the second one, since the
        driver hands it over only when the first is durable. What stands behind a store that
        fails is dropped: asks to verify or sign, and refusals, must not be.
        """
        stores = [effect for effect in effects if isinstance(effect, Store)]
        if not stores:
            return effects
        first = [effect for effect in effects if _stands_alone(effect)]
        rest = [e for e in effects if not isinstance(e, Store) and not _stands_alone(e)]
        if len(stores) == 1:
            return [*first, stores[0], *rest]
        token = self._core.tokens.fresh()
        self._merged[token] = tuple(store.token for store in stores)
        writes = tuple(write for store in stores for write in store.writes)
        return [*first, Store(token, writes), *rest]

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


def _stands_alone(effect: Effect) -> bool:
    """Whether an effect claims nothing about what is stored."""
    if isinstance(effect, Reply):
        return isinstance(effect.answer, Declined)
    return isinstance(effect, Verify | SignAs)
