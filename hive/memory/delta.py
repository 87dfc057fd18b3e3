"""Deltas: the signed header, its proof, and the envelope a delta travels in.

The header is what is signed; the body travels beside it and is bound by a commitment, so it can
be erased while header and chain stay verifiable. One chain (author log) exists per
(author, writer, namespace); sequences start at 1 and `previous` of the first is 32 zero bytes.
A proof is a signature over the delta's id, or over a batch: one Merkle root over up to 64
consecutive deltas of one chain, each of which travels alone with its audit path.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Final

from hive.errors import MalformedFrame
from hive.trust.capability import (
    ENTITY,
    FORGET_OWN,
    INVALIDATE,
    LINK,
    NAME_BYTES_MAX,
    NAMESPACE_BYTES_MAX,
    REGION_COUNT_MAX,
    REMEMBER,
    SUPERSEDE,
)
from hive.trust.keys import SIGNATURE_BYTES
from hive.trust.records import chain_digest
from hive.wire import merkle
from hive.wire.brisk import brisk
from hive.wire.clock import Hlc
from hive.wire.codec import Array, Fields, Integer, Octets, Text, decode_typed, encode, is_canonical
from hive.wire.ids import DIGEST_BYTES, DeltaId, Digest, Inception, digest
from hive.wire.schema import Part, Record, part, record

HEADER_BYTES_MAX: Final = 4_096
BODY_BYTES_MAX: Final = 128 * 1_024
RECEIPT_BYTES_MAX: Final = 2_048
PARENT_COUNT_MAX: Final = 32
EPOCH_COUNT_MAX: Final = 2
BATCH_COUNT_MAX: Final = 64
BATCH_CACHE_COUNT: Final = 1_024
"""Batches whose digest stays ready, some 400 B each: each of its deltas asks for it."""

PATH_COUNT_MAX: Final = 6
SALT_BYTES: Final = 32
DELTA_BYTES_MAX: Final = HEADER_BYTES_MAX + BODY_BYTES_MAX + RECEIPT_BYTES_MAX + 1_024

_Id = Annotated[bytes, Octets(DIGEST_BYTES, DIGEST_BYTES)]
_Number = Annotated[int, Integer()]
_Path = Annotated[tuple[bytes, ...], Array(Octets(DIGEST_BYTES, DIGEST_BYTES), PATH_COUNT_MAX)]


class Kind(IntEnum):
    """What a delta does."""

    MEMORY = 1
    LINK = 2
    INVALIDATE = 3
    ENTITY = 4
    SUPERSEDE = 5
    FORGET = 6


ACTION_OF: Final[dict[int, int]] = {
    Kind.MEMORY: REMEMBER,
    Kind.LINK: LINK,
    Kind.INVALIDATE: INVALIDATE,
    Kind.ENTITY: ENTITY,
    Kind.SUPERSEDE: SUPERSEDE,
    Kind.FORGET: FORGET_OWN,
}
"""The action a leaf needs for a kind; a forget of others' deltas needs `FORGET_ANY` beside it."""


@record("delta", 1, bytes_max=HEADER_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Header(Record):
    """What an author signs.

    `author` is the agent's inception, `writer` that of the node it writes through, `leaf` the id
    of the agent or session record whose key verifies. `epochs` are the policy epochs evaluated,
    `lease` the writer's lease (0: none yet), `residency` the regions that may hold it (empty:
    all), `commitment` binds the body.
    """

    federation: _Id
    namespace: Annotated[str, Text(NAMESPACE_BYTES_MAX)]
    author: _Id
    writer: _Id
    leaf: _Id
    sequence: Annotated[int, Integer(1)]
    previous: _Id
    hlc: _Number
    epochs: Annotated[tuple[int, ...], Array(Integer(), EPOCH_COUNT_MAX)]
    lease: _Number
    residency: Annotated[tuple[str, ...], Array(Text(NAME_BYTES_MAX), REGION_COUNT_MAX)]
    kind: Annotated[int, Integer(Kind.MEMORY, Kind.FORGET)]
    parents: Annotated[
        tuple[bytes, ...], Array(Octets(DIGEST_BYTES, DIGEST_BYTES), PARENT_COUNT_MAX)
    ]
    commitment: _Id

    @property
    def chain(self) -> Digest:
        """The blinded name of the author log this delta belongs to."""
        return chain_digest(Inception(self.author), Inception(self.writer), self.namespace)

    @property
    def stamp(self) -> Hlc:
        """The hybrid time at which the author made it."""
        return Hlc(self.hlc)


@record("batch", 1, bytes_max=512)
@dataclass(frozen=True, slots=True)
class Batch(Record):
    """What is signed for up to 64 consecutive deltas of one chain; leaves are the delta ids."""

    federation: _Id
    chain: _Id
    first_sequence: _Number
    count: Annotated[int, Integer(2, BATCH_COUNT_MAX)]
    root: _Id


@part
@dataclass(frozen=True, slots=True)
class Proof(Part):
    """The author's signature: over the delta's id (`count` 0) or over the batch it is in."""

    signature: Annotated[bytes, Octets(SIGNATURE_BYTES, SIGNATURE_BYTES)]
    first_sequence: _Number
    count: Annotated[int, Integer(0, BATCH_COUNT_MAX)]
    path: _Path


ENVELOPE_SHAPE: Final = Fields(
    (
        Octets(1, HEADER_BYTES_MAX),
        Proof.SHAPE,
        Octets(0, BODY_BYTES_MAX),
        Octets(0, RECEIPT_BYTES_MAX),
    )
)


@brisk
@dataclass(frozen=True, slots=True)
class Delta:
    """A decoded delta with the very bytes that are hashed; nothing about it is proven yet.

    `body` is empty where it was erased or has not arrived; `receipt` is empty on a fresh write.
    """

    id: DeltaId
    header: Header
    header_bytes: bytes
    proof: Proof
    body: bytes
    receipt: bytes

    def to_bytes(self) -> bytes:
        """The canonical envelope."""
        return encode((self.header_bytes, self.proof.to_plain(), self.body, self.receipt))

    def signed_subject(self, root: Digest | None = None) -> tuple[str, Digest] | None:
        """The label and digest its signature is over; None where the batch path does not fit.

        `root` is where the path leads, for a caller that knows.
        """
        header, proof = self.header, self.proof
        if proof.count == 0:
            return Header.LABEL, Digest(self.id)
        if proof.count < 2:
            return None
        if root is None:
            index = header.sequence - proof.first_sequence
            root = merkle.root_from_proof(self.id, index, proof.count, proof.path)
        if root is None:
            return None
        first, count = proof.first_sequence, proof.count
        return Batch.LABEL, batch_digest(header.federation, header.chain, first, count, root)


@lru_cache(maxsize=BATCH_CACHE_COUNT)
def batch_digest(
    federation: bytes, chain: Digest, first_sequence: int, count: int, root: Digest
) -> Digest:
    """What an author signs for a batch; every delta in it leads here by its audit path."""
    return Batch.id_of(Batch(federation, chain, first_sequence, count, root).to_body())


def commitment_of(body: bytes) -> Digest:
    """What a header says about its body: SHA-256 under a label."""
    return digest("hive/body", body)


@brisk
@dataclass(frozen=True, slots=True)
class Undecoded:
    """A typed delta whose canonical form is still to be checked (between steps 1 and 2)."""

    delta: Delta
    plain_envelope: tuple[bytes, tuple[object, ...], bytes, bytes]
    plain_header: tuple[object, ...]


def id_in_untrusted(untrusted: bytes) -> DeltaId:
    """The id by the header in front of an envelope; of other bytes, the id of nothing."""
    if len(untrusted) < 4:
        header = b""
    elif untrusted[1] == _BIN_8:
        header = untrusted[3 : 3 + untrusted[2]]
    else:
        header = untrusted[4 : 4 + (untrusted[2] << 8 | untrusted[3])]
    return DeltaId(sha256(_ID_PREFIX + header).digest())


def decode_delta_typed(untrusted: bytes) -> Undecoded:
    """Step 1: types, arity and sizes of envelope and header, or `MalformedFrame`.

    Label, version and fields are checked for type; whether label and version are *ours* is
    step 3's question, which is why the header shape here leaves them open.
    """
    envelope = decode_typed(untrusted, ENVELOPE_SHAPE, bytes_max=DELTA_BYTES_MAX)
    header_bytes, plain_proof, body, receipt = envelope
    plain_header = decode_typed(header_bytes, _OPEN_HEADER, bytes_max=HEADER_BYTES_MAX)
    delta = Delta(
        DeltaId(digest(plain_header[0], header_bytes)),
        Header(*plain_header[2:]),
        header_bytes,
        Proof(*plain_proof),
        body,
        receipt,
    )
    return Undecoded(delta, envelope, plain_header)


_ID_PREFIX: Final = Header.LABEL.encode() + b"\0"
_BIN_8: Final = 0xC4
_OPEN_HEADER: Final = Fields((Text(32), Integer(), *Header.SHAPE.fields))


def is_delta_canonical(untrusted: bytes, undecoded: Undecoded) -> bool:
    """Step 2: envelope and header are their own canonical encodings."""
    return is_canonical(undecoded.delta.header_bytes, undecoded.plain_header) and is_canonical(  # type: ignore[arg-type]
        untrusted,
        undecoded.plain_envelope,  # type: ignore[arg-type]
    )


def parse_delta_untrusted(untrusted: bytes) -> Delta:
    """Steps 1 to 3 at once, for stores, bundles and proofs; raises `MalformedFrame`."""
    undecoded = decode_delta_typed(untrusted)
    if not is_delta_canonical(untrusted, undecoded):
        raise MalformedFrame("a delta is not canonically encoded")
    if undecoded.plain_header[:2] != (Header.LABEL, Header.VERSION):
        raise MalformedFrame("not a delta of this version")
    return undecoded.delta
