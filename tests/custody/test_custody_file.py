"""Keys in files: sealed, private, whole or refused, and never lost by a crash."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from custody_rings import PASSPHRASE, entropy_of, make_file_ring

from hive.custody import keyfile
from hive.custody.file import FileKeyring, create_keyring
from hive.custody.passphrase import (
    UNLOCK_FILE,
    from_descriptor,
    from_environment,
    from_text,
    from_unlock_file,
    make_unlock_file,
)
from hive.custody.signer import CorruptKeyFile, ExposedKeys, KeyExists, WrongPassphrase
from hive.errors import ConfigError, HiveError, StateError, StoreError
from hive.trust.keys import Ed25519Key
from hive.trust.secrets_at_rest import INTERACTIVE, RANDOM_PASSPHRASE

SEED, NEXT, LATER = b"1" * 32, b"2" * 32, b"3" * 32


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def ring(directory: Path) -> FileKeyring:
    made = make_file_ring(directory)
    made.create("node", SEED, NEXT)
    return made


def reopened(directory: Path, text: str = "correct horse") -> FileKeyring:
    return FileKeyring(directory, from_text(text), entropy_of(b"again"))


def test_keys_are_there_after_a_restart(ring: FileKeyring, directory: Path) -> None:
    assert reopened(directory).signer("node").public == Ed25519Key(SEED).public


def test_default_cost_is_libsodiums_interactive_one(directory: Path) -> None:
    create_keyring(directory, PASSPHRASE, entropy_of(b"ring"))
    mark = directory / "keyring.mark"
    sealed = keyfile.parse_file(mark, mark.read_bytes())
    assert sealed.cost == INTERACTIVE
    assert INTERACTIVE.memory_bytes == 64 << 20


def test_no_secret_is_on_disk_in_the_clear(ring: FileKeyring, directory: Path) -> None:
    everything = b"".join(path.read_bytes() for path in directory.iterdir())
    for secret in (SEED, NEXT, SEED.hex().encode()):
        assert secret not in everything


def test_files_are_for_their_owner_only(ring: FileKeyring, directory: Path) -> None:
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


def test_wrong_passphrase_is_told_from_damage(ring: FileKeyring, directory: Path) -> None:
    with pytest.raises(WrongPassphrase) as caught:
        reopened(directory, "wrong")
    assert "whole" in caught.value.hint


@pytest.mark.parametrize("name", ["node.key", "keyring.mark", "."])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o711])
def test_exposed_file_or_directory_is_refused_with_the_remedy(
    ring: FileKeyring, directory: Path, name: str, mode: int
) -> None:
    path = directory / name
    path.chmod(mode | (0o100 if name == "." else 0))
    with pytest.raises(ExposedKeys) as caught:
        reopened(directory).signer("node")
    assert "chmod" in caught.value.hint


def test_symbolic_link_in_place_of_a_key_is_refused(ring: FileKeyring, directory: Path) -> None:
    (directory / "node.key").rename(directory / "moved")
    (directory / "node.key").symlink_to("moved")
    with pytest.raises(StoreError):
        ring.signer("node")


@pytest.mark.parametrize("name", ["node.key", "keyring.mark"])
def test_damaged_file_says_which_and_why_and_never_gives_half_a_key(
    ring: FileKeyring, directory: Path, name: str
) -> None:
    path = directory / name
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole.replace(b"A", b"B"), b"junk\n" * 9):
        path.write_bytes(damaged)
        with pytest.raises(CorruptKeyFile, match=name) as caught:
            reopened(directory).signer("node")
        assert caught.value.hint


@pytest.mark.parametrize("at", range(0, 700, 11))
def test_any_changed_byte_is_refused(ring: FileKeyring, directory: Path, at: int) -> None:
    path = directory / "node.key"
    content = bytearray(path.read_bytes())
    if at >= len(content) - 1:
        return
    content[at] = (content[at] + 1) % 256
    path.write_bytes(bytes(content))
    with pytest.raises(HiveError):
        ring.signer("node")


def test_renamed_key_file_does_not_answer_to_its_new_name(
    ring: FileKeyring, directory: Path
) -> None:
    (directory / "node.key").rename(directory / "agent.key")
    with pytest.raises(CorruptKeyFile, match="another name"):
        ring.signer("agent")


def test_key_file_of_another_keyring_is_refused(ring: FileKeyring, tmp_path: Path) -> None:
    other = create_keyring(tmp_path / "other", PASSPHRASE, entropy_of(b"other"), RANDOM_PASSPHRASE)
    other.create("agent", SEED, NEXT)
    (tmp_path / "other" / "agent.key").rename(tmp_path / "keys" / "agent.key")
    with pytest.raises(CorruptKeyFile, match="another keyring"):
        ring.signer("agent")


def test_keyring_is_never_made_twice_nor_opened_where_there_is_none(
    ring: FileKeyring, directory: Path, tmp_path: Path
) -> None:
    with pytest.raises(StateError):
        make_file_ring(directory)
    with pytest.raises(StateError):
        reopened(tmp_path / "nowhere")


class Crashed(Exception):
    """Power went."""


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_crash_in_a_rotation_leaves_old_or_new(
    ring: FileKeyring, directory: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise Crashed

    ring.stage("node", LATER)
    with monkeypatch.context() as patch:
        patch.setattr(os if step == "fsync" else Path, step, crash)
        with pytest.raises(Crashed):
            ring.promote("node")
    after = reopened(directory)
    assert after.names() == ("node",)
    assert after.signer("node").public == Ed25519Key(SEED).public
    assert after.next_signer("node").public == Ed25519Key(NEXT).public
    assert after.stage("node", b"9" * 32) == Ed25519Key(LATER).public
    assert after.promote("node") == Ed25519Key(NEXT).public


def test_full_or_unwritable_disk_is_refused_and_changes_nothing(
    ring: FileKeyring, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space") as caught:
            ring.stage("node", LATER)
    assert caught.value.hint
    with pytest.raises(StateError):
        ring.promote("node")


def test_backup_recovers_into_an_empty_keyring(ring: FileKeyring, tmp_path: Path) -> None:
    ring.create("agent", NEXT, LATER)
    backup = tmp_path / "backup"
    assert ring.backup(backup, b"other words", RANDOM_PASSPHRASE) == ("agent", "node")
    assert backup.stat().st_mode & 0o777 == 0o600
    fresh = create_keyring(tmp_path / "new", PASSPHRASE, entropy_of(b"new"), RANDOM_PASSPHRASE)
    with pytest.raises(WrongPassphrase):
        fresh.recover(backup, b"wrong")
    assert fresh.names() == ()
    assert fresh.recover(backup, b"other words") == ("agent", "node")
    assert fresh.recover(backup, b"other words") == ()
    assert fresh.signer("node").public == Ed25519Key(SEED).public
    with pytest.raises(StateError):
        ring.backup(backup, b"other words", RANDOM_PASSPHRASE)


def test_old_backup_never_brings_back_a_rotated_key(ring: FileKeyring, tmp_path: Path) -> None:
    ring.backup(tmp_path / "backup", b"words", RANDOM_PASSPHRASE)
    ring.stage("node", LATER)
    ring.promote("node")
    with pytest.raises(KeyExists):
        ring.recover(tmp_path / "backup", b"words")
    assert ring.signer("node").public == Ed25519Key(NEXT).public


def test_unlock_file_opens_the_keyring_and_says_what_it_is_worth(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    made = make_unlock_file(directory, entropy_of(b"u"))
    ring = make_file_ring(directory, made)
    ring.create("node", SEED, NEXT)
    assert ring.signer("node").custody_class == "file-unlock"
    found = from_unlock_file(directory)
    assert found is not None
    assert make_unlock_file(directory, entropy_of(b"other")).secret == found.secret == made.secret
    assert FileKeyring(directory, found, entropy_of(b"v")).names() == ("node",)
    (directory / UNLOCK_FILE).chmod(0o644)
    with pytest.raises(ExposedKeys):
        from_unlock_file(directory)
    (directory / UNLOCK_FILE).chmod(0o600)
    (directory / UNLOCK_FILE).write_text("junk")
    with pytest.raises(CorruptKeyFile):
        from_unlock_file(directory)


def test_unlock_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert from_unlock_file(tmp_path) is None


def descriptor_with(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


def test_passphrase_comes_through_a_descriptor_that_a_variable_names() -> None:
    descriptor = descriptor_with(b"correct horse\n")
    found = from_environment({"HIVE_PASSPHRASE_FD": str(descriptor)})
    assert found == PASSPHRASE
    assert found.custody_class == "file-sealed"
    assert from_environment({}) is None
    assert "correct" not in repr(found)


def test_passphrase_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="empty"):
        from_descriptor(descriptor_with(b"\n"))
    with pytest.raises(ConfigError, match="exceeds"):
        from_descriptor(descriptor_with(b"x" * 1_025))
    with pytest.raises(ConfigError, match="gives no passphrase"):
        from_descriptor(9_999)
    with pytest.raises(ConfigError, match="not a descriptor") as caught:
        from_environment({"HIVE_PASSPHRASE_FD": "my secret"})
    assert "never" in caught.value.hint
