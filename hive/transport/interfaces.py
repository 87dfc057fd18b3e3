"""Several sockets as one carrier: a node with several interfaces, or with both kinds of IP.

An answer leaves by the socket that heard the question, since contacts are keyed by the address
they speak from; who was never heard is addressed from where the kernel would route.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Final

from hive.transport.addresses import Address
from hive.transport.ports import DatagramCarrier

HEARD_COUNT_MAX: Final = 16_384
"""Addresses whose socket is remembered, about 200 bytes each; the oldest goes first."""


class Interfaces:
    """Where datagrams leave; each carrier is received from and flushed by its own task."""

    def __init__(self, carriers: Sequence[DatagramCarrier]) -> None:
        assert carriers, "a node has at least one socket"
        self.carriers = tuple(carriers)
        self._heard_by: dict[Address, DatagramCarrier] = {}

    def heard(self, carrier: DatagramCarrier, address: Address) -> None:
        """Something arrived from there at this carrier."""
        if len(self.carriers) == 1 or self._heard_by.get(address) is carrier:
            return
        self._heard_by.pop(address, None)
        if len(self._heard_by) >= HEARD_COUNT_MAX:
            del self._heard_by[next(iter(self._heard_by))]
        self._heard_by[address] = carrier

    def transmit(self, address: Address, datagram: bytes) -> None:
        """Sends from the right socket; never waits, never raises."""
        self._carrier_for(address).transmit(address, datagram)

    def _carrier_for(self, address: Address) -> DatagramCarrier:
        if len(self.carriers) == 1:
            return self.carriers[0]
        heard = self._heard_by.get(address)
        return heard or self._routed(address)

    def _routed(self, address: Address) -> DatagramCarrier:
        is_v6 = ":" in address[0]
        fitting = [each for each in self.carriers if (":" in each.address[0]) == is_v6]
        if len(fitting) < 2:
            return fitting[0] if fitting else self.carriers[0]
        source = source_towards(address[0])
        chosen = next((each for each in fitting if each.address[0] == source), fitting[0])
        self.heard(chosen, address)
        return chosen


def source_towards(host: str) -> str:
    """The address from which the kernel would send there; empty without a route. Sends nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError:
            return ""
        name: str = probe.getsockname()[0]
    return name
