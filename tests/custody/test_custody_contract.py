"""One contract for every custody: whatever holds a key, its signatures are hive's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from custody_rings import RING_KINDS, make_ring
from ssh_agents import ssh_agent

from hive.custody.agent import AgentSigner, list_keys
from hive.custody.memory import MemoryKeyring
from hive.custody.signer import CustodyUnavailable, KeyExists, Keyring, MissingKey, Signer
from hive.errors import StateError
from hive.trust.keys import ED25519, P256, Ed25519Key, is_sound, verify
from hive.wire.ids import digest

SEED, NEXT, LATER = b"1" * 32, b"2" * 32, b"3" * 32
SUBJECT = digest("test", b"subject")


@pytest.fixture(scope="module")
def agent_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with ssh_agent(tmp_path_factory.mktemp("agent", numbered=True), {"key": SEED}) as path:
        yield path


@pytest.fixture(params=[*RING_KINDS, "ssh-agent"])
def signer(request: pytest.FixtureRequest, tmp_path: Path) -> Signer:
    if request.param == "ssh-agent":
        path = request.getfixturevalue("agent_socket")
        return AgentSigner(path, Ed25519Key(SEED).public)
    ring = make_ring(request.param, tmp_path)
    ring.create("node", SEED, NEXT)
    return ring.signer("node")


@pytest.fixture(params=RING_KINDS)
def ring(request: pytest.FixtureRequest, tmp_path: Path) -> Keyring:
    return make_ring(request.param, tmp_path)


def test_signature_of_any_custody_verifies_under_its_public_key(signer: Signer) -> None:
    assert signer.algorithm == ED25519
    assert signer.public == Ed25519Key(SEED).public
    assert is_sound(signer.public)
    signature = signer.sign("node", SUBJECT)
    assert verify(signer.public, "node", SUBJECT, signature)
    assert not verify(signer.public, "agent", SUBJECT, signature)


def test_custody_says_what_class_it_is(signer: Signer) -> None:
    assert signer.custody_class in ("memory", "file-sealed", "file-unlock", "ssh-agent")
    assert signer.evidence == b""


def test_keyring_keeps_keys_by_name_and_never_replaces_one(ring: Keyring) -> None:
    assert ring.names() == ()
    assert ring.create("node", SEED, NEXT) == Ed25519Key(SEED).public
    ring.create("tpm", SEED, NEXT, P256)
    assert ring.names() == ("node", "tpm")
    assert ring.signer("tpm").algorithm == P256
    with pytest.raises(KeyExists):
        ring.create("node", LATER, NEXT)
    assert ring.signer("node").public == Ed25519Key(SEED).public


def test_missing_key_is_named_with_those_that_are_there(ring: Keyring) -> None:
    ring.create("node", SEED, NEXT)
    for ask in (ring.signer, ring.next_signer, ring.promote):
        with pytest.raises(MissingKey) as caught:
            ask("agent")
        assert "node" in caught.value.hint


@pytest.mark.parametrize("name", ["", "../x", "UP", "a b", ".hidden", "x" * 64, "a/b", "a.key"])
def test_name_outside_the_grammar_is_refused(ring: Keyring, name: str) -> None:
    with pytest.raises(StateError):
        ring.create(name, SEED, NEXT)
    with pytest.raises(StateError):
        ring.signer(name)


def test_rotation_is_staged_before_it_is_promoted(ring: Keyring) -> None:
    ring.create("node", SEED, NEXT)
    with pytest.raises(StateError):
        ring.promote("node")
    staged = ring.stage("node", LATER)
    assert staged == Ed25519Key(LATER).public
    assert ring.stage("node", b"9" * 32) == staged, "staged once, it stays: it may be published"
    assert ring.signer("node").public == Ed25519Key(SEED).public
    assert ring.promote("node") == Ed25519Key(NEXT).public
    assert ring.signer("node").public == Ed25519Key(NEXT).public
    assert ring.next_signer("node").public == staged
    with pytest.raises(StateError):
        ring.promote("node")


def test_agent_lists_its_keys_and_names_a_missing_one(agent_socket: Path) -> None:
    assert [key.public for key in list_keys(agent_socket)] == [Ed25519Key(SEED).public]
    with pytest.raises(MissingKey):
        AgentSigner(agent_socket, Ed25519Key(NEXT).public)


def test_agent_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(CustodyUnavailable) as caught:
        AgentSigner(tmp_path / "nobody", Ed25519Key(SEED).public)
    assert "SSH_AUTH_SOCK" in caught.value.hint


def test_memory_custody_is_called_memory() -> None:
    assert MemoryKeyring().custody_class == "memory"
