"""Builders of signed records: what founders, orgs, issuers, nodes and agents make.

Pure: keys, dates and digests are handed in. What is built here is still verified by whoever
admits it; `narrowed` says early, to a person, what the chain would refuse.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hive.errors import NotPermitted
from hive.trust.capability import (
    ACTIONS,
    FOREVER_MS,
    Capability,
    covers_namespace,
)
from hive.trust.envelope import Signed, sign_record
from hive.trust.keys import PublicKey, SigningKey
from hive.trust.links import capabilities_of, issuable_of
from hive.trust.records import (
    AGENT_LIFE_MS,
    ISSUER_LIFE_MS,
    NODE_LIFE_MS,
    ORG_LIFE_MS,
    SESSION_LIFE_MS,
    AgentRecord,
    FreshnessRecord,
    IssuerRecord,
    NodeRecord,
    OrgRecord,
    RootRecord,
    SessionRecord,
    inception,
)
from hive.trust.roots import federation_of
from hive.wire.ids import Digest, Inception, RecordId

NODE_QUOTA: Final = 64
"""Nodes of an org that nobody said more about."""


@dataclass(frozen=True, slots=True)
class NodePlace:
    """Where a node stands and what it keeps on."""

    region: str
    zone: str
    cell: str
    storage_backends: tuple[str, ...] = ("lmdb",)


@dataclass(frozen=True, slots=True)
class Pair:
    """A key and the digest of the key that will follow it."""

    key: SigningKey
    next_key_digest: Digest


def narrowed(
    capabilities: Sequence[Capability], wanted: Iterable[Capability]
) -> tuple[Capability, ...]:
    """Each wanted capability inside one that is held, or `NotPermitted` saying what exceeds it.

    Regions left empty and an end left at `FOREVER_MS` mean "as far as the holder's own".
    """
    return tuple(_narrowed_one(capabilities, one) for one in wanted)


def _narrowed_one(held: Sequence[Capability], wanted: Capability) -> Capability:
    for parent in held:
        fitted = dataclasses.replace(
            wanted,
            regions=wanted.regions or parent.regions,
            not_after_ms=(
                parent.not_after_ms if wanted.not_after_ms == FOREVER_MS else wanted.not_after_ms
            ),
        )
        if fitted.is_subset_of(parent):
            return fitted
    raise NotPermitted(
        f"no single capability held covers {', '.join(names_of(wanted.actions))} "
        f"under {wanted.prefix or 'every namespace'!r}",
        hint=_hint(held, wanted),
    )


def _hint(held: Sequence[Capability], wanted: Capability) -> str:
    for parent in held:
        if covers_namespace(parent.prefix, wanted.prefix):
            return (
                f"held under {parent.prefix!r}: {', '.join(names_of(parent.actions))}; "
                f"regions {', '.join(parent.regions) or 'all'}; "
                f"assertions {', '.join(parent.assertions) or 'none'}"
            )
    prefixes = ", ".join(repr(parent.prefix) for parent in held)
    return f"held prefixes are {prefixes}" if held else "no capability is held"


def names_of(actions: int) -> tuple[str, ...]:
    """The names of the actions in a bit set."""
    return tuple(name for name, bit in ACTIONS.items() if actions & bit)


def org_inception(keys: Sequence[PublicKey], next_digests: Sequence[bytes]) -> Inception:
    """The identity of an org that begins with these keys and commitments."""
    return inception(OrgRecord.LABEL, tuple(keys), tuple(next_digests))


def identity_of(
    kind: type[IssuerRecord] | type[NodeRecord] | type[AgentRecord],
    org: Inception,
    key: PublicKey,
    next_key_digest: bytes,
) -> Inception:
    """The identity of an issuer, node or agent that begins with this key and commitment."""
    return inception(kind.LABEL, (key,), (next_key_digest,), org)


def make_org(
    root: Signed[RootRecord],
    *,
    name: str,
    keys: Sequence[PublicKey],
    threshold: int,
    next_digests: Sequence[bytes],
    next_threshold: int,
    namespaces: Sequence[str],
    regions: Sequence[str],
    not_before_ms: int,
    assertions: Sequence[str] = (),
    node_quota: int = NODE_QUOTA,
    life_ms: int = ORG_LIFE_MS,
) -> OrgRecord:
    """An org at its beginning, to be signed by the root's holders (`roots.sign_proposal`)."""
    return OrgRecord(
        federation=federation_of(root),
        root_record=root.id,
        inception=org_inception(keys, next_digests),
        name=name,
        generation=0,
        previous=b"",
        threshold=threshold,
        keys=tuple(keys),
        next_threshold=next_threshold,
        next_digests=tuple(next_digests),
        namespaces=tuple(namespaces),
        regions=tuple(regions),
        assertions=tuple(assertions),
        node_quota=node_quota,
        not_before_ms=not_before_ms,
        not_after_ms=not_before_ms + life_ms,
    )


def make_issuer(
    org: Signed[OrgRecord],
    signers: Sequence[SigningKey],
    *,
    key: PublicKey,
    next_key_digest: Digest,
    capabilities: Sequence[Capability],
    not_before_ms: int,
    regions: Sequence[str] = (),
    life_ms: int = ISSUER_LIFE_MS,
) -> Signed[IssuerRecord]:
    """An issuer of the org; regions left empty are the org's."""
    record = IssuerRecord(
        federation=org.record.federation,
        inception=identity_of(IssuerRecord, Inception(org.record.inception), key, next_key_digest),
        org=org.record.inception,
        org_record=org.id,
        key=key,
        next_key_digest=next_key_digest,
        generation=0,
        previous=b"",
        regions=tuple(regions) or org.record.regions,
        capabilities=narrowed(capabilities_of(org.record), capabilities),
        not_before_ms=not_before_ms,
        not_after_ms=not_before_ms + life_ms,
    )
    return sign_record(record, *signers)


def renew_issuer(
    org: Signed[OrgRecord],
    signers: Sequence[SigningKey],
    old: Signed[IssuerRecord],
    *,
    not_before_ms: int,
    life_ms: int = ISSUER_LIFE_MS,
) -> Signed[IssuerRecord]:
    """The same key and generation with new dates."""
    record = dataclasses.replace(
        old.record,
        org_record=org.id,
        previous=renewal_of(old),
        not_before_ms=not_before_ms,
        not_after_ms=not_before_ms + life_ms,
    )
    return sign_record(record, *signers)


def issue_node(
    issuer: Signed[IssuerRecord],
    signer: SigningKey,
    *,
    name: str,
    key: PublicKey,
    datagram_key: bytes,
    next_key_digest: Digest,
    place: NodePlace,
    custody_class: str,
    not_before_ms: int,
    capabilities: Sequence[Capability] = (),
    life_ms: int = NODE_LIFE_MS,
) -> Signed[NodeRecord]:
    """A node at its beginning; `capabilities` are what agents that it issues may have."""
    org = Inception(issuer.record.org)
    record = NodeRecord(
        federation=issuer.record.federation,
        inception=identity_of(NodeRecord, org, key, next_key_digest),
        org=org,
        issuer_record=issuer.id,
        name=name,
        key=key,
        datagram_key=datagram_key,
        next_key_digest=next_key_digest,
        generation=0,
        previous=b"",
        region=place.region,
        zone=place.zone,
        cell=place.cell,
        storage_backends=place.storage_backends,
        custody_class=custody_class,
        capabilities=narrowed(issuer.record.capabilities, capabilities),
        not_before_ms=not_before_ms,
        not_after_ms=not_before_ms + life_ms,
    )
    return sign_record(record, signer)


def renew_node(
    issuer: Signed[IssuerRecord],
    signer: SigningKey,
    old: Signed[NodeRecord],
    *,
    datagram_key: bytes,
    not_before_ms: int,
    life_ms: int = NODE_LIFE_MS,
) -> Signed[NodeRecord]:
    """The same key and generation with new dates and a new datagram key."""
    record = dataclasses.replace(
        old.record,
        issuer_record=issuer.id,
        datagram_key=datagram_key,
        previous=renewal_of(old),
        not_before_ms=not_before_ms,
        not_after_ms=not_before_ms + life_ms,
    )
    return sign_record(record, signer)


def issue_agent(
    parent: Signed[IssuerRecord] | Signed[NodeRecord],
    signer: SigningKey,
    *,
    name: str,
    key: PublicKey,
    next_key_digest: Digest,
    custody_class: str,
    capabilities: Sequence[Capability],
    not_before_ms: int,
    life_ms: int = AGENT_LIFE_MS,
) -> Signed[AgentRecord]:
    """An agent at its beginning, with capabilities narrowed from its parent's."""
    org = Inception(parent.record.org)
    record = AgentRecord(
        federation=parent.record.federation,
        inception=identity_of(AgentRecord, org, key, next_key_digest),
        org=org,
        parent_record=parent.id,
        name=name,
        key=key,
        next_key_digest=next_key_digest,
        generation=0,
        previous=b"",
        custody_class=custody_class,
        capabilities=narrowed(issuable_of(parent.record), capabilities),
        not_before_ms=not_before_ms,
        not_after_ms=not_before_ms + life_ms,
    )
    return sign_record(record, signer)


def renew_agent(
    parent: Signed[IssuerRecord] | Signed[NodeRecord],
    signer: SigningKey,
    old: Signed[AgentRecord],
    *,
    not_before_ms: int,
    life_ms: int = AGENT_LIFE_MS,
) -> Signed[AgentRecord]:
    """The same key, generation and capabilities with new dates."""
    record = dataclasses.replace(
        old.record,
        parent_record=parent.id,
        previous=renewal_of(old),
        capabilities=narrowed(issuable_of(parent.record), old.record.capabilities),
        not_before_ms=not_before_ms,
        not_after_ms=not_before_ms + life_ms,
    )
    return sign_record(record, signer)


def issue_session(
    parent: Signed[AgentRecord] | Signed[NodeRecord],
    signer: SigningKey,
    *,
    key: PublicKey,
    not_before_ms: int,
    capabilities: Sequence[Capability] | None = None,
    life_ms: int = SESSION_LIFE_MS,
) -> Signed[SessionRecord]:
    """A session key standing in for the parent's; None asks for all the parent may hand on."""
    held = issuable_of(parent.record)
    record = SessionRecord(
        federation=parent.record.federation,
        parent_record=parent.id,
        key=key,
        capabilities=narrowed(held, held if capabilities is None else capabilities),
        not_before_ms=not_before_ms,
        not_after_ms=not_before_ms + life_ms,
    )
    return sign_record(record, signer)


def state_freshness(
    issuer: Signed[IssuerRecord],
    signer: SigningKey,
    *,
    index: int,
    at_ms: int,
    revocation_count: int,
    revocation_root: Digest,
    epoch_root: Digest,
) -> Signed[FreshnessRecord]:
    """What an issuer that the root names knows at this moment."""
    record = FreshnessRecord(
        federation=issuer.record.federation,
        issuer=issuer.record.inception,
        issuer_record=issuer.id,
        index=index,
        at_ms=at_ms,
        revocation_count=revocation_count,
        revocation_root=revocation_root,
        epoch_root=epoch_root,
    )
    return sign_record(record, signer)


def renewal_of(
    old: Signed[OrgRecord] | Signed[IssuerRecord] | Signed[NodeRecord] | Signed[AgentRecord],
) -> bytes:
    """What a renewal names as `previous`: nothing, or the rotation that opened the generation."""
    if not old.record.generation:
        return b""
    own = old.record.keys if isinstance(old.record, OrgRecord) else (old.record.key,)
    digests = [key.digest for key in own]
    is_rotation = any(entry.key_digest in digests for entry in old.signatures)
    return old.id if is_rotation else RecordId(old.record.previous)
