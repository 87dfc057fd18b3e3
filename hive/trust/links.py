"""What each kind of record rests on: who signs it, with how many keys, and for how long.

Facts only, one `match` a question; `checks` compares a record with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from hive.trust import records
from hive.trust.capability import ALL_ACTIONS, FOREVER_MS, ISSUE_AGENT, Capability
from hive.trust.envelope import Signed
from hive.trust.keys import PublicKey
from hive.trust.records import (
    AgentRecord,
    FreshnessRecord,
    IssuerRecord,
    NodeRecord,
    OrgRecord,
    RevocationRecord,
    RootRecord,
    SessionRecord,
)
from hive.wire.ids import DIGEST_BYTES, FederationId, Inception, RecordId
from hive.wire.schema import Record

DATED: Final = (RootRecord, OrgRecord, IssuerRecord, NodeRecord, AgentRecord, SessionRecord)
"""The kinds that have a life; the others have a moment."""

IDENTITIES: Final = (OrgRecord, IssuerRecord, NodeRecord, AgentRecord)
"""The kinds that begin, continue or rotate an identity of their own."""

LIVES_MS_MAX: Final[dict[type[Record], int]] = {
    RootRecord: records.ROOT_LIFE_MS,
    OrgRecord: records.ORG_LIFE_MS,
    IssuerRecord: records.ISSUER_LIFE_MS,
    NodeRecord: records.NODE_LIFE_MS,
    AgentRecord: records.AGENT_LIFE_MS,
    SessionRecord: records.SESSION_LIFE_MS,
}

SIGNER_KINDS: Final[dict[type[Record], tuple[type[Record], ...]]] = {
    RootRecord: (RootRecord,),
    OrgRecord: (RootRecord,),
    IssuerRecord: (OrgRecord,),
    NodeRecord: (IssuerRecord,),
    AgentRecord: (IssuerRecord, NodeRecord),
    SessionRecord: (AgentRecord, NodeRecord),
    RevocationRecord: (RootRecord, OrgRecord, IssuerRecord, NodeRecord),
    FreshnessRecord: (IssuerRecord,),
}


class Known(Protocol):
    """What a record is judged against; `state.TrustState` is it."""

    @property
    def federation(self) -> FederationId:
        """The federation that every record must name."""

    def signed(self, record_id: RecordId) -> Signed[Record] | None:
        """An admitted record."""

    def reign_ends_ms(self, root: RecordId) -> int:
        """When the root's successor began; 0 for one that never reigned."""

    def newest_root(self) -> Signed[RootRecord] | None:
        """The root in force."""

    def is_signer_revoked(self, record_id: RecordId) -> bool:
        """Whether a known revocation ends the chain of a signing record."""

    def is_sound(self, key: PublicKey) -> bool:
        """The point check, remembered."""

    def node_count(self, org: Inception, apart_from: NodeRecord, enough: int) -> int:
        """How many other nodes of the org live within the record's own life."""


@dataclass(frozen=True, slots=True)
class Case:
    """A record under judgement, with what it rests on: `signer` and `previous` where known."""

    signed: Signed[Record]
    now_ms: int
    known: Known
    signer: Signed[Record] | None
    previous: Signed[Record] | None
    requirements: tuple[Requirement, ...]

    @property
    def record(self) -> Record:
        """The record itself."""
        return self.signed.record


@dataclass(frozen=True, slots=True)
class Requirement:
    """At least `threshold` of `keys` must sign; with `holders`, of as many different holders.

    `is_commitment` marks the keys that a predecessor committed to, as far as they are revealed.
    """

    what: str
    threshold: int
    keys: tuple[PublicKey, ...]
    holders: tuple[str, ...] = ()
    is_commitment: bool = False


def signer_id_of(record: Record) -> RecordId | None:
    """The record whose keys sign this one; None for R(0), which signs itself."""
    match record:
        case RootRecord():
            return RecordId(record.previous) if record.number else None
        case OrgRecord():
            return RecordId(record.root_record)
        case IssuerRecord():
            return RecordId(record.org_record)
        case NodeRecord() | FreshnessRecord():
            return RecordId(record.issuer_record)
        case AgentRecord() | SessionRecord():
            return RecordId(record.parent_record)
        case RevocationRecord():
            return RecordId(record.signer_record)
    raise TypeError(f"{type(record).__name__} is not a trust record")


def previous_id_of(record: Record) -> RecordId | None:
    """The record that committed to this one's key, or whose renewal it is; None in generation 0."""
    if isinstance(record, OrgRecord | IssuerRecord | NodeRecord | AgentRecord) and record.previous:
        return RecordId(record.previous)
    return None


def case_of(signed: Signed[Record], now_ms: int, known: Known) -> Case:
    """The record beside what it names, as far as known."""
    signer_id, previous_id = signer_id_of(signed.record), previous_id_of(signed.record)
    signer = known.signed(signer_id) if signer_id else None
    previous = known.signed(previous_id) if previous_id else None
    needs = requirements(signed.record, signer, previous)
    return Case(signed, now_ms, known, signer, previous, needs)


def missing_of(case: Case) -> tuple[RecordId, ...]:
    """The records that the case rests on and that are not known."""
    signer_id, previous_id = signer_id_of(case.record), previous_id_of(case.record)
    named = ((signer_id, case.signer), (previous_id, case.previous))
    return tuple(
        record_id
        for record_id, signed in named
        if signed is None and record_id is not None and len(record_id) == DIGEST_BYTES
    )


def keys_of(record: Record) -> tuple[PublicKey, ...]:
    """The keys that a record introduces."""
    match record:
        case RootRecord():
            return tuple(entry.key for entry in record.keys)
        case OrgRecord():
            return record.keys
        case IssuerRecord() | NodeRecord() | AgentRecord() | SessionRecord():
            return (record.key,)
    return ()


def org_of(signed: Signed[Record]) -> bytes | None:
    """The org that a record belongs to; None for a root and for a session, which only points."""
    match signed.record:
        case OrgRecord():
            return signed.record.inception
        case IssuerRecord() | NodeRecord() | AgentRecord() | RevocationRecord():
            return signed.record.org
    return None


def is_rotation(record: Record, previous: Record) -> bool:
    """Whether the record opens a new generation and so reveals committed keys."""
    if not isinstance(record, IDENTITIES) or not isinstance(previous, IDENTITIES):
        return False
    return record.generation == previous.generation + 1


def requirements(
    record: Record, signer: Signed[Record] | None, previous: Signed[Record] | None
) -> tuple[Requirement, ...]:
    """Whose signatures the record needs, and how many."""
    if isinstance(record, RootRecord) and not record.number:
        return (_of_root("its own keys", record),)
    found = [_of_signer(signer)]
    if isinstance(record, RootRecord) and signer is not None:
        if isinstance(signer.record, RootRecord):
            found.append(_committed_roots(record, signer.record))
    elif previous is not None and is_rotation(record, previous.record):
        found.append(_committed(record, previous.record))
    return tuple(found)


def _of_root(what: str, root: RootRecord) -> Requirement:
    keys = tuple(entry.key for entry in root.keys)
    return Requirement(what, root.threshold, keys, tuple(entry.holder for entry in root.keys))


def _of_signer(signer: Signed[Record] | None) -> Requirement:
    """The signer's own threshold; a signer without keys of its own can never meet it."""
    if signer is None:
        return Requirement("an unknown signer", 1, ())
    record = signer.record
    if isinstance(record, RootRecord):
        return _of_root("the root", record)
    threshold = record.threshold if isinstance(record, OrgRecord) else 1
    return Requirement(f"the {record.LABEL}", threshold, keys_of(record))


def _committed_roots(record: RootRecord, previous: RootRecord) -> Requirement:
    revealed = [entry for entry in record.keys if entry.key.digest in previous.next_digests]
    return Requirement(
        "the committed root keys",
        previous.next_threshold,
        tuple(entry.key for entry in revealed),
        tuple(entry.holder for entry in revealed),
        is_commitment=True,
    )


def _committed(record: Record, previous: Record) -> Requirement:
    digests, threshold = commitment_of(previous)
    keys = tuple(key for key in keys_of(record) if key.digest in digests)
    return Requirement("the committed keys", threshold, keys, is_commitment=True)


def commitment_of(record: Record) -> tuple[tuple[bytes, ...], int]:
    """The digests of the next generation's keys, and how many of them must sign."""
    match record:
        case RootRecord() | OrgRecord():
            return record.next_digests, record.next_threshold
        case IssuerRecord() | NodeRecord() | AgentRecord():
            return (record.next_key_digest,), 1
    return (), 1


def capabilities_of(record: Record) -> tuple[Capability, ...]:
    """What the holder of a record may do or give; an org may do all in what it owns."""
    match record:
        case OrgRecord():
            return tuple(
                Capability(prefix, ALL_ACTIONS, record.regions, record.assertions, FOREVER_MS)
                for prefix in record.namespaces
            )
        case IssuerRecord() | NodeRecord() | AgentRecord() | SessionRecord():
            return record.capabilities
    return ()


def issuable_of(record: Record) -> tuple[Capability, ...]:
    """What a signer may hand on: a node only where it holds `issue_agent`."""
    found = capabilities_of(record)
    if isinstance(record, NodeRecord):
        return tuple(capability for capability in found if capability.actions & ISSUE_AGENT)
    return found
