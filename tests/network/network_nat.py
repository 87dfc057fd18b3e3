"""A symmetric NAT for IPv4: a mapping for each (protocol, port, remote address, remote port).

Only who was spoken to first may answer, at the port it saw, until nothing went out for a while.
"""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

TCP, UDP = 6, 17
CHECKSUM_AT = {TCP: 16, UDP: 6}
PORT_FIRST = 40_000


class Flow(NamedTuple):
    """One conversation as the inside knows it."""

    protocol: int
    port: int
    remote: bytes
    remote_port: int


class Nat:
    """Translates packets of one host."""

    def __init__(self, private: bytes, public: bytes, life_us: int) -> None:
        self._private, self._public, self._life_us = private, public, life_us
        self._outside: dict[Flow, int] = {}
        self._inside: dict[int, tuple[Flow, int]] = {}
        self._ports = count(PORT_FIRST)

    def outward(self, packet: bytes, now_us: int) -> bytes:
        """The packet as the world sees it; empty where it cannot be translated."""
        flow = flow_of(packet, is_outward=True)
        if flow is None:
            return b""
        port = self._outside.get(flow)
        if port is None or self._inside[port][1] + self._life_us < now_us:
            port = self._outside[flow] = next(self._ports)
        self._inside[port] = (flow, now_us)
        return rewritten(packet, 12, self._public, 0, port)

    def inward(self, packet: bytes, now_us: int) -> bytes:
        """The packet as the host sees it; empty where nobody there asked for it."""
        flow = flow_of(packet, is_outward=False)
        if flow is None or flow.port not in self._inside:
            return b""
        known, used_us = self._inside[flow.port]
        is_expected = known[0] == flow[0] and known[2:] == flow[2:]
        if not is_expected or used_us + self._life_us < now_us:
            return b""
        return rewritten(packet, 16, self._private, 2, known.port)


def flow_of(packet: bytes, *, is_outward: bool) -> Flow | None:
    """What a packet belongs to; None where it is no unfragmented TCP or UDP over IPv4."""
    if packet[0] >> 4 != 4 or packet[9] not in CHECKSUM_AT or int.from_bytes(packet[6:8]) & 0x3FFF:
        return None
    begin = (packet[0] & 15) * 4
    source, target = (int.from_bytes(packet[begin + at : begin + at + 2]) for at in (0, 2))
    if is_outward:
        return Flow(packet[9], source, packet[16:20], target)
    return Flow(packet[9], target, packet[12:16], source)


def rewritten(packet: bytes, at: int, address: bytes, port_at: int, port: int) -> bytes:
    """The packet with one address and port replaced and its checksums made anew."""
    made = bytearray(packet)
    begin = (packet[0] & 15) * 4
    made[at : at + 4] = address
    made[begin + port_at : begin + port_at + 2] = port.to_bytes(2)
    made[10:12] = bytes(2)
    made[10:12] = checksum(bytes(made[:begin])).to_bytes(2)
    length = int.from_bytes(made[2:4]) - begin
    place = begin + CHECKSUM_AT[packet[9]]
    made[place : place + 2] = bytes(2)
    pseudo = bytes(made[12:20]) + bytes((0, packet[9])) + length.to_bytes(2)
    made[place : place + 2] = checksum(pseudo + bytes(made[begin : begin + length])).to_bytes(2)
    return bytes(made)


def checksum(octets: bytes) -> int:
    """The Internet checksum, RFC 1071; never 0, which UDP reads as none."""
    total = sum(memoryview(octets.ljust(len(octets) + 1 & ~1, b"\0")).cast("H"))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int.from_bytes((~total & 0xFFFF).to_bytes(2, "little")) or 0xFFFF
