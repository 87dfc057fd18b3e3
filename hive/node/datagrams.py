"""The datagram machine on UDP sockets: what it opens becomes the peer's events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from hive.errors import TransportError
from hive.node import clocks
from hive.protocol import events as ev
from hive.protocol.machine import Ticked
from hive.transport import events as wire
from hive.transport.addresses import is_numeric
from hive.transport.datagram import DatagramMachine
from hive.transport.interfaces import Interfaces
from hive.transport.ports import DatagramCarrier
from hive.wire.clock import MonotonicUs


class Datagrams:
    """One machine, one carrier or several; `post` takes the peer's events."""

    def __init__(
        self,
        machine: DatagramMachine,
        interfaces: Interfaces,
        post: Callable[[ev.Event], None],
    ) -> None:
        self.machine = machine
        self._interfaces = interfaces
        self._post = post
        self.sent_count = self.sent_bytes = 0
        self.heard_count = self.heard_bytes = 0

    @property
    def deadline(self) -> MonotonicUs | None:
        """When the machine next wants a tick."""
        return self.machine.deadline

    def tick(self) -> None:
        """The machine's deadline may have passed."""
        self.feed(Ticked())

    def feed(self, event: wire.Event) -> None:
        """Hands the machine an event and carries out what it asks for."""
        self._perform(self.machine.handle(event, clocks.read()))

    def perform(self, effect: ev.Effect) -> bool:
        """Carries out a peer's effect that is about datagrams; False where it is not."""
        match effect:
            case ev.SendDatagram():
                self.feed(wire.Outgoing(effect.receiver, effect.kind, effect.payload))
            case ev.Dial() if is_numeric(effect.endpoint.host):
                self.feed(wire.Dialled((effect.endpoint.host, effect.endpoint.port)))
            case ev.Dial():
                pass  # a pointer of a peer's; the socket would wait for somebody's name server
            case ev.AdmitContact():
                address = (effect.endpoint.host, effect.endpoint.port)
                self.feed(
                    wire.ContactAdmitted(
                        effect.conversation, effect.peer, effect.org, address, effect.datagram_key
                    )
                )
            case ev.RefuseContact():
                self.feed(wire.ContactRefused(effect.conversation))
            case ev.WantChain():
                self.feed(wire.RecordsWanted(effect.conversation))
            case ev.RetireContact():
                self.feed(wire.ContactRetired(effect.peer))
                return False
            case _:
                return False
        return True

    def _perform(self, effects: Sequence[wire.Effect]) -> None:
        for effect in effects:
            match effect:
                case wire.Transmit():
                    self.sent_count += 1
                    self.sent_bytes += len(effect.datagram)
                    self._interfaces.transmit(effect.address, effect.datagram)
                case wire.Opened():
                    self._post(
                        ev.DatagramOpened(effect.peer_id, effect.kind, effect.untrusted_payload)
                    )
                case wire.Greeted():
                    self._post(
                        ev.Greeted(
                            effect.conversation,
                            ev.Endpoint(*effect.address),
                            effect.untrusted_records,
                        )
                    )
                case wire.PeerReached():
                    self._post(
                        ev.Reached(effect.peer_id, ev.Endpoint(*effect.address), effect.version)
                    )
                case wire.PeerUnreachable():
                    self._post(ev.Unreachable(effect.peer_id, ev.Endpoint(*effect.address)))

    async def receive(self, carrier: DatagramCarrier) -> None:
        """Feeds everything that arrives at one socket, until it closes."""
        while True:
            try:
                batch = await carrier.receive()
            except TransportError:
                return
            now = clocks.read()
            for address, untrusted in batch:
                self._interfaces.heard(carrier, address)
                self.heard_count += 1
                self.heard_bytes += len(untrusted)
                self._perform(self.machine.handle(wire.Arrived(address, untrusted), now))
            await trio.lowlevel.checkpoint()

    async def flush(self, carrier: DatagramCarrier) -> None:
        """Sends what the kernel did not take at once, until the socket closes."""
        try:
            await carrier.flush()
        except TransportError:
            return
