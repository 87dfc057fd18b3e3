"""Keys that stay with a custodian outside: which they are, and how their signatures are asked for.

A `<name>.outside` file in a keyring's folder names a key and its committed successor by their
public halves, and who holds them; nothing in it is secret. The ssh-agent is found anew for each
signature by `SSH_AUTH_SOCK`, so that a key may be asked for once the person has logged in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from hive.custody.agent import AgentKey, AgentSigner, list_keys
from hive.custody.keyfile import read_private, write_private
from hive.custody.signer import (
    CorruptKeyFile,
    CustodyUnavailable,
    KeyExists,
    MissingKey,
    check_name,
    missing,
)
from hive.errors import MalformedFrame
from hive.trust.armour import armour, unarmour
from hive.trust.keys import PublicKey
from hive.wire.codec import Text
from hive.wire.ids import Digest
from hive.wire.schema import Record, record

SSH_AGENT: Final = "ssh-agent"
SUFFIX: Final = ".outside"
VARIABLE: Final = "SSH_AUTH_SOCK"
_TITLE: Final = "HIVE OUTSIDE KEY"

FindSocket = Callable[[], Path]
"""Where the custodian listens now; raises `CustodyUnavailable`."""


@record("outside-key", 1, bytes_max=512)
@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideKey(Record):
    """A key that an ssh-agent holds, and the one that its rotation will reveal."""

    name: Annotated[str, Text(63)]
    custody_class: Annotated[str, Text(63)]
    public: PublicKey
    following: PublicKey


def from_environment(environment: Mapping[str, str]) -> Path:
    """The socket of the agent that `SSH_AUTH_SOCK` names."""
    value = environment.get(VARIABLE, "")
    if not value:
        raise CustodyUnavailable(
            f"{VARIABLE} names no ssh-agent",
            hint="start one (`eval $(ssh-agent)`), add the key, and start hive from that shell",
        )
    return Path(value)


@dataclass(frozen=True, slots=True)
class OutsideSigner:
    """A key of the ssh-agent; `sign` asks it, and may wait for a person."""

    public: PublicKey
    find_socket: FindSocket
    custody_class: str = SSH_AGENT
    evidence: bytes = b""

    @property
    def algorithm(self) -> int:
        """The key's own."""
        return self.public.algorithm

    def sign(self, label: str, subject: Digest) -> bytes:
        """About 0.6 ms, or as long as a person takes to confirm: call it in a worker thread."""
        return AgentSigner(self.find_socket(), self.public).sign(label, subject)


class OutsideKeys:
    """The outside keys of one keyring's folder."""

    def __init__(self, directory: Path, find_socket: FindSocket) -> None:
        self._directory = directory
        self._find_socket = find_socket

    def names(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(sorted(path.stem for path in self._directory.glob(f"[!.]*{SUFFIX}")))

    def keep(self, name: str, public: PublicKey, following: PublicKey) -> None:
        """Remembers a key under a name; the same again is no change, another is refused."""
        made = OutsideKey(
            name=check_name(name), custody_class=SSH_AGENT, public=public, following=following
        )
        if name in self.names() and self.entry(name) != made:
            raise KeyExists(f"another key is named {name!r}", hint="choose another name")
        self._write(made)

    def promote(self, name: str, following: PublicKey) -> None:
        """The successor takes over and commits to another; nothing where it has done so."""
        entry = self.entry(name)
        if entry.public == following or entry.following == following:
            return
        self._write(
            OutsideKey(
                name=name,
                custody_class=entry.custody_class,
                public=entry.following,
                following=following,
            )
        )

    def signer(self, name: str) -> OutsideSigner:
        """The present key."""
        return OutsideSigner(self.entry(name).public, self._find_socket)

    def next_signer(self, name: str) -> OutsideSigner:
        """The key that the next rotation reveals."""
        return OutsideSigner(self.entry(name).following, self._find_socket)

    def find(self, said: str) -> AgentKey:
        """The one key of the agent with this comment or `SHA256:` fingerprint."""
        listed = list_keys(self._find_socket())
        found = [key for key in listed if said in (key.comment, key.fingerprint)]
        if len(found) != 1:
            known = ", ".join(key.comment or key.fingerprint for key in listed) or "none"
            raise MissingKey(
                f"{len(found) or 'no'} Ed25519 keys of the ssh-agent are called {said!r}",
                hint=f"it holds {known}; `ssh-add -l` shows comments and fingerprints",
            )
        return found[0]

    def entry(self, name: str) -> OutsideKey:
        """What is known of a key; raises `MissingKey`, `CorruptKeyFile`."""
        path = self._path(name)
        if not path.exists():
            raise missing(name, self.names())
        try:
            found = OutsideKey.from_body_untrusted(unarmour(_TITLE, read_private(path)))
        except MalformedFrame as error:
            raise CorruptKeyFile(f"{path}: {error}", hint="name the agent's key again") from None
        if found.name != name:
            raise CorruptKeyFile(f"{path} names another key", hint="undo its renaming")
        return found

    def _path(self, name: str) -> Path:
        return self._directory / f"{check_name(name)}{SUFFIX}"

    def _write(self, entry: OutsideKey) -> None:
        write_private(self._path(entry.name), armour(_TITLE, entry.to_body()))
