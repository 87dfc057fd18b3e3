"""Goal: strangers become contacts, contacts are heard. Method: machines, a list as network."""

from __future__ import annotations

from itertools import pairwise

import pytest
from datagram_world import KIND, Host, World
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.protocol.machine import Ticked
from hive.transport import packets
from hive.transport.datagram_config import DatagramConfig
from hive.transport.events import (
    Arrived,
    ContactRetired,
    Dialled,
    Drop,
    Greeted,
    IdentityRenewed,
    Outgoing,
    Transmit,
)
from hive.transport.packets import PAYLOAD_BYTES_MAX
from hive.wire.clock import SECOND_US


def pair(**choices: object) -> tuple[World, Host, Host]:
    world = World()
    return world, world.host("alice", **choices), world.host("bob", **choices)


def met(**choices: object) -> tuple[World, Host, Host]:
    world, alice, bob = pair(**choices)
    alice.dial(bob)
    world.deliver()
    assert alice.reached == [bob.peer_id]
    assert bob.reached == [alice.peer_id]
    return world, alice, bob


def can_talk(world: World, alice: Host, bob: Host) -> bool:
    a, b = len(alice.heard), len(bob.heard)
    alice.say(bob, b"to bob")
    bob.say(alice, b"to alice")
    world.deliver()
    return alice.heard[a:] == [b"to alice"] and bob.heard[b:] == [b"to bob"]


# -- first contact


def test_a_dial_makes_both_sides_contacts() -> None:
    assert can_talk(*met())


def test_both_sides_may_dial_at_once() -> None:
    world, alice, bob = pair()
    alice.dial(bob)
    bob.dial(alice)
    world.deliver()
    assert can_talk(world, alice, bob)
    world.run(30 * SECOND_US)
    assert can_talk(world, alice, bob)
    assert alice.machine.state_count == bob.machine.state_count == 1


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 11), max_size=4), st.booleans())
def test_first_contact_survives_the_loss_of_any_four_messages(lost: set[int], both: bool) -> None:
    world, alice, bob = pair()
    world.lost = lost
    alice.dial(bob)
    if both:
        bob.dial(alice)
    world.run(10 * SECOND_US)
    world.lost = set()
    assert can_talk(world, alice, bob)


def test_nobody_at_an_address_is_news() -> None:
    world, alice, _ = pair()
    alice.handle(Dialled(("10.9.9.9", 1)))
    world.run(DatagramConfig().silence_us)
    assert [news.address for news in alice.unreachable] == [("10.9.9.9", 1)]
    assert alice.machine.state_count == 0
    assert alice.machine.deadline is None


def test_an_early_tick_does_nothing() -> None:
    world, alice, bob = pair()
    alice.dial(bob)
    sent = len(world.recorded)
    alice.handle(Ticked())
    assert len(world.recorded) == sent


@pytest.mark.parametrize("side", ["caller", "callee"])
def test_a_refused_chain_makes_no_contact(side: str) -> None:
    world, alice, bob = pair()
    (alice if side == "caller" else bob).refuses = True
    alice.dial(bob)
    world.run(20 * SECOND_US)
    assert bob.reached == []
    assert len(alice.unreachable) == 1
    assert alice.machine.state_count + bob.machine.state_count == 0


def test_whoever_lacks_the_key_of_the_record_it_shows_is_not_reached() -> None:
    world, alice, bob = pair()
    thief = world.host("thief", key_number=7)
    stolen = alice.identity
    own = thief.identity
    thief.handle(
        IdentityRenewed(type(own)(thief.peer_id, own.key, stolen.record, stolen.chain, 99))
    )
    thief.dial(bob)
    world.run(20 * SECOND_US)
    assert bob.reached == []
    assert bob.machine.state_count == 0


def test_unknown_issuers_are_fetched_page_by_page() -> None:
    chain = (b"i" * 3_000, b"o" * 5_000, b"r" * 8_000)
    world, alice, bob = pair(chain=chain, knows_chains=False)
    alice.dial(bob)
    world.run(10 * SECOND_US)
    assert can_talk(world, alice, bob)
    last = [news for news in bob.news if isinstance(news, Greeted)][-1]
    assert last.untrusted_records[1:] == chain
    assert max(len(sent.datagram) for _, sent in world.recorded) <= 1_200


def test_a_record_too_long_for_one_datagram_travels_in_pages() -> None:
    world, alice, bob = pair(record_bytes=2_500)
    alice.dial(bob)
    world.run(10 * SECOND_US)
    assert can_talk(world, alice, bob)


def test_cold_walks_are_one_per_subnet_and_second() -> None:
    world = World()
    bob = world.host("bob", knows_chains=False, config=DatagramConfig.for_internet())
    guests = [world.host(f"guest{number}") for number in range(4)]
    for number, guest in enumerate(guests):
        guest.address = ("10.7.7.7", 7_000 + number)
        guest.dial(bob)
    starts = []
    for _ in range(5):
        starts.append(len(bob.reached))
        world.run(SECOND_US)
    assert starts[0] == 0
    assert all(after - before <= 2 for before, after in pairwise(starts))
    world.run(10 * SECOND_US)
    assert len(bob.reached) == 4


def test_endless_pages_are_cut_at_the_bound() -> None:
    world, alice, bob = pair(chain=(b"x" * 16_000,) * 3, knows_chains=False)
    alice.dial(bob)
    world.run(20 * SECOND_US)
    assert bob.reached == []
    assert bob.machine.drops[Drop.MALFORMED] >= 1
    assert bob.machine.state_count == 0


# -- messages


def test_a_message_of_the_most_bytes_fits_a_datagram() -> None:
    world, alice, bob = met()
    alice.say(bob, bytes(PAYLOAD_BYTES_MAX))
    alice.say(bob, bytes(PAYLOAD_BYTES_MAX + 1))
    world.deliver()
    assert bob.heard == [bytes(PAYLOAD_BYTES_MAX)]
    assert alice.machine.drops[Drop.TOO_LARGE] == 1
    assert max(len(sent.datagram) for _, sent in world.recorded) == 1_200


def test_messages_to_a_known_peer_wait_for_its_handshake() -> None:
    world, alice, bob = pair()
    alice.handle(alice.knows(bob))
    for number in range(20):
        alice.say(bob, bytes([number]))
    world.deliver()
    assert bob.heard == [bytes([number]) for number in range(8)]
    assert alice.machine.drops[Drop.HELD_TOO_LONG] == 12


def test_messages_held_for_an_unreachable_peer_are_let_go() -> None:
    world, alice, bob = pair()
    world.hosts.remove(bob)
    alice.handle(alice.knows(bob))
    alice.say(bob, b"anybody?")
    world.run(20 * SECOND_US)
    assert [news.peer_id for news in alice.unreachable] == [bob.peer_id]
    assert alice.machine.state_count == 1
    assert alice.machine.drops[Drop.HELD_TOO_LONG] == 1


def test_a_message_to_nobody_known_is_dropped() -> None:
    _, alice, bob = pair()
    assert alice.handle(Outgoing(bob.peer_id, KIND, b"")) == []
    assert alice.machine.drops[Drop.NO_CONTACT] == 1


def test_a_retired_contact_is_neither_heard_nor_spoken_to() -> None:
    world, alice, bob = met()
    bob.handle(ContactRetired(alice.peer_id))
    alice.say(bob, b"still me")
    bob.say(alice, b"gone")
    bob.refuses = True
    world.deliver()
    assert bob.heard == alice.heard == []
    assert bob.machine.state_count == 0


def test_the_number_of_contacts_is_bounded_and_the_largest_org_pays() -> None:
    world = World()
    bob = world.host("bob", config=DatagramConfig(contact_count_max=4, hello_burst=500))
    for number in range(12):
        world.host(f"guest{number}").dial(bob)
        world.deliver()
    assert bob.machine.state_count == 4


# -- restarts, renewals, moves


def test_a_restarted_peer_is_met_again_by_whoever_speaks_to_it() -> None:
    world, alice, bob = met()
    bob.start(2)
    world.run(30 * SECOND_US)
    alice.say(bob, b"lost with the old boot")
    world.run(5 * SECOND_US)
    assert can_talk(world, alice, bob)


def test_a_restarted_caller_is_met_again() -> None:
    world, alice, bob = met()
    alice.start(2)
    alice.dial(bob)
    world.deliver()
    assert can_talk(world, alice, bob)


def test_a_boot_that_does_not_grow_is_refused() -> None:
    world, alice, bob = met(boot=5)
    alice.start(4)
    alice.dial(bob)
    world.run(20 * SECOND_US)
    assert bob.reached == [alice.peer_id]
    assert bob.machine.drops[Drop.WRONG_BOOT] >= 1


def test_forged_resets_cost_one_handshake_a_second_at_most() -> None:
    world, alice, bob = met()
    alice.say(bob, b"x")
    nonce = world.flight[-1][1].datagram[1:25]
    world.deliver()
    for _ in range(100):
        world.flight.append((bob.address, Transmit(alice.address, packets.reset(nonce))))
    before = len(world.recorded)
    world.deliver()
    assert len(world.recorded) - before == 5
    assert can_talk(world, alice, bob)


def test_a_renewed_identity_is_shown_to_every_contact_and_nothing_is_lost_meanwhile() -> None:
    world, alice, bob = met()
    alice.key_number = 1
    alice.handle(IdentityRenewed(alice.identity))
    bob.say(alice, b"under the old key")
    world.run(5 * SECOND_US)
    assert alice.heard == [b"under the old key"]
    assert bob.reached == [alice.peer_id] * 2
    assert can_talk(world, alice, bob)


def test_a_contact_is_answered_where_it_proved_to_receive() -> None:
    world, alice, bob = met()
    old, new = alice.address, ("10.44.0.1", 7000)
    alice.say(bob, b"I moved")
    (_, moved), world.flight = world.flight[0], []
    bob.handle(Arrived(new, moved.datagram))
    assert bob.heard == [b"I moved"]
    bob.say(alice, b"answer")
    assert world.flight[-1][1].address == old
    alice.address = new
    world.deliver()
    bob.say(alice, b"answer")
    assert world.flight[-1][1].address == new
    world.deliver()
    assert alice.heard == [b"answer"]


def test_a_forged_source_does_not_move_a_contact() -> None:
    world, alice, bob = met()
    alice.say(bob, b"captured")
    (_, captured), world.flight = world.flight[0], []
    bob.handle(Arrived(("10.66.0.1", 6), captured.datagram))
    sent = [sent for _, sent in world.flight if sent.address == ("10.66.0.1", 6)]
    assert sum(len(one.datagram) for one in sent) <= 3 * len(captured.datagram)
    world.deliver()
    assert can_talk(world, alice, bob)
