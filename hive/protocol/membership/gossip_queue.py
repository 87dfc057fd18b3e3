"""Which statement is said next: the least often said first, the newer among equals.

This order is part of the specification: a twin that keeps it gives the same trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from hive.protocol.membership.messages import Signed
from hive.wire.ids import PeerId

_Key: TypeAlias = tuple[PeerId, PeerId]


@dataclass(slots=True)
class _Waiting:
    signed: Signed
    sends: int


class GossipQueue:
    """At most one statement for each subject and author, at most `count_max` together."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._waiting: dict[_Key, _Waiting] = {}
        self._levels: dict[int, dict[_Key, None]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def holds(self, signed: Signed) -> bool:
        """Whether this statement still waits to be said again."""
        waiting = self._waiting.get((signed.subject, signed.author))
        return waiting is not None and waiting.signed == signed

    def push(self, signed: Signed) -> None:
        """Adds a statement; what its author said of the subject before is dropped."""
        key = (signed.subject, signed.author)
        self._drop(key)
        if len(self._waiting) >= self._count_max:
            self._drop(next(iter(self._levels[max(self._levels)])))
        self._waiting[key] = _Waiting(signed, 0)
        self._levels.setdefault(0, {})[key] = None

    def invalidate(self, subject: PeerId) -> None:
        """Drops everything about `subject`: something newer holds."""
        for key in [key for key in self._waiting if key[0] == subject]:
            self._drop(key)

    def take(self, bytes_max: int, sends_max: int) -> list[Signed]:
        """The next statements that fit, counted as sent; what reached `sends_max` is dropped."""
        taken: list[_Key] = []
        for key in self._in_order():
            bytes_max -= self._waiting[key].signed.size
            if bytes_max < 0:
                break
            taken.append(key)
        return [self._sent(key, sends_max) for key in taken]

    def _in_order(self) -> Iterator[_Key]:
        for level in sorted(self._levels):
            yield from reversed(self._levels[level])

    def _sent(self, key: _Key, sends_max: int) -> Signed:
        waiting = self._waiting[key]
        self._drop(key)
        if waiting.sends + 1 < sends_max:
            waiting.sends += 1
            self._waiting[key] = waiting
            self._levels.setdefault(waiting.sends, {})[key] = None
        return waiting.signed

    def _drop(self, key: _Key) -> None:
        if (waiting := self._waiting.pop(key, None)) is None:
            return
        level = self._levels[waiting.sends]
        del level[key]
        if not level:
            del self._levels[waiting.sends]
