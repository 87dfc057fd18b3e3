"""Signed records of the DHT: who is where, and who provides a namespace.

A record travels as `[body, signature]` by the node key of the peer it names. Its key follows
from its body, so nobody chooses a place for it. Newest is the highest signed sequence; of two
with one sequence the smaller digest wins, so that all readers agree. Records of restricted
namespaces have no place in the global DHT: see `scoped`, where a token stands for the name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol, TypeAlias

from hive.errors import MalformedFrame
from hive.protocol.discovery.contact import ADDRESSES_MAX, Address
from hive.wire.codec import INTEGER_MAX, Integer, Octets, decode_untrusted, encode
from hive.wire.ids import DIGEST_BYTES, PEER_ID_BYTES, Digest, Inception, RecordId, digest, peer_id
from hive.wire.schema import Many, Part, Record, part, record

BODY_BYTES_MAX = 800
SIGNATURE_BYTES = 64
SIGNED_BYTES_MAX = BODY_BYTES_MAX + SIGNATURE_BYTES + 8
KEY_BYTES = PEER_ID_BYTES


@record("peer", 1, bytes_max=BODY_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class PeerRecord(Record):
    """A peer says where it listens; `sequence` rises with every change."""

    inception: Annotated[Inception, Octets(DIGEST_BYTES, DIGEST_BYTES)]
    org: Annotated[Inception, Octets(DIGEST_BYTES, DIGEST_BYTES)]
    node_record_id: Annotated[RecordId, Octets(DIGEST_BYTES, DIGEST_BYTES)]
    addresses: Annotated[tuple[Address, ...], Many(ADDRESSES_MAX)]
    sequence: Annotated[int, Integer(0, INTEGER_MAX)]


@record("provider", 1, bytes_max=BODY_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class ProviderRecord(Record):
    """A peer says that it serves a namespace until `not_after` (wall microseconds)."""

    namespace: Annotated[Digest, Octets(DIGEST_BYTES, DIGEST_BYTES)]
    inception: Annotated[Inception, Octets(DIGEST_BYTES, DIGEST_BYTES)]
    sequence: Annotated[int, Integer(0, INTEGER_MAX)]
    not_after: Annotated[int, Integer(0, INTEGER_MAX)]


DiscoveryRecord: TypeAlias = PeerRecord | ProviderRecord


@part
@dataclass(frozen=True, slots=True)
class SignedRecord(Part):
    """The bytes of a record as they were signed, and the signature over their id."""

    body: Annotated[bytes, Octets(1, BODY_BYTES_MAX)]
    signature: Annotated[bytes, Octets(SIGNATURE_BYTES, SIGNATURE_BYTES)]

    def to_bytes(self) -> bytes:
        """The canonical `[body, signature]`."""
        return encode(self.to_plain())

    @classmethod
    def from_bytes_untrusted(cls, untrusted: bytes) -> SignedRecord:
        """The inverse of `to_bytes`; raises `MalformedFrame`."""
        return cls.from_plain(decode_untrusted(untrusted, cls.SHAPE, bytes_max=SIGNED_BYTES_MAX))


@dataclass(frozen=True, slots=True)
class Opened:
    """A well-formed record that nobody has verified yet."""

    signed: SignedRecord
    record: DiscoveryRecord
    digest: Digest
    key: bytes

    @property
    def slot(self) -> tuple[str, Inception]:
        """What it replaces under its key: the same kind of record by the same peer."""
        return self.record.LABEL, self.record.inception

    @property
    def rank(self) -> tuple[int, int]:
        """Greater is newer; equal sequences are ordered by digest, the smaller above."""
        return self.record.sequence, -int.from_bytes(self.digest, "big")

    def has_ended(self, wall_us: int) -> bool:
        """Whether it says itself that it is over."""
        return isinstance(self.record, ProviderRecord) and self.record.not_after <= wall_us


class KeyBook(Protocol):
    """What discovery asks of those who know attested peers; answers are of this moment."""

    def signing_key(self, inception: Inception) -> tuple[int, bytes] | None:
        """Algorithm and key that sign for a peer now; None where its chain is not known good."""

    def org_of(self, inception: Inception) -> Inception | None:
        """The organisation that the peer's verified node record names."""


def provider_key(namespace: Digest) -> bytes:
    """Where the providers of a namespace (its key digest) are found."""
    return digest("hive/provider-key", namespace)[:KEY_BYTES]


def record_key(found: DiscoveryRecord) -> bytes:
    """Where a record belongs."""
    if isinstance(found, PeerRecord):
        return peer_id(found.inception, found.org)
    return provider_key(found.namespace)


def open_untrusted(signed: SignedRecord) -> Opened:
    """Parses the body; raises `MalformedFrame` where it is neither kind of record."""
    found: DiscoveryRecord
    try:
        found = PeerRecord.from_body_untrusted(signed.body)
        if not found.addresses:
            raise MalformedFrame("a peer record names no address")
    except MalformedFrame:
        found = ProviderRecord.from_body_untrusted(signed.body)
    return Opened(signed, found, found.id_of(signed.body), record_key(found))
