"""Batches of signatures checked in threads: libsodium releases the interpreter lock.

Two threads verify nearly twice what one does (measured by `hive bench ingest`), processes bring
no more, and a thread hop costs two verifications: so small batches are checked in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from hive.protocol.machine import Check
from hive.trust.keys import signing_bytes, verify_bytes

INLINE_COUNT_MAX: Final = 3
"""Up to so many checks are made in place; more would make other tasks wait too long."""


def check_all(checks: Sequence[Check]) -> tuple[bool, ...]:
    """One verdict a check, in order."""
    return tuple(
        verify_bytes(
            check.algorithm,
            check.public_key,
            signing_bytes(check.label, check.digest),
            check.signature,
        )
        for check in checks
    )


class Verifiers:
    """A bounded number of verifying threads."""

    def __init__(self, thread_count: int = 2) -> None:
        self._limiter = trio.CapacityLimiter(thread_count)

    async def verify(self, checks: Sequence[Check]) -> tuple[bool, ...]:
        """Checks a batch in a worker thread."""
        return await trio.to_thread.run_sync(check_all, checks, limiter=self._limiter)
