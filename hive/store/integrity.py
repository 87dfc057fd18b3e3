"""Looks at an LMDB file before LMDB does: a short or foreign file must not be mapped.

LMDB trusts what it maps, and a page beyond the end of a truncated file kills the process. The
meta pages say how many pages the file must have; small files, and those whose holder was killed,
are walked whole.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Final

from lmdb.verify import VerifyError, verify

from hive.errors import StoreError
from hive.store.faults import DAMAGED_HINT

MARKER_FILE: Final = "hive.store"
WALK_BYTES_MAX: Final = 2 << 20
WALK_AFTER_KILL_BYTES_MAX: Final = 16 << 20
_FINDINGS_SHOWN: Final = 3
_OURS: Final = (0xBEEFC0DE, 1)
_META: Final = struct.Struct("=16xII16xI92xQQ")
"""Magic, version, page size, last page and transaction number in a meta page of LMDB 0.9."""


def require_sound_file(path: Path, *, was_killed: bool) -> None:
    """Raises `StoreError` where the file is truncated, foreign or visibly damaged."""
    try:
        size = path.stat().st_size
        if size:
            with path.open("rb") as file:
                _require_whole(path, size, file)
    except FileNotFoundError:
        size = 0
    except (OSError, struct.error) as error:
        raise StoreError(f"{path} cannot be read: {error}", hint=DAMAGED_HINT) from None
    marker = path.with_name(MARKER_FILE)
    if size == 0 and marker.exists():
        raise StoreError(f"{path} is gone or empty", hint=DAMAGED_HINT)
    if 0 < size <= (WALK_AFTER_KILL_BYTES_MAX if was_killed else WALK_BYTES_MAX):
        require_sound_pages(path)


def require_sound_pages(path: Path) -> None:
    """Walks every page in use, without LMDB; some 50 MB a second."""
    try:
        findings = verify(str(path), subdir=False)  # type: ignore[no-untyped-call]
    except (VerifyError, OSError, struct.error) as error:
        raise StoreError(f"{path} is damaged: {error}", hint=DAMAGED_HINT) from None
    if findings:
        shown = "; ".join(findings[:_FINDINGS_SHOWN])
        raise StoreError(f"{path} is damaged: {shown}", hint=DAMAGED_HINT)


def mark_directory(directory: Path) -> None:
    """Says that a store was made here, so that its absence is noticed."""
    marker = directory / MARKER_FILE
    if not marker.exists():
        marker.write_text("A hive store lives here; data.mdb is its only file of worth.\n")


def _require_whole(path: Path, size: int, file: BinaryIO) -> None:
    first = _META.unpack(file.read(_META.size))
    file.seek(first[2] if first[:2] == _OURS else 0)
    second = _META.unpack(file.read(_META.size))
    if (first[:2], second[:2]) != (_OURS, _OURS):
        raise StoreError(f"{path} is not a hive store: not an LMDB file", hint=DAMAGED_HINT)
    _, _, page_bytes, last_page, _ = max(first, second, key=lambda meta: int(meta[-1]))
    wanted = (last_page + 1) * page_bytes
    if size < wanted:
        raise StoreError(
            f"{path} is truncated: {size} of {wanted} bytes are there", hint=DAMAGED_HINT
        )
