"""The driver: performs what the peer decides; store, then send, then answer.

Theory of operation. Events wait in an inbox, own ones first and each peer's in turn; the loop
hands them to the peer one by one and performs the effects in order. A `Store` goes to the writer
thread together with everything behind it: when it is durable the rest is performed, else the rest
is dropped and the peer hears `StoreFailed`. Small batches of signatures are checked in place,
larger ones in worker threads. The loop never waits for a peer, a disk or a thread; it sleeps until
an event, a deadline of the peer, or one of the datagram machine. Readers of streams wait while the
inbox is full, so a flood is slowed where it comes in.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import trio

from hive.errors import HiveError
from hive.node import clocks
from hive.node.datagrams import Datagrams
from hive.node.inbox import Inbox
from hive.node.links import Links
from hive.node.logs import Log
from hive.node.metrics import Metrics
from hive.node.projector import Projector
from hive.node.signers import Named, Signers
from hive.node.workers import INLINE_COUNT_MAX, Verifiers, check_all
from hive.protocol import events as ev
from hive.protocol.commands import Answer, Command
from hive.protocol.machine import SignatureMade, Ticked, Verified, Verify
from hive.protocol.peer import Peer
from hive.protocol.ports import PutForget, StoreReader, Truncate, Write
from hive.store.faults import StoreFull
from hive.wire.clock import SECOND_US

QUEUE_COUNT_MAX: Final = 4_096
QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Frames that wait for the peer; a frame may have megabytes."""
YIELD_EVERY: Final = 32


class WritableStore(StoreReader, Protocol):
    """A store that takes writes from any thread."""

    def submit(self, writes: Sequence[Write], done: Callable[[HiveError | None], None]) -> None:
        """Queues writes that stand or fall together; `done(None)` once they are durable."""


class Driver:
    """Runs one peer."""

    def __init__(
        self,
        peer: Peer,
        store: WritableStore,
        signers: Signers,
        projector: Projector,
        *,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.peer = peer
        self.store = store
        self.signers = signers
        self.projector = projector
        self.metrics = metrics
        self.log = log
        self.datagrams: Datagrams | None = None
        self.links: Links | None = None
        self.issuers_changed: Callable[[], None] = lambda: None
        self._verifiers = Verifiers()
        self.inbox = Inbox()
        self._wake = trio.Event()
        self._room = trio.Event()
        self._requests: dict[ev.RequestId, _Waiting] = {}
        self._last_request = 0
        self._nursery: trio.Nursery | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    # Events.

    def post(self, event: ev.Event) -> None:
        """Queues an event for the peer."""
        self.inbox.put(event)
        self._wake.set()

    async def has_room(self) -> None:
        """Waits while the queue is full: back-pressure for streams."""
        while len(self.inbox) > QUEUE_COUNT_MAX or self.inbox.bytes_count > QUEUE_BYTES_MAX:
            if self._room.is_set():
                self._room = trio.Event()
            await self._room.wait()

    async def ask(self, command: Command) -> Answer:
        """Puts a user's command to the peer and waits for the answer."""
        self._last_request += 1
        request = ev.RequestId(self._last_request)
        waiting = self._requests[request] = _Waiting()
        try:
            self.post(ev.Asked(request, command))
            return await waiting.answer()
        finally:
            del self._requests[request]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Drives the peer until cancelled."""
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self.projector.run)
            self.post(Ticked())
            task_status.started()
            while True:
                await self._turn()

    async def _turn(self) -> None:
        for _ in range(YIELD_EVERY):
            event = self.inbox.take()
            if event is None:
                break
            self._handle(event)
        is_short = len(self.inbox) <= QUEUE_COUNT_MAX // 2
        if is_short and self.inbox.bytes_count <= QUEUE_BYTES_MAX // 2:
            self._room.set()
        self._tick_due()
        if len(self.inbox):
            await trio.lowlevel.checkpoint()
            return
        self._wake = trio.Event()
        with trio.move_on_after(self._patience_s()):
            await self._wake.wait()

    def _tick_due(self) -> None:
        now_us = clocks.read().monotonic_us
        deadline = self.peer.deadline
        if deadline is None or deadline <= now_us:
            self._handle(Ticked())
        if self.datagrams is not None:
            due = self.datagrams.deadline
            if due is not None and due <= now_us:
                self.datagrams.tick()

    def _patience_s(self) -> float:
        deadlines = [self.peer.deadline]
        if self.datagrams is not None:
            deadlines.append(self.datagrams.deadline)
        due = min((at for at in deadlines if at is not None), default=None)
        if due is None:
            return 1.0
        return max(0, due - clocks.read().monotonic_us) / SECOND_US

    def _handle(self, event: ev.Event) -> None:
        self._perform(self.peer.handle(event, clocks.read()))

    # Effects.

    def _perform(self, effects: Sequence[ev.Effect]) -> None:
        for position, effect in enumerate(effects):
            if isinstance(effect, ev.Store):
                self._store(effect, effects[position + 1 :])
                return
            self._perform_one(effect)

    def _store(self, effect: ev.Store, rest: Sequence[ev.Effect]) -> None:
        """Hands writes to the writer thread; what stands behind them waits for the disk."""
        erased = self._rows_to_erase(effect.writes)

        def done(error: HiveError | None) -> None:
            assert self._token is not None
            try:
                self._token.run_sync_soon(self._stored, effect, rest, erased, error)
            except trio.RunFinishedError:
                return

        self.store.submit(effect.writes, done)

    def _stored(
        self,
        effect: ev.Store,
        rest: Sequence[ev.Effect],
        erased: list[int],
        error: HiveError | None,
    ) -> None:
        if error is not None:
            self.log.write("error", "store_failed", reason=str(error), hint=error.hint)
            is_full = isinstance(error, StoreFull)
            self.post(ev.StoreFailed(effect.token, is_full, str(error)))
            return
        self._perform(rest)
        self.post(ev.Stored(effect.token))
        self.projector.wake()
        if erased and self._nursery is not None:
            self._nursery.start_soon(self._forget, erased)

    async def _forget(self, rows: list[int]) -> None:
        try:
            await self.projector.forget(rows)
        except HiveError as error:
            self.log.write("error", "projection_not_saved", reason=str(error))

    def _rows_to_erase(self, writes: Sequence[Write]) -> list[int]:
        """Rows that these writes take out of recall, looked up before they are gone."""
        rows: list[int] = []
        for write in writes:
            match write:
                case PutForget():
                    held = self.store.delta(write.forget.target)
                    if held is not None and write.forget.binds(held.delta.header):
                        rows.append(held.row)
                case Truncate():
                    first = write.last_sequence + 1
                    cut = self.store.chain_slice(write.chain, first, sys.maxsize)
                    rows += [held.row for held in cut]
                case _:
                    pass
        return rows

    def _perform_one(self, effect: ev.Effect) -> None:
        match effect:
            case Verify():
                self._verify(effect)
            case ev.SignAs():
                self._sign(effect)
            case ev.Search():
                self._start(self._search, effect)
            case ev.Reply():
                waiting = self._requests.get(effect.request)
                if waiting is not None:
                    waiting.give(effect.answer)
            case ev.IssuersChanged():
                self.issuers_changed()
            case (
                ev.Admitted()
                | ev.RefusedNews()
                | ev.MemberNews()
                | ev.ForkNews()
                | ev.TrustNews()
                | ev.ReconciledNews()
            ):
                self.metrics.note(effect)
                self.log.note(effect)
            case _:
                self._perform_on_network(effect)

    def _perform_on_network(self, effect: ev.Effect) -> None:
        if self.datagrams is not None and self.datagrams.perform(effect):
            return
        if self.links is None:
            return
        match effect:
            case ev.SendFrame():
                self.links.send(effect.receiver, effect.payload)
            case ev.OpenStream():
                self.links.open(effect)
            case ev.RetireContact() | ev.CloseStream():
                self.links.close(effect.peer)
            case _:
                pass

    def _start(self, task: Callable[..., object], *arguments: object) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(task, *arguments)  # type: ignore[arg-type]

    def _verify(self, effect: Verify) -> None:
        if len(effect.checks) <= INLINE_COUNT_MAX:
            self.post(Verified(effect.token, check_all(effect.checks)))
        else:
            self._start(self._verify_in_thread, effect)

    async def _verify_in_thread(self, effect: Verify) -> None:
        verdicts = await self._verifiers.verify(effect.checks)
        self.post(Verified(effect.token, verdicts))

    def _sign(self, effect: ev.SignAs) -> None:
        named = self.signers.find(effect.key)
        if named is None:
            self.log.write("error", "key_missing", key=effect.key.hex())
            self.post(SignatureMade(effect.token, b""))
        elif named.is_fast:
            signature = named.signer.sign(effect.label, effect.digest)
            self.post(SignatureMade(effect.token, signature))
        else:
            self._start(self._sign_in_thread, named, effect)

    async def _sign_in_thread(self, named: Named, effect: ev.SignAs) -> None:
        try:
            signature = await trio.to_thread.run_sync(
                named.signer.sign, effect.label, effect.digest
            )
        except HiveError as error:
            self.log.write("error", "signing_failed", key=named.name, reason=str(error))
            signature = b""
        self.post(SignatureMade(effect.token, signature))

    async def _search(self, effect: ev.Search) -> None:
        try:
            hits, is_exact = await self.projector.search(
                effect.text, effect.namespaces, effect.count, effect.is_exact
            )
        except HiveError as error:
            waiting = self._requests.get(effect.request)
            if waiting is not None:
                waiting.fail(error)
            hits, is_exact = (), False
        self.post(ev.Searched(effect.request, hits, is_exact))


class _Waiting:
    """A request whose answer is awaited."""

    __slots__ = ("_answer", "_event")

    def __init__(self) -> None:
        self._event = trio.Event()
        self._answer: Answer | HiveError | None = None

    def give(self, answer: Answer) -> None:
        if self._answer is None:
            self._answer = answer
            self._event.set()

    def fail(self, error: HiveError) -> None:
        self._answer = error
        self._event.set()

    async def answer(self) -> Answer:
        await self._event.wait()
        assert self._answer is not None
        if isinstance(self._answer, HiveError):
            raise self._answer
        return self._answer
