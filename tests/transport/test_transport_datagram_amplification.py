"""Goal: nobody's address is a target. Method: every type of datagram, well made, from a forged one.

Until an address proved to receive, it gets at most three times the bytes that came in its name,
all answers and all repetitions together.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from datagram_world import KIND, Host, World, now_at

from hive.transport import packets
from hive.transport.addresses import Address
from hive.transport.cookies import COOKIE_BYTES
from hive.transport.events import Arrived, Outgoing, Transmit
from hive.wire.clock import SECOND_US

FORGED: Address = ("203.0.113.9", 9)
CONVERSATION = bytes(range(16))
COOKIE = bytes(COOKIE_BYTES)

Maker = Callable[[World, Host, Host], bytes]


def _recorded(kind: int) -> Maker:
    """The newest genuine datagram of a type, to bob."""

    def find(world: World, alice: Host, bob: Host) -> bytes:
        sent = [sent.datagram for _, sent in world.recorded if sent.address == bob.address]
        return [datagram for datagram in sent if datagram[0] == kind][-1]

    return find


def _fresh_seal(kind: int) -> Maker:
    """A contact's own message, never heard before, in an address that it does not have."""

    def make(world: World, alice: Host, bob: Host) -> bytes:
        effects = alice.machine.handle(Outgoing(bob.peer_id, kind, b"otters"), now_at(world.now_us))
        (transmit,) = (effect for effect in effects if isinstance(effect, Transmit))
        return transmit.datagram

    return make


MAKERS: dict[str, tuple[int, Maker]] = {
    "hello": (packets.HELLO, lambda *_: packets.hello(CONVERSATION)),
    "cookie": (packets.COOKIE, lambda *_: packets.cookie(CONVERSATION, COOKIE)),
    "claim made up": (packets.CLAIM, lambda *_: packets.claim(CONVERSATION, COOKIE, 1, b"r" * 900)),
    "claim overheard": (packets.CLAIM, _recorded(packets.CLAIM)),
    "welcome": (packets.WELCOME, lambda *_: packets.welcome(CONVERSATION, b"r" * 300, bytes(137))),
    "confirm": (packets.CONFIRM, _recorded(packets.CONFIRM)),
    "want": (packets.WANT, lambda *_: packets.want(CONVERSATION, 0)),
    "page": (packets.PAGE, lambda *_: packets.page(CONVERSATION, 0, 2, b"p" * 1_000)),
    "sealed by nobody": (packets.SEALED, lambda *_: packets.sealed(bytes(110))),
    "sealed overheard": (packets.SEALED, _recorded(packets.SEALED)),
    "sealed by a contact": (packets.SEALED, _fresh_seal(KIND)),
    "path challenge": (packets.SEALED, _fresh_seal(packets.KIND_PATH_CHALLENGE)),
    "path response": (packets.SEALED, _fresh_seal(packets.KIND_PATH_RESPONSE)),
    "reset": (packets.RESET, lambda *_: packets.reset(bytes(24))),
}


def test_every_type_of_datagram_is_tried() -> None:
    assert {kind for kind, _ in MAKERS.values()} == set(range(packets.HELLO, packets.RESET + 1))


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("name", MAKERS)
def test_a_forged_address_gets_at_most_three_times_what_came_in_its_name(
    name: str, count: int
) -> None:
    world = World()
    alice, bob = world.host("alice"), world.host("bob")
    alice.dial(bob)
    world.deliver()
    alice.say(bob, b"otters")
    world.deliver()
    came = 0
    for _ in range(count):
        datagram = MAKERS[name][1](world, alice, bob)
        came += len(datagram)
        bob.handle(Arrived(FORGED, datagram))
    world.run(30 * SECOND_US)
    went = sum(
        len(sent.datagram)
        for source, sent in world.recorded
        if source == bob.address and sent.address == FORGED
    )
    assert went <= 3 * came
