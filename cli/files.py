"""Files that are made once: the same content again is no change, another is refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hive.errors import StateError, StoreError


def write_once(path: Path, content: bytes, mode: int = 0o644) -> bool:
    """Writes a new file, all or nothing; False where it holds just that already.

    Raises `StateError` where it holds something else, `StoreError` where it cannot be written.
    """
    if str(path) == "-":
        sys.stdout.buffer.write(content)
        return True
    partial = path.with_name(f".{path.name}.partial")
    try:
        if path.exists():
            if path.read_bytes() == content:
                return False
            raise StateError(
                f"{path} exists and says something else",
                hint="name another file, or move it away; nothing is overwritten",
            )
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.link(partial, path)
        partial.unlink()
    except FileExistsError:
        raise StateError(f"{path} was made by another meanwhile", hint="look at it") from None
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}", hint="check the folder and its rights"
        ) from None
    return True
