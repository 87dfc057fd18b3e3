"""A node of the world: a whole peer, its disk, clocks, keys, processor and open links."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from hive.protocol import events as ev
from hive.protocol.commands import Answer
from hive.protocol.core import Core, Effects
from hive.protocol.membership.hierarchy import Hierarchy
from hive.protocol.ports import StoreReader
from hive.trust.envelope import Signed
from hive.trust.keys import SigningKey
from hive.trust.records import AgentRecord, NodeRecord
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import Digest, PeerId

from .clocks import Clock
from .disks import Disk
from .happenings import Happening


class Machine(Protocol):
    """A whole peer, or something that lies around one."""

    @property
    def core(self) -> Core:
        """What its parts share."""

    @property
    def hierarchy(self) -> Hierarchy:
        """Who is alive, as it sees it."""

    @property
    def deadline(self) -> MonotonicUs | None:
        """When it next wants a tick."""

    def handle(self, event: ev.Event, now: Now) -> Effects:
        """Takes one event."""

    def recover(self, now: Now) -> None:
        """Rebuilds what follows from the store."""


class Custody:
    """The keys a node can sign with."""

    __slots__ = ("by_digest",)

    def __init__(self, *signers: SigningKey) -> None:
        self.by_digest = {signer.public.digest: signer for signer in signers}

    def holds(self, key: Digest) -> bool:
        """Whether signatures by this key will be made."""
        return key in self.by_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a node is, and whose keys it holds."""

    org: str
    name: str
    region: str
    record: Signed[NodeRecord]
    endpoint: ev.Endpoint
    agents: tuple[Signed[AgentRecord], ...] = ()
    is_issuer: bool = False


@dataclass(slots=True, kw_only=True)
class Node:
    """One node; `peer` is None while it is down."""

    number: int
    identity: Identity
    id: PeerId
    custody: Custody
    records: tuple[bytes, ...]
    disk: Disk = field(default_factory=Disk)
    clock: Clock = field(default_factory=Clock)
    peer: Machine | None = None
    boot: int = 0
    may_author: bool = True

    # The processor: what one event costs, and what waits for it.
    cost_us: int = 0
    free_us: int = 0
    inbox: deque[tuple[int, Happening]] = field(default_factory=deque)
    inbox_count_max: int = 0
    dropped_count: int = 0
    alarm_us: int | None = None

    # Links, by the number of the other node.
    calls: dict[ev.Endpoint, int] = field(default_factory=dict)
    admitted: dict[int, PeerId] = field(default_factory=dict)
    knocked: dict[int, None] = field(default_factory=dict)
    reached: dict[int, None] = field(default_factory=dict)
    dialling: dict[int, int] = field(default_factory=dict)
    streams: dict[int, int] = field(default_factory=dict)
    stream_count: int = 0

    # Users.
    answers: dict[int, Answer] = field(default_factory=dict)
    asked_count: int = 0

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self.peer is not None

    @property
    def store(self) -> StoreReader:
        """What is durable."""
        return self.disk.store

    @property
    def machine(self) -> Machine:
        """The peer of a node that runs."""
        assert self.peer is not None
        return self.peer

    def forget_links(self) -> None:
        """A new life knows nobody."""
        for table in (self.calls, self.admitted, self.knocked, self.reached, self.streams):
            table.clear()
        self.dialling.clear()
        self.inbox.clear()
        self.alarm_us = None
        self.free_us = 0
