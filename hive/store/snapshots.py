"""Whole files that are either old, new or known to be broken: checksum, fsync, rename."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from hive.errors import StoreError

CHECKSUM_BYTES = 32
Chunk = bytes | memoryview


class SnapshotBroken(StoreError):
    """A saved file does not match its checksum or cannot be read; it is rebuilt."""


def write_checked(path: Path, chunks: Iterable[Chunk]) -> str:
    """Replaces `path` atomically by the chunks and their SHA-256 (returned in hex); durable."""
    temporary = path.with_name(path.name + ".new")
    hashed = hashlib.sha256()
    with temporary.open("wb") as file:
        for chunk in chunks:
            hashed.update(chunk)
            file.write(chunk)
        file.write(hashed.digest())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)
    return hashed.hexdigest()


def read_checked(path: Path, expected_sha256: str = "") -> memoryview:
    """The chunks that `write_checked` wrote, and just those of a digest where one is given."""
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise SnapshotBroken(f"{path.name}: {error.strerror}") from None
    body, checksum = content[:-CHECKSUM_BYTES], content[-CHECKSUM_BYTES:]
    if hashlib.sha256(body).digest() != checksum:
        raise SnapshotBroken(f"{path.name}: checksum does not match")
    if expected_sha256 and checksum.hex() != expected_sha256:
        raise SnapshotBroken(f"{path.name}: not the file that was saved last")
    return body


def file_digest(path: Path) -> str:
    """SHA-256 of a file that another library wrote, in hex; raises `SnapshotBroken`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SnapshotBroken(f"{path.name}: {error.strerror}") from None


def sync_file(path: Path) -> None:
    """Makes the bytes of a file that another library wrote durable."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Makes the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
