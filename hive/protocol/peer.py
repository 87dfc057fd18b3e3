"""The peer: composes the machines; the seams between them are here, in `neighbours` (contacts,
membership, discovery), `accusations` (forks) and `stores` (what is not durable yet).

Theory of operation. One door: `handle(event, now) -> effects`. An event goes to the part it
belongs to; what that part says is translated here into effects for the driver and into events
for other parts:

- a greeting's records go to recordkeeping, then introductions judge the node record;
- a complete contact joins membership and enters discovery; deaths leave both;
- a stream to a contact joins reconciliation and dissemination;
- `Deltas` from a stream go through intake (ingress); what intake admitted is stored, then pushed
  on by dissemination, then shown to reconciliation; gaps and unknown records are asked for;
- forks cut the log and are told to everybody; new records release what waited for them.

Order of effects is store, then send, then answer: each part emits `Store` before what depends on
it, and the driver drops what stands behind a store that failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from hive.errors import MalformedFrame
from hive.memory.fork import parse_fork_untrusted
from hive.protocol import refusals
from hive.protocol.accusations import Accusations
from hive.protocol.authorship import Authorship
from hive.protocol.bounded import BoundedMap
from hive.protocol.budget import Budgets
from hive.protocol.commands import (
    AdmitRecords,
    Announce,
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
from hive.protocol.core import Core, Effects, OwnNode
from hive.protocol.discovery.kademlia import Discovery
from hive.protocol.discovery.records import SignedRecord
from hive.protocol.dissemination.messages import Push
from hive.protocol.events import (
    DISSEMINATION,
    Admitted,
    Asked,
    CloseStream,
    DatagramOpened,
    Event,
    FrameReceived,
    Greeted,
    Reached,
    RefusedNews,
    Reply,
    RequestId,
    Searched,
    SendFrame,
    Store,
    Stored,
    StoreFailed,
    StreamClosed,
    StreamOpened,
    Unreachable,
)
from hive.protocol.freshness import Freshness
from hive.protocol.ingress import STEPS, Ingress
from hive.protocol.intake import Intake
from hive.protocol.introductions import Introductions
from hive.protocol.judgement import Arrival, Step, View
from hive.protocol.machine import (
    Sign,
    SignatureMade,
    Ticked,
    Token,
    Verified,
    Verify,
)
from hive.protocol.membership.hierarchy import Hierarchy
from hive.protocol.messages import (
    MESSAGES,
    Deltas,
    Forks,
    Interest,
    Records,
    RevocationList,
    WantDeltas,
    WantRecords,
    WantRevocations,
)
from hive.protocol.neighbours import Neighbours
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
from hive.protocol.peer_config import PeerConfig, PeerPorts
from hive.protocol.pending import PendingStore
from hive.protocol.quarantine import Quarantine
from hive.protocol.quota import Shares
from hive.protocol.recollection import Recollection
from hive.protocol.reconciliation.events import Changed
from hive.protocol.recordkeeping import Recordkeeping, Taken
from hive.protocol.refusals import Refusal
from hive.protocol.replication import Replication
from hive.protocol.statements import Statements
from hive.protocol.stores import Stores
from hive.protocol.tolls import Tolls
from hive.trust.state import TrustState
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import FederationId, PeerId, RecordId
from hive.wire.randomness import Stream
from hive.wire.schema import Record, label_of_untrusted

ADMITTING_MAX: Final = 1_024
"""Commands that wait for their records to be durable; the oldest is answered by nobody."""

_BY_LABEL: dict[str, type[Record]] = {Push.LABEL: Push, **{each.LABEL: each for each in MESSAGES}}


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
        trust = TrustState(federation, config.trust) if ports.trust is None else ports.trust
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
            shares=Shares(config.quota, trust.org_of),
            epochs=ports.epochs,
            custody=ports.custody,
            law=ports.law,
            stream=Stream(seed, "peer", own.peer),
        )
        self.view = self._view(config, ports)
        self.intake = Intake(Ingress(self.view, steps), config.waiting, self.core.tokens.fresh)
        self.recordkeeping = Recordkeeping(self.core, config.recordkeeping, self._refused_record)
        self.statements = Statements(self.core)
        agents, sessions = self.recordkeeping.agents, self.recordkeeping.sessions
        self.authorship = Authorship(self.core, config.authorship, self.intake, agents, sessions)
        self.recollection = Recollection(self.core, agents)
        self.neighbours = Neighbours(self.core, config, own_record, ports.members, seed)
        near = (self.introductions, self.neighbours.hierarchy, self.neighbours.locate)
        self.replication = Replication(self.core, config, *near, seed)
        self.stores = Stores(self.core)
        self.accusations = Accusations(self.core, self.stores)
        self.tolls = Tolls(self.core)
        self._admitting: BoundedMap[Token, RequestId] = BoundedMap(ADMITTING_MAX)

    @property
    def introductions(self) -> Introductions:
        """The contacts, for those who show them."""
        return self.neighbours.introductions

    @property
    def hierarchy(self) -> Hierarchy:
        """Who is alive, and who speaks for whom; to be read only."""
        return self.neighbours.hierarchy

    @property
    def discovery(self) -> Discovery:
        """Who is where; to be read only."""
        return self.neighbours.discovery

    def _view(self, config: PeerConfig, ports: PeerPorts) -> View:
        core = self.core
        return View(
            federation=core.federation,
            region=core.own.region,
            config=config.ingress,
            trust=core.trust,
            store=core.pending,
            budgets=core.budgets,
            freshness=core.freshness,
            quarantine=core.quarantine,
            shares=core.shares,
            epochs=ports.epochs,
            law=ports.law,
            durability=ports.durability,
            sessions=lambda peer: peer in core.connected or peer == core.own.peer,
            writer_record=lambda: core.own.record,
        )

    def _refused_record(self, sender: PeerId, record: RecordId) -> None:
        self.view.refused_leaves.put((sender, record), None)

    def recover(self, now: Now) -> None:
        """Rebuilds what follows from the store: trust, own agents, forks."""
        self.recordkeeping.recover(now)
        for kept in self.core.reader.forks():
            self.core.quarantine.add(parse_fork_untrusted(kept.proof), kept.generation)
        self.stores.recover()

    @property
    def deadline(self) -> MonotonicUs | None:
        """The earliest timer of any part."""
        times = [
            self.neighbours.deadline,
            self.replication.deadline,
            self.statements.deadline,
        ]
        return min((time for time in times if time is not None), default=None)

    def handle(self, event: Event, now: Now) -> Effects:
        """Takes one event and gives the effects in the order in which they must happen."""
        self.neighbours.now_is(now)
        effects = self.stores.in_one(self._handle(event, now))
        return [*effects, *self.tolls.shut_out()]

    def _handle(self, event: Event, now: Now) -> Effects:
        match event:
            case Ticked():
                return self._tick(now)
            case DatagramOpened():
                return self._datagram(event, now)
            case Greeted():
                return self._greeted(event, now)
            case Reached():
                return self.neighbours.reached(event, now)
            case Unreachable():
                return self.neighbours.unreachable(event, now)
            case StreamOpened():
                if self.tolls.is_shunned(event.peer, now):
                    return [CloseStream(event.peer)]
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
        effects = self.neighbours.ticked(now)
        effects += self.replication.ticked(now)
        effects += self.statements.ticked(now)
        effects += self._outputs(self.intake.ticked(now), now)
        return [*effects, *self.stores.ticked(now)]

    # Contacts.

    def _greeted(self, event: Greeted, now: Now) -> Effects:
        taken = self.recordkeeping.take(event.untrusted_records[::-1], None, now)
        effects = [*self._kept(taken), *self.neighbours.introductions.greeted(event, now)]
        if taken.admitted:
            effects += self._outputs(self.intake.records_admitted(taken.admitted, now), now)
        return effects

    def _datagram(self, event: DatagramOpened, now: Now) -> Effects:
        if event.kind == DISSEMINATION:
            return self.replication.said(event.sender, event.untrusted_payload, now)
        return self.neighbours.datagram(event, now)

    # Streams.

    def _connected(self, peer: PeerId, now: Now) -> Effects:
        self.core.connected[peer] = None
        effects = self.replication.connected(peer, now)
        effects += self.statements.greet(peer)
        effects.append(SendFrame(peer, WantRevocations().to_body()))
        return [*effects, *self.accusations.greet(peer)]

    def _disconnected(self, peer: PeerId, now: Now) -> Effects:
        self.core.connected.pop(peer, None)
        return self.replication.disconnected(peer, now)

    def _frame(self, event: FrameReceived, now: Now) -> Effects:
        sender, payload = event.sender, event.untrusted_payload
        label = label_of_untrusted(payload)
        cls = _BY_LABEL.get(label)
        if cls is None or cls is WantDeltas:
            refused = self.tolls.ask(sender, len(payload), now)
            return refused or self._answered(
                sender, self.replication.heard(sender, payload, now), now
            )
        try:
            message: Record = cls.from_body_untrusted(payload)
        except MalformedFrame:
            return self.tolls.malformed(sender, label, now)
        refused = self.tolls.message(message, sender, len(payload), now)
        return refused or self._message(message, sender, now)

    def _answered(self, sender: PeerId, effects: Effects, now: Now) -> Effects:
        return self.tolls.answered(sender, effects, now)

    def _message(self, message: Record, sender: PeerId, now: Now) -> Effects:
        match message:
            case Deltas() | Push():
                told = self.replication.pushed(message, sender, now)
                arrivals = [Arrival(envelope, sender) for envelope in message.envelopes]
                return [*told, *self._outputs(self.intake.arrive(arrivals, now), now)]
            case Records():
                return self._records(message.envelopes, sender, now)
            case WantRecords():
                return self._answered(sender, self.recordkeeping.wanted(message, sender), now)
            case WantRevocations():
                listed = self.recordkeeping.revocations_wanted(message, sender)
                return self._answered(sender, listed, now)
            case RevocationList():
                return self.recordkeeping.revocations_listed(message, sender)
            case Forks():
                return self.accusations.told(message, sender, now)
            case Interest():
                return self.replication.interest_heard(sender, message.prefixes, now)
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
        return [self.stores.store(self.core.tokens.fresh(), tuple(taken.writes)), *taken.effects]

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
                return [self.core.sign("receipt", sign)]
            case StoreWrites():
                return [self.stores.store(output.token, output.writes)]
            case DeltasAdmitted():
                pushed = self.replication.push(output, now)
                return [*pushed, Admitted(output.deltas, output.sender)]
            case DeltaRefused():
                return [RefusedNews(output.refusal, output.sender, output.delta, output.count)]
            case RecordsMissing():
                if output.sender is None:
                    return []
                return [SendFrame(output.sender, WantRecords(output.records).to_body())]
            case GapFound():
                return self.replication.ask_for(output)
            case ForkFound():
                return self.accusations.apply(output.proof, output.generation, now)
            case RevocationsMissing():
                if output.sender is None:
                    return []
                return [SendFrame(output.sender, WantRevocations().to_body())]
            case OwnConcluded():
                return self.authorship.concluded(output, now)
            case _:
                assert_never(output)

    # Answers of the driver.

    def _verified(self, event: Verified, now: Now) -> Effects:
        route = self.core.tokens.resolve(event.token)
        if route is None:
            return []
        part, token = route
        match part:
            case "intake":
                return self._outputs(self.intake.verified(token, event.verdicts, now), now)
            case "membership":
                return self.neighbours.tell_membership(Verified(token, event.verdicts), now)
            case "discovery":
                return self.neighbours.tell_discovery(Verified(token, event.verdicts), now)
            case "introduction":
                known = self.introductions.verified(token, all(event.verdicts), now)
                return self.neighbours.complete(known, now) if known else []
            case "fork":
                return self.accusations.verified(token, all(event.verdicts), now)
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
                return self.neighbours.tell_membership(SignatureMade(token, event.signature), now)
            case "statement":
                envelope = self.statements.signed(token, event.signature)
                return self._records((envelope,), None, now) if envelope else []
            case _:
                return []

    def _stored(self, merged: Token, now: Now) -> Effects:
        effects: Effects = []
        for token, changes in self.stores.settled(merged):
            self.intake.stored(token)
            self.authorship.stored(token)
            for namespace, hlc in changes:
                effects += self.replication.reconcile(Changed(namespace, hlc), now)
        return effects

    def _store_failed(self, event: StoreFailed, now: Now) -> Effects:
        reason = refusals.STORE_FULL if event.is_full else refusals.STORE_FAILED
        refusal = Refusal(reason, event.detail)
        declined: Effects = []
        for token in self.stores.failed(event.token):
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
            case Join() | Announce() | Leave():
                return [*self.neighbours.asked(command, now), Reply(request, Done())]
            case Import():
                arrivals = [Arrival(envelope, self.core.own.peer) for envelope in command.envelopes]
                outputs = self._outputs(self.intake.arrive(arrivals, now), now)
                return [*outputs, Reply(request, Imported(len(arrivals)))]
            case _:
                assert_never(command)
