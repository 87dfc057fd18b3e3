"""Makes and signs deltas, alone or up to 64 of one chain under one signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hive.memory.bodies import Body
from hive.memory.delta import (
    BATCH_COUNT_MAX,
    Batch,
    Delta,
    Header,
    Kind,
    Proof,
    commitment_of,
)
from hive.memory.log import Head
from hive.wire import merkle
from hive.wire.clock import Hlc, next_hlc
from hive.wire.ids import ZERO_DIGEST, DeltaId, Digest, FederationId, Inception, RecordId


@dataclass(frozen=True, slots=True, kw_only=True)
class Pen:
    """Who writes, through which node, where, and under which law."""

    federation: FederationId
    namespace: str
    author: Inception
    writer: Inception
    leaf: RecordId
    epochs: tuple[int, ...]
    lease: int
    residency: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """One thing to say: its kind, body and the deltas that informed it."""

    kind: Kind
    body: Body
    parents: tuple[DeltaId, ...] = ()


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Headers in chain order with their bodies, and the one digest to sign under `label`."""

    headers: tuple[Header, ...]
    header_bytes: tuple[bytes, ...]
    bodies: tuple[bytes, ...]
    ids: tuple[DeltaId, ...]
    label: str
    subject: Digest


def compose(
    pen: Pen, drafts: Sequence[Draft], head: Head | None, newest: Hlc, wall_us: int
) -> Unsigned:
    """Puts 1 to 64 drafts behind `head`; `newest` is the highest hlc to exceed (parents too)."""
    if not 1 <= len(drafts) <= BATCH_COUNT_MAX:
        raise ValueError(f"1 to {BATCH_COUNT_MAX} drafts can share a signature")
    sequence = head.sequence if head else 0
    previous: bytes = head.delta if head else ZERO_DIGEST
    stamp: Hlc = max(newest, head.hlc) if head else newest
    headers, encoded, bodies, ids = [], [], [], []
    for draft in drafts:
        sequence, stamp = sequence + 1, next_hlc(stamp, wall_us)
        body = draft.body.to_body()
        header = Header(
            pen.federation,
            pen.namespace,
            pen.author,
            pen.writer,
            pen.leaf,
            sequence,
            previous,
            stamp,
            pen.epochs,
            pen.lease,
            pen.residency,
            int(draft.kind),
            draft.parents,
            commitment_of(body),
        )
        header_bytes = header.to_body()
        previous = Header.id_of(header_bytes)
        headers.append(header)
        encoded.append(header_bytes)
        bodies.append(body)
        ids.append(DeltaId(previous))
    label, subject = _subject(headers[0], ids)
    return Unsigned(tuple(headers), tuple(encoded), tuple(bodies), tuple(ids), label, subject)


def _subject(first: Header, ids: Sequence[DeltaId]) -> tuple[str, Digest]:
    if len(ids) == 1:
        return Header.LABEL, Digest(ids[0])
    batch = Batch(first.federation, first.chain, first.sequence, len(ids), merkle.root(ids))
    return Batch.LABEL, Batch.id_of(batch.to_body())


def attach(unsigned: Unsigned, signature: bytes) -> tuple[Delta, ...]:
    """The deltas once their one signature is made."""
    if len(unsigned.ids) == 1:
        proofs: tuple[Proof, ...] = (Proof(signature, 0, 0, ()),)
    else:
        first, count = unsigned.headers[0].sequence, len(unsigned.ids)
        _, paths = merkle.proofs(unsigned.ids)
        proofs = tuple(Proof(signature, first, count, path) for path in paths)
    return tuple(
        Delta(identifier, header, header_bytes, proof, body, b"")
        for identifier, header, header_bytes, proof, body in zip(
            unsigned.ids,
            unsigned.headers,
            unsigned.header_bytes,
            proofs,
            unsigned.bodies,
            strict=True,
        )
    )
