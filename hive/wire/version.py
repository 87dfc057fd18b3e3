"""Protocol versions: each side says the oldest and the newest it speaks; the newest of both counts.

A node is refused only where the two ranges do not meet, so versions live side by side while a
federation is upgraded node by node. The floor rises when no node below it is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

VERSION_MAX: Final = 255


@dataclass(frozen=True, slots=True)
class Versions:
    """The range of versions one side speaks."""

    floor: int
    newest: int

    def agreed(self, other: Versions) -> int | None:
        """The version both speak best; None where one lies below the other's floor."""
        best = min(self.newest, other.newest)
        return best if best >= max(self.floor, other.floor) else None

    def to_bytes(self) -> bytes:
        """Two bytes, as they stand in datagrams."""
        return bytes((self.floor, self.newest))


def versions_untrusted(two: bytes) -> Versions:
    """What two bytes say; a range that is none is met by nobody."""
    return Versions(two[0], two[1])


OWN: Final = Versions(1, 1)
"""What this code speaks."""
