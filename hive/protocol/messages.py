"""What peers say to each other on streams: one labelled record a frame.

Reconciliation has messages of its own in its package. Everything here is hop traffic between
attested peers: deltas, records, receipts and statements inside count by their own signatures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from hive.memory.delta import DELTA_BYTES_MAX
from hive.trust.capability import NAMESPACE_BYTES_MAX
from hive.trust.envelope import ENVELOPE_BYTES_MAX
from hive.wire.codec import Array, Octets, Text
from hive.wire.framing import FRAME_BYTES_MAX
from hive.wire.ids import DIGEST_BYTES
from hive.wire.schema import Record, record

DELTA_COUNT_MAX: Final = 256
ID_COUNT_MAX: Final = 1_024
RECORD_COUNT_MAX: Final = 256
REVOCATION_COUNT_MAX: Final = 65_536
IDS_PER_CHECK: Final = 16
"""Ids of trust records that are looked up, hashed or sent for the price of one signature."""
PREFIX_COUNT_MAX: Final = 64

_Ids = Annotated[tuple[bytes, ...], Array(Octets(DIGEST_BYTES, DIGEST_BYTES), ID_COUNT_MAX)]


@record("deltas", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Deltas(Record):
    """Delta envelopes, oldest of a chain first; still untrusted one by one."""

    envelopes: Annotated[tuple[bytes, ...], Array(Octets(1, DELTA_BYTES_MAX), DELTA_COUNT_MAX)]


@record("want-deltas", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class WantDeltas(Record):
    """Asks for deltas by id; answered by `Deltas` with those that are held."""

    ids: _Ids


@record("records", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Records(Record):
    """Trust records, in an order in which they can be admitted."""

    envelopes: Annotated[tuple[bytes, ...], Array(Octets(1, ENVELOPE_BYTES_MAX), RECORD_COUNT_MAX)]


@record("want-records", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class WantRecords(Record):
    """Asks for trust records by id; answered by `Records` with those that are known."""

    ids: _Ids


@record("revocation-list", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class RevocationList(Record):
    """Sorted ids of every revocation the sender admitted; checked against a statement's root."""

    ids: Annotated[
        tuple[bytes, ...], Array(Octets(DIGEST_BYTES, DIGEST_BYTES), REVOCATION_COUNT_MAX)
    ]


@record("want-revocations", 1, bytes_max=64)
@dataclass(frozen=True, slots=True)
class WantRevocations(Record):
    """Asks for the list of revocations, because a freshness statement names an unknown root."""


@record("forks", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Forks(Record):
    """Fork proofs; each is verified by itself."""

    proofs: Annotated[tuple[bytes, ...], Array(Octets(1, 2 * DELTA_BYTES_MAX + 16), 16)]


@record("interest", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Interest(Record):
    """The namespace prefixes the sender wants pushed; "" wants everything it may hold."""

    prefixes: Annotated[tuple[str, ...], Array(Text(NAMESPACE_BYTES_MAX), PREFIX_COUNT_MAX)]


Message = (
    Deltas
    | WantDeltas
    | Records
    | WantRecords
    | RevocationList
    | WantRevocations
    | Forks
    | Interest
)
MESSAGES: Final[tuple[type[Record], ...]] = (
    Deltas,
    WantDeltas,
    Records,
    WantRecords,
    RevocationList,
    WantRevocations,
    Forks,
    Interest,
)
