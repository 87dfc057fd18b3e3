"""Step 7 before the rail: one epoch, for ever in force, and no leases."""

from __future__ import annotations

from typing import Final

from hive.wire.codec import encode
from hive.wire.ids import Digest, digest

FIRST_EPOCH: Final = 1
NO_LEASE: Final = 0


class OneEpoch:
    """Epoch 1 is in force everywhere; a delta that names another epoch or a lease is void."""

    name = "one epoch, no rail, no leases"

    def epochs(self) -> tuple[int, ...]:
        """Always epoch 1."""
        return (FIRST_EPOCH,)

    def root(self) -> Digest:
        """The digest of the epoch table."""
        return digest("hive/epochs", encode(self.epochs()))

    def permits(self, epochs: tuple[int, ...], lease: int) -> bool:
        """Whether a delta was judged under epoch 1 and no lease."""
        return epochs == self.epochs() and lease == NO_LEASE
