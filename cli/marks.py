"""Which memories of imported files were taken: a file of digests, one line each, in the home.

`? digest` is written before a portion is handed over and `= digest` once it was acknowledged,
both durably. After a crash between the two, the store itself is asked about what is in doubt.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from hive.errors import StateError, StoreError

ASKED: Final = "?"
TAKEN: Final = "="


class Marks:
    """An opened file of marks, held by this process alone."""

    def __init__(self, path: Path) -> None:
        self.taken: set[str] = set()
        self.in_doubt: set[str] = set()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file: BinaryIO = path.open("a+b")
        except OSError as error:
            raise StoreError(
                f"{path} cannot be opened: {error.strerror}", hint="check the home and its rights"
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise StateError("another import is running in this home", hint="wait for it") from None
        self._load()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def _load(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            self._file.truncate(len(whole))
        for line in whole.decode("ascii", "replace").split("\n"):
            mark, _, digest = line.partition(" ")
            if mark == TAKEN:
                self.taken.add(digest)
            elif mark == ASKED:
                self.in_doubt.add(digest)
        self.in_doubt -= self.taken

    def ask(self, digests: Iterable[str]) -> None:
        """These are about to be handed over."""
        self._append(ASKED, digests)

    def take(self, digests: Iterable[str]) -> None:
        """These were acknowledged."""
        listed = list(digests)
        self._append(TAKEN, listed)
        self.taken.update(listed)

    def _append(self, mark: str, digests: Iterable[str]) -> None:
        try:
            self._file.write("".join(f"{mark} {digest}\n" for digest in digests).encode("ascii"))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StoreError(
                f"the marks of imports cannot be written: {error.strerror}",
                hint="free some space; running the import again goes on where it stopped",
            ) from None
