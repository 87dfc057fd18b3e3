"""What can go wrong with a disk, each with a hint for the person."""

from __future__ import annotations

import errno
import os
from typing import Final

import lmdb

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

_DAMAGE: Final = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
)
_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def full() -> StoreFull:
    """The refusal at the configured cap."""
    return StoreFull("the store has reached its cap", hint=FULL_HINT)


def fault_of(error: Exception) -> StoreError:
    """The family's form of an error of LMDB or the operating system."""
    if isinstance(error, lmdb.MapFullError):
        return full()
    if _is_disk_full(error):
        return StoreFull("the disk is full", hint=DISK_HINT)
    if isinstance(error, _DAMAGE):
        return StoreError(f"the store is damaged: {error}", hint=DAMAGED_HINT)
    return StoreError(f"the store failed: {error}", hint="run 'hive doctor'")


def _is_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _DISK_FULL
    # py-lmdb keeps the number of a system error only in the text
    return any(os.strerror(number) in str(error) for number in _DISK_FULL)
