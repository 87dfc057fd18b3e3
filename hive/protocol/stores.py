"""Stores: what is on its way to the disk, what follows when it is there, and what is owed.

All writes of one event go in one `Store`, in their order. Deltas that were not taken are judged
again when they are sent again; records, forks and cuts are *duties*: they count already, so they
are stored again until the disk has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias, cast

from hive.memory.log import State
from hive.protocol.commands import Declined
from hive.protocol.core import Core, Effects
from hive.protocol.events import Effect, Reply, SignAs, Store
from hive.protocol.machine import Token, Verify
from hive.protocol.ports import PutBody, PutDelta, PutForget, PutFork, PutRecord, Truncate, Write
from hive.protocol.quota import size_of
from hive.protocol.reconciliation.digests import leaf_of
from hive.trust.envelope import Signed
from hive.trust.records import OrgRecord
from hive.wire.clock import SECOND_US, Hlc, Now
from hive.wire.ids import Digest

OBSERVE_INTERVAL_US: Final = SECOND_US
"""Between two looks at how full the store is."""
_PAGE: Final = 256

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
        self._observe_at = 0

    def store(self, token: Token, writes: tuple[Write, ...]) -> Store:
        """A store whose completion tells what changed."""
        self._changes[token] = self._changed_by(writes)
        self._release(writes)
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
        self._core.shares.recover(self._core.reader)
        return tokens

    # Quotas.

    def recover(self) -> None:
        """Who takes how much of the store, as it stands."""
        self._core.shares.recover(self._core.reader)
        self._observe()

    def _observe(self) -> None:
        orgs = {signed.record.inception: None for signed in self._orgs()}
        self._core.shares.observe(self._core.reader.usage(), len(orgs))

    def _orgs(self) -> Sequence[Signed[OrgRecord]]:
        return cast("Sequence[Signed[OrgRecord]]", self._core.trust.records_of(OrgRecord))

    def _release(self, writes: Sequence[Write]) -> None:
        """What forgets and cuts give back, and what a body takes that came after its header."""
        reader, shares = self._core.reader, self._core.shares
        for write in writes:
            match write:
                case PutForget():
                    held = reader.delta(write.forget.target)
                    if held and held.state is State.LIVE and write.forget.binds(held.delta.header):
                        shares.release(held.delta, len(held.delta.body), is_cut=False)
                case PutBody():
                    bare = reader.delta(write.delta)
                    if bare is not None and not bare.delta.body:
                        shares.release(bare.delta, -len(write.body), is_cut=False)
                case Truncate():
                    first = write.last_sequence + 1
                    while page := reader.chain_slice(write.chain, first, _PAGE):
                        for cut in page:
                            shares.release(cut.delta, size_of(cut.delta), is_cut=True)
                        first += len(page)
                case _:
                    pass

    def ticked(self, now: Now) -> Effects:
        """Owed duties, and from time to time what each organisation takes."""
        effects = self.pay_owed()
        if now.monotonic_us >= self._observe_at:
            self._observe_at = now.monotonic_us + OBSERVE_INTERVAL_US
            self._observe()
            note = None if self._changes else self._core.shares.snapshot(self._core.reader)
            if note is not None:
                effects.append(self.store(self._core.tokens.fresh(), (note,)))
        return effects

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
