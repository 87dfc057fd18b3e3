"""Trust records: admitted, kept, passed on, asked for; and what a revocation takes away.

Roots, orgs, issuers and revocations are passed on to every connected peer when they are new
here; nodes, agents and sessions are fetched by whoever needs them. A record whose signers are
unknown waits in a bounded buffer while they are asked for. A revocation truncates every chain
of its org before the first position that it leaves out, in the same store transaction that keeps
it: what late joiners would refuse must not stay with those who came early (P9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from hive.errors import ConfigError, MalformedFrame
from hive.memory.delta import Delta
from hive.memory.log import Head
from hive.memory.receipt import parse_receipt_untrusted
from hive.protocol.bounded import BoundedMap
from hive.protocol.core import Core, Effects
from hive.protocol.events import (
    IssuersChanged,
    RetireContact,
    SendFrame,
    TrustNews,
)
from hive.protocol.messages import (
    ID_COUNT_MAX,
    RECORD_COUNT_MAX,
    REVOCATION_COUNT_MAX,
    Records,
    RevocationList,
    WantRecords,
    WantRevocations,
)
from hive.protocol.ports import PutRecord, Truncate, Write
from hive.trust.envelope import Signed, parse_untrusted
from hive.trust.records import (
    AgentRecord,
    FreshnessRecord,
    IssuerRecord,
    NodeRecord,
    OrgRecord,
    RevocationRecord,
    RootRecord,
    SessionRecord,
)
from hive.trust.verdicts import Admitted, Sealed, TrustRefusal, Unknown
from hive.wire.clock import MILLISECOND_US, Now
from hive.wire.framing import FRAME_BYTES_MAX
from hive.wire.ids import Digest, Inception, PeerId, RecordId, peer_id
from hive.wire.schema import Record

_PAGE: Final = 256
_PASSED_ON = (RootRecord, OrgRecord, IssuerRecord, RevocationRecord)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordkeepingConfig:
    """Bounds of record exchange."""

    orphan_count_max: int = 512
    """Records that wait for their signers. More survives odd orders, less bounds memory."""
    orphan_bytes_max: int = 8 * 1024 * 1024
    """Bytes of records that wait for their signers. Sane: 1 MiB–64 MiB."""
    record_bytes_per_message: int = 1024 * 1024
    """Bytes of records in one message, one larger record excepted. Sane: 64 KiB–2 MiB."""

    def __post_init__(self) -> None:
        if min(self.orphan_count_max, self.orphan_bytes_max, self.record_bytes_per_message) < 1:
            raise ConfigError("recordkeeping needs positive bounds")
        if self.record_bytes_per_message > FRAME_BYTES_MAX // 2:
            raise ConfigError("record_bytes_per_message must be at most half a frame")


@dataclass(slots=True)
class Taken:
    """What became of a list of envelopes."""

    outcomes: list[str] = field(default_factory=list)
    admitted: list[RecordId] = field(default_factory=list)
    statements: list[Signed[FreshnessRecord]] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    effects: Effects = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Orphan:
    envelope: bytes
    missing: tuple[RecordId, ...]


class Recordkeeping:
    """The part of a peer that keeps trust records."""

    def __init__(
        self, core: Core, config: RecordkeepingConfig, refused: Callable[[PeerId, RecordId], None]
    ) -> None:
        self._core = core
        self._config = config
        self._refused = refused
        self._orphans: BoundedMap[RecordId, _Orphan] = BoundedMap(config.orphan_count_max)
        self._orphan_bytes = 0
        self.agents: dict[Inception, RecordId] = {}
        self.sessions: dict[Inception, RecordId] = {}

    def recover(self, now: Now) -> None:
        """Rebuilds the trust state from what the store kept; every record is verified again."""
        for envelope in self._core.reader.records():
            verdict = self._core.trust.readmit(envelope, now.wall_us // MILLISECOND_US)
            if isinstance(verdict, Admitted):
                self._note(verdict.signed)

    def take(self, envelopes: Sequence[bytes], sender: PeerId | None, now: Now) -> Taken:
        """Admits records from a peer, from custody or from an operator."""
        taken = Taken()
        fresh: list[Signed[Record]] = []
        queue = list(envelopes)
        while queue:
            self._take_one(queue.pop(0), sender, now, taken, fresh)
            if not queue and fresh[len(taken.admitted) :]:
                taken.admitted += [signed.id for signed in fresh[len(taken.admitted) :]]
                queue = self._adopt()
        for signed in fresh:
            taken.writes.append(PutRecord(signed.id, signed.to_bytes()))
            taken.writes += self._consequences(signed)
        taken.effects += self._tell(fresh, sender)
        return taken

    def _take_one(
        self,
        envelope: bytes,
        sender: PeerId | None,
        now: Now,
        taken: Taken,
        fresh: list[Signed[Record]],
    ) -> None:
        try:
            signed = parse_untrusted(envelope)
        except MalformedFrame as error:
            taken.outcomes.append(str(error))
            self._blame(sender, now)
            return
        is_known = self._core.trust.signed(signed.id) is not None
        match self._core.trust.admit(envelope, now.wall_us // MILLISECOND_US):
            case Admitted(kept):
                taken.outcomes.append("admitted")
                if isinstance(kept.record, FreshnessRecord):
                    taken.statements.append(
                        Signed(kept.record, kept.body, kept.signatures, kept.id)
                    )
                elif not is_known:
                    fresh.append(kept)
                    self._note(kept)
            case Unknown(missing):
                taken.outcomes.append("waiting")
                self._keep_orphan(signed.id, _Orphan(envelope, missing))
                if sender is not None:
                    taken.effects.append(SendFrame(sender, WantRecords(missing).to_body()))
            case TrustRefusal(reason, detail, step):
                taken.outcomes.append(f"{reason.value} at {step}: {detail}")
                taken.effects.append(TrustNews(signed.record.LABEL, reason.value, sender))
                if sender is not None and reason.value not in ("stale", "full", "not_yet_valid"):
                    self._refused(sender, signed.id)
                    self._blame(sender, now)

    def _blame(self, sender: PeerId | None, now: Now) -> None:
        if sender is not None:
            self._core.budgets.blame(sender, now.monotonic_us)

    def _keep_orphan(self, record: RecordId, orphan: _Orphan) -> None:
        self._drop_orphan(record)
        if len(orphan.envelope) > self._config.orphan_bytes_max:
            return
        while len(self._orphans) and (
            len(self._orphans) >= self._config.orphan_count_max
            or self._orphan_bytes + len(orphan.envelope) > self._config.orphan_bytes_max
        ):
            self._drop_orphan(self._orphans.items()[0][0])
        self._orphans.put(record, orphan)
        self._orphan_bytes += len(orphan.envelope)

    def _drop_orphan(self, record: RecordId) -> None:
        orphan = self._orphans.pop(record)
        self._orphan_bytes -= len(orphan.envelope) if orphan else 0

    def _adopt(self) -> list[bytes]:
        """The orphans of whom a signer has come."""
        adopted = [
            (record, orphan.envelope)
            for record, orphan in self._orphans.items()
            if any(self._core.trust.signed(missing) for missing in orphan.missing)
        ]
        for record, _ in adopted:
            self._drop_orphan(record)
        return [envelope for _, envelope in adopted]

    def _note(self, signed: Signed[Record]) -> None:
        record = signed.record
        if isinstance(record, AgentRecord) and self._core.custody.holds(record.key.digest):
            self.agents[Inception(record.inception)] = self._newest(record, signed.id)
        if isinstance(record, SessionRecord) and self._core.custody.holds(record.key.digest):
            chain = self._core.trust.chain_of(signed.id)
            if chain is not None:
                self.sessions[chain.identity] = signed.id
        if isinstance(record, NodeRecord) and record.inception == self._core.own.inception:
            self._core.own.record = self._newest_own(record, signed.id)

    def _newest(self, record: AgentRecord, found: RecordId) -> RecordId:
        before = self.agents.get(Inception(record.inception))
        known = self._core.trust.signed(before) if before else None
        if known is None or not isinstance(known.record, AgentRecord):
            return found
        return found if _rank(record) >= _rank(known.record) else known.id

    def _newest_own(self, record: NodeRecord, found: RecordId) -> RecordId:
        known = self._core.trust.signed(self._core.own.record)
        if known is None or not isinstance(known.record, NodeRecord):
            return found
        return found if _rank(record) >= _rank(known.record) else known.id

    def _consequences(self, signed: Signed[Record]) -> list[Write]:
        """What a revocation seals: chains are cut before their first position that is not good."""
        if not isinstance(signed.record, RevocationRecord):
            return []
        heads = {
            head.chain: head
            for namespace in self._core.reader.namespaces()
            for head in self._core.reader.heads(namespace)
        }
        heads |= {head.chain: head for head in self._core.pending.undecided_heads()}
        cuts: list[Write] = []
        for head in heads.values():
            first = self._first_bad(head, Inception(signed.record.org))
            if first:
                cuts.append(Truncate(head.chain, first - 1))
                self._core.pending.truncate(head.chain, first - 1)
        return cuts

    def _first_bad(self, head: Head, org: Inception) -> int:
        """The first position of a chain that revocations leave out; 0 where all is good.

        Only the author's and the writer's org can have revoked something here; each pair of
        records is looked at once.
        """
        reached: dict[tuple[bytes, bytes], bool] = {}
        for delta in self._deltas_of(head.chain):
            records = (delta.header.leaf, _node_record(delta))
            if not reached and self._is_of_others(records, org):
                return 0
            if records not in reached:
                reached[records] = self._is_reached(records, org)
            if reached[records] and not self._is_good(delta, records, head.chain):
                return delta.header.sequence
        return 0

    def _deltas_of(self, chain: Digest) -> Iterator[Delta]:
        first, count = 1, 1  # most chains are of others, told by their first delta
        while page := self._core.reader.chain_slice(chain, first, count):
            yield from (held.delta for held in page)
            first, count = first + len(page), _PAGE
        yield from self._core.pending.undecided(chain)

    def _is_of_others(self, records: tuple[bytes, bytes], org: Inception) -> bool:
        """Whether author and writer of a log are of other orgs: true of all its deltas or none."""
        chains = [self._core.trust.chain_of(RecordId(record)) for record in records]
        return all(chain is not None and chain.org != org for chain in chains)

    def _is_reached(self, records: tuple[bytes, bytes], org: Inception) -> bool:
        chains = [self._core.trust.chain_of(RecordId(record)) for record in records]
        return any(
            chain is not None and chain.org == org and self._core.trust.is_revoked(chain)
            for chain in chains
        )

    def _is_good(self, delta: Delta, records: tuple[bytes, bytes], log: Digest) -> bool:
        for record in records:
            chain = self._core.trust.chain_of(RecordId(record))
            if chain is None:
                continue
            standing = self._core.trust.standing(chain, log, delta.header.sequence, delta.id)
            if isinstance(standing, Sealed):
                return False
        return True

    def _tell(self, fresh: Sequence[Signed[Record]], sender: PeerId | None) -> Effects:
        effects: Effects = [TrustNews(signed.record.LABEL, "admitted", sender) for signed in fresh]
        if any(isinstance(signed.record, IssuerRecord) for signed in fresh):
            effects.append(IssuersChanged())
        if any(isinstance(signed.record, RevocationRecord) for signed in fresh):
            effects += [RetireContact(peer) for peer in self._revoked_peers()]
        passed_on = [signed for signed in fresh if isinstance(signed.record, _PASSED_ON)]
        if passed_on:
            effects += self.tell_all([signed.to_bytes() for signed in passed_on], sender)
        return effects

    def _revoked_peers(self) -> list[PeerId]:
        nodes = self._core.trust.records_of(NodeRecord)
        revoked: dict[PeerId, None] = {}
        for signed in nodes:
            chain = self._core.trust.chain_of(signed.id)
            if chain is not None and self._core.trust.is_revoked(chain):
                revoked[peer_id(chain.identity, chain.org)] = None
        return [peer for peer in revoked if not self._has_successor(peer, nodes)]

    def _has_successor(self, peer: PeerId, nodes: Sequence[Signed[Record]]) -> bool:
        """Whether a newer generation of the node stands (it was rotated, not expelled)."""
        for signed in nodes:
            chain = self._core.trust.chain_of(signed.id)
            if chain is None or peer_id(chain.identity, chain.org) != peer:
                continue
            if not self._core.trust.is_revoked(chain):
                return True
        return False

    def tell_all(self, envelopes: Sequence[bytes], but: PeerId | None) -> Effects:
        """The same records to every connected peer, in messages that fit a frame."""
        payloads = [Records(some).to_body() for some in self._portions(envelopes)]
        return [
            SendFrame(peer, payload)
            for peer in self._core.connected
            if peer != but
            for payload in payloads
        ]

    def _portions(self, envelopes: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
        portion: list[bytes] = []
        size = 0
        for envelope in envelopes:
            size += len(envelope)
            is_full = size > self._config.record_bytes_per_message
            if portion and (is_full or len(portion) == RECORD_COUNT_MAX):
                yield tuple(portion)
                portion, size = [], len(envelope)
            portion.append(envelope)
        if portion:
            yield tuple(portion)

    # What peers ask.

    def wanted(self, request: WantRecords, sender: PeerId) -> Effects:
        """Sends the records asked for, each behind those it rests on."""
        envelopes: dict[RecordId, bytes] = {}
        size = 0
        for record in request.ids:
            for link in self._path(RecordId(record)):
                signed = self._core.trust.signed(link)
                if signed is None or link in envelopes:
                    continue
                envelope = signed.to_bytes()
                size += len(envelope)
                envelopes[link] = envelope
            if size > self._config.record_bytes_per_message:
                break
        return [
            SendFrame(sender, Records(portion).to_body())
            for portion in self._portions(list(envelopes.values()))
        ]

    def _path(self, record: RecordId) -> tuple[RecordId, ...]:
        chain = self._core.trust.chain_of(record)
        return chain.record_ids if chain else (record,)

    def revocations_wanted(self, request: WantRevocations, sender: PeerId) -> Effects:
        """Sends the sorted ids of every revocation admitted here."""
        ids = self._core.trust.revocation_ids()[:REVOCATION_COUNT_MAX]
        return [SendFrame(sender, RevocationList(ids).to_body())]

    def revocations_listed(self, listed: RevocationList, sender: PeerId) -> Effects:
        """Asks for the revocations on the list that are unknown here."""
        unknown = self._core.freshness.cover(tuple(RecordId(i) for i in listed.ids))
        if not unknown:
            return []
        return [SendFrame(sender, WantRecords(unknown[:ID_COUNT_MAX]).to_body())]


def _node_record(delta: Delta) -> bytes:
    """The node record whose receipt the delta carries; empty where there is none."""
    return parse_receipt_untrusted(delta.receipt).receipt.node_record if delta.receipt else b""


def _rank(record: AgentRecord | NodeRecord) -> tuple[int, int]:
    return record.generation, record.not_before_ms
