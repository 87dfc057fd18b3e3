"""What users say, checked and turned into bodies before anything is written; and what they hear."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from hive.errors import ConfigError, DeltaTooLarge, MalformedFrame, Refused
from hive.memory.authoring import Draft
from hive.memory.bodies import (
    NAME_TEXT_BYTES_MAX,
    TAG_COUNT_MAX,
    TEXT_BYTES_MAX,
    MemoryBody,
)
from hive.memory.delta import PARENT_COUNT_MAX, SALT_BYTES, Delta
from hive.node import clocks
from hive.node.views import View
from hive.protocol.commands import Answer, Declined
from hive.protocol.refusals import Refusal


def memory(
    text: str, source: str, tags: Sequence[str], valid_from_ms: int, valid_until_ms: int
) -> MemoryBody:
    """A memory's body; raises before anything is written."""
    text = unicodedata.normalize("NFC", text)
    size = len(text.encode("utf-8", "replace"))
    if not text.strip():
        raise ConfigError("the text is empty", hint="say what is to be remembered")
    if size > TEXT_BYTES_MAX:
        raise DeltaTooLarge(
            f"the text has {size} bytes; {TEXT_BYTES_MAX} is the most",
            hint="split it, e.g. with `hive import FILE`",
        )
    if len(source.encode()) > NAME_TEXT_BYTES_MAX or len(tags) > TAG_COUNT_MAX:
        raise DeltaTooLarge("the source or the tags are too long", hint="shorten them")
    normal = tuple(unicodedata.normalize("NFC", tag) for tag in tags)
    salt = clocks.entropy(SALT_BYTES)
    source = unicodedata.normalize("NFC", source)
    return MemoryBody(salt, text, source, normal, valid_from_ms, valid_until_ms)


def require_sayable(draft: Draft) -> None:
    """Raises `ConfigError` where the format has no room for a draft."""
    if len(draft.parents) > PARENT_COUNT_MAX:
        raise ConfigError("too many parents", hint=f"at most {PARENT_COUNT_MAX}")
    try:
        draft.body.to_body()
    except MalformedFrame as error:
        raise ConfigError(f"this cannot be written: {error}", hint="shorten what is long") from None


def written(delta: Delta) -> View:
    """What a writer is told of a delta."""
    return {
        "id": delta.id.hex(),
        "namespace": delta.header.namespace,
        "sequence": delta.header.sequence,
        "hlc_ms": delta.header.hlc >> 16,
    }


def refused(answer: Answer) -> Refused:
    """The error of an answer that declines."""
    refusal = answer.refusal if isinstance(answer, Declined) else None
    assert isinstance(refusal, Refusal)
    reason = refusal.reason
    return Refused(reason.code, reason.step, detail=refusal.detail, hint=reason.remedy)
