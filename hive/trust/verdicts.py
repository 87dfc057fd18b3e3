"""What becomes of a record or a position: values, never exceptions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from hive.trust.envelope import Signed
from hive.wire.ids import RecordId
from hive.wire.schema import Record


class Reason(StrEnum):
    """Every way in which a trust record is refused; the step that refuses is in `chain.STEPS`."""

    MALFORMED = "malformed"
    FOREIGN_FEDERATION = "foreign_federation"
    EMPTY_LIFE = "empty_life"
    LIFE_TOO_LONG = "life_too_long"
    NOT_YET_VALID = "not_yet_valid"
    SIGNER_UNKNOWN = "signer_unknown"
    SIGNER_OF_WRONG_KIND = "signer_of_wrong_kind"
    SIGNER_OF_OTHER_ORG = "signer_of_other_org"
    SIGNER_SUPERSEDED = "signer_superseded"
    SIGNED_OUTSIDE_LIFE = "signed_outside_life"
    UNSOUND_KEY = "unsound_key"
    REPEATED_KEY = "repeated_key"
    UNREACHABLE_THRESHOLD = "unreachable_threshold"
    FOREIGN_SIGNATURE = "foreign_signature"
    THRESHOLD_NOT_MET = "threshold_not_met"
    HOLDERS_NOT_DISTINCT = "holders_not_distinct"
    MAY_NOT_ISSUE = "may_not_issue"
    RIGHTS_AMPLIFIED = "rights_amplified"
    REGION_OUTSIDE = "region_outside"
    REVOKES_BEYOND = "revokes_beyond"
    FRESHNESS_NOT_NAMED = "freshness_not_named"
    SIGNER_REVOKED = "signer_revoked"
    WRONG_GENERATION = "wrong_generation"
    BROKEN_COMMITMENT = "broken_commitment"
    WRONG_INCEPTION = "wrong_inception"
    WRONG_SEAL = "wrong_seal"
    QUOTA_EXCEEDED = "quota_exceeded"
    FORGED_SIGNATURE = "forged_signature"
    STALE = "stale"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Admitted:
    """The record verified, and is kept."""

    signed: Signed[Record]


@dataclass(frozen=True, slots=True)
class Unknown:
    """The record rests on records not known here yet; nothing was verified or kept."""

    missing: tuple[RecordId, ...]


@dataclass(frozen=True, slots=True)
class TrustRefusal:
    """The record is refused; `step` is a substep of ingress step 9, such as "9.4"."""

    reason: Reason
    detail: str = ""
    step: str = "9"


Verdict: TypeAlias = Admitted | Unknown | TrustRefusal


@dataclass(frozen=True, slots=True)
class Good:
    """No revocation or seal reaches the position."""

    is_good: bool = True


@dataclass(frozen=True, slots=True)
class Sealed:
    """A revocation leaves the position out; `reason` and `revocation` name it."""

    reason: str
    revocation: RecordId
    is_good: bool = False


Standing: TypeAlias = Good | Sealed
GOOD: Final = Good()
