"""What can be due at a node of the world: the envelope around what its peer is told.

`boot` guards what a node says to itself: nothing of an earlier life reaches a later one. `KIND`
and the bytes that travel make the mark that the trace folds in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias
from zlib import crc32

from hive.protocol import events as ev
from hive.wire.brisk import brisk


@brisk
@dataclass(frozen=True, slots=True)
class Inside:
    """An event of the node's own driver: verdicts, signatures, answers of the disk, commands."""

    KIND: ClassVar[int] = 1
    boot: int
    event: ev.Event


@brisk
@dataclass(frozen=True, slots=True)
class Alarm:
    """The peer's deadline."""

    KIND: ClassVar[int] = 2
    boot: int


@brisk
@dataclass(frozen=True, slots=True)
class Synced:
    """The disk ended a sync."""

    KIND: ClassVar[int] = 3
    boot: int


@brisk
@dataclass(frozen=True, slots=True)
class Turn:
    """The processor is free again."""

    KIND: ClassVar[int] = 4
    boot: int


@brisk
@dataclass(frozen=True, slots=True)
class Datagram:
    """A sealed datagram."""

    KIND: ClassVar[int] = 5
    kind: int
    payload: bytes


@brisk
@dataclass(frozen=True, slots=True)
class Hello:
    """First contact: a node record; `is_answer` where the other side began."""

    KIND: ClassVar[int] = 6
    records: tuple[bytes, ...]
    is_answer: bool


@brisk
@dataclass(frozen=True, slots=True)
class Redial:
    """Nobody answered a hello yet."""

    KIND: ClassVar[int] = 7
    boot: int
    endpoint: ev.Endpoint
    attempt: int


@brisk
@dataclass(frozen=True, slots=True)
class Fetch:
    """Asks for the whole chain of a node's record."""

    KIND: ClassVar[int] = 8


@brisk
@dataclass(frozen=True, slots=True)
class Knock:
    """A first sealed datagram: the sender admitted the receiver."""

    KIND: ClassVar[int] = 9
    is_answer: bool


@brisk
@dataclass(frozen=True, slots=True)
class KnockAgain:
    """The other side did not knock yet."""

    KIND: ClassVar[int] = 10
    boot: int
    entity: int
    attempt: int


@brisk
@dataclass(frozen=True, slots=True)
class Syn:
    """Opens a stream."""

    KIND: ClassVar[int] = 11
    stream: int


@brisk
@dataclass(frozen=True, slots=True)
class SynTaken:
    """The stream is open."""

    KIND: ClassVar[int] = 12
    stream: int


@brisk
@dataclass(frozen=True, slots=True)
class Frame:
    """One frame on a stream."""

    KIND: ClassVar[int] = 13
    stream: int
    payload: bytes


@brisk
@dataclass(frozen=True, slots=True)
class Broken:
    """A stream is gone, or could not be made."""

    KIND: ClassVar[int] = 14
    entity: int
    stream: int


Happening: TypeAlias = (
    Inside
    | Alarm
    | Synced
    | Turn
    | Datagram
    | Hello
    | Redial
    | Fetch
    | Knock
    | KnockAgain
    | Syn
    | SynTaken
    | Frame
    | Broken
)


def mark_of(happening: Happening) -> int:
    """What the trace folds in: the kind, and a checksum of what travels."""
    match happening:
        case Datagram() | Frame():
            return crc32(happening.payload) << 4 | happening.KIND
        case _:
            return happening.KIND
