"""A gate to attack: the real ingress and intake over a real trust state, with every key at hand.

`Gate` does what a driver does, inline: it verifies, signs receipts and stores. `forge` makes a
delta with any field wrong; what is not named is right, down to signature and receipt.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hive.errors import HiveError
from hive.law.durability import LocalDurability
from hive.law.epochs import OneEpoch
from hive.law.rules import CapabilityRules
from hive.memory.bodies import Body, ForgetBody, MemoryBody
from hive.memory.delta import Delta, Header, Kind, Proof, commitment_of
from hive.memory.log import State
from hive.memory.receipt import Receipt, receipt_proofs
from hive.protocol.budget import BudgetConfig, Budgets
from hive.protocol.freshness import Freshness, FreshnessConfig
from hive.protocol.ingress import (
    STEPS,
    Ingress,
)
from hive.protocol.intake import Intake
from hive.protocol.judgement import (
    Arrival,
    IngressConfig,
    Step,
    View,
)
from hive.protocol.machine import Token, Verify
from hive.protocol.outcomes import (
    DeltaRefused,
    DeltasAdmitted,
    Output,
    OwnConcluded,
    SignReceipt,
    StoreWrites,
)
from hive.protocol.pending import PendingStore
from hive.protocol.quarantine import Quarantine
from hive.protocol.quota import QuotaConfig, Shares
from hive.protocol.waiting import WaitingConfig
from hive.store.memory_store import MemoryStore
from hive.trust.envelope import Signed
from hive.trust.issuing import state_freshness
from hive.trust.keys import PublicKey, SigningKey, verify
from hive.trust.records import AgentRecord, NodeRecord
from hive.trust.state import TrustConfig, TrustState
from hive.trust.verdicts import Admitted, TrustRefusal
from hive.wire import merkle
from hive.wire.clock import MILLISECOND_US, MonotonicUs, Now, WallUs
from hive.wire.ids import ZERO_DIGEST, DeltaId, Digest, PeerId
from tests.protocol.peer.peer_federation import NOW_MS, Federation, found, key

SENDER = PeerId(b"s" * 20)
START_MS = NOW_MS + 3_600_000
ADMITTED_MS = START_MS - 1_000
"""What an honest receipt says where a test does not care."""


@dataclass
class Pen:
    """An agent writing through a node, with both keys."""

    federation: Federation
    agent: Signed[AgentRecord]
    node: Signed[NodeRecord]
    agent_key: SigningKey
    node_key: SigningKey

    def write(
        self,
        text: str = "the aurora is green",
        *,
        after: Delta | None = None,
        body: Body | None = None,
        kind: int = Kind.MEMORY,
        admitted_at_ms: int = ADMITTED_MS,
        author_key: SigningKey | None = None,
        receipt_key: SigningKey | None = None,
        receipt_changes: dict[str, Any] | None = None,
        receipt_of: Sequence[Delta] = (),
        has_receipt: bool = True,
        encode_header: Callable[[Header], bytes] = Header.to_body,
        **header_changes: Any,
    ) -> Delta:
        """A delta behind `after`; every named thing is taken as told, true or not."""
        plain = (body or MemoryBody(_salt(text), text, "test", (), 0, 0)).to_body()
        header = Header(
            self.federation.id,
            "acme/notes",
            self.agent.record.inception,
            self.node.record.inception,
            self.agent.id,
            after.header.sequence + 1 if after else 1,
            after.id if after else ZERO_DIGEST,
            (admitted_at_ms << 16) + (after.header.sequence if after else 0),
            (1,),
            0,
            (),
            int(kind),
            (),
            commitment_of(plain),
        )
        header = replace(header, **header_changes)
        header_bytes = encode_header(header)
        id = DeltaId(Header.id_of(header_bytes))
        signature = (author_key or self.agent_key).sign(Header.LABEL, Digest(id))
        delta = Delta(id, header, header_bytes, Proof(signature, 0, 0, ()), plain, b"")
        if not has_receipt:
            return delta
        covered = [d.id for d in receipt_of] or [id]
        receipt = Receipt(
            self.federation.id,
            header.writer,
            self.node.id,
            admitted_at_ms,
            header.epochs,
            header.lease,
            1,
            len(covered),
            merkle.root(covered),
        )
        receipt = replace(receipt, **(receipt_changes or {}))
        signed = (receipt_key or self.node_key).sign(
            Receipt.LABEL, Receipt.id_of(receipt.to_body())
        )
        proof = receipt_proofs(receipt, signed, covered)[0]
        return replace(delta, receipt=proof.to_bytes())

    def forget(self, *targets: bytes, **changes: Any) -> Delta:
        """A forget of these ids."""
        body = ForgetBody(_salt("forget"), targets, "test")
        return self.write(body=body, kind=Kind.FORGET, **changes)


def _salt(text: str) -> bytes:
    return text.encode()[:32].ljust(32, b"-")


@dataclass
class Gate:
    """Intake of acme's node `gate`, driven inline."""

    steps: tuple[Step, ...] = STEPS
    law: Any = field(default_factory=CapabilityRules)
    durability: Any = field(default_factory=LocalDurability)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    quota: QuotaConfig = field(default_factory=QuotaConfig)
    trust_class: type[TrustState] = TrustState
    delay_receipt_us: int = 0

    def __post_init__(self) -> None:
        self.federation = found("acme", "bell", threshold=1)
        acme = self.federation.orgs["acme"]
        self.acme, self.bell = acme, self.federation.orgs["bell"]
        self.now_us = START_MS * MILLISECOND_US
        self.node = acme.node("gate", "eu")
        self.store = MemoryStore()
        self.trust = self.trust_class(self.federation.id, TrustConfig())
        for envelope in (*self.federation.records, self.node.to_bytes()):
            assert isinstance(self.trust.admit(envelope, START_MS), Admitted)
        self.view = View(
            federation=self.federation.id,
            region="eu",
            config=IngressConfig(),
            trust=self.trust,
            store=PendingStore(self.store),
            budgets=Budgets(self.budget),
            freshness=Freshness(FreshnessConfig(), self.trust),
            quarantine=Quarantine(),
            shares=Shares(self.quota, self.trust.org_of),
            epochs=OneEpoch(),
            law=self.law,
            durability=self.durability,
            sessions=lambda peer: peer == SENDER,
            writer_record=lambda: self.node.id,
        )
        counter = itertools.count(1)
        self.intake = Intake(
            Ingress(self.view, self.steps), WaitingConfig(), lambda: Token(next(counter))
        )
        self.outputs: list[Output] = []
        self.admitted: list[DeltaId] = []
        self.refused: list[str] = []
        self.concluded: list[OwnConcluded] = []
        self.index = 0

    # Cast.

    def knows(self, *records: Signed[Any]) -> None:
        """The gate's trust state admits these."""
        for record in records:
            verdict = self.trust.admit(record.to_bytes(), START_MS)
            assert isinstance(verdict, Admitted), verdict

    def refuses(self, record: Signed[Any]) -> str:
        """The sender presents a record that is refused; the negative cache hears of it."""
        verdict = self.trust.admit(record.to_bytes(), START_MS)
        if isinstance(verdict, TrustRefusal):
            self.view.refused_leaves.put((SENDER, record.id), None)
            return verdict.reason.value
        return "admitted"

    def pen(
        self,
        agent: Signed[AgentRecord] | None = None,
        node: Signed[NodeRecord] | None = None,
        *,
        is_known: bool = True,
    ) -> Pen:
        """An acme agent through acme's node `acme-1`, both known at the gate."""
        agent = agent or self.acme.agent("ann")
        node = node or self.acme.node("acme-1", "eu")
        if is_known:
            self.knows(agent, node)
        return Pen(self.federation, agent, node, key(agent.record.name), key(node.record.name))

    def own_pen(self) -> Pen:
        """An acme agent writing through the gate itself."""
        return self.pen(node=self.node)

    # Driving.

    def now(self, skew_us: int = 0) -> Now:
        return Now(MonotonicUs(self.now_us), WallUs(self.now_us + skew_us))

    def state_fresh(self, at_ms: int | None = None) -> None:
        """An issuer that the root names states its knowledge."""
        self.index += 1
        statement = state_freshness(
            self.bell.issuer,
            self.bell.issuer_key,
            index=self.index,
            at_ms=at_ms or self.now_us // MILLISECOND_US,
            revocation_count=self.trust.revocation_index,
            revocation_root=self.trust.revocation_root(),
            epoch_root=OneEpoch().root(),
        )
        self.view.freshness.hear(statement, self.now())

    def send(self, *deltas: Delta | bytes, sender: PeerId = SENDER) -> None:
        """A peer brings these together."""
        envelopes = [d if isinstance(d, bytes) else d.to_bytes() for d in deltas]
        arrivals = [Arrival(envelope, sender) for envelope in envelopes]
        self._perform(self.intake.arrive(arrivals, self.now()))

    def submit(self, *deltas: Delta) -> OwnConcluded:
        """The gate's own author writes these."""
        self._perform(self.intake.arrive_own(deltas, Token(10_000 + len(self.outputs)), self.now()))
        return self.concluded[-1]

    def _perform(self, outputs: Sequence[Output]) -> None:
        self.outputs += outputs
        for output in outputs:
            match output:
                case Verify():
                    verdicts = tuple(
                        verify(PublicKey(c.algorithm, c.public_key), c.label, c.digest, c.signature)
                        for c in output.checks
                    )
                    self._perform(self.intake.verified(output.token, verdicts, self.now()))
                case SignReceipt():
                    self.now_us += self.delay_receipt_us
                    signature = key("gate").sign(output.label, output.digest)
                    self._perform(self.intake.receipt_signed(output.token, signature, self.now()))
                case StoreWrites():
                    self._store(output)
                case DeltasAdmitted():
                    self.admitted += [delta.id for delta in output.deltas]
                case DeltaRefused():
                    self.refused.append(output.refusal.reason.code)
                case OwnConcluded():
                    self.concluded.append(output)
                case _:
                    pass

    def _store(self, output: StoreWrites) -> None:
        try:
            self.store.apply(output.writes)
        except HiveError:
            self.intake.store_failed(output.token)
        else:
            self.intake.stored(output.token)

    # Outcome.

    def is_live(self, delta: Delta) -> bool:
        """Whether it passed as live: admitted, to be forwarded, not void."""
        held = self.store.delta(delta.id)
        return delta.id in self.admitted and (held is None or held.state is not State.VOID)

    @property
    def health(self) -> int:
        """What the sender's budget is worth, in permille."""
        return self.view.budgets.health(SENDER)


def without(*names: str) -> tuple[Step, ...]:
    """The steps of the product but for those named."""
    assert all(any(step.name == name for step in STEPS) for name in names), names
    return tuple(step for step in STEPS if step.name not in names)


def with_step(name: str, run: Callable[..., Any], *removed: str) -> tuple[Step, ...]:
    """The steps with one check replaced by a laxer one."""
    return tuple(
        replace(step, run=run) if step.name == name else step for step in without(*removed)
    )
