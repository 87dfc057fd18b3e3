"""What transport asks of the trust state: verified nodes, and the issuers in force."""

from __future__ import annotations

from hive.node import clocks
from hive.transport.ports import KnownNode
from hive.trust.records import IssuerRecord, NodeRecord
from hive.trust.state import TrustState
from hive.trust.tls import issuer_anchor
from hive.wire.ids import Inception, RecordId


class Book:
    """What transport asks: verified nodes and the issuers in force."""

    def __init__(self, trust: TrustState) -> None:
        self._trust = trust

    def node(self, inception: Inception, record_id: RecordId) -> KnownNode | None:
        """A verified, unrevoked node record that has not ended, with its issuer's key."""
        chain = self._trust.chain_of(record_id)
        signed = self._trust.signed(record_id)
        if chain is None or signed is None or not isinstance(signed.record, NodeRecord):
            return None
        now_ms = clocks.read().wall_us // 1_000
        if chain.identity != inception or not chain.is_valid_at(now_ms):
            return None
        issuer = self._trust.signed(RecordId(signed.record.issuer_record))
        if self._trust.is_revoked(chain) or issuer is None:
            return None
        if not isinstance(issuer.record, IssuerRecord):
            return None
        return KnownNode(signed.record, issuer.record.key)

    def issuer_anchors(self) -> tuple[bytes, ...]:
        """The anchors of every issuer whose chain is valid now."""
        now_ms = clocks.read().wall_us // 1_000
        anchors = []
        for signed in self._trust.records_of(IssuerRecord):
            chain = self._trust.chain_of(signed.id)
            if chain is None or not chain.is_valid_at(now_ms) or self._trust.is_revoked(chain):
                continue
            assert isinstance(signed.record, IssuerRecord)
            anchors.append(issuer_anchor(signed.record))
        return tuple(anchors)
