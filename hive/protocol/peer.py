"""The peer: composes the machines; every seam between two of them is in this file.

Theory of operation. One door: `handle(event, now) -> effects`. An event goes to the part it
belongs to; what that part says is translated here into effects for the driver and into events
for other parts:

- a greeting's records go to recordkeeping, then introductions judge the node record;
- a complete contact joins membership and enters discovery; deaths leave both;
- a stream to a contact joins reconciliation and dissemination;
- `Deltas` from a stream go through intake (ingress); what intake admitted is stored, then pushed
  on by dissemination, then shown to reconciliation; gaps and unknown records are asked for;
- forks found by intake, or told by a peer and verified, cut the log and are told to everybody;
- new trust records release the deltas that waited for them.

Order of effects is store, then send, then answer: each part emits `Store` before what depends on
it, and the driver drops what stands behind a store that failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, assert_never

from hive.errors import MalformedFrame
from hive.memory.fork import ForkProof, parse_fork_untrusted
from hive.protocol import refusals
from hive.protocol.authorship import Authorship, AuthorshipConfig
from hive.protocol.bounded import BoundedMap
from hive.protocol.budget import BudgetConfig, Budgets
from hive.protocol.commands import (
    AdmitRecords,
    Author,
    Declined,
    Done,
    Import,
    Imported,
    Join,
    Leave,
    Recall,
    RecordsTaken,
)
from hive.protocol.core import Core, CustodyPort, Effects, OwnNode
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.events import (
    ContactDied,
    ContactUnreachable,
    ContactVerified,
    DiscoveryEvent,
    Introduce,
    LookupFinished,
    Published,
    PublishRequested,
    RecordFound,
    RecordRequested,
    RefreshRequested,
)
from hive.protocol.discovery.kademlia import Discovery
from hive.protocol.discovery.records import PeerRecord, SignedRecord
from hive.protocol.dissemination.push import (
    DeltasStored,
    InterestHeard,
    MemberConnected,
    MemberGone,
    PushConfig,
    Pusher,
    StoredDelta,
)
from hive.protocol.events import (
    DISCOVERY,
    INTRODUCTION,
    INTRODUCTION_WANTED,
    MEMBERSHIP,
    Admitted,
    Asked,
    DatagramOpened,
    Dial,
    Effect,
    Endpoint,
    Event,
    ForkNews,
    FrameReceived,
    Greeted,
    MemberNews,
    Reached,
    ReconciledNews,
    RefusedNews,
    Reply,
    RequestId,
    RetireContact,
    Searched,
    SendDatagram,
    SendFrame,
    SignAs,
    Store,
    Stored,
    StoreFailed,
    StreamClosed,
    StreamOpened,
    Unreachable,
)
from hive.protocol.freshness import Freshness, FreshnessConfig
from hive.protocol.ingress import STEPS, Arrival, Ingress, IngressConfig, Step, View
from hive.protocol.intake import Intake
from hive.protocol.introductions import IntroductionConfig, Introductions, Known, NodeKeys
from hive.protocol.machine import (
    Check,
    Received,
    Send,
    Sign,
    SignatureMade,
    Ticked,
    Token,
    Verified,
    Verify,
)
from hive.protocol.membership.config import SwimConfig
from hive.protocol.membership.events import Event as SwimEvent
from hive.protocol.membership.events import (
    Introduction,
    Joined,
    LeaveRequested,
    MemberAlive,
    MemberDied,
    MemberLeft,
    MemberReaped,
    MemberSuspected,
    PeerUnknown,
    Retired,
    SelfRefuted,
)
from hive.protocol.membership.swim import Swim
from hive.protocol.messages import (
    ID_COUNT_MAX,
    MESSAGES,
    Deltas,
    Forks,
    Interest,
    Records,
    RenewalRequest,
    RevocationList,
    WantDeltas,
    WantRecords,
    WantRevocations,
)
from hive.protocol.outcomes import (
    DeltaRefused,
    DeltasAdmitted,
    ForkFound,
    GapFound,
    Output,
    OwnConcluded,
    RecordsMissing,
    RevocationsMissing,
    SignReceipt,
    StoreWrites,
)
from hive.protocol.pending import PendingStore
from hive.protocol.ports import (
    DurabilityPort,
    EpochPort,
    LawPort,
    PutDelta,
    PutForget,
    PutFork,
    PutRecord,
    StoreReader,
    Truncate,
    Write,
)
from hive.protocol.quarantine import Quarantine
from hive.protocol.recollection import Recollection
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.events import (
    Agreed,
    Changed,
    PeerConnected,
    PeerGone,
    Reconciled,
    ReconcileRequested,
)
from hive.protocol.reconciliation.events import Event as ReconcilerEvent
from hive.protocol.reconciliation.reconciler import Reconciler
from hive.protocol.recordkeeping import Recordkeeping, RecordkeepingConfig, Taken
from hive.protocol.refusals import Refusal
from hive.protocol.statements import Statements
from hive.protocol.waiting import WaitingConfig
from hive.trust.state import TrustConfig, TrustState
from hive.wire.clock import Hlc, MonotonicUs, Now
from hive.wire.ids import FederationId, Inception, PeerId, RecordId
from hive.wire.randomness import Stream
from hive.wire.schema import Record, label_of_untrusted

Change: TypeAlias = tuple[str, Hlc | None]

FORK_CHECKS_MAX: Final = 1_024

_BY_LABEL = {cls.LABEL: cls for cls in MESSAGES}


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConfig:
    """Every bound and interval of a peer, one part each."""

    trust: TrustConfig = field(default_factory=TrustConfig)
    ingress: IngressConfig = field(default_factory=IngressConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    waiting: WaitingConfig = field(default_factory=WaitingConfig)
    freshness: FreshnessConfig = field(default_factory=FreshnessConfig)
    authorship: AuthorshipConfig = field(default_factory=AuthorshipConfig)
    recordkeeping: RecordkeepingConfig = field(default_factory=RecordkeepingConfig)
    introduction: IntroductionConfig = field(default_factory=IntroductionConfig)
    membership: SwimConfig = field(default_factory=SwimConfig.for_lan)
    discovery: DiscoveryConfig = field(default_factory=DiscoveryConfig.for_lan)
    push: PushConfig = field(default_factory=PushConfig.for_lan)
    reconciliation: ReconciliationConfig = field(default_factory=ReconciliationConfig.for_lan)
    interest: tuple[str, ...] = ("",)
    """Namespace prefixes this node wants pushed; "" wants everything it may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerPorts:
    """What a peer reads, and the law it asks."""

    reader: StoreReader
    custody: CustodyPort
    epochs: EpochPort
    law: LawPort
    durability: DurabilityPort


class Peer:
    """One participant, without I/O: the node drives it, and so does the simulator."""

    def __init__(
        self,
        config: PeerConfig,
        federation: FederationId,
        own: OwnNode,
        own_record: SignedRecord,
        ports: PeerPorts,
        *,
        seed: bytes,
        steps: tuple[Step, ...] = STEPS,
    ) -> None:
        trust = TrustState(federation, config.trust)
        self._config = config
        self.core = Core(
            federation=federation,
            own=own,
            trust=trust,
            reader=ports.reader,
            pending=PendingStore(ports.reader, config.ingress.seen_count_max),
            freshness=Freshness(config.freshness, trust),
            quarantine=Quarantine(),
            budgets=Budgets(config.budget),
            epochs=ports.epochs,
            custody=ports.custody,
            stream=Stream(seed, "peer", own.peer),
        )
        self.view = self._view(config, ports)
        self.intake = Intake(Ingress(self.view, steps), config.waiting, self.core.tokens.fresh)
        self.recordkeeping = Recordkeeping(self.core, config.recordkeeping, self._refused_record)
        self.statements = Statements(self.core)
        agents = self.recordkeeping.agents
        self.authorship = Authorship(self.core, config.authorship, self.intake, agents)
        self.recollection = Recollection(self.core, agents)
        self.introductions = Introductions(self.core, config.introduction, own_record)
        self._keys = NodeKeys(self.core)
        introduction = Introduction(own.peer, own.key.algorithm, own.key.octets, own.org)
        self.membership = Swim(
            config.membership, introduction, seed=seed, incarnation=own.boot << 20
        )
        self.discovery = Discovery(
            own.peer, config.discovery, self._keys, Stream(seed, "discovery", own.peer)
        )
        self.pusher = Pusher(config.push, self._may_hold)
        self.reconciler = Reconciler(
            config.reconciliation,
            ports.reader,
            self._may_hold,
            Stream(seed, "reconciliation", own.peer),
        )
        self._bootstrap: list[Endpoint] = []
        self._is_published = False
        self._changes: dict[Token, tuple[Change, ...]] = {}
        self._fork_checks: BoundedMap[Token, tuple[ForkProof, int]] = BoundedMap(FORK_CHECKS_MAX)
        self._admitting: BoundedMap[Token, RequestId] = BoundedMap(FORK_CHECKS_MAX)
        self._merged: dict[Token, tuple[Token, ...]] = {}
        self._duties: dict[Token, tuple[Write, ...]] = {}
        self._owed: list[Write] = []

    def _view(self, config: PeerConfig, ports: PeerPorts) -> View:
        core = self.core
        return View(
            federation=core.federation,
            config=config.ingress,
            trust=core.trust,
            store=core.pending,
            budgets=core.budgets,
            freshness=core.freshness,
            quarantine=core.quarantine,
            epochs=ports.epochs,
            law=ports.law,
            durability=ports.durability,
            sessions=lambda peer: peer in core.connected or peer == core.own.peer,
            writer_record=lambda: core.own.record,
        )

    def _refused_record(self, sender: PeerId, record: RecordId) -> None:
        self.view.refused_leaves.put((sender, record), None)

    def _may_hold(self, peer: PeerId, namespace: str) -> bool:
        """Whether a peer lies in a namespace's admissible set; none is restricted yet."""
        return True

    def recover(self, now: Now) -> None:
        """Rebuilds what follows from the store: trust, own agents, forks."""
        self.recordkeeping.recover(now)
        for kept in self.core.reader.forks():
            self.core.quarantine.add(parse_fork_untrusted(kept.proof), kept.generation)

    @property
    def deadline(self) -> MonotonicUs | None:
        """The earliest timer of any part."""
        times = [
            self.membership.deadline,
            self.discovery.deadline,
            self.reconciler.deadline,
            self.statements.deadline,
            self.introductions.deadline,
        ]
        return min((time for time in times if time is not None), default=None)

    def handle(self, event: Event, now: Now) -> Effects:
        """Takes one event and gives the effects in the order in which they must happen."""
        self._keys.now = now
        return self._in_one_store(self._handle(event, now))

    def _handle(self, event: Event, now: Now) -> Effects:
        match event:
            case Ticked():
                return self._tick(now)
            case DatagramOpened():
                return self._datagram(event, now)
            case Greeted():
                return self._greeted(event, now)
            case Reached():
                return self._reached(event, now)
            case Unreachable():
                return self._unreachable(event, now)
            case StreamOpened():
                return self._connected(event.peer, now)
            case StreamClosed():
                return self._disconnected(event.peer, now)
            case FrameReceived():
                return self._frame(event, now)
            case Verified():
                return self._verified(event, now)
            case SignatureMade():
                return self._signed(event, now)
            case Stored():
                return self._stored(event.token, now)
            case StoreFailed():
                return self._store_failed(event, now)
            case Searched():
                return self.recollection.searched(event)
            case Asked():
                return self._asked(event, now)
            case _:
                assert_never(event)

    # Time.

    def _tick(self, now: Now) -> Effects:
        effects = self._membership(Ticked(), now)
        effects += self._discovery(Ticked(), now)
        effects += self._reconciler(Ticked(), now)
        effects += self.statements.ticked(now)
        effects += self._outputs(self.intake.ticked(now), now)
        effects += self._pay_owed()
        upkeep, late, ended = self.introductions.ticked(now)
        effects += upkeep
        for peer in late:
            effects += self._discovery(ContactUnreachable(peer), now)
        for peer in ended:
            effects += self._retire(peer, now)
        if not self.introductions.known:
            effects += [Dial(endpoint) for endpoint in self._bootstrap]
        return effects

    # Contacts.

    def _greeted(self, event: Greeted, now: Now) -> Effects:
        taken = self.recordkeeping.take(event.untrusted_records[::-1], None, now)
        effects = [*self._kept(taken), *self.introductions.greeted(event, now)]
        if taken.admitted:
            effects += self._outputs(self.intake.records_admitted(taken.admitted, now), now)
        return effects

    def _reached(self, event: Reached, now: Now) -> Effects:
        known = self.introductions.known.get(event.peer)
        effects = self.introductions.reached(event.peer, event.endpoint, now)
        if known is None:
            return effects
        key = known.chain.key
        joined = Joined(Introduction(event.peer, key.algorithm, key.octets, known.chain.org))
        effects += self._membership(joined, now)
        if known.record is not None:
            effects += self._complete(known, now)
        return effects

    def _unreachable(self, event: Unreachable, now: Now) -> Effects:
        if event.peer is None:
            return []
        return self._discovery(ContactUnreachable(event.peer), now)

    def _complete(self, known: Known, now: Now) -> Effects:
        """A contact whose peer record is verified."""
        contact = self.introductions.contact_of(known)
        effects = self._discovery(ContactVerified(contact), now)
        effects += self.introductions.stream_wanted(known, now)
        if not self._is_published:
            self._is_published = True
            effects += self._discovery(RefreshRequested(), now)
            own = self.introductions.own_record.to_bytes()
            effects += self._discovery(PublishRequested(Token(0), own), now)
        return effects

    def _retire(self, peer: PeerId, now: Now) -> Effects:
        self.introductions.retire(peer)
        effects: Effects = [RetireContact(peer)]
        effects += self._membership(Retired(peer), now)
        effects += self._discovery(ContactDied(peer), now)
        return effects

    def _datagram(self, event: DatagramOpened, now: Now) -> Effects:
        received = Received(event.sender, event.untrusted_payload)
        if event.kind == MEMBERSHIP:
            return self._membership(received, now)
        if event.kind == DISCOVERY:
            return self._discovery(received, now)
        if event.kind == INTRODUCTION:
            return self.introductions.introduced(event.sender, event.untrusted_payload)
        if event.kind == INTRODUCTION_WANTED:
            return self.introductions.wanted(event.sender)
        return []

    # Membership.

    def _membership(self, event: SwimEvent, now: Now) -> Effects:
        effects: Effects = []
        for effect in self.membership.handle(event, now):
            match effect:
                case Send():
                    effects.append(SendDatagram(effect.receiver, MEMBERSHIP, effect.payload))
                case Verify():
                    outer = self.core.tokens.route("membership", effect.token)
                    effects.append(Verify(outer, effect.checks))
                case Sign():
                    effects.append(self._sign("membership", effect))
                case MemberAlive():
                    effects += self._alive(effect, now)
                case MemberSuspected():
                    effects.append(MemberNews(effect.peer, "suspect", effect.incarnation))
                case MemberDied():
                    effects += self._dead(effect.peer, "dead", effect.incarnation, now)
                case MemberLeft():
                    effects += self._dead(effect.peer, "left", effect.incarnation, now)
                case MemberReaped():
                    effects.append(MemberNews(effect.peer, "reaped", 0))
                case SelfRefuted():
                    effects.append(MemberNews(self.core.own.peer, "alive", effect.incarnation))
                case PeerUnknown():
                    effects += self._locate(effect.peer, now)
                case _:
                    assert_never(effect)
        return effects

    def _alive(self, news: MemberAlive, now: Now) -> Effects:
        effects: Effects = [MemberNews(news.peer, "alive", news.incarnation)]
        known = self.introductions.lives(news.peer)
        if known is not None:
            effects += self.introductions.stream_wanted(known, now)
        return effects

    def _dead(self, peer: PeerId, state: str, incarnation: int, now: Now) -> Effects:
        self.introductions.died(peer)
        gone = self._discovery(ContactDied(peer), now)
        return [MemberNews(peer, state, incarnation), *gone]

    def _locate(self, peer: PeerId, now: Now) -> Effects:
        """Somebody spoke of a peer unknown here: its record in the DHT says where it is."""
        return self._discovery(RecordRequested(self.core.tokens.fresh(), peer), now)

    # Discovery.

    def _discovery(self, event: DiscoveryEvent, now: Now) -> Effects:
        effects: Effects = []
        for effect in self.discovery.handle(event, now):
            match effect:
                case Send():
                    effects.append(SendDatagram(effect.receiver, DISCOVERY, effect.payload))
                case Verify():
                    outer = self.core.tokens.route("discovery", effect.token)
                    effects.append(Verify(outer, effect.checks))
                case Introduce():
                    effects += self._introduce(effect, now)
                case RecordFound():
                    effects += self._located(effect)
                case LookupFinished() | Published():
                    pass
                case _:
                    assert_never(effect)
        return effects

    def _introduce(self, wanted: Introduce, now: Now) -> Effects:
        outcome = self.introductions.introduce(wanted.peer, wanted.untrusted_address, now)
        if isinstance(outcome, Known):
            contact = self.introductions.contact_of(outcome)
            return self._discovery(ContactVerified(contact), now)
        return outcome

    def _located(self, found: RecordFound) -> Effects:
        for each in found.records:
            if isinstance(each.record, PeerRecord):
                address = each.record.addresses[0]
                return [Dial(Endpoint(address.host, address.udp_port))]
        return []

    # Streams.

    def _connected(self, peer: PeerId, now: Now) -> Effects:
        self.core.connected[peer] = None
        effects: Effects = [SendFrame(peer, Interest(self._config.interest).to_body())]
        effects += self.statements.greet(peer)
        effects.append(SendFrame(peer, WantRevocations().to_body()))
        proofs = tuple(proof.to_bytes() for proof in self.core.quarantine.proofs())[:16]
        if proofs:
            effects.append(SendFrame(peer, Forks(proofs).to_body()))
        effects += self._sends(self.pusher.handle(MemberConnected(peer), now))
        return [*effects, *self._reconciler(PeerConnected(peer), now)]

    def _disconnected(self, peer: PeerId, now: Now) -> Effects:
        self.core.connected.pop(peer, None)
        effects = self._sends(self.pusher.handle(MemberGone(peer), now))
        return [*effects, *self._reconciler(PeerGone(peer), now)]

    def _sends(self, effects: Sequence[object]) -> Effects:
        return [
            SendFrame(effect.receiver, effect.payload)
            for effect in effects
            if isinstance(effect, Send)
        ]

    def _reconciler(self, event: ReconcilerEvent, now: Now) -> Effects:
        effects: Effects = []
        for effect in self.reconciler.handle(event, now):
            match effect:
                case Send():
                    effects.append(SendFrame(effect.receiver, effect.payload))
                case Reconciled():
                    effects.append(
                        ReconciledNews(
                            effect.peer, effect.namespace, effect.ids_received, effect.ids_sent
                        )
                    )
                case Agreed():
                    effects.append(ReconciledNews(effect.peer, "", 0, 0))
                case _:
                    assert_never(effect)
        return effects

    def _frame(self, event: FrameReceived, now: Now) -> Effects:
        sender, payload = event.sender, event.untrusted_payload
        label = label_of_untrusted(payload)
        cls = _BY_LABEL.get(label)
        if cls is None or cls is WantDeltas:
            return self._reconciler(Received(sender, payload), now)
        try:
            message: Record = cls.from_body_untrusted(payload)
        except MalformedFrame:
            self.core.budgets.blame(sender, now.monotonic_us)
            return [RefusedNews(Refusal(refusals.MALFORMED, label), sender, b"")]
        if not self._is_affordable(message, sender, len(payload), now):
            return [RefusedNews(Refusal(refusals.OVER_BUDGET, label), sender, b"")]
        return self._message(message, sender, now)

    def _is_affordable(self, message: Record, sender: PeerId, size: int, now: Now) -> bool:
        """Step 0 for what is no delta; deltas are charged one by one."""
        match message:
            case Deltas():
                return True
            case Records():
                checks = len(message.envelopes)
            case Forks():
                checks = 2 * len(message.proofs)
            case _:
                checks = 1
        return self.core.budgets.charge(sender, size, checks, now.monotonic_us)

    def _message(self, message: Record, sender: PeerId, now: Now) -> Effects:
        match message:
            case Deltas():
                arrivals = [Arrival(envelope, sender) for envelope in message.envelopes]
                return self._outputs(self.intake.arrive(arrivals, now), now)
            case Records():
                return self._records(message.envelopes, sender, now)
            case WantRecords():
                return self.recordkeeping.wanted(message, sender)
            case WantRevocations():
                return self.recordkeeping.revocations_wanted(message, sender)
            case RevocationList():
                return self.recordkeeping.revocations_listed(message, sender)
            case Forks():
                return self._forks_told(message, sender, now)
            case Interest():
                heard = InterestHeard(sender, message.prefixes)
                return self._sends(self.pusher.handle(heard, now))
            case RenewalRequest():
                return self.recordkeeping.renewal_wanted(message, sender)
            case _:
                return []

    def _records(self, envelopes: Sequence[bytes], sender: PeerId | None, now: Now) -> Effects:
        taken = self.recordkeeping.take(envelopes, sender, now)
        effects = [*self._kept(taken), *self.statements.heard(taken.statements, sender, now)]
        if taken.admitted:
            effects += self._outputs(self.intake.records_admitted(taken.admitted, now), now)
        return effects

    def _kept(self, taken: Taken) -> Effects:
        """What recordkeeping wants done, its writes stored first."""
        if not taken.writes:
            return taken.effects
        return [self._store(self.core.tokens.fresh(), tuple(taken.writes)), *taken.effects]

    # Deltas.

    def _outputs(self, outputs: Sequence[Output], now: Now) -> Effects:
        effects: Effects = []
        for output in outputs:
            effects += self._output(output, now)
        return effects

    def _output(self, output: Output, now: Now) -> Effects:
        match output:
            case Verify():
                return [Verify(self.core.tokens.route("intake", output.token), output.checks)]
            case SignReceipt():
                sign = Sign(output.token, output.label, output.digest)
                return [self._sign("receipt", sign)]
            case StoreWrites():
                return [self._store(output.token, output.writes)]
            case DeltasAdmitted():
                return self._admitted(output, now)
            case DeltaRefused():
                return [RefusedNews(output.refusal, output.sender, output.delta, output.count)]
            case RecordsMissing():
                if output.sender is None:
                    return []
                return [SendFrame(output.sender, WantRecords(output.records).to_body())]
            case GapFound():
                return self._gap(output)
            case ForkFound():
                return self._forked(output.proof, output.generation, now)
            case RevocationsMissing():
                if output.sender is None:
                    return []
                return [SendFrame(output.sender, WantRevocations().to_body())]
            case OwnConcluded():
                return self.authorship.concluded(output, now)
            case _:
                assert_never(output)

    def _admitted(self, output: DeltasAdmitted, now: Now) -> Effects:
        stored = tuple(
            StoredDelta(delta.header.namespace, delta.to_bytes()) for delta in output.deltas
        )
        event = DeltasStored(stored, output.sender)
        pushed = self._sends(self.pusher.handle(event, now))
        return [*pushed, Admitted(output.deltas, output.sender)]

    def _gap(self, gap: GapFound) -> Effects:
        if gap.sender is None or gap.last < gap.first:
            return []
        header = gap.delta.header
        author, writer = Inception(header.author), Inception(header.writer)
        wanted = self.reconciler.want_chain(
            author, writer, header.namespace, gap.first, min(gap.last, gap.first + ID_COUNT_MAX)
        )
        return [SendFrame(gap.sender, wanted)]

    # Forks.

    def _forked(self, proof: ForkProof, generation: int, now: Now) -> Effects:
        """A verified fork: kept, the log cut before it, everybody told."""
        header = proof.first.header
        writes: tuple[Write, ...] = (
            PutFork(proof.id, proof.chain, proof.sequence, generation, proof.to_bytes()),
            Truncate(proof.chain, proof.sequence - 1),
        )
        self.core.pending.truncate(proof.chain, proof.sequence - 1)
        token = self.core.tokens.fresh()
        effects: Effects = [self._store(token, writes)]
        payload = Forks((proof.to_bytes(),)).to_body()
        effects += [SendFrame(peer, payload) for peer in self.core.connected]
        author = Inception(header.author)
        return [*effects, ForkNews(author, header.namespace, proof.sequence)]

    def _forks_told(self, message: Forks, sender: PeerId, now: Now) -> Effects:
        effects: Effects = []
        for untrusted in message.proofs:
            try:
                proof = parse_fork_untrusted(untrusted)
            except MalformedFrame:
                self.core.budgets.blame(sender, now.monotonic_us)
                continue
            effects += self._check_fork(proof, sender)
        return effects

    def _check_fork(self, proof: ForkProof, sender: PeerId) -> Effects:
        if proof.first.header.federation != self.core.federation:
            return []
        checks, generations = [], []
        for delta in (proof.first, proof.second):
            leaf = self.core.trust.chain_of(RecordId(delta.header.leaf))
            subject = delta.signed_subject()
            if leaf is None:
                wanted = WantRecords((delta.header.leaf,))
                return [SendFrame(sender, wanted.to_body())]
            if subject is None or leaf.identity != delta.header.author:
                return []
            key = leaf.key
            checks.append(Check(key.algorithm, key.octets, *subject, delta.proof.signature))
            generations.append(leaf.generation)
        if generations[0] != generations[1]:
            return []
        if not self.core.quarantine.is_news(proof, generations[0]):
            return []
        token = self.core.tokens.fresh()
        self._fork_checks.put(token, (proof, generations[0]))
        return [Verify(self.core.tokens.route("fork", token), tuple(checks))]

    def _fork_verified(self, token: Token, is_valid: bool, now: Now) -> Effects:
        checked = self._fork_checks.pop(token)
        if checked is None or not is_valid or not self.core.quarantine.add(*checked):
            return []
        return self._forked(*checked, now)

    # Answers of the driver.

    def _sign(self, part: str, sign: Sign) -> Effect:
        outer = self.core.tokens.route(part, sign.token)
        return SignAs(outer, self.core.own.key.digest, sign.label, sign.digest)

    def _verified(self, event: Verified, now: Now) -> Effects:
        route = self.core.tokens.resolve(event.token)
        if route is None:
            return []
        part, token = route
        match part:
            case "intake":
                return self._outputs(self.intake.verified(token, event.verdicts, now), now)
            case "membership":
                return self._membership(Verified(token, event.verdicts), now)
            case "discovery":
                return self._discovery(Verified(token, event.verdicts), now)
            case "introduction":
                known = self.introductions.verified(token, all(event.verdicts), now)
                return self._complete(known, now) if known else []
            case "fork":
                return self._fork_verified(token, all(event.verdicts), now)
            case _:
                return []

    def _signed(self, event: SignatureMade, now: Now) -> Effects:
        route = self.core.tokens.resolve(event.token)
        if route is None:
            return []
        part, token = route
        match part:
            case "draft":
                return self._outputs(self.authorship.signed(token, event.signature, now), now)
            case "receipt":
                return self._outputs(self.intake.receipt_signed(token, event.signature, now), now)
            case _ if not event.signature:
                return []
            case "membership":
                return self._membership(SignatureMade(token, event.signature), now)
            case "statement":
                envelope = self.statements.signed(token, event.signature)
                return self._records((envelope,), None, now) if envelope else []
            case _:
                return []

    def _stored(self, merged: Token, now: Now) -> Effects:
        effects: Effects = []
        for token in self._merged.pop(merged, (merged,)):
            self.intake.stored(token)
            self.authorship.stored(token)
            self._duties.pop(token, None)
            for namespace, hlc in self._changes.pop(token, ()):
                effects += self._reconciler(Changed(namespace, hlc), now)
        return effects

    def _in_one_store(self, effects: Effects) -> Effects:
        """All writes of one event in one `Store`, in their order, before everything else.

        Several would let the writes of a later event overtake the second one, since the driver
        hands it over only when the first is durable.
        """
        stores = [effect for effect in effects if isinstance(effect, Store)]
        if len(stores) < 2:
            return effects
        token = self.core.tokens.fresh()
        self._merged[token] = tuple(store.token for store in stores)
        writes = tuple(write for store in stores for write in store.writes)
        rest = [effect for effect in effects if not isinstance(effect, Store)]
        return [Store(token, writes), *rest]

    def _store(self, token: Token, writes: tuple[Write, ...]) -> Store:
        """A store whose completion tells reconciliation what changed.

        Records, forks and cuts are duties: they count already, so they are stored again until
        the disk has them.
        """
        changes: dict[Change, None] = {}
        for write in writes:
            match write:
                case PutDelta():
                    changes[write.delta.header.namespace, write.delta.header.stamp] = None
                case PutForget():
                    changes[write.forget.namespace, None] = None
                case Truncate():
                    changes |= {(name, None): None for name in self.core.reader.namespaces()}
                case _:
                    pass
        self._changes[token] = tuple(changes)
        duties = tuple(w for w in writes if isinstance(w, PutRecord | PutFork | Truncate))
        if duties:
            self._duties[token] = duties
            cut = (write.chain for write in duties if isinstance(write, Truncate))
            self.core.pending.cutting(token, cut)
        return Store(token, writes)

    def _pay_owed(self) -> Effects:
        """Duties that a failed store left undone, once more."""
        if not self._owed:
            return []
        owed, self._owed = tuple(self._owed), []
        return [self._store(self.core.tokens.fresh(), owed)]

    def _store_failed(self, event: StoreFailed, now: Now) -> Effects:
        reason = refusals.STORE_FULL if event.is_full else refusals.STORE_FAILED
        refusal = Refusal(reason, event.detail)
        declined: Effects = []
        for token in self._merged.pop(event.token, (event.token,)):
            self._changes.pop(token, None)
            self._owed += self._duties.pop(token, ())
            self.intake.store_failed(token)
            declined += self.authorship.store_failed(token, refusal)
            request = self._admitting.pop(token)
            if request is not None:
                declined.append(Reply(request, Declined(refusal)))
        return [*declined, RefusedNews(refusal, None, b"")]

    # Users.

    def _asked(self, event: Asked, now: Now) -> Effects:
        request, command = event.request, event.command
        match command:
            case Author():
                return self.authorship.ask(request, command, now)
            case Recall():
                return self.recollection.ask(request, command, now)
            case AdmitRecords():
                taken = self.recordkeeping.take(command.envelopes, None, now)
                told = self.statements.heard(taken.statements, None, now)
                released = self._outputs(self.intake.records_admitted(taken.admitted, now), now)
                answer = Reply(request, RecordsTaken(tuple(taken.outcomes)))
                kept = self._kept(taken)
                for store in kept:
                    if isinstance(store, Store):
                        self._admitting.put(store.token, request)
                return [*kept, *told, *released, answer]
            case Join():
                self._bootstrap = [Endpoint(host, port) for host, port in command.addresses]
                dials: Effects = [Dial(endpoint) for endpoint in self._bootstrap]
                return [*dials, Reply(request, Done())]
            case Import():
                arrivals = [Arrival(envelope, self.core.own.peer) for envelope in command.envelopes]
                outputs = self._outputs(self.intake.arrive(arrivals, now), now)
                return [*outputs, Reply(request, Imported(len(arrivals)))]
            case Leave():
                return [*self._membership(LeaveRequested(), now), Reply(request, Done())]
            case _:
                assert_never(command)

    def heal(self, now: Now) -> Effects:
        """A partition healed, as the driver sees it: compare replicas now."""
        return self._reconciler(ReconcileRequested(None), now)
