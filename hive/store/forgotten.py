"""Row ids that were forgotten since the last snapshot, in a small log that is synced at once.

Twelve bytes a record: the row id and its CRC-32. A torn record at the end is cut off when the
log is opened; the `forget` that wrote it never returned.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from hive.store.snapshots import sync_directory

RECORD_BYTES = 12


class ForgottenLog:
    """The log of one projection; without a path it lives in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows = dict.fromkeys(_read(path) if path is not None else ())

    def __contains__(self, row_id: int) -> bool:
        return row_id in self._rows

    def rows(self) -> list[int]:
        """Every row id of the log, oldest first."""
        return list(self._rows)

    def append(self, row_ids: Sequence[int]) -> None:
        """Durable on return."""
        self._rows.update(dict.fromkeys(row_ids))
        if self._path is not None:
            with self._path.open("ab") as file:
                _write(file.fileno(), row_ids)
            sync_directory(self._path.parent)

    def keep_above(self, row_id: int) -> None:
        """Drops what a snapshot up to `row_id` holds; a later row may still be on its way."""
        self._rows = {row: None for row in self._rows if row > row_id}
        if self._path is not None:
            temporary = self._path.with_name(self._path.name + ".new")
            with temporary.open("wb") as file:
                _write(file.fileno(), self._rows)
            temporary.replace(self._path)
            sync_directory(self._path.parent)


def _write(descriptor: int, row_ids: Iterable[int]) -> None:
    os.write(descriptor, b"".join(_record(row_id) for row_id in row_ids))
    os.fsync(descriptor)


def _record(row_id: int) -> bytes:
    body = row_id.to_bytes(8, "big")
    return body + zlib.crc32(body).to_bytes(4, "big")


def _read(path: Path) -> list[int]:
    content = path.read_bytes() if path.exists() else b""
    rows: list[int] = []
    for start in range(0, len(content), RECORD_BYTES):
        record = content[start : start + RECORD_BYTES]
        row_id = int.from_bytes(record[:8], "big")
        if record != _record(row_id):
            os.truncate(path, start)
            break
        rows.append(row_id)
    return rows
