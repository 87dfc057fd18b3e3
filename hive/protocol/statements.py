"""Freshness statements: made where this node holds a named issuer's key, passed on by all."""

from __future__ import annotations

from collections.abc import Sequence

from hive.protocol.core import Core, Effects
from hive.protocol.events import SendFrame, SignAs
from hive.protocol.machine import Token
from hive.protocol.messages import Records, WantRevocations
from hive.trust.envelope import Signature, Signed
from hive.trust.keys import PublicKey
from hive.trust.records import FreshnessRecord, IssuerRecord
from hive.wire.clock import MILLISECOND_US, MonotonicUs, Now
from hive.wire.ids import Digest, Inception, PeerId, RecordId


class Statements:
    """The part of a peer that keeps knowledge of revocations fresh."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._due_at: MonotonicUs | None = None
        self._unsigned: dict[Token, tuple[FreshnessRecord, PublicKey]] = {}
        self._idle_at_version: int | None = None

    @property
    def deadline(self) -> MonotonicUs | None:
        """When the next own statement is due: at once where an issuer may have come to life."""
        if self._idle_at_version in (None, self._core.trust.version):
            return self._due_at
        return MonotonicUs(0)

    def duties(self, now: Now) -> list[tuple[RecordId, IssuerRecord]]:
        """The issuer records named by the root whose keys this node holds, newest of each."""
        root = self._core.trust.root
        if root is None:
            return []
        found: dict[Inception, tuple[RecordId, IssuerRecord]] = {}
        for signed in self._core.trust.records_of(IssuerRecord):
            record = signed.record
            assert isinstance(record, IssuerRecord)
            if record.inception not in root.record.freshness_issuers:
                continue
            if not self._core.custody.holds(record.key.digest):
                continue
            if self._core.live_chain(signed.id, now) is not None:
                found[Inception(record.inception)] = (signed.id, record)
        return list(found.values())

    def ticked(self, now: Now) -> Effects:
        """Makes the statements that are due."""
        due_at = self.deadline
        if due_at is not None and now.monotonic_us < due_at:
            return []
        interval_us = self._core.freshness.config.interval_us
        self._due_at = MonotonicUs(now.monotonic_us + interval_us)
        duties = self.duties(now)
        self._idle_at_version = None if duties else self._core.trust.version
        self._core.freshness.own(tuple(Inception(record.inception) for _, record in duties))
        return [self._make(record_id, record, now) for record_id, record in duties]

    def _make(self, record_id: RecordId, issuer: IssuerRecord, now: Now) -> SignAs:
        at_ms = now.wall_us // MILLISECOND_US
        interval_ms = self._core.freshness.config.interval_us // MILLISECOND_US
        inception = Inception(issuer.inception)
        statement = FreshnessRecord(
            federation=self._core.federation,
            issuer=inception,
            issuer_record=record_id,
            index=max(self._core.freshness.last_index(inception) + 1, at_ms // interval_ms),
            at_ms=at_ms,
            revocation_count=self._core.trust.revocation_index,
            revocation_root=self._core.trust.revocation_root(),
            epoch_root=self._core.epochs.root(),
        )
        token = self._core.tokens.fresh()
        self._unsigned = {
            other: unsigned
            for other, unsigned in self._unsigned.items()
            if unsigned[0].issuer != inception
        }
        self._unsigned[token] = (statement, issuer.key)
        subject = statement.id_of(statement.to_body())
        outer = self._core.tokens.route("statement", token)
        return SignAs(outer, issuer.key.digest, FreshnessRecord.LABEL, subject)

    def signed(self, token: Token, signature: bytes) -> bytes | None:
        """The envelope of an own statement once its signature is made; to be taken like any."""
        unsigned = self._unsigned.pop(token, None)
        if unsigned is None:
            return None
        statement, key = unsigned
        body = statement.to_body()
        entry = Signature(key.digest, signature)
        return Signed(statement, body, (entry,), RecordId(statement.id_of(body))).to_bytes()

    def heard(
        self, statements: Sequence[Signed[FreshnessRecord]], sender: PeerId | None, now: Now
    ) -> Effects:
        """Takes verified statements; new ones go on to every other connected peer."""
        effects: Effects = []
        for statement in statements:
            if not self._core.freshness.hear(statement, now):
                continue
            payload = Records((statement.to_bytes(),)).to_body()
            effects += [SendFrame(peer, payload) for peer in self._core.connected if peer != sender]
            root = Digest(statement.record.revocation_root)
            if sender is not None and self._core.freshness.lacks(root):
                effects.append(SendFrame(sender, WantRevocations().to_body()))
        return effects

    def greet(self, peer: PeerId) -> Effects:
        """What a newly connected peer should know at once."""
        known = [signed.to_bytes() for signed in self._core.trust.records_of(FreshnessRecord)]
        return [SendFrame(peer, Records(tuple(known)).to_body())] if known else []
