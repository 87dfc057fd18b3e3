"""What two peers say to each other: `[kind, request id, …]`, canonical, within one datagram.

Answers carry compact pointers (peer id, address: about 42 bytes over IPv4) and not signed
records (about 250 bytes). A pointer must be introduced before it can be asked anything, and
the introduction proves node record, peer record and address anyway; a signature beside it
would add a verification per contact and make five pages of one answer, and prove nothing more.
Whoever lies with pointers pays: see `bad_pointers_max`. An answer holds what fits into
`DATAGRAM_BYTES_MAX`; `has_more_…` says that a request with a larger `skip_…` finds the rest.

Amplification: these messages exist only inside sealed sessions, whose addresses returned a
cookie; the 3x rule before that is the transport's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeAlias, TypeVar

from hive.errors import MalformedFrame
from hive.protocol.discovery.config import DATAGRAM_BYTES_MAX
from hive.protocol.discovery.contact import POINTER_BYTES_MAX, POINTER_BYTES_MIN
from hive.protocol.discovery.records import KEY_BYTES, SignedRecord
from hive.wire.codec import Array, Flag, Integer, Octets, decode_untrusted, encode
from hive.wire.schema import Many, Part, part

POINTERS_MAX = 32
RECORDS_MAX = 16
SKIP_MAX = 255

RequestId = Annotated[int, Integer()]
Pointers = Annotated[
    tuple[bytes, ...], Array(Octets(POINTER_BYTES_MIN, POINTER_BYTES_MAX), POINTERS_MAX)
]


@part
@dataclass(frozen=True, slots=True)
class Ping(Part):
    """Are you there?"""

    KIND: ClassVar[int] = 1
    request: RequestId


@part
@dataclass(frozen=True, slots=True)
class Pong(Part):
    """I am."""

    KIND: ClassVar[int] = 2
    request: RequestId


@part
@dataclass(frozen=True, slots=True)
class Find(Part):
    """Whom do you know near this?"""

    KIND: ClassVar[int] = 3
    request: RequestId
    target: Annotated[bytes, Octets(KEY_BYTES, KEY_BYTES)]
    skip: Annotated[int, Integer(0, SKIP_MAX)]


@part
@dataclass(frozen=True, slots=True)
class Found(Part):
    """These, nearest first, in strictly rising distance."""

    KIND: ClassVar[int] = 4
    request: RequestId
    pointers: Pointers
    has_more: Annotated[bool, Flag()]


@part
@dataclass(frozen=True, slots=True)
class Read(Part):
    """Which records have you under this key, and whom do you know near it?"""

    KIND: ClassVar[int] = 5
    request: RequestId
    key: Annotated[bytes, Octets(KEY_BYTES, KEY_BYTES)]
    skip_records: Annotated[int, Integer(0, SKIP_MAX)]
    skip_pointers: Annotated[int, Integer(0, SKIP_MAX)]


@part
@dataclass(frozen=True, slots=True)
class Records(Part):
    """These records, and these peers in the room that was left."""

    KIND: ClassVar[int] = 6
    request: RequestId
    records: Annotated[tuple[SignedRecord, ...], Many(RECORDS_MAX)]
    pointers: Pointers
    has_more_records: Annotated[bool, Flag()]
    has_more_pointers: Annotated[bool, Flag()]


@part
@dataclass(frozen=True, slots=True)
class Store(Part):
    """Keep this."""

    KIND: ClassVar[int] = 7
    request: RequestId
    signed: SignedRecord


@part
@dataclass(frozen=True, slots=True)
class Stored(Part):
    """Done, or why not: a `StoreVerdict`."""

    KIND: ClassVar[int] = 8
    request: RequestId
    verdict: Annotated[int, Integer(0, 255)]


Request: TypeAlias = Ping | Find | Read | Store
Answer: TypeAlias = Pong | Found | Records | Stored
Message: TypeAlias = Request | Answer

_MESSAGES: dict[int, type[Message]] = {
    m.KIND: m for m in (Ping, Pong, Find, Found, Read, Records, Store, Stored)
}
T = TypeVar("T")


class _MessageShape:
    """`[kind, *fields]`, the fields by kind."""

    def check(self, value: object) -> None:
        if type(value) is not tuple or not value or type(value[0]) is not int:
            raise MalformedFrame("a discovery message begins with its kind")
        message = _MESSAGES.get(value[0])
        if message is None:
            raise MalformedFrame(f"no discovery message has kind {value[0]}")
        message.SHAPE.check(value[1:])


_SHAPE = _MessageShape()


def encode_message(message: Message) -> bytes:
    """The canonical bytes."""
    return encode((message.KIND, *message.to_plain()))


def decode_message_untrusted(untrusted: bytes) -> Message:
    """The inverse of `encode_message`; raises `MalformedFrame`, nothing else."""
    plain = decode_untrusted(untrusted, _SHAPE, bytes_max=DATAGRAM_BYTES_MAX)
    return _MESSAGES[plain[0]].from_plain(plain[1:])


def fitting(
    items: list[T], size: Callable[[T], int], count_max: int, bytes_max: int
) -> tuple[tuple[T, ...], int]:
    """The first items that fit into `bytes_max`, and the bytes they take."""
    whole = items[:count_max]
    used = sum(map(size, whole))
    if used <= bytes_max:
        return tuple(whole), used
    used = 0
    for index, item in enumerate(whole):
        if used + size(item) > bytes_max:
            return tuple(whole[:index]), used
        used += size(item)
    return tuple(whole), used


def pointer_size(pointer: bytes) -> int:
    """What a pointer takes in an answer."""
    return len(pointer) + 2


def record_size(signed: SignedRecord) -> int:
    """What a record takes in an answer, at most."""
    return len(signed.body) + len(signed.signature) + 6
