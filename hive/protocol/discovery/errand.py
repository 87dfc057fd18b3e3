"""What an errand is: a wish under way, and what each of its exchanges is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from hive.protocol.discovery.events import (
    DiscoveryEffect,
    LookupFinished,
    Published,
    RecordFound,
)
from hive.protocol.discovery.lookup import Lookup
from hive.protocol.discovery.messages import Find, Found, Read, Records, Request
from hive.protocol.discovery.reading import Reading
from hive.protocol.discovery.records import Opened
from hive.protocol.machine import Token
from hive.wire.ids import PeerId


@dataclass(frozen=True, slots=True)
class Querying:
    """A find or read of an errand: the page asked for, and how many pointers in all."""

    errand: int
    pointers_wanted: int
    skip_records: int = 0
    skip_pointers: int = 0

    def request(self, target: bytes, *, is_read: bool) -> Callable[[int], Request]:
        """The message, but for its request id."""
        if not is_read:
            return partial(Find, target=target, skip=self.skip_pointers)
        return partial(
            Read, key=target, skip_records=self.skip_records, skip_pointers=self.skip_pointers
        )

    def next_page(self, answer: Found | Records, *, has_news: bool) -> Querying | None:
        """What to ask next of a peer that did not say all that is wanted."""
        skip_pointers = self.skip_pointers + len(answer.pointers)
        is_short = bool(answer.pointers) and skip_pointers < self.pointers_wanted
        if isinstance(answer, Found):
            is_more, skip_records = answer.has_more and is_short, 0
        else:
            is_more = answer.has_more_pointers and is_short
            is_more = is_more or (answer.has_more_records and has_news)
            skip_records = self.skip_records + len(answer.records)
        if not is_more:
            return None
        return Querying(self.errand, self.pointers_wanted, skip_records, skip_pointers)


@dataclass(frozen=True, slots=True)
class Storing:
    """A store of an errand's record."""

    errand: int


@dataclass(frozen=True, slots=True)
class Repairing:
    """A store that corrects a holder of an older record; nobody waits for it."""


@dataclass(frozen=True, slots=True)
class Probing:
    """A ping that settles whether a contact still answers."""


Purpose: TypeAlias = Querying | Storing | Repairing | Probing


@dataclass(frozen=True, slots=True)
class Wish:
    """What an errand is for: a lookup, a read (`is_read`) or a publication (`opened`)."""

    target: bytes
    token: Token | None = None
    is_read: bool = False
    opened: Opened | None = None
    is_join: bool = False

    @property
    def is_for_record(self) -> bool:
        """Whether liars gain by misleading it: then it takes disjoint paths."""
        return self.is_read or self.opened is not None

    def in_vain(self) -> list[DiscoveryEffect]:
        """Its answer where nothing could be done."""
        if self.token is None:
            return []
        if self.is_read:
            return [RecordFound(self.token, ())]
        if self.opened is not None:
            return [Published(self.token, 0)]
        return [LookupFinished(self.token, ())]


@dataclass(slots=True)
class Errand:
    """One wish under way."""

    wish: Wish
    lookup: Lookup
    ends_at: int
    reading: Reading | None
    has_found: bool = False
    stored_count: int = 0
    storing: dict[PeerId, None] = field(default_factory=dict)

    @property
    def doubt_at(self) -> int | None:
        """When an open query of its lookup falls into doubt."""
        return None if self.has_found else self.lookup.doubt_at
