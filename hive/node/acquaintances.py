"""Whom a node greets first: configured addresses, what names resolve to, peers of its last run.

Names come from the operator alone; an address in a peer's record that is no number is never
asked of a resolver. A name is asked again whenever nobody is known, so that moving a federation's
seeds takes a change in DNS and no restart. Every address behind a name is greeted; what answers
has to prove itself like any stranger, so a lying resolver can delay and not deceive.

The peers of the last run lie in the file `peers` in the home, one address a line. It may be
deleted, mended or copied to another home; lines that are no address are passed by.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Final

import trio

from hive.errors import ConfigError
from hive.node.home import Home
from hive.node.logs import Log
from hive.transport.addresses import Address, format_address, is_numeric, parse_seed

RESOLVE_TIMEOUT_S: Final = 5
ADDRESSES_PER_NAME_MAX: Final = 16
PEERS_MAX: Final = 64
_FILE_BYTES_MAX: Final = 64 * 1024


class Acquaintances:
    """Addresses to begin with; `seeds` are the configured ones as numbers, as last resolved."""

    def __init__(self, home: Home, bootstrap: Sequence[str], log: Log) -> None:
        self._home = home
        self._log = log
        self._configured = [parse_seed(text) for text in bootstrap]
        self._resolved: dict[Address, tuple[Address, ...]] = {}

    @property
    def seeds(self) -> tuple[Address, ...]:
        """Configured addresses; a name counts as what it resolved to last."""
        found: list[Address] = []
        for each in self._configured:
            found += [each] if is_numeric(each[0]) else self._resolved.get(each, ())
        return tuple(dict.fromkeys(found))

    async def gather(self) -> tuple[Address, ...]:
        """Everybody to greet: seeds with their names asked anew, then the peers of last time."""
        async with trio.open_nursery() as nursery:
            for each in self._configured:
                if not is_numeric(each[0]):
                    nursery.start_soon(self._resolve, each)
        return tuple(dict.fromkeys((*self.seeds, *self.remembered())))

    async def _resolve(self, named: Address) -> None:
        host, port = named
        try:
            with trio.fail_after(RESOLVE_TIMEOUT_S):
                answers = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError, trio.TooSlowError) as error:
            self._log.write("warning", "name_unresolved", name=host, reason=str(error) or "timeout")
            return
        found = dict.fromkeys((str(answer[4][0]), port) for answer in answers)
        numeric = [address for address in found if is_numeric(address[0])]
        self._resolved[named] = tuple(numeric[:ADDRESSES_PER_NAME_MAX])

    def remembered(self) -> list[Address]:
        """The peers of the last run."""
        try:
            with self._home.peers.open("rb") as file:
                text = file.read(_FILE_BYTES_MAX).decode("utf-8", "replace")
        except OSError:
            return []
        return parsed(text.splitlines())[:PEERS_MAX]

    def remember(self, peers: Iterable[Address]) -> None:
        """Keeps peers for the next start; where nobody is known the file stays as it is."""
        lines = [format_address(peer) for peer in peers][:PEERS_MAX]
        if not lines:
            return
        partial = self._home.peers.with_suffix(".partial")
        try:
            partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
            partial.replace(self._home.peers)
        except OSError as error:
            self._log.write("warning", "peers_not_kept", reason=str(error))


def parsed(lines: Iterable[str]) -> list[Address]:
    """Those of the lines that are numeric addresses."""
    found: list[Address] = []
    for line in lines:
        try:
            address = parse_seed(line.strip())
        except ConfigError:
            continue
        if is_numeric(address[0]):
            found.append(address)
    return found
