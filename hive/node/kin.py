"""Where this node finds its own organisation's nodes, and everybody, again after a stop."""

from __future__ import annotations

from typing import Final

from hive.protocol.peer import Peer
from hive.protocol.ports import PutMeta, StoreReader, Write
from hive.transport.addresses import format_address, parse_address

PEERS_META: Final = "peers"
KIN_META: Final = "kin"
ADDRESS_COUNT_MAX: Final = 64


class Kin:
    """Addresses of peers, and of those of them that are our own organisation's."""

    def __init__(self, peer: Peer, reader: StoreReader, bootstrap: tuple[str, ...]) -> None:
        self._peer = peer
        self._reader = reader
        self._bootstrap = bootstrap

    def addresses(self, own: tuple[str, int] | None) -> list[str]:
        """Where nodes of this organisation answer streams; where they were last, and bootstrap."""
        found = dict.fromkeys((*self._known(), *self._lines(KIN_META), *self._bootstrap))
        left_out = format_address(own) if own else ""
        return [address for address in found if address != left_out]

    def remembered_peers(self) -> list[tuple[str, int]]:
        """Addresses of peers that this node knew before it stopped."""
        return [parse_address(line) for line in self._lines(PEERS_META) if line]

    def remembered(self, own: tuple[str, int] | None) -> list[Write]:
        """The addresses of complete contacts and of our own organisation, for the next start."""
        lines = [
            format_address((each.endpoint.host, each.endpoint.port))
            for _, each in self._peer.introductions.known.items()
            if each.record is not None
        ]
        kin = list(dict.fromkeys((*self._known(), *self.addresses(own))))
        return [
            PutMeta(PEERS_META, "\n".join(lines[:ADDRESS_COUNT_MAX]).encode()),
            PutMeta(KIN_META, "\n".join(kin[:ADDRESS_COUNT_MAX]).encode()),
        ]

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
