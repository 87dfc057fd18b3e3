"""The synchronous client: talks to the running node, else opens the store itself.

with connect(Path("~/.hive").expanduser()) as hive:
    hive.remember("otters hold hands")
    print(hive.recall("otters")["hits"])
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from hive.errors import (
    FAMILY,
    HiveError,
    Refused,
    StateError,
    TransportError,
)
from hive.node.home import Home

if TYPE_CHECKING:
    from hive.client.embedded import Embedded
    from hive.custody.passphrase import Passphrase

CONNECT_S: Final = 5
_ERRORS: Final = {cls.__name__: cls for cls in FAMILY}


class Client:
    """One connection to a hive; use it in a `with` block."""

    def __init__(self, link: Remote | Embedded) -> None:
        self._link = link

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; an embedded node puts everything on disk first."""
        self._link.close()

    @property
    def is_embedded(self) -> bool:
        """Whether this process holds the store itself."""
        return not isinstance(self._link, Remote)

    def call(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """Any verb of `hive.node.api`; raises the error family."""
        return self._link.call(verb, arguments)

    def remember(self, text: str, **more: Any) -> dict[str, Any]:
        """Remembers a text; gives `id`, `namespace`, `sequence`, `hlc_ms`."""
        return self.call("remember", text=text, **more)

    def remember_many(self, items: Sequence[Mapping[str, Any]], **more: Any) -> list[str]:
        """Remembers up to 4,096 items (`text`, `source`, `tags`); gives their ids in order."""
        ids: list[str] = self.call("remember_many", items=list(items), **more)["ids"]
        return ids

    def recall(self, text: str, **more: Any) -> dict[str, Any]:
        """What the hive remembers: `hits` with provenance, `namespaces`, `exact`."""
        return self.call("recall", text=text, **more)

    def forget(self, ids: Sequence[str], **more: Any) -> dict[str, Any]:
        """Forgets memories, everywhere and for ever."""
        return self.call("forget", ids=list(ids), **more)

    def status(self) -> dict[str, Any]:
        """How the node is."""
        return self.call("status")


class Remote:
    """A running node behind its control socket."""

    def __init__(self, path: Path, patience_s: float | None = None) -> None:
        """`patience_s` bounds the wait for each answer; None waits as long as it takes."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(CONNECT_S)
        try:
            self._socket.connect(str(path))
        except BaseException:
            self._socket.close()
            raise
        self._socket.settimeout(patience_s)
        self._file = self._socket.makefile("rb")

    def call(self, verb: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Says one line and reads the answer."""
        request = json.dumps({"verb": verb, "arguments": dict(arguments)})
        try:
            self._socket.sendall(request.encode() + b"\n")
            line = self._file.readline()
        except OSError as error:
            raise TransportError(f"the node went away: {error}", hint="is it up?") from None
        if not line:
            raise TransportError("the node closed the connection", hint="see its log")
        answer = json.loads(line)
        if "error" in answer:
            raise _error(answer["error"])
        found: dict[str, Any] = answer["ok"]
        return found

    def close(self) -> None:
        """Ends the connection."""
        self._file.close()
        self._socket.close()


def _error(plain: Mapping[str, Any]) -> HiveError:
    message, hint = plain["message"], plain["hint"]
    if plain["type"] == "Refused":
        refused = Refused(plain["reason"], plain["step"], hint=hint)
        refused.args = (message,)
        return refused
    return _ERRORS.get(plain["type"], HiveError)(message, hint=hint)


def connect(home: Path, passphrase: Passphrase | None = None) -> Client:
    """The running node of a home, or the home's own store; raises `StateError`, `StoreError`."""
    place = Home(home)
    if not place.exists:
        raise StateError(
            f"{home} is no hive home", hint="make one with `hive init`, or join with `hive join`"
        )
    if place.socket.exists():
        try:
            return Client(Remote(place.socket))
        except (ConnectionRefusedError, FileNotFoundError):
            pass
    from hive.client.embedded import Embedded

    return Client(Embedded(place, passphrase))
