"""What can go wrong with a disk, each with a hint for the person."""

from __future__ import annotations

import errno
from typing import Final

from hive.errors import StoreError


class StoreFull(StoreError):
    """The store or its disk takes nothing new; reads, forgets and exports still work."""


FULL_HINT: Final = (
    "forget what is no longer needed, or raise store.map_bytes_max and restart; "
    "reading, forgetting and exporting still work"
)
DISK_HINT: Final = "free space on the disk that holds the store; writing resumes by itself"
DAMAGED_HINT: Final = (
    "the files were damaged or are not hive's: restore a backup into a new directory "
    "with 'hive restore', or move these away and let peers refill an empty store"
)

_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def full() -> StoreFull:
    """The refusal at the configured cap."""
    return StoreFull("the store has reached its cap", hint=FULL_HINT)


def fault_of(error: Exception) -> StoreError:
    """The family's form of an operating system's error."""
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return StoreFull(f"the disk is full: {error.strerror}", hint=DISK_HINT)
    return StoreError(f"the store failed: {error}", hint="run 'hive doctor'")
