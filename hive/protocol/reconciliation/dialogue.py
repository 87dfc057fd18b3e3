"""Who says what in a session: roots, then heads, then buckets, then done.

The initiator compares and asks, the responder only answers, so each request has one answer (the
pages of one answer end with `is_last`) and the initiator knows when all is compared. Buckets of a
namespace are compared only where its heads led to no transfer: most differences in state vanish
with the deltas that caused them.
"""

from __future__ import annotations

from typing import assert_never

from hive.protocol.messages import Forks, WantDeltas
from hive.protocol.reconciliation.buckets import BucketsStep
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.fetcher import Fetcher
from hive.protocol.reconciliation.heads import HeadsStep
from hive.protocol.reconciliation.messages import (
    Buckets,
    Differences,
    Done,
    Heads,
    Leaves,
    Offers,
    Probe,
    Root,
    Roots,
    Same,
    SessionMessage,
    ShortIds,
    Slots,
    WantRoots,
)
from hive.protocol.reconciliation.replica import Replica
from hive.protocol.reconciliation.session import Comparison, Session, session_key
from hive.wire.clock import MonotonicUs

Said = SessionMessage | Probe | WantDeltas | Forks


class Dialogue:
    """Takes a message of a session and gives those that answer it."""

    def __init__(self, config: ReconciliationConfig, replica: Replica, fetcher: Fetcher) -> None:
        self._config = config
        self._replica = replica
        self._heads = HeadsStep(config, replica, fetcher)
        self._buckets = BucketsStep(config, replica, fetcher)

    def answer(self, session: Session, message: SessionMessage, now_us: MonotonicUs) -> list[Said]:
        """The answers; a message that does not fit role or moment has none."""
        if session.is_own:
            return self._answer_as_initiator(session, message, now_us)
        return self._answer_as_responder(session, message, now_us)

    def roots(self, session: Session, after: str) -> Roots:
        """The responder's namespaces behind a name."""
        page, is_last = self._replica.page_of_roots(session.peer, session.key, after)
        return Roots(session.id, session.salt, after, is_last, page)

    def _answer_as_responder(
        self, session: Session, message: SessionMessage, now_us: MonotonicUs
    ) -> list[Said]:
        match message:
            case WantRoots():
                return [self.roots(session, message.after)]
            case Slots():
                state = self._begin(session, message.namespace)
                if state is None or state.has_heads:
                    return []
                state.has_heads = True
                return [*self._heads.answer_slots(session, message)]
            case Heads():
                state = self._begin(session, message.namespace)
                return [*self._heads.answer_heads(session, message, state, now_us)] if state else []
            case Buckets():
                state = self._begin(session, message.namespace)
                if state is None or state.has_buckets:
                    return []
                state.has_buckets = True
                return [self._buckets.answer_buckets(session, message)]
            case ShortIds():
                if self._begin(session, message.namespace) is None:
                    return []
                difference = self._buckets.answer_ids(session, message, now_us)
                return [difference] if difference else []
            case Offers():
                return [*self._buckets.wants(session, message.offers, now_us)]
            case Roots() | Same() | Leaves() | Differences() | Done():
                return []
            case _:
                assert_never(message)

    def _answer_as_initiator(
        self, session: Session, message: SessionMessage, now_us: MonotonicUs
    ) -> list[Said]:
        if session.awaiting == 0:
            return []
        match message:
            case Roots():
                said = self._compare_roots(session, message)
            case Heads() | Leaves() | Differences():
                state = session.namespaces.get(message.namespace)
                if state is None:
                    return []
                said = self._compare(session, message, state, now_us)
            case Same() | WantRoots() | Slots() | Buckets() | ShortIds() | Offers() | Done():
                return []
            case _:
                assert_never(message)
        if session.awaiting == 0:
            said.append(Done(session.id))
        return said

    def _compare(
        self,
        session: Session,
        message: Heads | Leaves | Differences,
        state: Comparison,
        now_us: MonotonicUs,
    ) -> list[Said]:
        match message:
            case Heads():
                said: list[Said] = [*self._heads.answer_heads(session, message, state, now_us)]
                if message.is_last:
                    session.awaiting -= 1
                    if state.states_differ and not state.moved:
                        said.append(self._open_buckets(session, message.namespace, state))
                return said
            case Leaves():
                pages = self._buckets.answer_leaves(session, message)
                session.awaiting += len(pages) - 1
                return [*pages]
            case Differences():
                session.awaiting -= 1
                return [*self._buckets.answer_differences(session, message, now_us)]
            case _:
                assert_never(message)

    def _compare_roots(self, session: Session, message: Roots) -> list[Said]:
        if not session.key:
            session.salt = message.salt
            session.key = session_key(session.id, message.salt)
        session.awaiting -= 1
        said: list[Said] = []
        theirs = {root.namespace: root for root in message.roots}
        until = None if message.is_last or not theirs else message.roots[-1].namespace
        for name in self._names(session, message.after, until, theirs):
            said += self._compare_root(session, name, theirs.get(name))
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

    def _compare_root(self, session: Session, name: str, theirs: Root | None) -> list[Said]:
        ours = self._replica.session_root(session.key, name)
        if ours == theirs or name in session.namespaces:
            return []
        state = self._begin(session, name)
        if state is None:
            return []
        state.states_differ = theirs is None or theirs.states != ours.states
        if theirs is not None and theirs.heads == ours.heads:
            return [self._open_buckets(session, name, state)]
        session.awaiting += 1
        return [self._heads.opening(session, name)]

    def _open_buckets(self, session: Session, namespace: str, state: Comparison) -> Buckets:
        state.states_differ = False
        session.awaiting += 1
        return self._buckets.opening(session, namespace)

    def _begin(self, session: Session, namespace: str) -> Comparison | None:
        """The comparison of an admissible namespace; None where it is not or there are too many."""
        state = session.namespaces.get(namespace)
        if state is None and self._replica.admissible(session.peer, namespace):
            if len(session.namespaces) >= self._config.session_namespaces_max:
                return None
            state = session.namespaces[namespace] = Comparison()
        return state
