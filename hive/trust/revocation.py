"""Revocations and seals: what of an ended generation stays good.

A revocation names a subject and a generation; its seal lists the chains of that identity with
their last good sequence and head, and a chain absent from it is sealed at 0. Revocations are
kept for ever, because old deltas are judged at their own time, and all of them apply: where two
seals differ, a position is good only if both leave it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hive.trust.envelope import Signed
from hive.trust.records import (
    AgentRecord,
    IssuerRecord,
    NodeRecord,
    OrgRecord,
    RevocationRecord,
    RootRecord,
    SealEntry,
    SessionRecord,
)
from hive.trust.verdicts import GOOD, Sealed, Standing
from hive.wire import merkle
from hive.wire.codec import encode
from hive.wire.ids import Digest, FederationId, Inception, RecordId
from hive.wire.schema import Record

ROTATED: Final = "rotated"
COMPROMISED: Final = "compromised"
RETIRED: Final = "retired"
FORKED: Final = "forked"

_SUBJECTS: Final[dict[type[Record], tuple[str, ...]]] = {
    RootRecord: (OrgRecord.LABEL,),
    OrgRecord: tuple(
        cls.LABEL for cls in (OrgRecord, IssuerRecord, NodeRecord, AgentRecord, SessionRecord)
    ),
    IssuerRecord: (NodeRecord.LABEL, AgentRecord.LABEL, SessionRecord.LABEL),
    NodeRecord: (AgentRecord.LABEL, SessionRecord.LABEL),
}
"""Which kinds of subject a revocation reaches, by the kind of record that signed it."""


def seal_root(entries: Iterable[SealEntry]) -> Digest:
    """The Merkle root over the entries' canonical bytes, in their order."""
    return merkle.root([encode(entry.to_plain()) for entry in entries])


def make_revocation(
    *,
    federation: FederationId,
    org: Inception,
    signer_record: RecordId,
    subject: Inception,
    generation: int,
    reason: str,
    at_ms: int,
    seal: Iterable[SealEntry] = (),
) -> RevocationRecord:
    """The unsigned revocation, its entries sorted by chain."""
    entries = tuple(sorted(seal, key=lambda entry: entry.chain))
    return RevocationRecord(
        federation=federation,
        org=org,
        signer_record=signer_record,
        subject=subject,
        generation=generation,
        reason=reason,
        at_ms=at_ms,
        seal_root=seal_root(entries),
        seal=entries,
    )


@dataclass(frozen=True, slots=True)
class Subject:
    """One identity of a chain: what a revocation can name."""

    kind: str
    inception: bytes
    generation: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """One revocation, ready to be asked."""

    id: RecordId
    org: bytes
    generation: int
    reason: str
    kinds: tuple[str, ...]
    signer: bytes | None
    seal: Mapping[bytes, tuple[int, bytes]]

    def reaches(self, org: bytes, subject: Subject, subjects: tuple[Subject, ...]) -> bool:
        """Whether it ends this subject of a chain that has these subjects."""
        return (
            self.org == org
            and subject.generation <= self.generation
            and subject.kind in self.kinds
            and (self.signer is None or any(other.inception == self.signer for other in subjects))
        )

    def leaves(self, chain: bytes, sequence: int, delta_id: bytes) -> bool:
        """Whether the position stays good."""
        last_sequence, head = self.seal.get(chain, (0, b""))
        if sequence == last_sequence:
            return delta_id == head
        return sequence < last_sequence


class RevocationIndex:
    """All admitted revocations by subject; bounded by whoever admits them."""

    def __init__(self) -> None:
        self._by_subject: dict[bytes, list[_Entry]] = {}
        self._sorted: tuple[RecordId, ...] | None = ()
        self._ids: list[RecordId] = []

    def add(self, signed: Signed[RevocationRecord], signer: Record) -> None:
        """Takes an admitted revocation with the record whose keys signed it."""
        record = signed.record
        entry = _Entry(
            signed.id,
            record.org,
            record.generation,
            record.reason,
            _SUBJECTS[type(signer)],
            signer.inception if isinstance(signer, NodeRecord) else None,
            {item.chain: (item.last_sequence, item.head) for item in record.seal},
        )
        self._by_subject.setdefault(record.subject, []).append(entry)
        self._ids.append(signed.id)
        self._sorted = None

    @property
    def count(self) -> int:
        """How many there are; only grows."""
        return len(self._ids)

    def ids(self) -> tuple[RecordId, ...]:
        """Their ids, sorted."""
        if self._sorted is None:
            self._sorted = tuple(sorted(self._ids))
        return self._sorted

    def first_reaching(self, org: bytes, subjects: tuple[Subject, ...]) -> Sealed | None:
        """A revocation that ends any of the subjects, for live use."""
        for entry in self._reaching(org, subjects):
            return Sealed(entry.reason, entry.id)
        return None

    def standing(
        self,
        org: bytes,
        subjects: tuple[Subject, ...],
        chain: Digest,
        sequence: int,
        delta_id: bytes,
    ) -> Standing:
        """Whether every revocation that reaches the subjects leaves this position good."""
        for entry in self._reaching(org, subjects):
            if not entry.leaves(chain, sequence, delta_id):
                return Sealed(entry.reason, entry.id)
        return GOOD

    def _reaching(self, org: bytes, subjects: tuple[Subject, ...]) -> Iterable[_Entry]:
        if not self._by_subject:
            return
        for subject in subjects:
            for entry in self._by_subject.get(subject.inception, ()):
                if entry.reaches(org, subject, subjects):
                    yield entry
