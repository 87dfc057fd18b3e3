"""What a node and the issuer of its organisation say to each other on streams.

Enrolment goes over an anonymous stream and is sealed by the invite's secret; renewal and rebirth
go over any stream and are signed by the key that they renew. The answer carries the records and
the TLS leaf, which is public and worth nothing without the node's key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from hive.trust.envelope import ENVELOPE_BYTES_MAX
from hive.trust.keys import SIGNATURE_BYTES, PublicKey
from hive.trust.records import RECORD_BYTES_MAX
from hive.wire.codec import Array, Octets, Text, encode
from hive.wire.ids import DIGEST_BYTES, Digest, digest
from hive.wire.schema import Record, record

ANSWER_BYTES_MAX: Final = 256 * 1024
LEAF_BYTES_MAX: Final = 8_192
RENEW_NODE, RENEW_AGENT, REBIRTH = "renew-node", "renew-agent", "rebirth"
FIND_AGENT: Final = "find-agent"

_Id = Annotated[bytes, Octets(DIGEST_BYTES, DIGEST_BYTES)]


@record("enrol", 1, bytes_max=2 * RECORD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class EnrolmentLetter(Record):
    """A joiner's request, sealed by the invite's secret."""

    sealed: Annotated[bytes, Octets(1, RECORD_BYTES_MAX + 512)]


@record("enrol-answer", 1, bytes_max=ANSWER_BYTES_MAX + LEAF_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class EnrolmentReply(Record):
    """The sealed answer, and the TLS leaf of the new node ("" where refused or an agent)."""

    sealed: Annotated[bytes, Octets(0, ANSWER_BYTES_MAX)]
    leaf: Annotated[bytes, Octets(0, LEAF_BYTES_MAX)]


@record("renewal", 1, bytes_max=RECORD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class RenewalLetter(Record):
    """Asks the issuer to re-sign a record that will end.

    `kind` is "renew-node" (with a new datagram key), "renew-agent", or "rebirth" (a copied or
    restored node asks for a new identity under `key`); "find-agent" asks, by a key alone, for the
    newest record of it. Signed by the record's present key.
    """

    kind: Annotated[str, Text(16)]
    record_id: _Id
    datagram_key: _Id
    key: PublicKey
    next_key_digest: _Id
    signature: Annotated[bytes, Octets(SIGNATURE_BYTES, SIGNATURE_BYTES)]

    def subject(self) -> Digest:
        """What `signature` is over."""
        return renewal_subject(
            self.kind, self.record_id, self.datagram_key, self.key, self.next_key_digest
        )


@record("renewed", 1, bytes_max=ANSWER_BYTES_MAX + LEAF_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class RenewalReply(Record):
    """The records in order of admission and the new TLS leaf; or why there are none."""

    records: Annotated[tuple[bytes, ...], Array(Octets(1, ENVELOPE_BYTES_MAX), 64)]
    leaf: Annotated[bytes, Octets(0, LEAF_BYTES_MAX)]
    refusal: Annotated[str, Text(255)]


def renewal_subject(
    kind: str, record_id: bytes, datagram_key: bytes, key: PublicKey, next_key_digest: bytes
) -> Digest:
    """The digest that the renewing key signs under the label "renewal"."""
    plain = (kind, record_id, datagram_key, key.to_plain(), next_key_digest)
    return digest("renewal", encode(plain))
