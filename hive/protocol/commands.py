"""What users ask of a peer, and the answers. They enter by the same door as everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from hive.memory.authoring import Draft
from hive.memory.delta import Delta
from hive.memory.log import Held
from hive.protocol.refusals import Refusal
from hive.wire.ids import DeltaId, Inception


@dataclass(frozen=True, slots=True)
class Author:
    """An agent of this node says things in one namespace; answered by `Authored` or `Declined`."""

    agent: Inception
    namespace: str
    drafts: tuple[Draft, ...]


@dataclass(frozen=True, slots=True)
class Recall:
    """An agent asks what the hive remembers; answered by `Recalled` or `Declined`.

    `prefix` narrows the namespaces ("" all that the agent may read); `count` is how many hits at
    most; `is_exact` asks for an answer that is the same on every peer.
    """

    agent: Inception
    text: str
    prefix: str
    count: int
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class AdmitRecords:
    """Trust records from this node's custody or operator; answered by `RecordsTaken`."""

    envelopes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """Greets bootstrap addresses `(host, udp port)`; answered at once by `Done`."""

    addresses: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Import:
    """Delta envelopes from a file: judged like a peer's; answered by `Imported`."""

    envelopes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Announce:
    """This node listens elsewhere from now on: its new peer record; answered by `Done`."""

    body: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Leave:
    """Says goodbye to the cell; answered by `Done` at once."""


Command: TypeAlias = Author | Recall | AdmitRecords | Join | Import | Leave | Announce


@dataclass(frozen=True, slots=True)
class Authored:
    """Durable, indexed and on its way to the others."""

    deltas: tuple[Delta, ...]


@dataclass(frozen=True, slots=True)
class Declined:
    """Refused; nothing of it was written. `already` are deltas of the command written before."""

    refusal: Refusal
    already: tuple[DeltaId, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing recalled, with its fused score (scaled integer)."""

    held: Held
    score: int


@dataclass(frozen=True, slots=True)
class Recalled:
    """What was found; `is_exact` says whether every peer holding the same gives the same."""

    hits: tuple[Hit, ...]
    namespaces: tuple[str, ...]
    is_exact: bool


@dataclass(frozen=True, slots=True)
class RecordsTaken:
    """One outcome for each envelope: "admitted", "waiting" or the reason of its refusal."""

    outcomes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """How many envelopes were handed to ingress."""

    count: int


@dataclass(frozen=True, slots=True)
class Done:
    """Taken."""


Answer: TypeAlias = Authored | Declined | Recalled | RecordsTaken | Imported | Done
