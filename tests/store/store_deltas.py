"""Deltas for store tests: real chains, real commitments; signatures are filler."""

from __future__ import annotations

from dataclasses import replace

from hive.memory.authoring import Draft, Pen, attach, compose
from hive.memory.bodies import ForgetBody, MemoryBody
from hive.memory.delta import Delta, Kind
from hive.memory.log import Head, State, head_after
from hive.memory.receipt import Receipt, receipt_proofs
from hive.protocol.ports import PutDelta
from hive.wire import merkle
from hive.wire.ids import Digest, FederationId, Inception, RecordId, digest

FEDERATION = FederationId(digest("test", b"federation"))
SIGNATURE = bytes(range(64))


def inception(name: str) -> Inception:
    return Inception(digest("test", name.encode()))


def pen(author: str = "ann", namespace: str = "acme/notes", writer: str = "node") -> Pen:
    return Pen(
        federation=FEDERATION,
        namespace=namespace,
        author=inception(author),
        writer=inception(writer),
        leaf=RecordId(digest("test", f"leaf of {author}".encode())),
        epochs=(1,),
        lease=0,
        residency=(),
    )


def memory(text: str) -> Draft:
    salt = digest("salt", text.encode())
    return Draft(Kind.MEMORY, MemoryBody(salt, text, "", (), 0, 0))


def forget_draft(target: bytes) -> Draft:
    return Draft(Kind.FORGET, ForgetBody(digest("salt", target), (target,), "asked"))


def signed(drafts: list[Draft], head: Head | None = None, by: Pen | None = None) -> list[Delta]:
    """Deltas behind `head` under one signature, each with a receipt that covers them all."""
    wall_us = (head.hlc >> 16) * 1000 if head else 1_700_000_000_000_000
    unsigned = compose(by or pen(), drafts, head, 0, wall_us)
    return with_receipts(list(attach(unsigned, SIGNATURE)))


def with_receipts(deltas: list[Delta]) -> list[Delta]:
    ids = [delta.id for delta in deltas]
    node = deltas[0].header.writer
    receipt = Receipt(
        FEDERATION, node, digest("test", b"node"), 1, (1,), 0, 7, len(ids), merkle.root(ids)
    )
    proofs = receipt_proofs(receipt, SIGNATURE, ids)
    return [
        replace(delta, receipt=proof.to_bytes())
        for delta, proof in zip(deltas, proofs, strict=True)
    ]


def chain_of(
    count: int, by: Pen | None = None, head: Head | None = None, *, together: int = 1
) -> list[Delta]:
    """`count` memories of one author, `together` of them to a signature."""
    made: list[Delta] = []
    while len(made) < count:
        first = len(made) + (head.sequence if head else 0)
        texts = [memory(f"memory {first + i}") for i in range(min(together, count - len(made)))]
        made += signed(texts, head_after(made[-1]) if made else head, by)
    return made


def put(deltas: list[Delta], state: State = State.LIVE) -> list[PutDelta]:
    return [PutDelta(delta, state) for delta in deltas]


def chain_name(delta: Delta) -> Digest:
    return delta.header.chain
