"""What the machines read and whom they ask; writes are effects made of the values below.

Reads answer at once from what is durable. Writes are applied by a store in the order given, all
or nothing for one `Store` effect, and are durable when the driver says `Stored`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NewType, Protocol

from hive.memory.delta import Delta, Header, Kind
from hive.memory.log import Head, Held, State
from hive.wire.brisk import brisk
from hive.wire.clock import Hlc
from hive.wire.ids import DeltaId, Digest, Inception, RecordId

Row = NewType("Row", int)

LINE_BYTES: Final = 8 + 32 + 1
"""One line of a packed time index: stamp (big-endian), id, state."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of a namespace's time index."""

    hlc: Hlc
    id: DeltaId
    state: State


@dataclass(frozen=True, slots=True)
class Forget:
    """A forget that names a target: binding where `is_any`, else only for the author's own.

    `namespace` is that of the forgetting delta: a forget reaches nothing outside it, also where it
    is kept long before its target arrives.
    """

    target: DeltaId
    forgetting: DeltaId
    author: Inception
    is_any: bool
    namespace: str

    def binds(self, header: Header) -> bool:
        """Whether it forgets the target whose header this is; a forget cannot be forgotten."""
        if self.namespace != header.namespace or header.kind == Kind.FORGET:
            return False
        return self.is_any or self.author == header.author


@dataclass(frozen=True, slots=True)
class Usage:
    """How full the store is, in bytes; `is_full` when nothing new is taken.

    A full store still takes forgets, truncations, records, fork proofs and meta values.
    """

    bytes_used: int
    bytes_max: int

    @property
    def is_full(self) -> bool:
        """Whether the cap is reached."""
        return self.bytes_used >= self.bytes_max

    @property
    def is_warning(self) -> bool:
        """Whether 80 % are used."""
        return self.bytes_used * 10 >= self.bytes_max * 8


@brisk
@dataclass(frozen=True, slots=True)
class PutDelta:
    """Appends a delta to its chain as the new head; indexes it by id, position, time, author.

    The body is kept beside the header and may be empty (missing, forgotten or void). A store
    holds nothing against a forget it knows: a live delta bound by one is kept as forgotten.
    An id already held stays as it is, but a void becomes live (with the body and receipt given
    here) once any receipt justifies it. A delta that does not continue its chain is a fault of
    ours: `StateError`, and nothing of the batch is kept.
    """

    delta: Delta
    state: State


@dataclass(frozen=True, slots=True)
class PutBody:
    """Gives a body to a held live delta that misses it; ignored in every other case."""

    delta: DeltaId
    body: bytes


@dataclass(frozen=True, slots=True)
class PutForget:
    """Keeps a forget for ever; where its target is held and bound by it, erases the body."""

    forget: Forget


@dataclass(frozen=True, slots=True)
class Truncate:
    """Takes every delta of a chain above `last_sequence` out of log and indexes."""

    chain: Digest
    last_sequence: int


@dataclass(frozen=True, slots=True)
class PutRecord:
    """Keeps a trust record's envelope; `order` is the order of admission."""

    id: RecordId
    envelope: bytes


@dataclass(frozen=True, slots=True)
class PutFork:
    """Keeps a verified fork proof."""

    id: Digest
    chain: Digest
    sequence: int
    generation: int
    proof: bytes


@dataclass(frozen=True, slots=True)
class PutMeta:
    """Keeps one small value under a name (boot number, freshness index, import marks)."""

    name: str
    value: bytes


Write = PutDelta | PutBody | PutForget | Truncate | PutRecord | PutFork | PutMeta


@dataclass(frozen=True, slots=True)
class KeptFork:
    """A fork proof as the store keeps it."""

    id: Digest
    chain: Digest
    sequence: int
    generation: int
    proof: bytes


class StoreReader(Protocol):
    """The reading side of a store."""

    def delta(self, id: DeltaId) -> Held | None:
        """The held delta of this id, with its body where there is one."""

    def has(self, id: DeltaId) -> bool:
        """Whether the id is held, in whatever state; about 1 µs."""

    def ids_with_prefix(self, prefix: bytes, count_max: int) -> tuple[DeltaId, ...]:
        """Held ids that begin with these bytes, at most `count_max`, in order."""

    def head(self, chain: Digest) -> Head | None:
        """The end of a chain."""

    def at(self, chain: Digest, sequence: int) -> DeltaId | None:
        """The id held at a position."""

    def chain_slice(self, chain: Digest, first: int, count_max: int) -> tuple[Held, ...]:
        """Deltas of a chain from a sequence on, in order."""

    def heads(self, namespace: str, count_max: int | None = None) -> tuple[Head, ...]:
        """The heads of all chains of one namespace, or the first so many, by chain digest."""

    def heads_of(self, author: Inception) -> tuple[Head, ...]:
        """The heads of all chains of one author, by chain digest."""

    def namespaces(self) -> tuple[str, ...]:
        """Every namespace that has a chain, sorted."""

    def summaries(
        self, namespace: str, first: Hlc, last: Hlc, count_max: int
    ) -> tuple[Summary, ...]:
        """The time index of a namespace between two stamps (both included), by (hlc, id)."""

    def lines(self, namespace: str, first: Hlc, last: Hlc, count_max: int) -> bytes:
        """The same as one run of `LINE_BYTES` each: what digests hash, without an object a line."""

    def missing_bodies(self, count_max: int) -> tuple[DeltaId, ...]:
        """Live deltas whose body is absent, in order of arrival."""

    def newest_hlc(self) -> Hlc:
        """The highest stamp held, truncated deltas excepted; 0 in an empty store."""

    def forgets_of(self, target: DeltaId) -> tuple[Forget, ...]:
        """Every forget that names this id, by forgetting id, whether or not the id is held."""

    def forks(self) -> tuple[KeptFork, ...]:
        """Every kept fork proof, by id."""

    def records(self) -> Iterator[bytes]:
        """Every kept trust record, in order of admission."""

    def rows_after(self, row: Row, count_max: int) -> Sequence[Held]:
        """Held deltas in order of arrival, from behind a row: what projections replay.

        A row that was truncated is skipped; one that was forgotten appears with an empty body.
        A delta keeps its row while it has a body. It moves to a new row when a missing body
        arrives or a void becomes live, so that who replays from its last row misses neither.
        """

    def erased_rows(self, row: Row, count_max: int) -> tuple[Row, ...]:
        """Rows behind `row`, ascending, whose delta was live here and was forgotten or truncated.

        What projections must no longer hold, also where they were not told in time.
        """

    def last_row(self) -> Row:
        """The highest row ever given, also where it was truncated since; 0 before the first."""

    def meta(self, name: str) -> bytes | None:
        """A small named value."""

    def usage(self) -> Usage:
        """How full the store is."""


class EpochPort(Protocol):
    """Step 7: which policy epochs are in force, and whose lease runs. The rail's face later."""

    name: str
    """How `hive status` names this implementation, e.g. "one epoch, no rail"."""

    def epochs(self) -> tuple[int, ...]:
        """The epochs in force at this node now."""

    def root(self) -> Digest:
        """The digest of the epoch table."""

    def permits(self, epochs: tuple[int, ...], lease: int) -> bool:
        """Whether a delta judged under these epochs and lease stands; deterministic in both."""


class LawPort(Protocol):
    """Step 12: policy beyond capabilities."""

    name: str

    def denial(self, delta: Delta, region: str) -> str:
        """The reason code of a denial, "" where the law permits; `region` is the writer's."""

    def regions(self, namespace: str) -> tuple[str, ...]:
        """The regions whose nodes may hold the namespace or hear its name, sorted; empty: all."""


class DurabilityPort(Protocol):
    """Step 13: what an acknowledgement promises."""

    name: str

    def classes(self) -> tuple[str, ...]:
        """The durability classes on offer."""

    def is_met(self, namespace: str, receipts: int) -> bool:
        """Whether this many durable copies satisfy the namespace's class."""
