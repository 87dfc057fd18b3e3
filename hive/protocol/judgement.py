"""Judgements: what ingress knows of one arrival, what its steps read, and what they can say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from hive.errors import ConfigError
from hive.memory.delta import (
    Delta,
    Header,
    Undecoded,
)
from hive.memory.receipt import ReceiptProof
from hive.protocol import refusals
from hive.protocol.bounded import BoundedMap
from hive.protocol.budget import Budgets, Lack
from hive.protocol.freshness import Freshness
from hive.protocol.machine import Check
from hive.protocol.pending import PendingStore
from hive.protocol.ports import DurabilityPort, EpochPort, LawPort
from hive.protocol.quarantine import Quarantine
from hive.protocol.quota import Shares
from hive.protocol.refusals import Reason, Refusal
from hive.trust.chain import Chain
from hive.trust.state import TrustState
from hive.wire.clock import MILLISECOND_US, Now
from hive.wire.ids import DeltaId, Digest, FederationId, PeerId, RecordId


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressConfig:
    """Bounds of ingress."""

    seen_count_max: int = 65_536
    """Verified ids remembered before the store is asked. More costs 100 B each. Sane: 2^10–2^20."""
    proven_count_max: int = 8_192
    """Batch and receipt signatures remembered as verified. Sane: 2^8–2^16."""
    refused_leaf_count_max: int = 4_096
    """Refused chains remembered a peer and leaf, so that step 9 is no open door."""

    def __post_init__(self) -> None:
        if min(self.seen_count_max, self.proven_count_max, self.refused_leaf_count_max) < 1:
            raise ConfigError("ingress bounds must be positive")


@dataclass(frozen=True, slots=True)
class Arrival:
    """Bytes at the door. `sender` is None where this node admits its own author's delta.

    `is_charged`: the cost was taken before (the delta waited for a missing piece).
    """

    untrusted: bytes
    sender: PeerId | None
    is_charged: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """Every step passed: it may be stored, indexed, forwarded and answered from."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A missing piece was named: records of a chain, earlier deltas, or time."""

    reason: Reason
    records: tuple[RecordId, ...] = ()
    until_us: int = 0


@dataclass(frozen=True, slots=True)
class Voided:
    """Kept in its chain as a header without body and effect."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Forked:
    """Another delta is held at this position."""

    other: DeltaId


@dataclass(frozen=True, slots=True)
class BodyBrought:
    """A live, held delta lacked exactly this body."""


Verdict: TypeAlias = Passed | Refusal | Waiting | Voided | Forked | BodyBrought

PASSED: Final = Passed()

LACKS: Final = {
    Lack.OVER_BUDGET: refusals.OVER_BUDGET,
    Lack.CROWDED: refusals.CROWDED,
    Lack.SHUNNED: refusals.SHUNNED,
}
"""The reason of step 0 for each way in which a cost was not paid."""


@dataclass(slots=True)
class Judgement:
    """What is known about one arrival while it is judged."""

    arrival: Arrival
    now: Now
    undecoded: Undecoded | None = None
    delta: Delta = field(init=False)
    """There from step 1 on, as is the header."""
    header: Header = field(init=False)
    receipt: ReceiptProof | None = None
    leaf: Chain | None = None
    writer: Chain | None = None
    author_check: Check | None = None
    receipt_check: Check | None = None
    is_signed: bool = False
    is_receipt_signed: bool = False
    snapshot: tuple[int, int] = (-1, -1)
    void: Voided | None = None

    @property
    def is_own(self) -> bool:
        """Whether this node admits the delta itself."""
        return self.arrival.sender is None

    @property
    def admitted_at_ms(self) -> int:
        """The time at which time-dependent steps are judged."""
        if self.receipt is None:
            return self.now.wall_us // MILLISECOND_US
        return self.receipt.receipt.admitted_at_ms

    def root_by_receipt(self) -> Digest | None:
        """The root of the receipt's tree, where the author signed the very same tree."""
        found, proof = self.receipt, self.delta.proof
        if found is None or found.receipt.count != proof.count or found.path != proof.path:
            return None
        is_same = found.index == self.header.sequence - proof.first_sequence
        return Digest(found.receipt.root) if is_same else None


@dataclass(slots=True, kw_only=True)
class View:
    """What the steps read."""

    federation: FederationId
    region: str
    config: IngressConfig
    trust: TrustState
    store: PendingStore
    budgets: Budgets
    freshness: Freshness
    quarantine: Quarantine
    shares: Shares
    epochs: EpochPort
    law: LawPort
    durability: DurabilityPort
    sessions: Callable[[PeerId], bool]
    writer_record: Callable[[], RecordId]
    proven: BoundedMap[tuple[RecordId, Digest, bytes], None] = field(init=False)
    refused_leaves: BoundedMap[tuple[PeerId, RecordId], None] = field(init=False)

    def __post_init__(self) -> None:
        self.proven = BoundedMap(self.config.proven_count_max)
        self.refused_leaves = BoundedMap(self.config.refused_leaf_count_max)

    @property
    def snapshot(self) -> tuple[int, int]:
        """What verdicts of steps 5–9 rest on: records and revocations, and proven forks."""
        return self.trust.version, self.quarantine.version


@dataclass(frozen=True, slots=True)
class Step:
    """One check of one numbered step."""

    number: int
    name: str
    run: Callable[[Judgement, View], Verdict | None]
