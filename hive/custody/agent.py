"""Keys held by ssh-agent: the agent signs, this process never sees the key.

The protocol is draft-ietf-sshm-ssh-agent, its Ed25519 part. The agent signs whatever it is
given, so a key used here must be used for nothing else; `signing_bytes` begins with hive's own
label. What comes back is verified before it is believed.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hive.custody.signer import CustodyUnavailable, MissingKey, require_genuine
from hive.trust.keys import ED25519, SIGNATURE_BYTES, PublicKey, is_sound, signing_bytes
from hive.wire.ids import Digest

DEADLINE_S: Final = 10.0
"""A person may have to confirm at the agent; longer holds a worker thread longer."""

_ANSWER_BYTES_MAX: Final = 256 * 1_024
_IDENTITY_COUNT_MAX: Final = 1_024
_LIST, _LISTED, _SIGN, _SIGNED = 11, 12, 13, 14
_TYPE: Final = b"ssh-ed25519"


@dataclass(frozen=True, slots=True)
class AgentKey:
    """An Ed25519 key that an agent lists."""

    public: PublicKey
    comment: str

    @property
    def fingerprint(self) -> str:
        """As `ssh-add -l` prints it."""
        digest = hashlib.sha256(_blob(self.public)).digest()
        return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


class AgentSigner:
    """One key of the ssh-agent behind a unix socket."""

    algorithm = ED25519
    custody_class = "ssh-agent"
    evidence = b""

    def __init__(
        self, socket_path: Path, public: PublicKey, deadline_s: float = DEADLINE_S
    ) -> None:
        self.public = public
        self._socket_path = socket_path
        self._deadline_s = deadline_s
        if all(key.public != public for key in list_keys(socket_path, deadline_s)):
            raise MissingKey(
                f"the agent at {socket_path} does not hold key {public.digest.hex()[:12]}",
                hint="add it with ssh-add, and see `ssh-add -l`",
            )

    def sign(self, label: str, subject: Digest) -> bytes:
        """Asks the agent, about 0.6 ms; longer where a person confirms."""
        message = signing_bytes(label, subject)
        body = bytes([_SIGN]) + _string(_blob(self.public)) + _string(message) + bytes(4)
        reader = _ask(self._socket_path, body, _SIGNED, self._deadline_s)
        signature = _Reader(reader.string())
        if signature.string() != _TYPE:
            raise _wrong("signed with another algorithm")
        octets = signature.string()
        if len(octets) != SIGNATURE_BYTES:
            raise _wrong("gave a signature of a wrong length")
        return require_genuine("the ssh-agent", self.public, message, octets)


def list_keys(socket_path: Path, deadline_s: float = DEADLINE_S) -> tuple[AgentKey, ...]:
    """The sound Ed25519 keys that the agent holds."""
    reader = _ask(socket_path, bytes([_LIST]), _LISTED, deadline_s)
    found = []
    for _ in range(min(reader.integer(), _IDENTITY_COUNT_MAX)):
        blob, comment = _Reader(reader.string()), reader.string()
        if blob.string() != _TYPE:
            continue
        public = PublicKey(ED25519, blob.string())
        if is_sound(public):
            found.append(AgentKey(public, comment.decode("utf-8", "replace")))
    return tuple(found)


def _blob(public: PublicKey) -> bytes:
    return _string(_TYPE) + _string(public.octets)


def _string(octets: bytes) -> bytes:
    return struct.pack(">I", len(octets)) + octets


def _wrong(what: str) -> CustodyUnavailable:
    return CustodyUnavailable(
        f"the ssh-agent {what}", hint="is it an ssh-agent that listens there?"
    )


class _Reader:
    """Reads the fields of an answer; the agent is believed in nothing."""

    def __init__(self, untrusted: bytes) -> None:
        self._untrusted = untrusted
        self._at = 0

    def integer(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def string(self) -> bytes:
        return self._take(self.integer())

    def _take(self, count: int) -> bytes:
        taken = self._untrusted[self._at : self._at + count]
        if len(taken) != count:
            raise _wrong("gave an answer that is cut off")
        self._at += count
        return taken


def _ask(socket_path: Path, body: bytes, expected: int, deadline_s: float) -> _Reader:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(deadline_s)
            connection.connect(str(socket_path))
            connection.sendall(_string(body))
            length = int.from_bytes(_receive(connection, 4), "big")
            if not 0 < length <= _ANSWER_BYTES_MAX:
                raise _wrong(f"announced {length} bytes")
            answer = _receive(connection, length)
    except OSError as error:
        raise CustodyUnavailable(
            f"the ssh-agent at {socket_path} does not answer: {error}",
            hint="is it running, and does SSH_AUTH_SOCK name its socket?",
        ) from error
    if answer[0] != expected:
        raise _wrong("refused: it may be locked, or does not hold the key")
    return _Reader(answer[1:])


def _receive(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        piece = connection.recv(count - len(received))
        if not piece:
            raise _wrong("hung up")
        received += piece
    return received
