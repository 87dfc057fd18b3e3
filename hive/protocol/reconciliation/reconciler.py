"""Reconciliation: finds and heals what push missed, pairwise, exactly, within bounds.

Theory of operation
-------------------
Every round, at each greeting and after each heal a session opens with a few peers. `Probe`
carries one SHA-256 digest over all namespaces both sides may hold; equal digests end it (< 100
bytes both ways). Else the responder lists its namespaces with two digests each, and the initiator
compares:

heads    The last position and id of every author log. Logs have no gaps, so heads decide which
         ids are held; they are also where forks show. Digests first 256-way, then lists.
buckets  Fixed buckets of hybrid time in three levels, SHA-256 over (id, state), where heads
         are too many or show nothing. Range-based reconciliation (Meyer, arXiv 2212.13567) with
         a fixed tree, because a collision-resistant digest over a list can be cached by bucket,
         while additive fingerprints can be forged by whoever chooses ids.
ids      In buckets that differ: the shorter list of session ids, or a rateless IBLT (`iblt`).

Digests and ids on the wire are 8 bytes keyed by salts of both sides, new in each session: nobody
can choose deltas against them, and an accidental clash heals in the next session.

Deltas are then asked for: by chains after heads, from a shelf laid out by the other side after ids.
The fetcher asks one bounded piece at a time and waits for ingress, the server answers within a
budget. Nothing survives a cut stream but what arrived; the next session finds the rest. Scans,
hashing and coding are cut into slices (`slices`), and whoever causes them pays from its budget.

Arriving `Deltas` go to ingress like any other; the composer says `Changed` for what was stored.
After a fetch the peer is probed again, until both roots are equal. Roots that differ with nothing
to exchange (other interests, a quarantine) are left alone for `settled_us` unless one changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from hive.errors import MalformedFrame
from hive.memory.log import Held
from hive.protocol.machine import Received, Send, Ticked
from hive.protocol.messages import Deltas, WantDeltas
from hive.protocol.ports import StoreReader
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.dialogue import Dialogue, Said
from hive.protocol.reconciliation.digests import Digests
from hive.protocol.reconciliation.elements import Toll
from hive.protocol.reconciliation.events import (
    Agreed,
    Changed,
    Effect,
    Event,
    PeerConnected,
    PeerGone,
    Reconciled,
    ReconcileRequested,
    Taken,
)
from hive.protocol.reconciliation.fetcher import Fetcher, Gap
from hive.protocol.reconciliation.messages import (
    SESSION_BYTES,
    Done,
    Probe,
    Pull,
    Same,
    Served,
    SessionMessage,
    WantChains,
    parse_untrusted,
)
from hive.protocol.reconciliation.replica import Admissible, Replica
from hive.protocol.reconciliation.server import Answer, Server
from hive.protocol.reconciliation.session import Session, session_key
from hive.protocol.reconciliation.shelves import Shelves
from hive.protocol.reconciliation.slices import Jobs, Work
from hive.trust.records import chain_digest
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import Digest, Inception, PeerId
from hive.wire.randomness import Stream

Charge = Callable[[PeerId, int, MonotonicUs], bool]
"""Takes so many verifications from a peer's budget; False where it is used up."""

_NO_ROOT = Digest(b"")
PROBE_BURST = 8
INBOX_MAX = 24
"""Messages of one session that wait for an answer in the making: the pages of a list, no more."""


class Reconciler:
    """The machine; its messages travel on streams, one labelled record each."""

    def __init__(
        self,
        config: ReconciliationConfig,
        reader: StoreReader,
        admissible: Admissible,
        stream: Stream,
        charge: Charge = lambda peer, checks, now_us: True,
    ) -> None:
        self._config = config
        self._charge = charge
        self._reader = reader
        self._stream = stream
        self._digests = Digests(reader, config.namespaces_cached_max, config.leaves_cached_max)
        self._jobs = Jobs(self._digests.slice, config.slice_lines, config.slice_pause_us)
        self._replica = Replica(reader, admissible, self._digests)
        self._fetcher = Fetcher(config, reader)
        self._server = Server(config, self._replica)
        self._shelves = Shelves(config)
        self._dialogue = Dialogue(config, self._replica, self._fetcher, self._shelves)
        self._peers: dict[PeerId, int] = {}
        self._due: dict[PeerId, MonotonicUs] = {}
        self._sessions: dict[tuple[PeerId, bool], Session] = {}
        self._settled: dict[PeerId, tuple[Digest, Digest, MonotonicUs]] = {}
        self._tallies: dict[PeerId, dict[str, list[int]]] = {}
        self._opening: dict[PeerId, None] = {}
        self._probes: dict[PeerId, Probe] = {}
        self._caused: dict[PeerId, int] = {}
        self._round_at: MonotonicUs | None = None
        self._now_us = MonotonicUs(0)
        self._out: list[Effect] = []
        self.malformed_count = 0
        self.ignored_count = 0
        self.unpaid_count = 0

    @property
    def deadline(self) -> MonotonicUs | None:
        """The next round, probe, or timeout."""
        times = [*self._due.values(), *(each.deadline for each in self._sessions.values())]
        parts = (self._round_at, self._fetcher.deadline, self._jobs.deadline)
        times += [at for at in parts if at is not None]
        return min(times, default=None)

    @property
    def counters(self) -> dict[str, int]:
        """What was refused, dropped or timed out so far."""
        return {
            "malformed": self.malformed_count,
            "ignored": self.ignored_count,
            "asks_timed_out": self._fetcher.timed_out_count,
            "asks_dropped": self._fetcher.dropped_count,
            "serving_throttled": self._server.throttled_count,
            "comparisons_refused": self._dialogue.windows.refused_count,
            "comparisons_unpaid": self.unpaid_count,
            "lines_read": self._digests.slice.spent_count,
        }

    def handle(self, event: Event, now: Now) -> Sequence[Effect]:
        """Takes one event and gives its effects in order."""
        now_us = self._now_us = now.monotonic_us
        match event:
            case PeerConnected():
                self._meet(event.peer, now_us)
            case PeerGone():
                self._part(event.peer)
            case Received():
                self._hear(event.sender, event.untrusted_payload, now_us)
            case Changed():
                self._digests.changed(event.namespace, event.hlc)
            case Taken():
                self._fetcher.note_taken(event.peer, event.count)
            case ReconcileRequested():
                self._request(event.peer, now_us)
            case Ticked():
                self._tick(now_us)
            case _:
                assert_never(event)
        self._jobs.run(now_us)
        self._advance(now_us)
        effects, self._out = self._out, []
        return effects

    def want_chain(
        self, author: Inception, writer: Inception, namespace: str, first: int, last: int
    ) -> bytes:
        """A message that asks any peer for positions of one chain; answered by `Deltas`."""
        chain = chain_digest(author, writer, namespace)
        return WantChains(
            0, (self._fetcher.want(Gap(namespace, chain, first, last, b"")),)
        ).to_body()

    def _meet(self, peer: PeerId, now_us: MonotonicUs) -> None:
        if peer in self._peers or len(self._peers) >= self._config.peers_max:
            return
        self._peers[peer] = now_us
        wait_us = self._stream.below(self._config.greeting_us)
        self._due[peer] = MonotonicUs(now_us + wait_us)
        if self._round_at is None:
            self._plan_round(now_us)

    def _part(self, peer: PeerId) -> None:
        self._peers.pop(peer, None)
        self._due.pop(peer, None)
        self._settled.pop(peer, None)
        self._fetcher.forget(peer)
        self._server.forget(peer)
        self._shelves.forget(peer)
        self._probes.pop(peer, None)
        self._caused.pop(peer, None)
        for is_own in (True, False):
            self._drop((peer, is_own))
        self._flush(peer)
        if not self._peers:
            self._round_at = None

    def _plan_round(self, now_us: MonotonicUs) -> None:
        jitter_us = self._stream.below(self._config.round_jitter_us + 1)
        self._round_at = MonotonicUs(now_us + self._config.round_interval_us + jitter_us)

    def _request(self, peer: PeerId | None, now_us: MonotonicUs) -> None:
        chosen = self._sample() if peer is None else [peer]
        for each in chosen:
            self._settled.pop(each, None)
            self._open(each, now_us)

    def _sample(self) -> list[PeerId]:
        return self._stream.sample(list(self._peers), self._config.round_peers)

    def _tick(self, now_us: MonotonicUs) -> None:
        for key in [key for key, each in self._sessions.items() if now_us >= each.deadline]:
            self._drop(key)
            self._flush(key[0])
        for peer in [peer for peer, at in self._due.items() if now_us >= at]:
            self._open(peer, now_us)
        if self._round_at is not None and now_us >= self._round_at:
            self._plan_round(now_us)
            for peer in self._sample():
                self._open(peer, now_us)

    def _open(self, peer: PeerId, now_us: MonotonicUs) -> None:
        self._due.pop(peer, None)
        key = (peer, True)
        if peer in self._peers and not self._is_under_way(peer) and self._has_room(key):
            self._opening[peer] = None
            self._jobs.add(self._probe(peer))

    def _is_under_way(self, peer: PeerId) -> bool:
        """One session with a peer at a time: whoever answers learns as much as who asked."""
        is_open = (peer, True) in self._sessions or (peer, False) in self._sessions
        return is_open or peer in self._opening or peer in self._probes

    def _probe(self, peer: PeerId) -> Work[None]:
        root = yield from self._replica.refresh(peer)
        self._opening.pop(peer, None)
        key = (peer, True)
        if peer not in self._peers or self._is_under_way(peer) or not self._has_room(key):
            return
        session = self._new_session(peer, self._salt(), root, self._now_us)
        session.is_own, session.awaiting = True, 1
        self._sessions[key] = session
        self._say(peer, Probe(session.id, session.own_root))
        self._want_bodies(peer, self._now_us)

    def _drop(self, key: tuple[PeerId, bool]) -> None:
        session = self._sessions.pop(key, None)
        if session is not None:
            session.is_over = True
            session.inbox.clear()
            session.window = None

    def _has_room(self, key: tuple[PeerId, bool]) -> bool:
        return key in self._sessions or len(self._sessions) < self._config.sessions_max

    def _salt(self) -> bytes:
        return self._stream.bits(8 * SESSION_BYTES).to_bytes(SESSION_BYTES, "big")

    def _new_session(
        self, peer: PeerId, id: bytes, own_root: Digest, now_us: MonotonicUs
    ) -> Session:
        return Session(
            peer=peer,
            id=id,
            is_own=False,
            deadline=MonotonicUs(now_us + self._config.session_timeout_us),
            last_deadline=MonotonicUs(now_us + self._config.session_longest_us),
            own_root=own_root,
            their_root=_NO_ROOT,
        )

    def _want_bodies(self, peer: PeerId, now_us: MonotonicUs) -> None:
        bound = self._config.missing_bodies_max
        missing = self._reader.missing_bodies(16 * bound)
        if not missing:
            return
        chosen = [
            id
            for id in self._stream.sample(missing, bound)
            if self._may_have(peer, self._reader.delta(id))
        ]
        if (want := self._fetcher.want_ids(peer, chosen, now_us)) is not None:
            self._say(peer, want)

    def _may_have(self, peer: PeerId, held: Held | None) -> bool:
        return held is not None and self._replica.admissible(peer, held.delta.header.namespace)

    def _hear(self, sender: PeerId, untrusted_payload: bytes, now_us: MonotonicUs) -> None:
        try:
            message = parse_untrusted(untrusted_payload)
        except MalformedFrame:
            self.malformed_count += 1
            return
        if sender not in self._peers:
            self.ignored_count += 1
            return
        match message:
            case Probe():
                self._hear_probe(sender, message, now_us)
            case WantChains():
                self._give(sender, self._server.answer_chains(sender, message, now_us))
            case Pull():
                answer = self._server.answer_pull(sender, message, self._shelves, now_us)
                self._give(sender, answer)
            case WantDeltas():
                self._give(sender, self._server.answer_ids(sender, message, now_us))
            case Served():
                self._fetcher.served(sender, message, now_us)
            case _:
                self._hear_in_session(sender, message, now_us)

    def _hear_probe(self, sender: PeerId, probe: Probe, now_us: MonotonicUs) -> None:
        """One probe each `follow_up_us` a peer, `PROBE_BURST` at once; more are ignored."""
        spent_until = max(self._peers[sender], now_us) + self._config.follow_up_us
        key = (sender, False)
        is_rash = spent_until - now_us > PROBE_BURST * self._config.follow_up_us
        if is_rash or not self._has_room(key) or not self._yields(sender, probe):
            self.ignored_count += 1
            return
        self._peers[sender] = spent_until
        self._drop(key)
        if sender not in self._probes:
            self._jobs.add(self._answer_probe(sender))
        self._probes[sender] = probe

    def _yields(self, sender: PeerId, probe: Probe) -> bool:
        """Where both probed at once, the lower salt asks and the other answers."""
        own = self._sessions.get((sender, True))
        if own is None or own.key:
            return True
        if own.id <= probe.session:
            return False
        self._end(own)
        return True

    def _answer_probe(self, sender: PeerId) -> Work[None]:
        root = yield from self._replica.refresh(sender)
        probe, key, now_us = self._probes.pop(sender, None), (sender, False), self._now_us
        if probe is None or not self._has_room(key):
            return
        self._drop(key)
        if root == probe.root or self._is_settled(sender, root, Digest(probe.root), now_us):
            self._say(sender, Same(probe.session, root == probe.root))
            if root == probe.root:
                self._agree(sender)
            return
        session = self._new_session(sender, probe.session, root, now_us)
        session.their_root, session.salt = Digest(probe.root), self._salt()
        session.key = session_key(session.id, session.salt)
        self._sessions[key] = session
        self._say(sender, self._dialogue.roots(session, ""))

    def _hear_in_session(
        self, sender: PeerId, message: SessionMessage, now_us: MonotonicUs
    ) -> None:
        session = self._session_of(sender, message.session)
        if session is None:
            self.ignored_count += 1
            return
        session.messages += 1
        if session.messages > self._config.session_messages_max:
            self._end(session)
            return
        deadline = now_us + self._config.session_timeout_us
        session.deadline = MonotonicUs(min(deadline, session.last_deadline))
        session.inbox.append(message)
        if len(session.inbox) > INBOX_MAX:
            self._end(session)
        elif not session.is_busy:
            session.is_busy = True
            self._jobs.add(self._converse(session))

    def _converse(self, session: Session) -> Work[None]:
        """Answers what was said in a session, one message after another."""
        while session.inbox and not session.is_over:
            message = session.inbox.popleft()
            answer = self._dialogue.answer(session, message, self._toll(session), self._now_us)
            said = yield from answer
            if session.is_over:
                return
            for each in said:
                self._say(session.peer, each)
                if isinstance(each, Done):
                    self._end(session)
            self._conclude(session, message)
        session.is_busy = False

    def _conclude(self, session: Session, message: SessionMessage) -> None:
        if isinstance(message, Done):
            if session.is_own:
                self._end(session)
            elif not session.is_over:
                self._close_answered(session, self._now_us)
        elif isinstance(message, Same) and session.is_own:
            self._end(session)
            if message.is_equal:
                self._agree(session.peer)

    def _toll(self, session: Session) -> Toll:
        """Lines of work are charged to the peer of the session, a check's worth at a time."""

        def pay(lines: int) -> bool:
            if session.is_over:
                return False
            caused = self._caused.get(session.peer, 0) + lines
            checks, self._caused[session.peer] = divmod(caused, self._config.lines_per_check)
            if checks and not self._charge(session.peer, checks, self._now_us):
                self.unpaid_count += 1
                return False
            return True

        return pay

    def _session_of(self, peer: PeerId, id: bytes) -> Session | None:
        for is_own in (True, False):
            session = self._sessions.get((peer, is_own))
            if session is not None and session.id == id:
                return session
        return None

    def _close_answered(self, session: Session, now_us: MonotonicUs) -> None:
        """The initiator compared everything; if nothing moved, both roots differ for good."""
        self._end(session)
        if session.found == 0 and session.own_root == self._replica.root(session.peer):
            until = MonotonicUs(now_us + self._config.settled_us)
            self._settled[session.peer] = (session.own_root, session.their_root, until)

    def _is_settled(self, peer: PeerId, own: Digest, theirs: Digest, now_us: MonotonicUs) -> bool:
        known = self._settled.get(peer)
        return known is not None and known[:2] == (own, theirs) and now_us < known[2]

    def _end(self, session: Session) -> None:
        session.is_over = True
        key = (session.peer, session.is_own)
        if self._sessions.get(key) is session:
            self._drop(key)
        self._flush(session.peer)

    def _agree(self, peer: PeerId) -> None:
        self._flush(peer)
        self._out.append(Agreed(peer))

    def _give(self, peer: PeerId, answer: Answer) -> None:
        if answer.counts:
            self._settled.pop(peer, None)
        for message in answer.messages:
            self._say(peer, message)
        for namespace, count in answer.counts.items():
            self._tally(peer, namespace)[1] += count

    def _tally(self, peer: PeerId, namespace: str) -> list[int]:
        return self._tallies.setdefault(peer, {}).setdefault(namespace, [0, 0])

    def _flush(self, peer: PeerId) -> None:
        for namespace, (received, sent) in self._tallies.pop(peer, {}).items():
            self._out.append(Reconciled(peer, namespace, received, sent))

    def _advance(self, now_us: MonotonicUs) -> None:
        moved = self._fetcher.advance(now_us)
        for taken in moved.taken:
            self._tally(taken.peer, taken.namespace)[0] += taken.count
        for peer, want in moved.asks:
            self._say(peer, want)
        for peer in moved.finished:
            if peer in self._peers:
                self._due[peer] = MonotonicUs(now_us + self._config.follow_up_us)

    def _say(self, peer: PeerId, message: Said | WantChains | Pull | Deltas | Served) -> None:
        self._out.append(Send(peer, message.to_body()))
