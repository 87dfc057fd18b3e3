"""Chains: how a record is judged, and what a leaf may do once it was.

Theory of operation. A record is judged once, when it is admitted, against records admitted
before it; so every admitted record has a verified chain up to R(0), whose id *is* the federation,
and a chain is a walk along kept records without any cryptography. Time is not judged here:
expired records are admitted, because old deltas are judged at their own time, and a chain is
valid where all its links are (their lives intersected). The substeps of ingress step 9, cheap
first, signatures last; the numbers are those of the refusals:

9.1  federation     R(0) hashes to the federation's id, all else names it
9.2  life           begins before it ends, within the maximum of its kind, not in the future
9.3  signer         known (else the record waits), of the right kind and org; a root within its
                    reign, a revocation or statement within its signer's life
9.4  keys           point checks (small-order and non-canonical keys), no key twice, thresholds
                    that the keys can meet
9.5  threshold      enough different keys, for roots of different holders; no foreign signature
9.6  rights         each capability within one of the signer's, regions within its regions,
                    assertions only from an org that may issue them, `issue_agent` for nodes,
                    revocations and statements only about what the signer may speak for
9.7  generation     one step at a time, revealed and signed by the committed keys; generation 0
                    hashes to its inception; a seal hashes to its root
9.8  quota          an org's nodes at a time
9.9  signatures     each one genuine (TUF 1.0 section 5.3 for roots, KERI pre-rotation for keys)

A rotation needs the signer *and* the keys committed to, so neither a thief of the current key nor
an issuer alone can move an identity. Two roots with one number are both kept and the smaller id
reigns, so that the order of arrival does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hive.trust import checks, links
from hive.trust.capability import Capability
from hive.trust.envelope import Signed
from hive.trust.keys import PublicKey
from hive.trust.links import DATED, IDENTITIES, Case, Known
from hive.trust.records import (
    IssuerRecord,
    NodeRecord,
    OrgRecord,
    RootRecord,
    SessionRecord,
)
from hive.trust.revocation import Subject
from hive.trust.verdicts import Reason, TrustRefusal
from hive.wire.ids import Inception, RecordId
from hive.wire.schema import Record

CHAIN_LENGTH_MAX: Final = 6
"""Root, org, issuer, node, agent, session."""


@dataclass(frozen=True, slots=True)
class Step:
    """One check with its number and the reason it refuses with."""

    number: str
    reason: Reason
    refuses: Callable[[Case], str | None]


STEPS: Final[tuple[Step, ...]] = (
    Step("9.1", Reason.FOREIGN_FEDERATION, checks.foreign_federation),
    Step("9.2", Reason.EMPTY_LIFE, checks.empty_life),
    Step("9.2", Reason.LIFE_TOO_LONG, checks.life_too_long),
    Step("9.2", Reason.NOT_YET_VALID, checks.not_yet_valid),
    Step("9.3", Reason.SIGNER_UNKNOWN, checks.signer_unknown),
    Step("9.3", Reason.SIGNER_OF_WRONG_KIND, checks.signer_of_wrong_kind),
    Step("9.3", Reason.SIGNER_OF_OTHER_ORG, checks.signer_of_other_org),
    Step("9.3", Reason.SIGNER_SUPERSEDED, checks.signer_superseded),
    Step("9.3", Reason.SIGNED_OUTSIDE_LIFE, checks.signed_outside_life),
    Step("9.4", Reason.UNSOUND_KEY, checks.unsound_key),
    Step("9.4", Reason.REPEATED_KEY, checks.repeated_key),
    Step("9.4", Reason.UNREACHABLE_THRESHOLD, checks.unreachable_threshold),
    Step("9.5", Reason.FOREIGN_SIGNATURE, checks.foreign_signature),
    Step("9.5", Reason.THRESHOLD_NOT_MET, checks.threshold_not_met),
    Step("9.5", Reason.HOLDERS_NOT_DISTINCT, checks.holders_not_distinct),
    Step("9.6", Reason.MAY_NOT_ISSUE, checks.may_not_issue),
    Step("9.6", Reason.RIGHTS_AMPLIFIED, checks.rights_amplified),
    Step("9.6", Reason.REGION_OUTSIDE, checks.region_outside),
    Step("9.6", Reason.REVOKES_BEYOND, checks.revokes_beyond),
    Step("9.6", Reason.FRESHNESS_NOT_NAMED, checks.freshness_not_named),
    Step("9.6", Reason.SIGNER_REVOKED, checks.signer_revoked),
    Step("9.7", Reason.WRONG_GENERATION, checks.wrong_generation),
    Step("9.7", Reason.BROKEN_COMMITMENT, checks.broken_commitment),
    Step("9.7", Reason.WRONG_INCEPTION, checks.wrong_inception),
    Step("9.7", Reason.WRONG_SEAL, checks.wrong_seal),
    Step("9.8", Reason.QUOTA_EXCEEDED, checks.quota_exceeded),
    Step("9.9", Reason.FORGED_SIGNATURE, checks.forged_signature),
)


def judge(case: Case, steps: Sequence[Step]) -> TrustRefusal | None:
    """The first step that refuses, or None where the record stands."""
    for step in steps:
        detail = step.refuses(case)
        if detail is not None:
            return TrustRefusal(step.reason, detail, step.number)
    return None


@dataclass(frozen=True, slots=True)
class Chain:
    """A leaf with all it rests on; `capabilities` are effective, lives intersected.

    `kind` is the leaf's label ("org", "issuer", "node", "agent", "session"); a session speaks for
    its parent, whose label is `identity_kind` and whose name, region, identity and generation
    these are. `region` is empty but for nodes; `issuer` is an inception, empty for an org.
    """

    leaf: RecordId
    kind: str
    identity_kind: str
    identity: Inception
    org: Inception
    org_name: str
    name: str
    key: PublicKey
    region: str
    generation: int
    capabilities: tuple[Capability, ...]
    not_before_ms: int
    not_after_ms: int
    record_ids: tuple[RecordId, ...]
    issuer: Inception
    subjects: tuple[Subject, ...]

    def is_valid_at(self, wall_ms: int) -> bool:
        """Whether every record of the chain lives then; revocation is another question."""
        return self.not_before_ms <= wall_ms <= self.not_after_ms

    def allows(self, action: int, namespace: str, region: str, wall_ms: int) -> bool:
        """Whether one capability permits the action there, from that region, then."""
        return self.is_valid_at(wall_ms) and any(
            capability.allows(action, namespace, region, wall_ms)
            for capability in self.capabilities
        )


def walk(leaf: RecordId, known: Known) -> Chain | None:
    """The chain of an admitted leaf; None where a link is absent or its root does not reign."""
    links_up: list[Signed[Record]] = []
    at: RecordId | None = leaf
    while at is not None and len(links_up) < CHAIN_LENGTH_MAX:
        signed = known.signed(at)
        if signed is None:
            return None
        links_up.append(signed)
        at = None if isinstance(signed.record, RootRecord) else links.signer_id_of(signed.record)
    path = links_up[::-1]
    if len(path) < 2 or not isinstance(path[0].record, RootRecord):
        return None
    org = path[1]
    if not isinstance(org.record, OrgRecord):
        return None
    if org.record.not_before_ms >= known.reign_ends_ms(path[0].id):
        return None
    return _chain_along(path, org.record)


def _chain_along(path: Sequence[Signed[Record]], org: OrgRecord) -> Chain | None:
    leaf = path[-1]
    holder = path[-2] if isinstance(leaf.record, SessionRecord) else leaf
    identity = holder.record
    dated = [link.record for link in path if isinstance(link.record, DATED)]
    if not isinstance(identity, IDENTITIES) or not isinstance(leaf.record, DATED):
        return None
    return Chain(
        leaf=leaf.id,
        kind=leaf.record.LABEL,
        identity_kind=identity.LABEL,
        identity=Inception(identity.inception),
        org=Inception(org.inception),
        org_name=org.name,
        name=identity.name if not isinstance(identity, IssuerRecord) else "",
        key=links.keys_of(leaf.record)[0],
        region=identity.region if isinstance(identity, NodeRecord) else "",
        generation=identity.generation,
        capabilities=links.capabilities_of(leaf.record),
        not_before_ms=max(record.not_before_ms for record in dated),
        not_after_ms=min(record.not_after_ms for record in dated),
        record_ids=tuple(link.id for link in path),
        issuer=_issuer_of(path),
        subjects=tuple(_subject(link) for link in path[1:]),
    )


def _issuer_of(path: Sequence[Signed[Record]]) -> Inception:
    for link in path:
        if isinstance(link.record, IssuerRecord):
            return Inception(link.record.inception)
    return Inception(b"")


def _subject(link: Signed[Record]) -> Subject:
    record = link.record
    if isinstance(record, IDENTITIES):
        return Subject(record.LABEL, record.inception, record.generation)
    return Subject(record.LABEL, link.id, 0)
