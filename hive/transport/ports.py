"""What transport asks of the node above it, and what it offers in return."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import trio

from hive.transport.addresses import Address
from hive.transport.frames import FrameStream
from hive.trust.keys import PublicKey
from hive.trust.records import NodeRecord
from hive.wire.ids import Inception, RecordId


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A node record whose chain was verified, with the key of the issuer that signed it."""

    record: NodeRecord
    issuer_key: PublicKey


class NodeBook(Protocol):
    """Whom this node knows; answers only what was verified and is not revoked."""

    def node(self, inception: Inception, record_id: RecordId) -> KnownNode | None:
        """The node's record of exactly this id, newest or not yet ended; else None."""

    def issuer_anchors(self) -> Sequence[bytes]:
        """The DER anchors (`trust.tls.issuer_anchor`) of all issuers in force."""


StreamHandler: TypeAlias = Callable[[FrameStream], Awaitable[None]]


class StreamCarrier(Protocol):
    """Streams to and from other nodes."""

    async def dial(self, address: Address, expected: Inception) -> FrameStream:
        """A stream to exactly this node; raises `TransportError`."""

    async def dial_unsafe_for_enrolment(self, address: Address) -> FrameStream:
        """A stream to whoever answers; see `streams`. Raises `TransportError`."""

    async def serve(
        self,
        address: Address,
        handler: StreamHandler,
        nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accepts until cancelled; every stream runs `handler` in the caller's nursery."""


class DatagramCarrier(Protocol):
    """Datagrams to and from addresses."""

    @property
    def address(self) -> Address:
        """Where this carrier receives."""

    def transmit(self, address: Address, datagram: bytes) -> None:
        """Sends best effort, at once or from a bounded outbox; never waits, never raises."""

    async def receive(self) -> list[tuple[Address, bytes]]:
        """Waits for at least one datagram and gives all that are there, up to a bound."""

    async def flush(self) -> None:
        """Empties the outbox as the wire takes it; runs until cancelled."""

    def close(self) -> None:
        """Gives the address back."""
