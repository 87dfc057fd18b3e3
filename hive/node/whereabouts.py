"""Where a node is reached: which addresses it announces, and when they change.

An advertised address is announced as it is. A node that serves every interface announces the
address from which the kernel would send to the nodes it was told to greet first, or to anywhere;
that is asked again and again, so a machine that moves to another network announces itself anew.
The same addresses are announced anew under a new key: after a rotation nobody believes the old one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hive.custody.signer import HeldKey
from hive.node.config import NodeConfig
from hive.node.identity import peer_record
from hive.node.logs import Log
from hive.protocol.commands import Announce, Answer, Command
from hive.protocol.core import OwnNode
from hive.protocol.discovery.contact import ADDRESSES_MAX, Address
from hive.transport.addresses import format_address, parse_address
from hive.transport.interfaces import source_towards
from hive.trust.keys import PublicKey

WATCH_INTERVAL_S: Final = 2
"""Between two looks at the own address."""
ANYWHERE: Final = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}
"""What stands for every interface, and an address of nobody behind the default route."""
ALONE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
CHANGES_PER_BOOT: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Bound:
    """An interface that is served."""

    host: str
    udp_port: int
    tls_port: int


class Whereabouts:
    """The addresses of one running node; `announced` are those that others were told."""

    def __init__(
        self, settings: NodeConfig, own: OwnNode, key: Callable[[], HeldKey], log: Log
    ) -> None:
        """`key` looks up the node's signing key of the moment."""
        self._settings = settings
        self._own, self._key, self._log = own, key, log
        self._announced_by: PublicKey | None = None
        self._sequence = own.boot * CHANGES_PER_BOOT
        self.bound: tuple[Bound, ...] = ()
        self.announced: tuple[Address, ...] = ()

    def serve(self, udp: Sequence[tuple[str, int]], tls_ports: Sequence[int]) -> None:
        """These interfaces and ports are served from now on."""
        pairs = zip(udp, tls_ports, strict=True)
        self.bound = tuple(Bound(host, port, tls_port) for (host, port), tls_port in pairs)

    def find(self) -> tuple[Address, ...]:
        """What may be announced now, the best first."""
        found: dict[Address, None] = {}
        for number, each in enumerate(self.bound):
            host = self._settings.advertise if number == 0 else ""
            host = host or self._own_host(each.host)
            found[Address(host, each.udp_port, each.tls_port)] = None
        return tuple(found)[:ADDRESSES_MAX]

    def _own_host(self, host: str) -> str:
        if host not in ANYWHERE:
            return host
        is_v6 = ":" in host
        known = [parse_address(text)[0] for text in self._settings.bootstrap]
        fitting = [other for other in known if (":" in other) == is_v6]
        sources = (source_towards(other) for other in (*fitting[:1], ANYWHERE[host]))
        return next((source for source in sources if source), ALONE[host])

    @property
    def udp(self) -> tuple[str, int] | None:
        """Where datagrams are heard, the first announced; None before that."""
        return (self.announced[0].host, self.announced[0].udp_port) if self.announced else None

    @property
    def tls(self) -> tuple[str, int] | None:
        """Where streams are accepted."""
        return (self.announced[0].host, self.announced[0].tls_port) if self.announced else None

    async def tell(self, ask: Callable[[Command], Awaitable[Answer]]) -> bool:
        """Tells everybody where this node listens, if that or its key changed; whether it moved."""
        found, key = self.find(), self._key()
        is_elsewhere = found != self.announced
        if is_elsewhere or key.public != self._announced_by:
            self.announced, self._announced_by = found, key.public
            self._sequence += 1
            signed = peer_record(self._own, key, found, self._sequence)
            await ask(Announce(signed.body, signed.signature))
        if is_elsewhere:
            udp = ", ".join(format_address((each.host, each.udp_port)) for each in found)
            tls = ", ".join(format_address((each.host, each.tls_port)) for each in found)
            self._log.write("info", "listening", udp=udp, tls=tls)
        return is_elsewhere
