"""Where this node finds its own organisation's nodes, and everybody, again after a stop."""

from __future__ import annotations

from typing import Final

from hive.node.acquaintances import Acquaintances
from hive.protocol.peer import Peer
from hive.protocol.ports import PutMeta, StoreReader, Write
from hive.transport.addresses import format_address

KIN_META: Final = "kin"
ADDRESS_COUNT_MAX: Final = 64


class Kin:
    """Addresses of peers, and of those of them that are our own organisation's."""

    def __init__(self, peer: Peer, reader: StoreReader, acquaintances: Acquaintances) -> None:
        self._peer = peer
        self._reader = reader
        self._acquaintances = acquaintances

    def addresses(self, own: tuple[str, int] | None) -> list[str]:
        """Where nodes of this organisation answer streams; where they were last, and bootstrap."""
        seeds = map(format_address, self._acquaintances.seeds)
        found = dict.fromkeys((*self._known(), *self._lines(KIN_META), *seeds))
        left_out = format_address(own) if own else ""
        return [address for address in found if address != left_out]

    def remembered(self, own: tuple[str, int] | None) -> list[Write]:
        """The addresses of complete contacts and of our own organisation, for the next start."""
        self._acquaintances.remember(
            (each.endpoint.host, each.endpoint.port)
            for _, each in self._peer.introductions.known.items()
            if each.record is not None
        )
        kin = list(dict.fromkeys((*self._known(), *self.addresses(own))))
        return [PutMeta(KIN_META, "\n".join(kin[:ADDRESS_COUNT_MAX]).encode())]

    def _known(self) -> list[str]:
        own = self._peer.core.own
        return [
            format_address((each.endpoint.host, each.record.addresses[0].tls_port))
            for _, each in self._peer.introductions.known.items()
            if each.record is not None and each.chain.org == own.org
        ]

    def _lines(self, name: str) -> list[str]:
        kept = self._reader.meta(name) or b""
        return kept.decode("utf-8", "replace").splitlines()
