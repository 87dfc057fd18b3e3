"""Who can be reached where: addresses, unverified pointers, verified contacts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Annotated, Self

from kademlia.node import Node

from hive.wire.codec import Integer, Text, decode_untrusted, encode
from hive.wire.ids import PEER_ID_BYTES, Inception, PeerId
from hive.wire.schema import Part, part

HOST_BYTES_MAX = 128
ADDRESSES_MAX = 4
PORT_MAX = 2**16 - 1

_SUBNET_BITS = {4: 24, 6: 48}


@part
@dataclass(frozen=True, slots=True)
class Address(Part):
    """Where a peer says it listens; `host` is an IP address or a name."""

    host: Annotated[str, Text(HOST_BYTES_MAX)]
    udp_port: Annotated[int, Integer(1, PORT_MAX)]
    tls_port: Annotated[int, Integer(0, PORT_MAX)]


POINTER_BYTES_MIN = PEER_ID_BYTES + 1
POINTER_BYTES_MAX = PEER_ID_BYTES + HOST_BYTES_MAX + 16


def pointer_to(peer: PeerId, address: Address) -> bytes:
    """An unverified claim that a peer listens at an address: its id, then the address.

    It stays bytes until somebody wants to follow it, because most pointers in answers are to
    peers already known.
    """
    return peer + encode(address.to_plain())


def split_pointer_untrusted(untrusted: bytes) -> tuple[PeerId, bytes]:
    """The peer that a pointer names, and its address still untrusted."""
    return PeerId(untrusted[:PEER_ID_BYTES]), untrusted[PEER_ID_BYTES:]


def address_from_untrusted(untrusted: bytes) -> Address:
    """The address part of a pointer; raises `MalformedFrame`."""
    plain = decode_untrusted(untrusted, Address.SHAPE, bytes_max=POINTER_BYTES_MAX)
    return Address.from_plain(plain)


def subnet_of(host: str) -> str:
    """The IPv4 /24 or IPv6 /48 of a host, or the name itself in lower case."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower()
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    free_bits = address.max_prefixlen - _SUBNET_BITS[address.version]
    return f"{address.version}:{int(address) >> free_bits:x}"


def to_integer(untrusted_id: bytes) -> int:
    """The position of a 20-byte id or key in the 160-bit space."""
    return int.from_bytes(untrusted_id, "big")


@dataclass(frozen=True)
class Contact(Node):  # type: ignore[misc]  # kademlia carries no types
    """A peer whose node record and peer record the composer verified; immutable.

    `addresses[0]` is the one that was really reached: its subnet counts for diversity.
    `sequence` is that of the peer record, `rtt_us` the last smoothed round trip (0 unknown),
    `fails` the exchanges that failed since it last answered, `heard_at` the monotonic
    microseconds of its last sign of life.
    """

    peer: PeerId
    org: Inception
    addresses: tuple[Address, ...]
    sequence: int = 0
    rtt_us: int = 0
    fails: int = 0
    heard_at: int = 0
    id: PeerId = field(init=False, repr=False, compare=False)
    long_id: int = field(init=False, repr=False, compare=False)
    ip: str = field(init=False, repr=False, compare=False)
    port: int = field(init=False, repr=False, compare=False)
    subnet: str = field(init=False, repr=False, compare=False)
    pointer: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first = self.addresses[0]
        self.__dict__.update(
            id=self.peer,
            long_id=to_integer(self.peer),
            ip=first.host,
            port=first.udp_port,
            subnet=subnet_of(first.host),
            pointer=pointer_to(self.peer, first),
        )

    def same_home_as(self, node: Node) -> bool:
        """Whether both are one peer: by identity, as addresses are shared and move."""
        return bool(self.id == node.id)

    def heard(self, now_us: int, rtt_us: int = 0) -> Self:
        """It gave a sign of life."""
        return self._with(fails=0, heard_at=now_us, rtt_us=rtt_us or self.rtt_us)

    def failed(self) -> Self:
        """One more exchange with it failed."""
        return self._with(fails=self.fails + 1)

    def updated_by(self, newer: Contact) -> Contact:
        """The newer addresses, unless that record is older; the standing gained so far."""
        if newer.sequence < self.sequence:
            return self
        return newer._with(rtt_us=self.rtt_us, heard_at=self.heard_at)

    def _with(self, **changes: int) -> Self:
        """A copy with another standing; cheaper than `replace`, as nothing is derived anew."""
        changed = object.__new__(type(self))
        changed.__dict__.update(self.__dict__)
        changed.__dict__.update(changes)
        return changed
