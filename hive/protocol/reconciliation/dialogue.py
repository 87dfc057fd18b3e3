"""Who says what in a session: roots, then heads, then buckets, then ids, then done.

The initiator compares and asks, the responder only answers, so each request has one answer and
the initiator knows when all is compared. Buckets of a namespace are compared where its heads led
to no transfer (most differences in state vanish with the deltas that caused them), or where its
heads are too many for a list. The ids of what differs are compared one namespace after another.
"""

from __future__ import annotations

from collections import deque
from typing import assert_never

from hive.protocol.messages import Forks, WantDeltas
from hive.protocol.reconciliation.buckets import BucketsStep
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.elements import Toll
from hive.protocol.reconciliation.fetcher import Fetcher
from hive.protocol.reconciliation.heads import HeadsStep
from hive.protocol.reconciliation.messages import (
    Buckets,
    CodedSymbols,
    Done,
    Found,
    Heads,
    Ids,
    LaidOut,
    Probe,
    Root,
    Roots,
    Same,
    SessionMessage,
    Slots,
    WantIds,
    WantRoots,
    WantSymbols,
)
from hive.protocol.reconciliation.replica import Replica
from hive.protocol.reconciliation.session import Comparison, Session, session_key
from hive.protocol.reconciliation.shelves import Shelves
from hive.protocol.reconciliation.slices import Work
from hive.protocol.reconciliation.windows import WindowsStep
from hive.wire.clock import MonotonicUs

Said = SessionMessage | Probe | WantDeltas | Forks


class Dialogue:
    """Takes a message of a session and gives those that answer it."""

    def __init__(
        self,
        config: ReconciliationConfig,
        replica: Replica,
        fetcher: Fetcher,
        shelves: Shelves,
    ) -> None:
        self._config = config
        self._replica = replica
        self._heads = HeadsStep(config, replica, fetcher)
        self._buckets = BucketsStep(config, replica)
        self.windows = WindowsStep(config, replica, fetcher, shelves)

    def answer(
        self, session: Session, message: SessionMessage, toll: Toll, now_us: MonotonicUs
    ) -> Work[list[Said]]:
        """The answers; a message that does not fit role or moment has none."""
        if not session.is_own:
            return (yield from self._answer_as_responder(session, message, toll, now_us))
        if session.awaiting == 0:
            return []
        said = yield from self._answer_as_initiator(session, message, toll, now_us)
        if session.awaiting == 0:
            said.append(Done(session.id))
        return said

    def roots(self, session: Session, after: str) -> Roots:
        """The responder's namespaces behind a name."""
        page, is_last = self._replica.page_of_roots(session.peer, session.key, after)
        return Roots(session.id, session.salt, after, is_last, page)

    def _answer_as_responder(
        self, session: Session, message: SessionMessage, toll: Toll, now_us: MonotonicUs
    ) -> Work[list[Said]]:
        match message:
            case WantRoots():
                return [self.roots(session, message.after)]
            case Roots() | Same() | Done():
                return []
            case _:
                state = self._begin(session, message.namespace)
                if state is None:
                    return []
        match message:
            case Slots() | Heads():
                return self._answer_heads(session, message, state, now_us)
            case Buckets():
                answer = yield from self._buckets.answer(session, message, toll)
                return [answer if answer is not None else Done(session.id)]
            case _:
                return (yield from self._hear_of_ids(session, message, toll, now_us))

    def _answer_heads(
        self, session: Session, message: Slots | Heads, state: Comparison, now_us: MonotonicUs
    ) -> list[Said]:
        if isinstance(message, Heads):
            return [*self._heads.answer_heads(session, message, state, now_us)]
        if state.has_heads:
            return []
        state.has_heads = True
        return [*self._heads.answer_slots(session, message)]

    def _hear_of_ids(
        self,
        session: Session,
        message: Ids | WantIds | CodedSymbols | WantSymbols | Found | LaidOut,
        toll: Toll,
        now_us: MonotonicUs,
    ) -> Work[list[Said]]:
        """The third step; which of its messages fit a role is clear to `WindowsStep`."""
        windows = self.windows
        match message:
            case Ids():
                return [*(yield from windows.hear_ids(session, message, toll, now_us))]
            case Found():
                return [*(yield from windows.hear_found(session, message, toll, now_us))]
            case LaidOut():
                return [*(yield from windows.hear_laid_out(session, message, toll, now_us))]
            case WantSymbols():
                if not session.is_own:
                    return []
                return [*(yield from windows.hear_want_symbols(session, message, toll))]
            case WantIds():
                if session.is_own:
                    return []
                return [*(yield from windows.hear_want_ids(session, message, toll))]
            case CodedSymbols():
                if session.is_own:
                    return []
                return [*(yield from windows.hear_symbols(session, message, toll, now_us))]
            case _:
                assert_never(message)

    def _answer_as_initiator(
        self, session: Session, message: SessionMessage, toll: Toll, now_us: MonotonicUs
    ) -> Work[list[Said]]:
        match message:
            case Roots():
                return (yield from self._compare_roots(session, message, now_us))
            case Same() | WantRoots() | Slots() | Done():
                return []
            case _:
                state = session.namespaces.get(message.namespace)
                if state is None:
                    return []
        match message:
            case Heads():
                return (yield from self._compare_heads(session, message, state, now_us))
            case Buckets():
                return (yield from self._compare_buckets(session, message, toll))
            case _:
                return (yield from self._hear_of_ids(session, message, toll, now_us))

    def _compare_heads(
        self, session: Session, message: Heads, state: Comparison, now_us: MonotonicUs
    ) -> Work[list[Said]]:
        said: list[Said] = [*self._heads.answer_heads(session, message, state, now_us)]
        if not message.is_last:
            return said
        session.awaiting -= 1
        if state.states_differ and (message.is_declined or not state.moved):
            said += yield from self._open_buckets(session, message.namespace, state, now_us)
        return said

    def _compare_buckets(self, session: Session, message: Buckets, toll: Toll) -> Work[list[Said]]:
        next = yield from self._buckets.compare(session, message, toll)
        if isinstance(next, Buckets):
            return [next]
        session.awaiting -= 1
        if next:
            session.dirty.append((message.namespace, message.level, deque(next)))
            if session.window is None:
                return [*(yield from self.windows.start(session, toll))]
        return []

    def _compare_roots(
        self, session: Session, message: Roots, now_us: MonotonicUs
    ) -> Work[list[Said]]:
        if not session.key:
            session.salt = message.salt
            session.key = session_key(session.id, message.salt)
        session.awaiting -= 1
        said: list[Said] = []
        theirs = {root.namespace: root for root in message.roots}
        until = None if message.is_last or not theirs else message.roots[-1].namespace
        for name in self._names(session, message.after, until, theirs):
            said += yield from self._compare_root(session, name, theirs.get(name), now_us)
        if until is not None and len(session.namespaces) < self._config.session_namespaces_max:
            session.awaiting += 1
            said.append(WantRoots(session.id, until))
        return said

    def _names(
        self, session: Session, after: str, until: str | None, theirs: dict[str, Root]
    ) -> list[str]:
        own = self._replica.namespaces(session.peer)
        both = dict.fromkeys([*own, *theirs])
        return sorted(
            name
            for name in both
            if name > after
            and (until is None or name <= until)
            and self._replica.admissible(session.peer, name)
        )

    def _compare_root(
        self, session: Session, name: str, theirs: Root | None, now_us: MonotonicUs
    ) -> Work[list[Said]]:
        ours = self._replica.session_root(session.key, name)
        if ours == theirs or name in session.namespaces:
            return []
        state = self._begin(session, name)
        if state is None:
            return []
        state.states_differ = theirs is None or theirs.states != ours.states
        opening = None
        if theirs is None or theirs.heads != ours.heads:
            opening = self._heads.opening(session, name)
        if opening is None:
            return (yield from self._open_buckets(session, name, state, now_us))
        session.awaiting += 1
        return [opening]

    def _open_buckets(
        self, session: Session, namespace: str, state: Comparison, now_us: MonotonicUs
    ) -> Work[list[Said]]:
        state.states_differ = False
        session.awaiting += 1
        said: list[Said] = [*self._heads.all_proofs(session.peer, now_us)]
        said.append((yield from self._buckets.opening(session, namespace)))
        return said

    def _begin(self, session: Session, namespace: str) -> Comparison | None:
        """The comparison of an admissible namespace; None where it is not or there are too many."""
        state = session.namespaces.get(namespace)
        if state is None and self._replica.admissible(session.peer, namespace):
            if len(session.namespaces) >= self._config.session_namespaces_max:
                return None
            state = session.namespaces[namespace] = Comparison()
        return state
