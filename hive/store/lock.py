"""One process to a store: an exclusive lock that dies with its holder.

The lock file holds the holder's process id; it is emptied when the store is closed in order, so
what is left in it says that the last holder was killed.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from hive.errors import StateError
from hive.store.faults import fault_of


class StoreLock:
    """Holds the lock of a directory from construction to `release`; `StateError` if taken."""

    def __init__(self, directory: Path) -> None:
        try:
            self._fd = os.open(directory / "hive.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise fault_of(error) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise StateError(
                f"the store in {directory} is in use by process {holder}",
                hint=f"talk to the node that runs as process {holder}, or stop it first",
            ) from None
        self.was_killed = os.fstat(self._fd).st_size > 0
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self, *, is_in_order: bool = True) -> None:
        """Gives the lock up; once more does nothing."""
        if self._fd < 0:
            return
        if is_in_order:
            os.ftruncate(self._fd, 0)
        os.close(self._fd)
        self._fd = -1
