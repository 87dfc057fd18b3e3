"""Links between nodes: first contact, sealed datagrams, streams, with the outcomes that the
adapters of `hive.transport` give their peer, after the latency and faults of the network.

Theory of operation. A dial sends a hello until somebody answers or patience ends; both sides then
judge the other's record. Who admits a contact knocks; the first sealed datagram of an admitted
contact says that it is reached. A datagram for somebody who does not know its sender (a node that
started again) is not opened, and its receiver calls the sender. A stream is opened by one frame
each way; a frame that is cut off or changed breaks it for both.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias

from hive.protocol import events as ev
from hive.wire.clock import MILLISECOND_US, SECOND_US
from hive.wire.ids import PeerId

from .happenings import (
    Broken,
    Datagram,
    Fetch,
    Frame,
    Happening,
    Hello,
    Inside,
    Knock,
    KnockAgain,
    Redial,
    Syn,
    SynTaken,
)
from .network import Network
from .nodes import Node

HELLO_BYTES: Final = 1_200
KNOCK_BYTES: Final = 60
RETRY_US: Final = 250 * MILLISECOND_US
ATTEMPTS_MAX: Final = 4
"""Hellos after 0.25, 0.5, 1 and 2 s, as the datagram machine's patience of 3 s has it."""
BREAK_US: Final = SECOND_US
"""How long a broken stream takes to be noticed."""

Arrival: TypeAlias = Datagram | Hello | Fetch | Knock | Syn | SynTaken | Frame | Broken


class Surroundings(Protocol):
    """The world, as far as links see it."""

    network: Network
    nodes: list[Node]

    @property
    def now_us(self) -> int:
        """Virtual time."""

    def note(self, name: str, count: int = 1) -> None:
        """Something worth knowing happened."""

    def put(self, delay_us: int, destination: int, source: int, what: Happening) -> None:
        """Something will happen at a node."""

    def handle(self, node: Node, event: ev.Event) -> None:
        """Tells a peer."""

    def number_of(self, peer: PeerId) -> int | None:
        """The number of a peer."""


class Links:
    """What nodes send each other."""

    def __init__(self, world: Surroundings) -> None:
        self._world = world
        self._by_endpoint: dict[ev.Endpoint, int] = {}

    def add(self, node: Node) -> None:
        """The node answers at its endpoint."""
        self._by_endpoint[node.identity.endpoint] = node.number

    # What a peer asks for.

    def perform(self, node: Node, effect: ev.Effect) -> bool:
        """Carries out an effect about the network; False where it is not one."""
        match effect:
            case ev.SendDatagram():
                self._send_datagram(node, effect)
            case ev.SendFrame():
                self._send_frame(node, effect)
            case ev.Dial():
                self.dial(node, effect.endpoint)
            case ev.AdmitContact():
                self._admit(node, effect)
            case ev.WantChain():
                self._reliably(node, self._other(effect.conversation), Fetch(), KNOCK_BYTES)
            case ev.OpenStream():
                self._open(node, effect)
            case ev.RetireContact():
                self._retire(node, effect)
            case ev.RefuseContact():
                pass
            case _:
                return False
        return True

    def dial(self, node: Node, endpoint: ev.Endpoint) -> None:
        """Greets whoever is there, unless a greeting is under way."""
        if endpoint not in node.calls and endpoint != node.identity.endpoint:
            node.calls[endpoint] = 0
            self._hello(node, endpoint, 0)

    def _hello(self, node: Node, endpoint: ev.Endpoint, attempt: int) -> None:
        other = self._by_endpoint.get(endpoint)
        if other is not None:
            hello = Hello(node.records[:1], False)
            self._by_packet(node, other, hello, HELLO_BYTES)
        again = Redial(node.boot, endpoint, attempt + 1)
        self._world.put(RETRY_US << attempt, node.number, node.number, again)

    def redial(self, node: Node, event: Redial) -> None:
        """Says hello again, or gives up."""
        if event.endpoint not in node.calls:
            return
        if event.attempt < ATTEMPTS_MAX:
            self._hello(node, event.endpoint, event.attempt)
            return
        del node.calls[event.endpoint]
        other = self._by_endpoint.get(event.endpoint)
        peer = None if other is None else node.admitted.get(other)
        self._tell(node, ev.Unreachable(peer, event.endpoint))

    def _admit(self, node: Node, effect: ev.AdmitContact) -> None:
        other = self._other(effect.conversation)
        node.admitted[other] = effect.peer
        if other in node.knocked:
            self._reach(node, other)
        self._knock(node, other, 0)

    def _knock(self, node: Node, other: int, attempt: int) -> None:
        self._by_packet(node, other, Knock(False), KNOCK_BYTES)
        if attempt < ATTEMPTS_MAX:
            again = KnockAgain(node.boot, other, attempt + 1)
            self._world.put(RETRY_US << attempt, node.number, node.number, again)

    def knock_again(self, node: Node, event: KnockAgain) -> None:
        """Knocks until the other side does."""
        if event.entity in node.admitted and event.entity not in node.reached:
            self._knock(node, event.entity, event.attempt)

    def _reach(self, node: Node, other: int) -> None:
        if other not in node.reached:
            node.reached[other] = None
            at = self._world.nodes[other].identity.endpoint
            self._tell(node, ev.Reached(node.admitted[other], at))

    def _send_datagram(self, node: Node, effect: ev.SendDatagram) -> None:
        other = self._world.number_of(effect.receiver)
        if other is not None and other in node.admitted:
            datagram = Datagram(effect.kind, effect.payload)
            self._by_packet(node, other, datagram, len(effect.payload))

    # Streams.

    def _open(self, node: Node, effect: ev.OpenStream) -> None:
        other = self._world.number_of(effect.peer)
        if other is None or other in node.streams or other in node.dialling:
            return
        node.stream_count += 1
        stream = node.number << 24 | node.stream_count
        node.dialling[other] = stream
        self._on_stream(node, other, stream, Syn(stream), KNOCK_BYTES)

    def _send_frame(self, node: Node, effect: ev.SendFrame) -> None:
        other = self._world.number_of(effect.receiver)
        stream = None if other is None else node.streams.get(other)
        if other is not None and stream is not None:
            frame = Frame(stream, effect.payload)
            self._on_stream(node, other, stream, frame, len(effect.payload))

    def _on_stream(self, node: Node, other: int, stream: int, what: Arrival, size: int) -> None:
        world = self._world
        packet = world.network.frame(node.number, other, size, world.now_us)
        is_there = world.nodes[other].is_up
        if packet.is_lost or packet.is_corrupt or not is_there:
            self._break(node.number, other, stream)
        else:
            world.put(packet.at_us - world.now_us, other, node.number, what)

    def _break(self, one: int, other: int, stream: int) -> None:
        self._world.note("stream broken")
        self._world.put(BREAK_US, one, one, Broken(other, stream))
        self._world.put(BREAK_US, other, one, Broken(one, stream))

    def hang_up(self, node: Node) -> None:
        """A node that dies takes its streams with it."""
        for other, stream in [*node.streams.items(), *node.dialling.items()]:
            self._world.put(BREAK_US, other, node.number, Broken(node.number, stream))

    def _retire(self, node: Node, effect: ev.RetireContact) -> None:
        other = self._world.number_of(effect.peer)
        if other is None:
            return
        for table in (node.admitted, node.knocked, node.reached):
            table.pop(other, None)
        if other in node.streams:
            self._break(node.number, other, node.streams[other])

    # What arrives.

    def arrived(self, node: Node, source: int, event: Arrival) -> None:
        """Takes what another node sent."""
        match event:
            case Datagram():
                self._datagram(node, source, event)
            case Hello():
                self._greeted(node, source, event)
            case Fetch():
                self._reliably(node, source, Hello(node.records, True), HELLO_BYTES)
            case Knock():
                self._knocked(node, source, event)
            case Syn():
                self._taken(node, source, event)
            case SynTaken():
                if node.dialling.get(source) == event.stream:
                    self._opened(node, source, event.stream)
            case Frame():
                if node.streams.get(source) == event.stream:
                    sender = self._world.nodes[source].id
                    self._tell_now(node, ev.FrameReceived(sender, event.payload))
            case Broken():
                self._broken(node, event)

    def _datagram(self, node: Node, source: int, event: Datagram) -> None:
        sender = node.admitted.get(source)
        if sender is None:
            self._world.note("datagram of a stranger")
            self.dial(node, self._world.nodes[source].identity.endpoint)
            return
        self._reach(node, source)
        self._tell_now(node, ev.DatagramOpened(sender, event.kind, event.payload))

    def _greeted(self, node: Node, source: int, event: Hello) -> None:
        other = self._world.nodes[source]
        node.calls.pop(other.identity.endpoint, None)
        if not event.is_answer:
            self._by_packet(node, source, Hello(node.records[:1], True), HELLO_BYTES)
            node.reached.pop(source, None)
        conversation = source.to_bytes(8, "big")
        self._tell_now(node, ev.Greeted(conversation, other.identity.endpoint, event.records))

    def _knocked(self, node: Node, source: int, event: Knock) -> None:
        node.knocked[source] = None
        if source in node.admitted:
            self._reach(node, source)
            if not event.is_answer:
                self._by_packet(node, source, Knock(True), KNOCK_BYTES)

    def _taken(self, node: Node, source: int, event: Syn) -> None:
        """Where both dial at once the lower number's stream stands."""
        if source in node.dialling and node.number < source:
            return
        node.dialling.pop(source, None)
        if source not in node.admitted:
            self._break(node.number, source, event.stream)
            return
        if source in node.streams:
            self._broken(node, Broken(source, node.streams[source]))
        taken = SynTaken(event.stream)
        self._on_stream(node, source, event.stream, taken, KNOCK_BYTES)
        self._opened(node, source, event.stream)

    def _opened(self, node: Node, other: int, stream: int) -> None:
        node.dialling.pop(other, None)
        node.streams[other] = stream
        self._tell(node, ev.StreamOpened(self._world.nodes[other].id))

    def _broken(self, node: Node, event: Broken) -> None:
        was_open = node.streams.get(event.entity) == event.stream
        was_dialled = node.dialling.get(event.entity) == event.stream
        if was_open:
            del node.streams[event.entity]
        if was_dialled:
            del node.dialling[event.entity]
        if was_open or was_dialled:
            self._tell(node, ev.StreamClosed(self._world.nodes[event.entity].id))

    # Carrying.

    def _other(self, conversation: bytes) -> int:
        return int.from_bytes(conversation, "big")

    def _tell(self, node: Node, event: ev.Event) -> None:
        self._world.put(0, node.number, node.number, Inside(node.boot, event))

    def _tell_now(self, node: Node, event: ev.Event) -> None:
        self._world.handle(node, event)

    def _by_packet(self, node: Node, other: int, what: Happening, size: int) -> None:
        world = self._world
        packet = world.network.packet(node.number, other, size, world.now_us)
        if packet.is_lost or packet.is_corrupt:
            world.note("datagram lost" if packet.is_lost else "seal broken")
            return
        world.put(packet.at_us - world.now_us, other, node.number, what)
        for at_us in packet.copies_at_us:
            if isinstance(what, Datagram):
                world.note("replay window")
            else:
                world.put(at_us - world.now_us, other, node.number, what)

    def _reliably(self, node: Node, other: int, what: Happening, size: int) -> None:
        world = self._world
        packet = world.network.frame(node.number, other, size, world.now_us)
        if not packet.is_lost and not packet.is_corrupt:
            world.put(packet.at_us - world.now_us, other, node.number, what)
