"""A whole peer on an LMDB store, driven as the node drives it: store, then send, then answer.

Verification is made in place, or in threads while this one judges and the store's writer
commits, as `hive.node.driver` does; events are taken in the order in which they come.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter_ns
from types import TracebackType
from typing import Final, TypeAlias

from hive.errors import HiveError
from hive.law.durability import LocalDurability
from hive.law.epochs import OneEpoch
from hive.law.rules import CapabilityRules
from hive.node.workers import check_all
from hive.protocol import events as ev
from hive.protocol.budget import BudgetConfig
from hive.protocol.commands import AdmitRecords, Command
from hive.protocol.core import OwnNode
from hive.protocol.discovery.contact import Address
from hive.protocol.discovery.records import PeerRecord, SignedRecord
from hive.protocol.machine import SignatureMade, Token, Verified, Verify
from hive.protocol.messages import Deltas, Interest
from hive.protocol.peer import Peer
from hive.protocol.peer_config import PeerConfig, PeerPorts
from hive.store.lmdb_store import LmdbStore
from hive.trust.keys import Ed25519Key
from hive.wire.clock import MonotonicUs, Now, WallUs
from hive.wire.ids import Digest, Inception, PeerId, peer_id

from .realm import REGION, WALL_US, Realm, key

FLIGHTS_MAX: Final = 16
"""Flights whose signatures may be in the threads at once."""

GENEROUS: Final = BudgetConfig(
    bytes_per_second=1 << 34, verifications_per_second=1 << 24, health_permille_min=1_000
)
"""One peer sends faster here than a link would, and is never slowed for what it sends."""

_Work: TypeAlias = tuple[Token, Sequence[Verify]]


class Ring:
    """The keys a station signs with."""

    def __init__(self, keys: Iterable[Ed25519Key]) -> None:
        self.by_digest = {each.public.digest: each for each in keys}

    def holds(self, key: Digest) -> bool:
        """Whether the key is here."""
        return key in self.by_digest


class Station:
    """One peer; `with` closes its store and threads."""

    def __init__(
        self, realm: Realm, name: str, directory: Path, agents: Sequence[str] = (), threads: int = 0
    ) -> None:
        self.realm = realm
        self.store = LmdbStore(directory / name)
        self.ring = Ring(key(each) for each in (name, *agents))
        self.sent: list[bytes] = []
        self.refused: list[ev.RefusedNews] = []
        self.answered_count = 0
        self._events: deque[ev.Event] = deque()
        self._told: SimpleQueue[ev.Event | tuple[Sequence[ev.Effect], Token]] = SimpleQueue()
        self._work: SimpleQueue[Verify | None] = SimpleQueue()
        self._verifying = self._storing = 0
        self.peer = _peer(realm, name, self.store, self.ring)
        self._threads = [threading.Thread(target=self._verify_on) for _ in range(threads)]
        for thread in self._threads:
            thread.start()
        self.ask(AdmitRecords(tuple(realm.records)))
        self.settle()

    def __enter__(self) -> Station:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()
        self.store.close()

    @property
    def id(self) -> PeerId:
        """The peer's name."""
        return self.peer.core.own.peer

    def meet(self, other: PeerId) -> None:
        """A stream to another peer that wants everything; what greets it is not kept."""
        self._events += (
            ev.StreamOpened(other),
            ev.FrameReceived(other, Interest(("",)).to_body()),
        )
        self.settle()
        self.sent.clear()

    def post(self, event: ev.Event) -> None:
        """Queues an event; `run` and `settle` take it."""
        self._events.append(event)

    def ask(self, command: Command) -> None:
        """Puts a command."""
        self.post(ev.Asked(ev.RequestId(1), command))

    def frame(self, sender: PeerId, payload: bytes) -> None:
        """One frame from a stream, carried out as far as it goes without waiting."""
        self._events.append(ev.FrameReceived(sender, payload))
        self.run()
        while self._verifying >= FLIGHTS_MAX:
            self._hear()
            self.run()

    def run(self) -> None:
        """Takes events until none is left and tells nobody to wait."""
        while not self._told.empty():
            self._hear()
        while self._events:
            self._perform(self.peer.handle(self._events.popleft(), now()))

    def settle(self) -> None:
        """Runs until everything is verified and durable."""
        self.run()
        while self._verifying or self._storing:
            self._hear()
            self.run()

    # Effects.

    def _perform(self, effects: Sequence[ev.Effect]) -> None:
        for position, effect in enumerate(effects):
            if isinstance(effect, ev.Store):
                self._store(effect, effects[position + 1 :])
                return
            self._perform_one(effect)

    def _store(self, effect: ev.Store, rest: Sequence[ev.Effect]) -> None:
        self._storing += 1
        self.store.submit(effect.writes, partial(self._tell, effect.token, rest))

    def _tell(self, token: Token, rest: Sequence[ev.Effect], error: HiveError | None) -> None:
        """Called in the writer's thread."""
        if error is not None:
            self._told.put(([], token))
            raise error
        self._told.put((rest, token))

    def _hear(self) -> None:
        told = self._told.get()
        if isinstance(told, tuple):
            self._storing -= 1
            self._perform(told[0])
            self._events.append(ev.Stored(told[1]))
        else:
            self._verifying -= 1
            self._events.append(told)

    def _perform_one(self, effect: ev.Effect) -> None:
        match effect:
            case Verify() if self._threads:
                self._verifying += 1
                self._work.put(effect)
            case Verify():
                self._events.append(Verified(effect.token, check_all(effect.checks)))
            case ev.SignAs():
                signature = self.ring.by_digest[effect.key].sign(effect.label, effect.digest)
                self._events.append(SignatureMade(effect.token, signature))
            case ev.SendFrame():
                self.sent.append(effect.payload)
            case ev.RefusedNews():
                self.refused.append(effect)
            case ev.Reply():
                self.answered_count += 1
            case _:
                pass

    def _verify_on(self) -> None:
        while (effect := self._work.get()) is not None:
            self._told.put(Verified(effect.token, check_all(effect.checks)))


def now() -> Now:
    """The hour of the realm on the wall, the machine's own monotonic clock."""
    return Now(MonotonicUs(perf_counter_ns() // 1_000), WallUs(WALL_US))


def frames(envelopes: Sequence[bytes], together: int = 64) -> list[bytes]:
    """`Deltas` messages of so many envelopes."""
    return [
        Deltas(tuple(envelopes[first : first + together])).to_body()
        for first in range(0, len(envelopes), together)
    ]


def _peer(realm: Realm, name: str, store: LmdbStore, ring: Ring) -> Peer:
    node = realm.nodes[name]
    record = node.record
    inception, org = Inception(record.inception), Inception(record.org)
    peer = peer_id(inception, org)
    own = OwnNode(peer, inception, org, name, REGION, record.key, node.id, 1, record.cell)
    listing = PeerRecord(inception, org, node.id, (Address("::1", 7_000, 7_000),), own.boot)
    body = listing.to_body()
    ports = PeerPorts(
        reader=store,
        custody=ring,
        epochs=OneEpoch(),
        law=CapabilityRules(),
        durability=LocalDurability(),
    )
    return Peer(
        PeerConfig(budget=GENEROUS),
        realm.federation,
        own,
        SignedRecord(body, key(name).sign(PeerRecord.LABEL, listing.id_of(body))),
        ports,
        seed=b"bench",
    )
