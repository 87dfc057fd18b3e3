"""What intake says: asks of the driver, and what became of arrivals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from hive.memory.delta import Delta
from hive.memory.fork import ForkProof
from hive.protocol.machine import Token, Verify
from hive.protocol.ports import Write
from hive.protocol.refusals import Refusal
from hive.wire.ids import Digest, PeerId, RecordId


@dataclass(frozen=True, slots=True)
class SignReceipt:
    """Asks for the node's signature over a receipt."""

    token: Token
    label: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class StoreWrites:
    """Asks for these writes to become durable, all or none."""

    token: Token
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class DeltasAdmitted:
    """These passed and are stored; `sender` brought them (None: admitted here)."""

    deltas: tuple[Delta, ...]
    sender: PeerId | None


@dataclass(frozen=True, slots=True)
class DeltaRefused:
    """Arrivals were refused, kept void or set aside; `delta` is empty where undecoded or many."""

    refusal: Refusal
    sender: PeerId | None
    delta: bytes
    count: int = 1


@dataclass(frozen=True, slots=True)
class RecordsMissing:
    """A delta waits for trust records that its sender should have."""

    sender: PeerId | None
    records: tuple[RecordId, ...]


@dataclass(frozen=True, slots=True)
class GapFound:
    """A delta waits for earlier ones of its chain: `first..last` are missing."""

    sender: PeerId | None
    delta: Delta
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ForkFound:
    """Two signed deltas at one position; verified and quarantined, to be kept and told."""

    proof: ForkProof
    generation: int


@dataclass(frozen=True, slots=True)
class RevocationsMissing:
    """A delta of a newer generation stands where an older one is held: a seal is missing."""

    sender: PeerId | None


@dataclass(frozen=True, slots=True)
class OwnConcluded:
    """A flight of own deltas ended: those admitted, and why the others were not."""

    token: Token
    admitted: tuple[Delta, ...]
    refused: tuple[Refusal, ...]


Output: TypeAlias = (
    Verify
    | SignReceipt
    | StoreWrites
    | DeltasAdmitted
    | DeltaRefused
    | RecordsMissing
    | GapFound
    | ForkFound
    | RevocationsMissing
    | OwnConcluded
)
