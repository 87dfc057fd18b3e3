"""A real ssh-agent with keys of known seeds, for whoever tests custody."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

SSH_AGENT = shutil.which("ssh-agent")


def add(socket: Path, comment: str, seed: bytes) -> None:
    """Gives the agent a key; its comment is the file's name."""
    file = socket.with_name(comment)
    private = Ed25519PrivateKey.from_private_bytes(seed)
    file.touch(mode=0o600)
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    _ssh_add(socket, "-q", file.name)
    file.unlink()


def remove_all(socket: Path) -> None:
    """The agent holds nothing any more."""
    _ssh_add(socket, "-q", "-D")


def _ssh_add(socket: Path, *words: str) -> None:
    environment = {"SSH_AUTH_SOCK": str(socket), "PATH": "/usr/bin:/bin"}
    subprocess.run(["ssh-add", *words], env=environment, check=True, cwd=socket.parent)


@contextmanager
def ssh_agent(directory: Path, seeds: Mapping[str, bytes]) -> Iterator[Path]:
    """The socket of a running agent that holds these keys; skips where there is no ssh-agent."""
    if SSH_AGENT is None:
        pytest.skip("ssh-agent is not installed (Debian: openssh-client)")
    socket = directory / "socket"
    process = subprocess.Popen([SSH_AGENT, "-D", "-a", str(socket)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        for comment, seed in seeds.items():
            add(socket, comment, seed)
        yield socket
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stdout.close()
