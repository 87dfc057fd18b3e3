"""Goal: keys that stay with an ssh-agent are named, found, rotated; nothing secret is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ssh_agents import ssh_agent

from hive.custody.outside import OutsideKeys, from_environment
from hive.custody.signer import CorruptKeyFile, CustodyUnavailable, KeyExists, MissingKey
from hive.trust.keys import Ed25519Key, verify
from hive.wire.ids import digest

SEEDS = {"scribe": b"1" * 32, "scribe-next": b"2" * 32, "scribe-later": b"3" * 32}
KEYS = {name: Ed25519Key(seed).public for name, seed in SEEDS.items()}
SUBJECT = digest("test", b"subject")


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with ssh_agent(tmp_path_factory.mktemp("agent"), SEEDS) as path:
        yield path


@pytest.fixture
def keys(tmp_path: Path, socket: Path) -> OutsideKeys:
    return OutsideKeys(tmp_path, lambda: socket)


def test_a_key_is_found_by_comment_and_by_fingerprint(keys: OutsideKeys) -> None:
    found = keys.find("scribe")
    assert found.public == KEYS["scribe"]
    assert keys.find(found.fingerprint) == found
    with pytest.raises(MissingKey) as caught:
        keys.find("nobody")
    assert "scribe-next" in caught.value.hint


def test_the_agent_signs_for_the_present_key_and_for_the_next(keys: OutsideKeys) -> None:
    keys.keep("agent-scribe", KEYS["scribe"], KEYS["scribe-next"])
    for signer, name in (
        (keys.signer("agent-scribe"), "scribe"),
        (keys.next_signer("agent-scribe"), "scribe-next"),
    ):
        assert verify(KEYS[name], "session", SUBJECT, signer.sign("session", SUBJECT))


def test_promotion_moves_on_once(keys: OutsideKeys) -> None:
    keys.keep("agent-scribe", KEYS["scribe"], KEYS["scribe-next"])
    for _ in range(2):
        keys.promote("agent-scribe", KEYS["scribe-later"])
        assert keys.entry("agent-scribe").public == KEYS["scribe-next"]
        assert keys.entry("agent-scribe").following == KEYS["scribe-later"]


def test_a_name_keeps_its_key(keys: OutsideKeys) -> None:
    keys.keep("agent-scribe", KEYS["scribe"], KEYS["scribe-next"])
    keys.keep("agent-scribe", KEYS["scribe"], KEYS["scribe-next"])
    with pytest.raises(KeyExists):
        keys.keep("agent-scribe", KEYS["scribe-next"], KEYS["scribe"])


def test_a_damaged_file_is_named(keys: OutsideKeys, tmp_path: Path) -> None:
    keys.keep("agent-scribe", KEYS["scribe"], KEYS["scribe-next"])
    file = tmp_path / "agent-scribe.outside"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(CorruptKeyFile, match=r"agent-scribe\.outside"):
        keys.signer("agent-scribe")


def test_no_agent_is_said_with_what_to_do() -> None:
    with pytest.raises(CustodyUnavailable) as caught:
        from_environment({})
    assert "ssh-agent" in caught.value.hint
