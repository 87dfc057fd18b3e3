"""Author logs: what a peer holds of each chain, and whether a delta continues it.

A chain is named by the digest of (author, writer, namespace). Its head is the last delta
admitted; a delta continues the chain when its sequence is one above the head's and its
`previous` is the head. Anything at a held position with another id is a fork.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from hive.memory.delta import Delta
from hive.wire.brisk import brisk
from hive.wire.clock import Hlc
from hive.wire.ids import ZERO_DIGEST, DeltaId, Digest, Inception


class State(IntEnum):
    """What a held delta is worth; replica digests cover (id, state)."""

    LIVE = 1
    FORGOTTEN = 2
    VOID = 3


@brisk
@dataclass(frozen=True, slots=True)
class Head:
    """The end of one chain as this peer holds it."""

    chain: Digest
    namespace: str
    author: Inception
    writer: Inception
    sequence: int
    delta: DeltaId
    hlc: Hlc


@brisk
@dataclass(frozen=True, slots=True)
class Held:
    """A delta as the store holds it; `body` is empty where it is missing or forgotten."""

    row: int
    delta: Delta
    state: State


class Continuation(Enum):
    """How a delta relates to the chain that a peer holds."""

    NEXT = "next"
    HELD = "held"
    GAP = "gap"
    FORK = "fork"
    BROKEN = "broken"


def continuation(delta: Delta, head: Head | None, held_here: DeltaId | None) -> Continuation:
    """Compares a delta with the head of its chain and with what is held at its position.

    BROKEN: in position, but `previous` or hlc contradict the head; its author's fault.
    """
    header = delta.header
    last = head.sequence if head else 0
    if header.sequence <= last:
        if held_here is None:
            return Continuation.HELD
        return Continuation.HELD if held_here == delta.id else Continuation.FORK
    if header.sequence > last + 1:
        return Continuation.GAP
    if header.previous != (head.delta if head else ZERO_DIGEST):
        return Continuation.BROKEN
    if head and header.hlc <= head.hlc:
        return Continuation.BROKEN
    return Continuation.NEXT


def head_after(delta: Delta) -> Head:
    """The head of the chain once this delta is its end."""
    header = delta.header
    return Head(
        header.chain,
        header.namespace,
        Inception(header.author),
        Inception(header.writer),
        header.sequence,
        delta.id,
        header.stamp,
    )
