"""Rotation with pre-rotation (KERI): the next key was committed to before it was needed.

A rotation yields two records: the new generation, signed by the issuer *and* the revealed key,
and a revocation with reason "rotated" whose seal fixes what the old generation wrote. Publish
both together: the first alone would leave the old key alive, the second alone nobody able to
write.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from hive.errors import StateError
from hive.trust.envelope import Signed, sign_record
from hive.trust.issuing import renewal_of
from hive.trust.keys import PublicKey, SigningKey
from hive.trust.links import commitment_of
from hive.trust.records import (
    AGENT_LIFE_MS,
    ISSUER_LIFE_MS,
    NODE_LIFE_MS,
    ORG_LIFE_MS,
    AgentRecord,
    IssuerRecord,
    NodeRecord,
    OrgRecord,
    RevocationRecord,
    RootRecord,
    SealEntry,
)
from hive.trust.revocation import ROTATED, make_revocation
from hive.wire.ids import Digest, FederationId, Inception, RecordId
from hive.wire.schema import Record

T = TypeVar("T", bound=Record)


@dataclass(frozen=True, slots=True)
class Rotation(Generic[T]):
    """The new generation and the seal of the old one."""

    record: Signed[T]
    revocation: Signed[RevocationRecord]


def next_key_digest(key: PublicKey) -> Digest:
    """The commitment to a key that stays hidden until the next rotation."""
    return key.digest


def rotate_agent(
    parent: Signed[IssuerRecord] | Signed[NodeRecord],
    signer: SigningKey,
    old: Signed[AgentRecord],
    *,
    revealed: SigningKey,
    next_digest: Digest,
    seal: Iterable[SealEntry],
    now_ms: int,
    life_ms: int = AGENT_LIFE_MS,
) -> Rotation[AgentRecord]:
    """The agent's next generation under the key it had committed to."""
    _require_committed(old.record, (revealed.public,))
    record = dataclasses.replace(
        old.record,
        parent_record=parent.id,
        key=revealed.public,
        next_key_digest=next_digest,
        generation=old.record.generation + 1,
        previous=old.id,
        not_before_ms=now_ms,
        not_after_ms=now_ms + life_ms,
    )
    signed = sign_record(record, signer, revealed)
    return Rotation(signed, _seal_old(old, parent.id, (signer,), seal, now_ms))


def rotate_node(
    issuer: Signed[IssuerRecord],
    signer: SigningKey,
    old: Signed[NodeRecord],
    *,
    revealed: SigningKey,
    next_digest: Digest,
    datagram_key: bytes,
    seal: Iterable[SealEntry],
    now_ms: int,
    life_ms: int = NODE_LIFE_MS,
) -> Rotation[NodeRecord]:
    """The node's next generation under the key it had committed to."""
    _require_committed(old.record, (revealed.public,))
    record = dataclasses.replace(
        old.record,
        issuer_record=issuer.id,
        key=revealed.public,
        datagram_key=datagram_key,
        next_key_digest=next_digest,
        generation=old.record.generation + 1,
        previous=old.id,
        not_before_ms=now_ms,
        not_after_ms=now_ms + life_ms,
    )
    signed = sign_record(record, signer, revealed)
    return Rotation(signed, _seal_old(old, issuer.id, (signer,), seal, now_ms))


def rotate_issuer(
    org: Signed[OrgRecord],
    signers: Sequence[SigningKey],
    old: Signed[IssuerRecord],
    *,
    revealed: SigningKey,
    next_digest: Digest,
    seal: Iterable[SealEntry],
    now_ms: int,
    life_ms: int = ISSUER_LIFE_MS,
) -> Rotation[IssuerRecord]:
    """The issuer's next generation; what the old one issued must be issued again."""
    _require_committed(old.record, (revealed.public,))
    record = dataclasses.replace(
        old.record,
        org_record=org.id,
        key=revealed.public,
        next_key_digest=next_digest,
        generation=old.record.generation + 1,
        previous=old.id,
        not_before_ms=now_ms,
        not_after_ms=now_ms + life_ms,
    )
    signed = sign_record(record, *signers, revealed)
    return Rotation(signed, _seal_old(old, org.id, signers, seal, now_ms))


def next_org(
    root: Signed[RootRecord],
    old: Signed[OrgRecord],
    *,
    keys: Sequence[PublicKey],
    threshold: int,
    next_digests: Sequence[bytes],
    next_threshold: int,
    now_ms: int,
    life_ms: int = ORG_LIFE_MS,
) -> OrgRecord:
    """The org's next generation, unsigned: roots and revealed keys sign it in a ceremony."""
    _require_committed(old.record, keys)
    return dataclasses.replace(
        old.record,
        root_record=root.id,
        keys=tuple(keys),
        threshold=threshold,
        next_digests=tuple(next_digests),
        next_threshold=next_threshold,
        generation=old.record.generation + 1,
        previous=old.id,
        not_before_ms=now_ms,
        not_after_ms=now_ms + life_ms,
    )


def renew_org(
    root: Signed[RootRecord],
    old: Signed[OrgRecord],
    *,
    not_before_ms: int,
    life_ms: int = ORG_LIFE_MS,
) -> OrgRecord:
    """The same keys, rights and generation with new dates, to be signed by the root's holders."""
    return dataclasses.replace(
        old.record,
        root_record=root.id,
        previous=renewal_of(old),
        not_before_ms=not_before_ms,
        not_after_ms=not_before_ms + life_ms,
    )


def seal_org(
    old: Signed[OrgRecord],
    new: Signed[OrgRecord],
    signers: Sequence[SigningKey],
    *,
    seal: Iterable[SealEntry],
    now_ms: int,
) -> Signed[RevocationRecord]:
    """Ends an org's old generation by the keys of its new one."""
    return _seal_old(old, new.id, signers, seal, now_ms)


def rotate_org(
    root: Signed[RootRecord],
    root_signers: Sequence[SigningKey],
    old: Signed[OrgRecord],
    *,
    revealed: Sequence[SigningKey],
    threshold: int,
    next_digests: Sequence[bytes],
    next_threshold: int,
    seal: Iterable[SealEntry],
    now_ms: int,
) -> Rotation[OrgRecord]:
    """`next_org` and `seal_org` where one person holds all the keys."""
    record = next_org(
        root,
        old,
        keys=[key.public for key in revealed],
        threshold=threshold,
        next_digests=next_digests,
        next_threshold=next_threshold,
        now_ms=now_ms,
    )
    signed = sign_record(record, *root_signers, *revealed)
    return Rotation(signed, seal_org(old, signed, revealed, seal=seal, now_ms=now_ms))


def _require_committed(old: Record, keys: Sequence[PublicKey]) -> None:
    digests, threshold = commitment_of(old)
    if sum(key.digest in digests for key in keys) < threshold:
        raise StateError(
            f"the {old.LABEL}'s last record does not commit to this key",
            hint="rotate with the next key kept since the last rotation, or recover it from backup",
        )


def _seal_old(
    old: Signed[OrgRecord] | Signed[IssuerRecord] | Signed[NodeRecord] | Signed[AgentRecord],
    signer_record: RecordId,
    signers: Sequence[SigningKey],
    seal: Iterable[SealEntry],
    now_ms: int,
) -> Signed[RevocationRecord]:
    record = old.record
    revocation = make_revocation(
        federation=FederationId(record.federation),
        org=Inception(record.inception if isinstance(record, OrgRecord) else record.org),
        signer_record=signer_record,
        subject=Inception(record.inception),
        generation=record.generation,
        reason=ROTATED,
        at_ms=now_ms,
        seal=seal,
    )
    return sign_record(revocation, *signers)
