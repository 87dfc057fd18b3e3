"""Datagrams over UDP: a raw non-blocking socket, drained per wake-up.

Python has no recvmmsg; what makes UDP fast under trio is to wait for readability once and then
take everything that is there. Errors that ICMP reports are the network's gossip about single
datagrams: they are counted and forgotten.
"""

from __future__ import annotations

import socket
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import trio

from hive.errors import ConfigError, TransportError
from hive.transport.addresses import Address, format_address
from hive.transport.packets import DATAGRAM_BYTES_MAX

_Waiting: TypeAlias = Callable[[socket.socket], Awaitable[None]]


class Loss(StrEnum):
    """Why a datagram was not carried; the keys of `UdpCarrier.losses`."""

    OUTBOX_FULL = "outbox_full"
    NETWORK = "network"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpConfig:
    """Bounds of one socket."""

    drain_count: int = 256
    """Datagrams taken per wake-up; more starve other tasks, less cost wake-ups."""
    outbox_count: int = 512
    """Datagrams waiting for the kernel's buffer; more is more delay under load."""
    buffer_bytes: int = 1 << 20
    """Kernel buffers asked for, each way; less loses bursts."""

    def __post_init__(self) -> None:
        if min(self.drain_count, self.outbox_count, self.buffer_bytes) <= 0:
            raise ConfigError("bounds of a UDP socket must be positive")


class UdpCarrier:
    """One bound socket, IPv4 or IPv6 by the host's form; two carriers serve both."""

    def __init__(self, address: Address, config: UdpConfig | None = None) -> None:
        """Binds; port 0 takes a free one. Raises `TransportError`."""
        self._config = config or UdpConfig()
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._prepare(family)
            self._socket.bind(address)
        except OSError as error:
            self._socket.close()
            hint = "is the port taken, or the address another machine's?"
            raise TransportError(f"cannot bind {format_address(address)}", hint=hint) from error
        name = self._socket.getsockname()
        self._address: Address = (name[0], name[1])
        self._outbox: deque[tuple[Address, bytes]] = deque()
        self._has_outgoing = trio.Event()
        self.losses: Counter[Loss] = Counter()

    def _prepare(self, family: int) -> None:
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._config.buffer_bytes)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._config.buffer_bytes)
        if family == socket.AF_INET6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)

    @property
    def address(self) -> Address:
        """Where this carrier receives."""
        return self._address

    def transmit(self, address: Address, datagram: bytes) -> None:
        """Sends best effort, at once or from the bounded outbox; never waits, never raises."""
        if len(datagram) > DATAGRAM_BYTES_MAX:
            self.losses[Loss.TOO_LARGE] += 1
            return
        if self._outbox or not self._try(address, datagram):
            if len(self._outbox) >= self._config.outbox_count:
                self.losses[Loss.OUTBOX_FULL] += 1
                return
            self._outbox.append((address, datagram))
            self._has_outgoing.set()

    def _try(self, address: Address, datagram: bytes) -> bool:
        """False where the kernel's buffer is full; any other failure loses this datagram only."""
        try:
            self._socket.sendto(datagram, address)
        except BlockingIOError:
            return False
        except (OSError, ValueError, OverflowError):
            self.losses[Loss.NETWORK] += 1
        return True

    async def receive(self) -> list[tuple[Address, bytes]]:
        """Waits for at least one datagram and gives all that are there, up to `drain_count`."""
        while True:
            await self._wait(trio.lowlevel.wait_readable)
            batch = self._drain()
            if batch:
                return batch

    def _drain(self) -> list[tuple[Address, bytes]]:
        batch: list[tuple[Address, bytes]] = []
        receive = self._socket.recvfrom
        for _ in range(self._config.drain_count):
            try:
                untrusted, name = receive(DATAGRAM_BYTES_MAX + 1)
            except BlockingIOError:
                break
            except OSError:
                self.losses[Loss.NETWORK] += 1
                continue
            if len(untrusted) > DATAGRAM_BYTES_MAX:
                self.losses[Loss.TOO_LARGE] += 1
                continue
            batch.append(((name[0], name[1]), untrusted))
        return batch

    async def flush(self) -> None:
        """Empties the outbox as the kernel takes it; runs until cancelled."""
        while True:
            await self._has_outgoing.wait()
            while self._outbox:
                await self._wait(trio.lowlevel.wait_writable)
                while self._outbox and self._try(*self._outbox[0]):
                    self._outbox.popleft()
            self._has_outgoing = trio.Event()

    async def _wait(self, wait: _Waiting) -> None:
        try:
            await wait(self._socket)
        except (OSError, ValueError, trio.ClosedResourceError) as error:
            raise TransportError("the socket is closed") from error

    def close(self) -> None:
        """Gives the address back; whoever waits gets `TransportError`."""
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()
