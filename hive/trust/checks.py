"""The single checks of ingress step 9, each with one question and one reason.

A check gives None where the record passes, else the detail of the refusal. `chain.STEPS` puts
them in order and gives them their numbers; nothing else decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from hive.trust import links
from hive.trust.capability import Capability, are_narrower, are_within, is_narrower_place
from hive.trust.envelope import Signed
from hive.trust.keys import PublicKey, verify
from hive.trust.links import DATED, IDENTITIES, Case, Requirement
from hive.trust.records import (
    AgentRecord,
    FreshnessRecord,
    IssuerRecord,
    NodeRecord,
    OrgRecord,
    RevocationRecord,
    RootRecord,
    inception,
)
from hive.trust.revocation import seal_root
from hive.wire.clock import HLC_AHEAD_MS_MAX
from hive.wire.ids import Inception
from hive.wire.schema import Record


def foreign_federation(case: Case) -> str | None:
    """R(0) is the federation; every other record names it."""
    federation = case.known.federation
    if isinstance(case.record, RootRecord) and not case.record.number:
        return None if bytes(case.signed.id) == federation else "another federation's first root"
    named = getattr(case.record, "federation", b"")
    return None if named == federation else f"it names {bytes(named).hex()[:12]}"


def empty_life(case: Case) -> str | None:
    """A life begins before it ends."""
    record = case.record
    if isinstance(record, DATED) and record.not_before_ms >= record.not_after_ms:
        return "it ends before it begins"
    return None


def life_too_long(case: Case) -> str | None:
    """No record outlives the maximum of its kind."""
    record = case.record
    if not isinstance(record, DATED):
        return None
    life_ms = record.not_after_ms - record.not_before_ms
    life_ms_max = links.LIVES_MS_MAX[type(record)]
    return f"{life_ms} ms exceed {life_ms_max} ms" if life_ms > life_ms_max else None


def begins_ms(record: Record) -> int:
    """When a record begins or is dated; 0 for one without a date."""
    at_ms: int = record.not_before_ms if isinstance(record, DATED) else getattr(record, "at_ms", 0)
    return at_ms


def not_yet_valid(case: Case) -> str | None:
    """Nothing is taken in from more than the tolerated skew ahead."""
    ahead_ms = begins_ms(case.record) - case.now_ms
    return f"it begins in {ahead_ms} ms" if ahead_ms > HLC_AHEAD_MS_MAX else None


def signer_unknown(case: Case) -> str | None:
    """What the record rests on was admitted before it."""
    return "its signer or predecessor is not known" if links.missing_of(case) else None


def signer_of_wrong_kind(case: Case) -> str | None:
    """Roots sign orgs, orgs issuers, issuers nodes and agents, those their sessions."""
    if case.signer is None or isinstance(case.signer.record, links.SIGNER_KINDS[type(case.record)]):
        return None
    return f"a {case.signer.record.LABEL} cannot sign a {case.record.LABEL}"


def signer_of_other_org(case: Case) -> str | None:
    """The record's org is its signer's org."""
    own = links.org_of(case.signed)
    if own is None or case.signer is None or isinstance(case.record, OrgRecord):
        return None
    signers = links.org_of(case.signer)
    return None if signers is None or signers == own else "its signer belongs to another org"


def signer_superseded(case: Case) -> str | None:
    """A root signs orgs that begin within its reign."""
    if not isinstance(case.record, OrgRecord) or case.signer is None:
        return None
    if case.record.not_before_ms < case.known.reign_ends_ms(case.signer.id):
        return None
    return "its root did not reign when it began"


def signed_outside_life(case: Case) -> str | None:
    """A revocation or statement is dated within the life of the record that signed it."""
    record, signer = case.record, case.signer
    if not isinstance(record, RevocationRecord | FreshnessRecord) or signer is None:
        return None
    dates = signer.record
    if isinstance(dates, DATED) and dates.not_before_ms <= record.at_ms <= dates.not_after_ms:
        return None
    return "its signer did not live at its date"


def unsound_key(case: Case) -> str | None:
    """Every key is a canonical point of the main subgroup."""
    for position, key in enumerate(links.keys_of(case.record)):
        if not case.known.is_sound(key):
            return f"key {position}"
    return None


def repeated_key(case: Case) -> str | None:
    """No key and no commitment counts twice."""
    digests = [key.digest for key in links.keys_of(case.record)]
    committed, _ = links.commitment_of(case.record)
    if len(dict.fromkeys(digests)) < len(digests):
        return "a key appears twice"
    return None if len(dict.fromkeys(committed)) == len(committed) else "a commitment appears twice"


def unreachable_threshold(case: Case) -> str | None:
    """Thresholds can be met by the keys, holders and commitments that are there."""
    record = case.record
    if not isinstance(record, RootRecord | OrgRecord):
        return None
    voices = len(record.keys)
    if isinstance(record, RootRecord):
        voices = len(dict.fromkeys(entry.holder for entry in record.keys))
    if record.threshold > voices:
        return f"{record.threshold} of {voices}"
    if record.next_threshold > len(record.next_digests):
        return f"next {record.next_threshold} of {len(record.next_digests)}"
    return None


def foreign_signature(case: Case) -> str | None:
    """Only keys that the record needs have signed it, so its envelope cannot be padded."""
    allowed = _digests(key for need in case.requirements for key in need.keys)
    for entry in case.signed.signatures:
        if entry.key_digest not in allowed:
            return f"key {entry.key_digest.hex()[:12]} is not one of its signers"
    return None


def threshold_not_met(case: Case) -> str | None:
    """Enough different keys of the signer have signed."""
    return _short_of(case, [need for need in case.requirements if not need.is_commitment])


def _short_of(case: Case, needs: Sequence[Requirement]) -> str | None:
    for need in needs:
        count = len(_signers(case.signed, need))
        if count < need.threshold:
            return f"{count} of {need.threshold} of {need.what}"
    return None


def holders_not_distinct(case: Case) -> str | None:
    """The root keys that are needed and signed belong to as many different organisations."""
    for need in case.requirements:
        signers = _signers(case.signed, need) if need.holders else []
        holders = dict.fromkeys(need.holders[position] for position in signers)
        if len(holders) < min(need.threshold, len(signers)):
            return f"{len(holders)} of {need.threshold} holders of {need.what}"
    return None


def _signers(signed: Signed[Record], need: Requirement) -> list[int]:
    """The positions of the needed keys that appear among the signatures, each key once."""
    present = _digests_of_entries(signed)
    first = {key.digest: position for position, key in reversed(list(enumerate(need.keys)))}
    return [position for digest, position in first.items() if digest in present]


def _digests_of_entries(signed: Signed[Record]) -> dict[bytes, None]:
    return dict.fromkeys(entry.key_digest for entry in signed.signatures)


def _digests(keys: Iterable[PublicKey]) -> dict[bytes, PublicKey]:
    return {key.digest: key for key in keys}


def may_not_issue(case: Case) -> str | None:
    """A node signs agents only with the right to; it revokes only agents by its own word."""
    if case.signer is None or not isinstance(case.signer.record, NodeRecord):
        return None
    if not isinstance(case.record, AgentRecord | RevocationRecord):
        return None
    if links.issuable_of(case.signer.record):
        return None
    return "the node does not hold issue_agent"


def rights_amplified(case: Case) -> str | None:
    """Each capability, assertions included, is a subset of one of the signer's (P3)."""
    if case.signer is None:
        return None
    offered = links.issuable_of(case.signer.record)
    for capability in _given(case.record):
        if not are_narrower((capability,), offered):
            assertions = ", ".join(capability.assertions) or "none"
            return f"{capability.prefix!r}, actions {capability.actions:#x}, asserts {assertions}"
    return None


def _given(record: Record) -> Sequence[Capability]:
    """The capabilities that a record hands down from its signer."""
    return () if isinstance(record, OrgRecord) else links.capabilities_of(record)


def region_outside(case: Case) -> str | None:
    """An issuer stays within its org's regions, a node within its issuer's."""
    record = case.record
    offered = getattr(case.signer.record, "regions", ()) if case.signer else ()
    wanted: Sequence[str] = ()
    match record:
        case IssuerRecord():
            if not is_narrower_place(record.regions, offered):
                return "the issuer's regions exceed its org's"
            return _capability_outside(record)
        case NodeRecord():
            wanted = (record.region,)
    return f"{wanted[0]} is not among them" if not are_inside(wanted, offered) else None


def are_inside(wanted: Sequence[str], offered: Sequence[str]) -> bool:
    """Whether every region is offered; an empty offer is everywhere."""
    return not offered or are_within(wanted, offered)


def _capability_outside(record: IssuerRecord) -> str | None:
    for capability in record.capabilities:
        if not is_narrower_place(capability.regions, record.regions):
            return f"the capability under {capability.prefix!r} reaches beyond the issuer's regions"
    return None


def revokes_beyond(case: Case) -> str | None:
    """An org ends itself only as far as the generation whose keys signed."""
    record, signer = case.record, case.signer
    if not isinstance(record, RevocationRecord) or signer is None:
        return None
    own = signer.record
    if isinstance(own, IDENTITIES) and own.inception == record.subject:
        if not isinstance(own, OrgRecord):
            return "nobody but an org revokes itself"
        if record.generation > own.generation:
            return f"generation {record.generation} by keys of {own.generation}"
    if isinstance(own, RootRecord):
        return None if record.subject == record.org else "roots revoke orgs only"
    return None


def freshness_not_named(case: Case) -> str | None:
    """Freshness is stated by issuers that the root names, each for itself."""
    record, signer = case.record, case.signer
    if not isinstance(record, FreshnessRecord) or signer is None:
        return None
    if isinstance(signer.record, IssuerRecord) and signer.record.inception != record.issuer:
        return "the statement names another issuer than its signer"
    root = case.known.newest_root()
    if root is None or record.issuer not in root.record.freshness_issuers:
        return "the root does not name its issuer"
    return None


def signer_revoked(case: Case) -> str | None:
    """A statement about now needs an issuer that is not ended now; all else keeps its past."""
    if not isinstance(case.record, FreshnessRecord) or case.signer is None:
        return None
    ended = case.known.is_signer_revoked(case.signer.id)
    return "its issuer is revoked" if ended else None


def wrong_generation(case: Case) -> str | None:
    """Roots come one version at a time; generation and predecessor fit each other."""
    record = case.record
    if isinstance(record, RootRecord):
        return _wrong_root_number(record, case.signer)
    if not isinstance(record, IDENTITIES):
        return None
    if case.previous is None:
        if record.previous:
            return "its predecessor's id is malformed"
        return "a later generation names no predecessor" if record.generation else None
    previous = case.previous.record
    if type(previous) is not type(record) or not isinstance(previous, IDENTITIES):
        return f"its predecessor is a {previous.LABEL}"
    if record.generation in (max(previous.generation, 1), previous.generation + 1):
        return None
    return f"{record.generation} after {previous.generation}"


def _wrong_root_number(record: RootRecord, signer: Signed[Record] | None) -> str | None:
    if signer is None or not isinstance(signer.record, RootRecord):
        return None
    expected = signer.record.number + 1
    return None if record.number == expected else f"{record.number} where {expected} follows"


def broken_commitment(case: Case) -> str | None:
    """What the predecessor committed to is revealed and signs; a renewal changes no key."""
    short = _short_of(case, [need for need in case.requirements if need.is_commitment])
    record = case.record
    if short or not isinstance(record, IDENTITIES) or case.previous is None:
        return short
    previous = case.previous.record
    if links.is_rotation(record, previous):
        return None
    same_keys = links.keys_of(record) == links.keys_of(previous)
    if same_keys and links.commitment_of(record) == links.commitment_of(previous):
        return None
    return "a renewal changes keys or commitment"


def wrong_inception(case: Case) -> str | None:
    """Generation 0 hashes to its inception; later ones carry their predecessor's, in its org."""
    record = case.record
    if not isinstance(record, IDENTITIES):
        return None
    if case.previous is not None:
        previous = case.previous.record
        same = isinstance(previous, IDENTITIES) and previous.inception == record.inception
        if same and links.org_of(case.previous) == links.org_of(case.signed):
            return None
        return "it continues another identity"
    org = b"" if isinstance(record, OrgRecord) else record.org
    digests, _ = links.commitment_of(record)
    begun = inception(record.LABEL, links.keys_of(record), digests, org)
    return None if begun == record.inception else "its first keys give another inception"


def wrong_seal(case: Case) -> str | None:
    """A seal lists each chain once, in order, under the root that is signed."""
    record = case.record
    if not isinstance(record, RevocationRecord):
        return None
    if any(left.chain >= right.chain for left, right in pairwise(record.seal)):
        return "its entries are not sorted, or a chain appears twice"
    return None if seal_root(record.seal) == record.seal_root else "its root is not its entries'"


def quota_exceeded(case: Case) -> str | None:
    """An org has no more nodes at a time than the roots allowed it."""
    record, signer = case.record, case.signer
    if not isinstance(record, NodeRecord) or signer is None:
        return None
    org_id = links.signer_id_of(signer.record)
    org = case.known.signed(org_id) if org_id else None
    if org is None or not isinstance(org.record, OrgRecord):
        return None
    quota = org.record.node_quota
    count = case.known.node_count(Inception(record.org), record, quota)
    return f"{count} nodes fill the quota of {quota}" if count >= quota else None


def forged_signature(case: Case) -> str | None:
    """Every signature verifies under the strict profile."""
    keys = _digests(key for need in case.requirements for key in need.keys)
    for entry in case.signed.signatures:
        key = keys.get(entry.key_digest)
        if key and not verify(key, case.record.LABEL, case.signed.subject, entry.octets):
            return f"the signature of key {entry.key_digest.hex()[:12]} is not genuine"
    return None
