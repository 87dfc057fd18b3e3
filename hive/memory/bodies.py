"""What a delta says, kind by kind. A body begins with 32 random bytes, so a commitment to a
guessable text tells nothing once the body is erased.

Times are wall milliseconds on the axis of *valid time*; 0 means open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from hive.memory.delta import BODY_BYTES_MAX, SALT_BYTES, Kind
from hive.wire.codec import Array, Integer, Octets, Text
from hive.wire.ids import DIGEST_BYTES
from hive.wire.schema import Record, record

TEXT_BYTES_MAX: Final = 64 * 1_024
NAME_TEXT_BYTES_MAX: Final = 1_024
TAG_COUNT_MAX: Final = 32
ALIAS_COUNT_MAX: Final = 64
TARGET_COUNT_MAX: Final = 256

_Salt = Annotated[bytes, Octets(SALT_BYTES, SALT_BYTES)]
_Name = Annotated[str, Text(NAME_TEXT_BYTES_MAX)]
_Id = Annotated[bytes, Octets(DIGEST_BYTES, DIGEST_BYTES)]
_Ms = Annotated[int, Integer()]
_Targets = Annotated[tuple[bytes, ...], Array(Octets(DIGEST_BYTES, DIGEST_BYTES), TARGET_COUNT_MAX)]


@record("memory-body", 1, bytes_max=BODY_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class MemoryBody(Record):
    """A text worth remembering; `source` says where it came from, for the reader."""

    salt: _Salt
    text: Annotated[str, Text(TEXT_BYTES_MAX)]
    source: _Name
    tags: Annotated[tuple[str, ...], Array(Text(128), TAG_COUNT_MAX)]
    valid_from_ms: _Ms
    valid_until_ms: _Ms


@record("link-body", 1, bytes_max=BODY_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class LinkBody(Record):
    """`subject` stands in `relation` to `object` during an interval; `observed_by` saw it."""

    salt: _Salt
    subject: _Name
    relation: _Name
    object: _Name
    observed_by: _Name
    valid_from_ms: _Ms
    valid_until_ms: _Ms


@record("invalidate-body", 1, bytes_max=BODY_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class InvalidateBody(Record):
    """The target stopped being true at a time; it is added to, never erased."""

    salt: _Salt
    target: _Id
    valid_until_ms: _Ms
    reason: _Name


@record("entity-body", 1, bytes_max=BODY_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class EntityBody(Record):
    """Defines, merges or splits an entity: `operation` is "define", "merge" or "split"."""

    salt: _Salt
    operation: _Name
    name: _Name
    aliases: Annotated[tuple[str, ...], Array(Text(NAME_TEXT_BYTES_MAX), ALIAS_COUNT_MAX)]


@record("supersede-body", 1, bytes_max=BODY_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class SupersedeBody(Record):
    """A newer text in place of the target's."""

    salt: _Salt
    target: _Id
    text: Annotated[str, Text(TEXT_BYTES_MAX)]
    source: _Name


@record("forget-body", 1, bytes_max=BODY_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class ForgetBody(Record):
    """Explicit ids of one namespace whose bodies must go, everywhere and for ever."""

    salt: _Salt
    targets: _Targets
    reason: _Name


Body = MemoryBody | LinkBody | InvalidateBody | EntityBody | SupersedeBody | ForgetBody

BODY_OF: Final[dict[int, type[Body]]] = {
    Kind.MEMORY: MemoryBody,
    Kind.LINK: LinkBody,
    Kind.INVALIDATE: InvalidateBody,
    Kind.ENTITY: EntityBody,
    Kind.SUPERSEDE: SupersedeBody,
    Kind.FORGET: ForgetBody,
}


def parse_body_untrusted(kind: int, untrusted: bytes) -> Body:
    """The body of a delta of this kind; raises `MalformedFrame`."""
    return BODY_OF[kind].from_body_untrusted(untrusted)


def searchable_text(body: Body) -> str:
    """What recall finds a delta by; empty where there is nothing to find."""
    match body:
        case MemoryBody() | SupersedeBody():
            return body.text
        case LinkBody():
            return f"{body.subject} {body.relation} {body.object}"
        case EntityBody():
            return " ".join((body.name, *body.aliases))
        case InvalidateBody() | ForgetBody():
            return ""
