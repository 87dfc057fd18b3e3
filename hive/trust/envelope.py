"""A trust record as it travels: `[body, [[key digest, signature], …]]`.

The id is over the body only; signatures are sorted by key digest and each key appears once, so
that one set of signatures has one encoding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Generic, TypeVar

from hive.errors import MalformedFrame
from hive.trust.keys import SIGNATURE_BYTES, PublicKey, SigningKey, verify
from hive.trust.records import KEY_COUNT_MAX, SEAL_BYTES_MAX, TRUST_RECORDS
from hive.wire.codec import Array, Fields, Octets, decode_untrusted, encode
from hive.wire.ids import DIGEST_BYTES, Digest, RecordId
from hive.wire.schema import Part, Record, part

ENVELOPE_BYTES_MAX: Final = SEAL_BYTES_MAX + 8_192


@part
@dataclass(frozen=True, slots=True)
class Signature(Part):
    """Which key signed, and its signature over the record's id."""

    key_digest: Annotated[bytes, Octets(DIGEST_BYTES, DIGEST_BYTES)]
    octets: Annotated[bytes, Octets(SIGNATURE_BYTES, SIGNATURE_BYTES)]


_ENVELOPE: Final = Fields((Octets(1, SEAL_BYTES_MAX), Array(Signature.SHAPE, 2 * KEY_COUNT_MAX)))
_BY_LABEL: Final = {cls.LABEL: cls for cls in TRUST_RECORDS}

T = TypeVar("T", bound=Record)


@dataclass(frozen=True, slots=True)
class Signed(Generic[T]):
    """A record with the very bytes that are hashed, and its signatures; not yet verified."""

    record: T
    body: bytes
    signatures: tuple[Signature, ...]
    id: RecordId

    @property
    def subject(self) -> Digest:
        """What the signatures are over: the id, as a digest."""
        return Digest(self.id)

    def to_bytes(self) -> bytes:
        """The canonical envelope."""
        return encode((self.body, tuple(entry.to_plain() for entry in self.signatures)))

    def signed_by(self, keys: Iterable[PublicKey]) -> int:
        """How many different keys of `keys` signed this record validly."""
        by_digest: dict[bytes, PublicKey] = {key.digest: key for key in keys}
        return sum(
            entry.key_digest in by_digest
            and verify(by_digest[entry.key_digest], self.record.LABEL, self.subject, entry.octets)
            for entry in self.signatures
        )


def sign_record(record: T, *signers: SigningKey) -> Signed[T]:
    """Signs a record with every given key."""
    body = record.to_body()
    subject = record.id_of(body)
    entries = {
        signer.public.digest: Signature(
            signer.public.digest,
            signer.sign(record.LABEL, subject),
        )
        for signer in signers
    }
    return Signed(record, body, tuple(entries[key] for key in sorted(entries)), RecordId(subject))


def parse_untrusted(untrusted: bytes) -> Signed[Record]:
    """Decodes an envelope of any trust record, or raises `MalformedFrame`."""
    body, plain_signatures = decode_untrusted(untrusted, _ENVELOPE, bytes_max=ENVELOPE_BYTES_MAX)
    signatures = tuple(Signature.from_plain(plain) for plain in plain_signatures)
    digests = [entry.key_digest for entry in signatures]
    if digests != sorted(set(digests)):
        raise MalformedFrame("signatures are not sorted by key, or a key appears twice")
    record = parse_body_untrusted(body)
    return Signed(record, body, signatures, RecordId(record.id_of(body)))


def parse_body_untrusted(untrusted: bytes) -> Record:
    """Decodes the body of any trust record by its label, or raises `MalformedFrame`."""
    cls = _BY_LABEL.get(_label_of(untrusted))
    if cls is None:
        raise MalformedFrame("the record's label is unknown")
    return cls.from_body_untrusted(untrusted)


def _label_of(body: bytes) -> str:
    """The label in front of a body, read without decoding the rest."""
    length = body[1] & 0x1F if len(body) > 1 and body[1] >> 5 == 0b101 else 0
    if body[:1] == b"\xdc":
        length = body[3] & 0x1F if len(body) > 3 and body[3] >> 5 == 0b101 else 0
        return body[4 : 4 + length].decode("ascii", "replace")
    return body[2 : 2 + length].decode("ascii", "replace")
