"""What is kept of one organisation, within its own bounds."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from hive.trust import links
from hive.trust.envelope import Signed
from hive.trust.records import (
    AgentRecord,
    IssuerRecord,
    NodeRecord,
    RevocationRecord,
    SessionRecord,
)
from hive.wire.ids import Inception, RecordId
from hive.wire.schema import Record

_LOOKED_AT_MAX: Final = 64
"""How many leaves one admission looks at for room, so that a full shelf refuses cheaply."""


@dataclass(slots=True)
class _Node:
    """One node of the org: the life that its kept records span, and the newest of them."""

    not_before_ms: int
    not_after_ms: int
    newest: tuple[int, int, RecordId]
    count: int = 1


class Shelf:
    """The issuers, leaves and revocations of one org, counted; leaves make room when expired."""

    def __init__(self) -> None:
        self._issuer_count = 0
        self._revocation_count = 0
        self._seal_entry_count = 0
        self._leaves: OrderedDict[RecordId, Signed[Record]] = OrderedDict()
        self._references: dict[RecordId, int] = {}
        self._nodes: dict[bytes, _Node] = {}

    def take_bounded(
        self, record: Record, issuers_max: int, revocations_max: int, seal_entries_max: int
    ) -> str | None:
        """Counts an issuer or a revocation; the name of the bound where one is reached."""
        if isinstance(record, IssuerRecord):
            if self._issuer_count >= issuers_max:
                return "issuer_count_max"
            self._issuer_count += 1
        if isinstance(record, RevocationRecord):
            if self._revocation_count >= revocations_max:
                return "revocation_count_max"
            if self._seal_entry_count + len(record.seal) > seal_entries_max:
                return "seal_entry_count_max"
            self._revocation_count += 1
            self._seal_entry_count += len(record.seal)
        return None

    def put_leaf(
        self, signed: Signed[Record], now_ms: int, leaf_count_max: int
    ) -> tuple[RecordId, ...] | None:
        """Keeps a leaf and gives the ids dropped for it; None where there is no room."""
        dropped: tuple[RecordId, ...] = ()
        if len(self._leaves) >= leaf_count_max:
            found = self._droppable(now_ms)
            if found is None:
                return None
            self._drop(found)
            dropped = (found,)
        self._leaves[signed.id] = signed
        for named in _named_by(signed.record):
            self._references[named] = self._references.get(named, 0) + 1
        if isinstance(signed.record, NodeRecord):
            self._count_node(signed.id, signed.record)
        return dropped

    def _droppable(self, now_ms: int) -> RecordId | None:
        """The first expired leaf that no other leaf rests on."""
        for _ in range(min(_LOOKED_AT_MAX, len(self._leaves))):
            record_id, signed = next(iter(self._leaves.items()))
            record = signed.record
            is_expired = (
                isinstance(record, NodeRecord | AgentRecord | SessionRecord)
                and record.not_after_ms < now_ms
            )
            if is_expired and not self._references.get(record_id):
                return record_id
            self._leaves.move_to_end(record_id)
        return None

    def _drop(self, record_id: RecordId) -> None:
        record = self._leaves.pop(record_id).record
        for named in _named_by(record):
            self._references[named] -= 1
            if not self._references[named]:
                del self._references[named]
        if isinstance(record, NodeRecord):
            node = self._nodes.get(record.inception)
            if node is None:
                return
            node.count -= 1
            if not node.count or node.newest[2] == record_id:
                del self._nodes[record.inception]

    def _count_node(self, record_id: RecordId, record: NodeRecord) -> None:
        rank = (record.generation, record.not_before_ms, record_id)
        node = self._nodes.get(record.inception)
        if node is None:
            self._nodes[record.inception] = _Node(record.not_before_ms, record.not_after_ms, rank)
            return
        node.not_before_ms = min(node.not_before_ms, record.not_before_ms)
        node.not_after_ms = max(node.not_after_ms, record.not_after_ms)
        node.newest = max(node.newest, rank)
        node.count += 1

    def node_count(self, apart_from: NodeRecord, enough: int) -> int:
        """How many other nodes live within the record's life; exact only from `enough` up.

        A node counted already, or a shelf with fewer nodes than `enough`, needs no look at lives.
        """
        node = self._nodes.get(apart_from.inception)
        if node is not None and _overlap(node, apart_from):
            return 0
        if len(self._nodes) < enough:
            return len(self._nodes)
        return sum(
            _overlap(other, apart_from)
            for inception, other in self._nodes.items()
            if inception != apart_from.inception
        )

    def newest_node(self, inception: Inception) -> RecordId | None:
        """The record of the node with the highest generation, then the latest beginning."""
        node = self._nodes.get(inception)
        return node.newest[2] if node else None


def _overlap(node: _Node, record: NodeRecord) -> bool:
    return node.not_before_ms <= record.not_after_ms and record.not_before_ms <= node.not_after_ms


def _named_by(record: Record) -> tuple[RecordId, ...]:
    signer_id, previous_id = links.signer_id_of(record), links.previous_id_of(record)
    return tuple(found for found in (signer_id, previous_id) if found)
