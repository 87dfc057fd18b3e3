"""Goal: a full, forbidden or damaged disk is said with a hint; what was acknowledged stays."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from node_processes import FailedToStart, Process
from node_world import eventually

from hive.client.client import Client, connect
from hive.custody.passphrase import from_text
from hive.errors import ConfigError, HiveError, Refused, StateError, StoreError
from hive.node.config import write
from hive.node.home import Home, initialise

Start = Callable[..., Process]
PAGE = "otter " * 5_000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    return Home(tmp_path / "home")


def fill(client: Client) -> tuple[list[str], HiveError]:
    """Writes until it is refused."""
    kept: list[str] = []
    for number in range(4_000):
        try:
            kept.append(client.remember(f"page {number}: {PAGE}")["id"])
        except HiveError as error:
            return kept, error
    raise AssertionError("it never filled")


def test_a_full_store_refuses_reads_forgets_and_takes_writes_with_a_higher_cap(home: Home) -> None:
    write(home.config_file, home.settings(map_mib_max=8))
    with connect(home.path) as hive:
        kept, error = fill(hive)
        assert isinstance(error, Refused)
        assert error.reason == "store_full"
        assert error.hint
        assert hive.recall("page")["hits"]
        assert all(hive.call("show", id=each)["state"] == "live" for each in kept)
        assert hive.forget(kept[:1])["forgets"]
        assert "store_full" in [f["code"] for f in hive.call("doctor")["findings"]]
    write(home.config_file, home.settings(map_mib_max=64))
    with connect(home.path) as hive:
        assert hive.remember("room again")["id"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB; skips where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["-t", "tmpfs", "-o", "size=12m,mode=700", "hive-test", str(folder)]
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None or subprocess.run([mount, *words], check=False).returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run([umount, "-l", str(folder)], check=True)


def goes_on(client: Client, kept: list[str]) -> None:
    """The very process that was refused writes again, lost nothing and finds what is new."""
    told = eventually(lambda: accepted(client, "room again"), "it writes by itself")
    assert told["sequence"] >= len(kept) + 1
    assert all(client.call("show", id=each)["state"] == "live" for each in kept)
    eventually(lambda: found(client, "room again", told["id"]), "recall follows")


def accepted(client: Client, text: str) -> dict[str, Any] | None:
    try:
        return client.remember(text)
    except Refused:
        return None


def found(client: Client, text: str, id: str) -> bool:
    try:
        return id in [hit["id"] for hit in client.recall(text)["hits"]]
    except HiveError:
        return False


def test_a_disk_full_by_quota_refuses_writes_and_the_running_node_goes_on_with_space(
    home: Home, start: Start
) -> None:
    process = start(home, file_bytes_max=4 << 20)
    with process.client() as client:
        kept, error = fill(client)
        assert isinstance(error, Refused)
        assert error.reason in ("store_full", "store_failed")
        assert error.hint
        assert all(client.call("show", id=each)["state"] == "live" for each in kept)
        assert client.status()["store"]["last_row"] == len(kept)
        no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, no_limit)
        goes_on(client, kept)
    assert process.stop() == 0
    assert "Traceback" not in process.stderr


def test_a_full_file_system_refuses_writes_and_the_running_node_goes_on_with_space(
    small_disk: Path, start: Start
) -> None:
    initialise(small_disk / "home", listen="127.0.0.1:0")
    home, ballast = Home(small_disk / "home"), small_disk / "ballast"
    ballast.write_bytes(bytes(6 << 20))
    process = start(home)
    with process.client() as client:
        client.recall("the index is open before the disk is full")
        kept, error = fill(client)
        assert isinstance(error, Refused)
        assert error.reason in ("store_full", "store_failed")
        assert all(client.call("show", id=each)["state"] == "live" for each in kept)
        ballast.unlink()
        goes_on(client, kept)
    assert process.stop() == 0
    assert "Traceback" not in process.stderr
    with connect(home.path) as client:
        assert all(client.call("show", id=each)["state"] == "live" for each in kept)


def test_a_full_map_takes_writes_again_when_something_was_forgotten(
    home: Home, start: Start
) -> None:
    write(home.config_file, home.settings(map_mib_max=8))
    process = start(home)
    with process.client() as client:
        kept, error = fill(client)
        assert isinstance(error, Refused)
        assert error.reason == "store_full"
        client.forget(kept[: len(kept) // 2])
        told = eventually(lambda: accepted(client, "room again"), "it writes by itself")
        assert client.call("show", id=told["id"])["state"] == "live"
        assert all(
            client.call("show", id=each)["state"] == "live" for each in kept[len(kept) // 2 :]
        )


def test_a_store_that_cannot_be_made_is_said_with_a_hint(home: Home) -> None:
    home.store.rename(home.path / "elsewhere")
    home.store.write_text("in the way")
    with pytest.raises(StoreError) as caught:
        connect(home.path)
    assert caught.value.hint


@pytest.mark.parametrize("damage", ["cut", "noise", "gone"])
def test_a_damaged_store_is_named_and_never_half_loaded(home: Home, damage: str) -> None:
    with connect(home.path) as hive:
        hive.remember("otters hold hands")
    data = home.store / "data.mdb"
    if damage == "gone":
        data.unlink()
    else:
        content = data.read_bytes()
        data.write_bytes(content[: len(content) // 2] if damage == "cut" else b"x" * len(content))
    with pytest.raises(StoreError) as caught:
        connect(home.path)
    assert "data.mdb" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"\xff", b"name = ", b"colour = 1", b"udp_port = 'x'"])
def test_damaged_settings_are_named(home: Home, content: bytes) -> None:
    home.config_file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        connect(home.path)
    assert "config.toml" in str(caught.value)
    assert caught.value.hint


def test_settings_without_a_federation_are_refused(home: Home) -> None:
    home.config_file.write_bytes(b'name = "laptop"\n')
    with pytest.raises(HiveError) as caught:
        connect(home.path)
    assert caught.value.hint


def test_a_damaged_recall_folder_is_rebuilt_by_itself(home: Home) -> None:
    with connect(home.path) as hive:
        written = hive.remember("otters hold hands")["id"]
    for path in (p for p in home.recall.rglob("*") if p.is_file()):
        path.write_bytes(b"noise")
    with connect(home.path) as hive:
        assert hive.recall("otters")["hits"][0]["id"] == written


def test_a_damaged_leaf_is_made_anew(home: Home, start: Start) -> None:
    assert start(home).stop() == 0
    good = home.leaf.read_bytes()
    home.leaf.write_bytes(b"noise")
    process = start(home)
    assert process.stop() == 0
    assert home.leaf.read_bytes() == good
    assert "leaf_unusable" in process.stderr


def test_a_sealed_keyring_opens_unattended_through_a_descriptor_only(
    tmp_path: Path, start: Start
) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0", passphrase=from_text("open sesame"))
    home = Home(tmp_path / "home")
    process = start(home, passphrase="open sesame\n")
    with process.client() as client:
        assert client.status()["node"]["custody_class"] == "file-sealed"
    process.stop()
    for suffered, words in (({"passphrase": "wrong"}, "passphrase"), ({}, "passphrase")):
        with pytest.raises(FailedToStart) as caught:
            start(home, **suffered)
        assert words in caught.value.message
        assert caught.value.hint


def test_a_key_file_that_others_may_read_is_refused(home: Home) -> None:
    key = home.keys / "node.key"
    key.chmod(0o644)
    with pytest.raises(HiveError) as caught:
        connect(home.path)
    assert "node.key" in str(caught.value)
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize("name", ["node.key", "keyring.mark"])
def test_a_missing_or_damaged_key_file_is_named(home: Home, name: str) -> None:
    path = home.keys / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(HiveError) as damaged:
        connect(home.path)
    assert name in str(damaged.value)
    path.unlink()
    with pytest.raises(HiveError) as missing:
        connect(home.path)
    assert missing.value.hint


def test_no_home_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StateError) as caught:
        connect(tmp_path)
    assert "hive init" in caught.value.hint
