"""Bounded memory of what was seen: insertion order, oldest out first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedMap(Generic[K, V]):
    """A map of at most `count_max` entries; a new one beyond that drops the oldest."""

    __slots__ = ("_count_max", "_entries")

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def have(self, keys: Iterable[K]) -> list[bool]:
        """For each key whether it is there; many at once for the price of few."""
        entries = self._entries
        return [key in entries for key in keys]

    def get(self, key: K) -> V | None:
        """The value under the key, where it is still remembered."""
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        """Remembers a value; an entry that was there keeps its age."""
        if key not in self._entries and len(self._entries) >= self._count_max:
            self._entries.popitem(last=False)
        self._entries[key] = value

    def pop(self, key: K) -> V | None:
        """Forgets an entry and gives what it was."""
        return self._entries.pop(key, None)

    def clear(self) -> None:
        """Forgets everything."""
        self._entries.clear()

    def items(self) -> list[tuple[K, V]]:
        """Every entry, oldest first."""
        return list(self._entries.items())
