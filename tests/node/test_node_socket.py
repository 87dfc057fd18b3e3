"""Goal: nobody but the owner of a home speaks on, or in the place of, its control socket."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from node_processes import Process

from hive.errors import StoreError
from hive.node.home import Home, initialise


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Home]:
    """A home whose path is too long for a socket."""
    home = Home(tmp_path / ("d" * 100) / "home")
    folder = home.socket.parent
    yield home
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def open_to_others(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)


def somebodys_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "theirs")


@pytest.mark.parametrize("make", [open_to_others, somebodys_link])
def test_a_socket_folder_that_is_not_ours_alone_is_refused(
    deep: Home, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    make(deep.socket.parent, tmp_path)
    with pytest.raises(StoreError, match="ours alone"):
        _ = deep.socket


def test_the_control_socket_is_its_owners_alone(deep: Home, start: Callable[..., Process]) -> None:
    initialise(deep.path, listen="127.0.0.1:0")
    start(deep)
    assert deep.socket.stat().st_mode & 0o777 == 0o600
    assert deep.socket.parent.stat().st_mode & 0o777 == 0o700
    assert deep.socket.stat().st_uid == os.getuid()
