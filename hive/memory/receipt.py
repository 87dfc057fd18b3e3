"""Admission receipts: what the admitting node vouches for.

The node named as `writer` in the header judges everything that depends on time once and signs
when it did, under which epochs and lease, and at which freshness index. One signed receipt
covers up to 64 deltas admitted together: a Merkle root over their ids. Every other peer judges
the time-dependent steps with these inputs and never with its own now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final

from hive.memory.delta import BATCH_COUNT_MAX, EPOCH_COUNT_MAX, PATH_COUNT_MAX, RECEIPT_BYTES_MAX
from hive.trust.keys import SIGNATURE_BYTES
from hive.wire import merkle
from hive.wire.brisk import brisk
from hive.wire.codec import Array, Fields, Integer, Octets, decode_untrusted, encode
from hive.wire.ids import DIGEST_BYTES, DeltaId, Digest
from hive.wire.schema import Record, record

RECEIPT_CACHE_COUNT: Final = 512
"""Receipts whose body stays decoded, some 1 kB each: one covers up to 64 deltas."""

_Id = Annotated[bytes, Octets(DIGEST_BYTES, DIGEST_BYTES)]
_Number = Annotated[int, Integer()]


@record("receipt", 1, bytes_max=RECEIPT_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Receipt(Record):
    """Admitted at a wall time (milliseconds) by a node, under these epochs and this freshness."""

    federation: _Id
    node: _Id
    node_record: _Id
    admitted_at_ms: _Number
    epochs: Annotated[tuple[int, ...], Array(Integer(), EPOCH_COUNT_MAX)]
    lease: _Number
    freshness_index: _Number
    count: Annotated[int, Integer(1, BATCH_COUNT_MAX)]
    root: _Id


_SHAPE: Final = Fields(
    (
        Octets(1, RECEIPT_BYTES_MAX),
        Octets(SIGNATURE_BYTES, SIGNATURE_BYTES),
        Integer(0, BATCH_COUNT_MAX - 1),
        Array(Octets(DIGEST_BYTES, DIGEST_BYTES), PATH_COUNT_MAX),
    )
)


@brisk
@dataclass(frozen=True, slots=True)
class ReceiptProof:
    """A receipt as it travels beside one delta: the signed body and the delta's audit path."""

    receipt: Receipt
    body: bytes
    signature: bytes
    index: int
    path: tuple[bytes, ...]

    @property
    def subject(self) -> Digest:
        """What the node's signature is over, under the label of `Receipt`."""
        return _read(self.body)[1]

    def covers(self, delta: DeltaId) -> bool:
        """Whether the audit path leads from this delta to the signed root."""
        root = merkle.root_from_proof(delta, self.index, self.receipt.count, self.path)
        return root == self.receipt.root

    def to_bytes(self) -> bytes:
        """The canonical form that a delta's envelope carries."""
        return encode((self.body, self.signature, self.index, self.path))


def parse_receipt_untrusted(untrusted: bytes) -> ReceiptProof:
    """Decodes a travelling receipt, or raises `MalformedFrame`."""
    body, signature, index, path = decode_untrusted(untrusted, _SHAPE, bytes_max=RECEIPT_BYTES_MAX)
    return ReceiptProof(_read(body)[0], body, signature, index, path)


@lru_cache(maxsize=RECEIPT_CACHE_COUNT)
def _read(untrusted: bytes) -> tuple[Receipt, Digest]:
    """The receipt in a body, and its id."""
    return Receipt.from_body_untrusted(untrusted), Receipt.id_of(untrusted)


def receipt_proofs(
    receipt: Receipt, signature: bytes, deltas: Sequence[DeltaId]
) -> tuple[ReceiptProof, ...]:
    """One travelling receipt for each delta that `receipt` covers, in order."""
    body = receipt.to_body()
    _, paths = merkle.proofs(deltas)
    return tuple(
        ReceiptProof(receipt, body, signature, index, path) for index, path in enumerate(paths)
    )
