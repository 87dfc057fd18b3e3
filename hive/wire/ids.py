"""Identifiers: SHA-256(type label ‖ 0 ‖ canonical body), signatures excluded."""

from __future__ import annotations

import hashlib
from typing import NewType

Digest = NewType("Digest", bytes)
RecordId = NewType("RecordId", bytes)
DeltaId = NewType("DeltaId", bytes)
Inception = NewType("Inception", bytes)
FederationId = NewType("FederationId", bytes)
PeerId = NewType("PeerId", bytes)

DIGEST_BYTES = 32
PEER_ID_BYTES = 20
ZERO_DIGEST = Digest(bytes(DIGEST_BYTES))


def digest(label: str, body: bytes) -> Digest:
    """SHA-256 over the label, a zero byte and the body; 32 bytes."""
    return Digest(hashlib.sha256(label.encode() + b"\0" + body).digest())


def peer_id(inception: Inception, org: Inception) -> PeerId:
    """First 160 bits of SHA-256(label ‖ inception ‖ org): where a node sits in the DHT."""
    return PeerId(digest("hive/peer-id", inception + org)[:PEER_ID_BYTES])
