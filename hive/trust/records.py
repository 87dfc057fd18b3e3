"""The records of trust: their shapes and ids, nothing else.

Times are wall milliseconds. `key` signs; `next_key_digest` commits to the key that the next
generation will reveal. An identity is its *inception*: the digest of kind, org, first key and
first commitment, without dates, so renewal, rotation and sessions do not change it; the org is
in it so that no other org can speak for an identity by copying its public key. `previous` is
empty in generation 0. In a later generation it is the id of a record of the generation before
(a rotation, countersigned by the revealed key) or of that rotation itself (its renewals).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final

from hive.trust.capability import (
    ASSERTION_COUNT_MAX,
    CAPABILITY_COUNT_MAX,
    NAME_BYTES_MAX,
    NAMESPACE_BYTES_MAX,
    REGION_COUNT_MAX,
    Capability,
)
from hive.trust.keys import PublicKey
from hive.wire.codec import Array, Integer, Octets, Text, encode
from hive.wire.ids import DIGEST_BYTES, Digest, Inception, digest
from hive.wire.schema import Many, Part, Record, part, record

KEY_COUNT_MAX: Final = 16
CHAIN_CACHE_COUNT: Final = 4_096
"""Names of author logs kept ready, some 300 B each: every delta asks for its own many times."""
SEAL_ENTRY_COUNT_MAX: Final = 4_096
RECORD_BYTES_MAX: Final = 8_192
SEAL_BYTES_MAX: Final = 512 * 1_024

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
ROOT_LIFE_MS: Final = 400 * DAY_MS
ORG_LIFE_MS: Final = 90 * DAY_MS
ISSUER_LIFE_MS: Final = 30 * DAY_MS
NODE_LIFE_MS: Final = 24 * HOUR_MS
AGENT_LIFE_MS: Final = 24 * HOUR_MS
SESSION_LIFE_MS: Final = HOUR_MS

_Id = Annotated[bytes, Octets(DIGEST_BYTES, DIGEST_BYTES)]
_OptionalId = Annotated[bytes, Octets(0, DIGEST_BYTES)]
_Name = Annotated[str, Text(NAME_BYTES_MAX)]
_Names = Annotated[tuple[str, ...], Array(Text(NAME_BYTES_MAX), REGION_COUNT_MAX)]
_Assertions = Annotated[tuple[str, ...], Array(Text(NAME_BYTES_MAX), ASSERTION_COUNT_MAX)]
_Number = Annotated[int, Integer()]
_Ids = Annotated[tuple[bytes, ...], Array(Octets(DIGEST_BYTES, DIGEST_BYTES), KEY_COUNT_MAX)]


def inception(
    kind: str, keys: tuple[PublicKey, ...], next_digests: tuple[bytes, ...], org: bytes = b""
) -> Inception:
    """The stable identity of what begins with these keys and commitments; 32 bytes.

    `kind` is the record's label; `org` is the org's inception, empty where the org itself begins.
    """
    body = encode((kind, org, tuple(key.to_plain() for key in keys), next_digests))
    return Inception(digest("hive/inception", body))


@part
@dataclass(frozen=True, slots=True)
class RootKey(Part):
    """One root key and the name of the organisation that holds it."""

    holder: _Name
    key: PublicKey


@record("root", 1, bytes_max=RECORD_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class RootRecord(Record):
    """R(k): m-of-n root keys; the federation's id is the id of R(0).

    `federation` and `previous` are empty in R(0). `next_digests`/`next_threshold` commit to the
    keys of R(k+1). `freshness_issuers` are the inceptions of the issuers whose statements count,
    `freshness_threshold` of them; `voters` with `rail_faults` and `rail_quorum` are the rail's.
    """

    federation: _OptionalId
    name: _Name
    number: _Number
    previous: _OptionalId
    threshold: Annotated[int, Integer(1, KEY_COUNT_MAX)]
    keys: Annotated[tuple[RootKey, ...], Many(KEY_COUNT_MAX)]
    next_threshold: Annotated[int, Integer(1, KEY_COUNT_MAX)]
    next_digests: _Ids
    freshness_threshold: Annotated[int, Integer(1, KEY_COUNT_MAX)]
    freshness_issuers: _Ids
    voters: _Ids
    rail_faults: Annotated[int, Integer(0, KEY_COUNT_MAX)]
    rail_quorum: Annotated[int, Integer(0, KEY_COUNT_MAX)]
    not_before_ms: _Number
    not_after_ms: _Number


@record("org", 1, bytes_max=RECORD_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class OrgRecord(Record):
    """An organisation: its keys and what it owns; signed by m keys of `root_record`.

    `inception` is that of generation 0. `namespaces` are owned prefixes, `assertions` those it
    may issue, `next_digests` commit to the keys of the next generation.
    """

    federation: _Id
    root_record: _Id
    inception: _Id
    name: _Name
    generation: _Number
    previous: _OptionalId
    threshold: Annotated[int, Integer(1, KEY_COUNT_MAX)]
    keys: Annotated[tuple[PublicKey, ...], Many(KEY_COUNT_MAX)]
    next_threshold: Annotated[int, Integer(1, KEY_COUNT_MAX)]
    next_digests: _Ids
    namespaces: Annotated[tuple[str, ...], Array(Text(NAMESPACE_BYTES_MAX), CAPABILITY_COUNT_MAX)]
    regions: _Names
    assertions: _Assertions
    node_quota: _Number
    not_before_ms: _Number
    not_after_ms: _Number


@record("issuer", 1, bytes_max=RECORD_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerRecord(Record):
    """One online key of an org that signs node and agent records and TLS leaves.

    Signed by the org's threshold; `org` is the org's inception, `org_record` the id of the
    record whose keys signed.
    """

    federation: _Id
    inception: _Id
    org: _Id
    org_record: _Id
    key: PublicKey
    next_key_digest: _Id
    generation: _Number
    previous: _OptionalId
    regions: _Names
    capabilities: Annotated[tuple[Capability, ...], Many(CAPABILITY_COUNT_MAX)]
    not_before_ms: _Number
    not_after_ms: _Number


@record("node", 1, bytes_max=RECORD_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord(Record):
    """A node: signing key, datagram key (new with each record), place; signed by an issuer.

    `capabilities` are what agents that this node issues may have at most (with `issue_agent`).
    """

    federation: _Id
    inception: _Id
    org: _Id
    issuer_record: _Id
    name: _Name
    key: PublicKey
    datagram_key: Annotated[bytes, Octets(32, 32)]
    next_key_digest: _Id
    generation: _Number
    previous: _OptionalId
    region: _Name
    zone: _Name
    cell: _Name
    storage_backends: _Names
    custody_class: _Name
    capabilities: Annotated[tuple[Capability, ...], Many(CAPABILITY_COUNT_MAX)]
    not_before_ms: _Number
    not_after_ms: _Number


@record("agent", 1, bytes_max=RECORD_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRecord(Record):
    """An agent: who authors; signed by an issuer, or by a node that holds `issue_agent`.

    `parent_record` is the id of the issuer or node record whose key signed.
    """

    federation: _Id
    inception: _Id
    org: _Id
    parent_record: _Id
    name: _Name
    key: PublicKey
    next_key_digest: _Id
    generation: _Number
    previous: _OptionalId
    custody_class: _Name
    capabilities: Annotated[tuple[Capability, ...], Many(CAPABILITY_COUNT_MAX)]
    not_before_ms: _Number
    not_after_ms: _Number


@record("session", 1, bytes_max=RECORD_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord(Record):
    """A software key standing in for a slow hardware key of an agent or node; signed by that key.

    It speaks for the identity of `parent_record`, never for one of its own.
    """

    federation: _Id
    parent_record: _Id
    key: PublicKey
    capabilities: Annotated[tuple[Capability, ...], Many(CAPABILITY_COUNT_MAX)]
    not_before_ms: _Number
    not_after_ms: _Number


@part
@dataclass(frozen=True, slots=True)
class SealEntry(Part):
    """What stays good of one chain: its blinded name, last sequence and head."""

    chain: _Id
    last_sequence: _Number
    head: _Id


@record("revocation", 1, bytes_max=SEAL_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationRecord(Record):
    """Ends a generation of an identity, for ever; signed by the keys of `signer_record`.

    An org revokes what it issued, itself included; an issuer revokes nodes, agents and sessions;
    a node revokes the agents it issued; the roots revoke orgs. The subject of a session is its
    record id, with generation 0.

    Everything of `subject` up to `generation` is good only as far as `seal` says; a chain absent
    from it is sealed at 0. `reason` is "rotated", "compromised", "retired" or "forked".
    `seal_root` is the Merkle root over the entries' canonical bytes.
    """

    federation: _Id
    org: _Id
    signer_record: _Id
    subject: _Id
    generation: _Number
    reason: _Name
    at_ms: _Number
    seal_root: _Id
    seal: Annotated[tuple[SealEntry, ...], Many(SEAL_ENTRY_COUNT_MAX)]


@record("freshness", 1, bytes_max=RECORD_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessRecord(Record):
    """What an issuer named by the root knows at a moment; the rail's statement later.

    `index` and `at_ms` only move up. `revocation_root` is the Merkle root over the sorted ids of
    all revocations the issuer admitted, `epoch_root` the digest of its epoch table.
    """

    federation: _Id
    issuer: _Id
    issuer_record: _Id
    index: _Number
    at_ms: _Number
    revocation_count: _Number
    revocation_root: _Id
    epoch_root: _Id


TRUST_RECORDS: Final[tuple[type[Record], ...]] = (
    RootRecord,
    OrgRecord,
    IssuerRecord,
    NodeRecord,
    AgentRecord,
    SessionRecord,
    RevocationRecord,
    FreshnessRecord,
)


@lru_cache(maxsize=CHAIN_CACHE_COUNT)
def chain_digest(author: Inception, writer: Inception, namespace: str) -> Digest:
    """The blinded name of one author log: digest of (author, writer, namespace)."""
    return digest("hive/chain", encode((author, writer, namespace)))
