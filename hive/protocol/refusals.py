"""Every way ingress can refuse: step, fault, cause and remedy.

The table is the one source for refusal reasons, metrics, `hive doctor` and the tests: a reason
that is not here does not exist. Only the fault `SENDER` costs a peer budget, so honest relayers
of duplicates, gaps or somebody's fork are never punished.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Fault(Enum):
    """Whose fault a refusal is."""

    SENDER = "sender"
    AUTHOR = "author"
    OURSELVES = "ourselves"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Reason:
    """One way to be refused."""

    code: str
    step: int
    fault: Fault
    cause: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal as a value: the reason, and what in particular."""

    reason: Reason
    detail: str = ""

    @property
    def is_blamed(self) -> bool:
        """Whether it is still to cost its sender; an empty account has cost it already."""
        return self.reason.fault is Fault.SENDER and self.reason is not OVER_BUDGET


_all: list[Reason] = []


def _reason(code: str, step: int, fault: Fault, cause: str, remedy: str) -> Reason:
    reason = Reason(code, step, fault, cause, remedy)
    _all.append(reason)
    return reason


NO_SESSION = _reason(
    "no_session",
    0,
    Fault.SENDER,
    "The bytes came over a link whose peer has no live, attested session.",
    "The peer must greet again with a valid node record; see `hive peers`.",
)
OVER_BUDGET = _reason(
    "over_budget",
    0,
    Fault.SENDER,
    "The peer used up its budget of bytes, verifications, requests or answers.",
    "Wait, or find out why the peer floods; its budget refills with time.",
)
CROWDED = _reason(
    "crowded",
    0,
    Fault.NOBODY,
    "The peers of its organisation, or those in its subnet, used up what they share.",
    'Wait: it refills. Many honest nodes of one site want the setting `network = "lan"`.',
)
SHUNNED = _reason(
    "shunned",
    0,
    Fault.NOBODY,
    "The peer's faults brought its score below the floor: for a while nothing of it is served.",
    "Find out why the peer misbehaves (`hive peers`); it is heard again by itself.",
)
FRAME_TOO_LARGE = _reason(
    "frame_too_large",
    0,
    Fault.SENDER,
    "One delta is larger than the format allows.",
    "Split the memory into parts of at most 64 KiB of text.",
)
MALFORMED = _reason(
    "malformed",
    1,
    Fault.SENDER,
    "The bytes do not decode to a delta of the right arity, types and sizes.",
    "The sending software is broken, hostile or of another version.",
)
NOT_CANONICAL = _reason(
    "not_canonical",
    2,
    Fault.SENDER,
    "The bytes decode, but are not the one canonical encoding of what they say.",
    "The sending software is broken or tries to give one content two ids.",
)
WRONG_LABEL = _reason(
    "wrong_label",
    3,
    Fault.SENDER,
    "The signed bytes are of another type or version than a delta.",
    "Check that both peers run compatible versions of hive.",
)
WRONG_FEDERATION = _reason(
    "wrong_federation",
    3,
    Fault.SENDER,
    "The delta was signed for another federation.",
    "Nothing to do: a delta cannot be moved between federations.",
)
DUPLICATE = _reason(
    "duplicate",
    4,
    Fault.NOBODY,
    "This delta has already been verified and is held.",
    "Nothing to do.",
)
BAD_NAMESPACE = _reason(
    "bad_namespace",
    5,
    Fault.SENDER,
    "The namespace does not follow the grammar.",
    "Use 1 to 8 lower-case segments joined by '/', e.g. acme/research.",
)
NOT_COVERED = _reason(
    "not_covered",
    5,
    Fault.SENDER,
    "No single capability of the author covers this action in this namespace from this region.",
    "Ask the organisation's issuer for a wider capability: `hive agent issue`.",
)
OUTSIDE_RESIDENCY = _reason(
    "outside_residency",
    5,
    Fault.SENDER,
    "The author signed that nodes of this region may not hold the delta.",
    "Nothing to do here: whoever sent it let data leave its jurisdiction.",
)
RESIDENCY_UNLAWFUL = _reason(
    "residency_unlawful",
    5,
    Fault.AUTHOR,
    "The regions that the author signed are not those that the law names for the namespace.",
    "The writing node must know the same residency of the namespace as its federation.",
)
RECEIPT_MISSING = _reason(
    "receipt_missing",
    6,
    Fault.SENDER,
    "The delta carries no admission receipt, so nobody vouches for when it was made.",
    "Submit deltas through a node; only the admitting node may make the receipt.",
)
RECEIPT_FOREIGN = _reason(
    "receipt_foreign",
    6,
    Fault.SENDER,
    "The receipt covers another delta or was made by a node other than the writer it names.",
    "Nothing to do: only the node named in the header may admit the delta.",
)
LEAF_NOT_VALID = _reason(
    "leaf_not_valid",
    6,
    Fault.SENDER,
    "The author's record was not valid at the time of admission: expired or not yet begun.",
    "Renew the agent: `hive agent renew NAME`; check the clocks.",
)
WRITER_NOT_VALID = _reason(
    "writer_not_valid",
    6,
    Fault.SENDER,
    "The admitting node's record was not valid at the time of admission.",
    "The node must renew its record through its issuer.",
)
STAMP_AHEAD = _reason(
    "stamp_ahead",
    6,
    Fault.SENDER,
    "The delta's time stamp is more than 5 s after the time at which it was admitted.",
    "Nothing to do: its author or writer lies about time.",
)
FROM_THE_FUTURE = _reason(
    "from_the_future",
    6,
    Fault.NOBODY,
    "The delta's time lies more than 5 s ahead of this node's clock.",
    "Compare the clocks of both nodes; run time synchronisation on the one that is off.",
)
CLOCK_AHEAD = _reason(
    "clock_ahead",
    6,
    Fault.OURSELVES,
    "This node's clock is ahead of what its peers attest.",
    "Synchronise this machine's clock (NTP), then try again; nothing was written.",
)
WRONG_EPOCH = _reason(
    "wrong_epoch",
    7,
    Fault.AUTHOR,
    "The delta was judged under policy epochs or a lease that are not in force.",
    "Write it again; it will be judged under the present law.",
)
NOT_FRESH = _reason(
    "not_fresh",
    8,
    Fault.OURSELVES,
    "This node has heard no recent freshness statement, so a revocation could have passed it by.",
    "Check the links to the issuers named by the root (`hive peers`) and the clock.",
)
REVOKED = _reason(
    "revoked",
    8,
    Fault.NOBODY,
    "A record in the author's or writer's chain was revoked or sealed before this delta.",
    "Rotate to a new generation: `hive keys rotate`.",
)
QUARANTINED = _reason(
    "quarantined",
    8,
    Fault.NOBODY,
    "The author forked this log; nothing at or behind the fork counts.",
    "The author's issuer must issue a new generation; see `hive log`.",
)
CHAIN_UNKNOWN = _reason(
    "chain_unknown",
    9,
    Fault.NOBODY,
    "Records of the author's or writer's chain are not known here yet; they were asked for.",
    "Nothing to do: the delta waits for them.",
)
CHAIN_REFUSED = _reason(
    "chain_refused",
    9,
    Fault.SENDER,
    "The author's or writer's chain of records does not verify up to the root.",
    "Nothing to do: an issuer is forged, amplifies rights, or is not of this federation.",
)
FORGED_SIGNATURE = _reason(
    "forged_signature",
    10,
    Fault.SENDER,
    "The author's signature does not verify.",
    "Nothing to do: somebody forged or damaged the delta.",
)
FORGED_RECEIPT = _reason(
    "forged_receipt",
    10,
    Fault.SENDER,
    "The admitting node's signature on the receipt does not verify.",
    "Nothing to do: somebody forged or damaged the receipt.",
)
BODY_MISMATCH = _reason(
    "body_mismatch",
    10,
    Fault.SENDER,
    "The body is not the one that the signed header commits to.",
    "Nothing to do: somebody swapped or damaged the body.",
)
GAP = _reason(
    "gap",
    11,
    Fault.NOBODY,
    "Earlier deltas of this log are not held yet; they were asked for.",
    "Nothing to do: the delta waits for them.",
)
FORK = _reason(
    "fork",
    11,
    Fault.AUTHOR,
    "The author signed two deltas at one position of its log; both are kept as proof.",
    "The author's issuer must find out why and issue a new generation.",
)
BROKEN_CHAIN = _reason(
    "broken_chain",
    11,
    Fault.AUTHOR,
    "The delta stands next in its log but does not continue it (previous or time contradict).",
    "The author must continue from its own head; its issuer may have to issue a new generation.",
)
LAW_DENIED = _reason(
    "law_denied",
    12,
    Fault.AUTHOR,
    "The law of the federation forbids this delta.",
    "Read the named law; write what it allows.",
)
OVER_QUOTA = _reason(
    "over_quota",
    13,
    Fault.AUTHOR,
    "The author's organisation took what this node's store has for it, in all or in a namespace.",
    "Forget what is not needed, or raise the quotas or `map_mib_max` of this node; `hive status`.",
)
LAW_CHANGED = _reason(
    "law_changed",
    13,
    Fault.OURSELVES,
    "Epoch, lease or freshness changed while the write was in flight.",
    "Write it again.",
)
DURABILITY_NOT_MET = _reason(
    "durability_not_met",
    13,
    Fault.OURSELVES,
    "Fewer durable copies exist than the namespace's durability class demands.",
    "Wait for the peers that hold it, or choose another class.",
)
STORE_FULL = _reason(
    "store_full",
    13,
    Fault.OURSELVES,
    "The store reached its configured cap; reading, forgetting and export still work.",
    "Forget what is not needed, or raise `store.map_bytes_max` and restart.",
)
STORE_FAILED = _reason(
    "store_failed",
    13,
    Fault.OURSELVES,
    "The disk did not take the write; nothing acknowledged is lost.",
    "Free disk space or mend the file system; the node recovers by itself.",
)

REASONS: Final = {reason.code: reason for reason in _all}
