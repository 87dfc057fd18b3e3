"""Goal: no datagram kills, fills, fools or aims a node. Method: replay, forge, flood and fuzz."""

from __future__ import annotations

import pytest
from datagram_world import KIND, Host, World, now_at
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.transport import packets
from hive.transport.addresses import Address
from hive.transport.cookies import CookieJar
from hive.transport.datagram_config import DatagramConfig
from hive.transport.events import Arrived, ContactAdmitted, ContactRetired, Dialled, Drop, Transmit
from hive.transport.replay import WINDOW_COUNT, ReplayWindow
from hive.wire.clock import SECOND_US
from hive.wire.ids import Inception, PeerId
from hive.wire.randomness import Stream


def met(**choices: object) -> tuple[World, Host, Host]:
    world = World()
    alice, bob = world.host("alice", **choices), world.host("bob", **choices)
    alice.dial(bob)
    world.deliver()
    return world, alice, bob


def sent_to(effects: list[object], address: Address) -> int:
    return sum(
        len(effect.datagram)
        for effect in effects
        if isinstance(effect, Transmit) and effect.address == address
    )


# -- spoofed sources


def test_hellos_without_cookie_allocate_nothing_and_are_not_verified() -> None:
    world = World()
    bob = world.host("bob", config=DatagramConfig(hello_burst=20_000, hello_per_second=1_000))
    stream = Stream(b"attacker", "hellos")
    for number in range(10_000):
        name = stream.bits(128).to_bytes(16, "big")
        source = (f"203.{number % 256}.{number // 256}.7", number % 65_536)
        hello = packets.hello(name)
        effects = bob.machine.handle(Arrived(source, hello), now_at(world.now_us + number))
        assert sent_to(effects, source) * 3 <= len(hello)
    assert bob.machine.state_count == 0
    assert bob.machine.deadline is None
    assert bob.news == []


def test_hellos_from_one_subnet_are_budgeted() -> None:
    world = World()
    bob = world.host("bob", config=DatagramConfig(hello_burst=10, hello_per_second=1))
    answered = 0
    for number in range(100):
        source = ("198.51.100.7", number)
        hello = packets.hello(number.to_bytes(16, "big"))
        answered += len(bob.machine.handle(Arrived(source, hello), now_at(world.now_us)))
    assert answered == 10
    assert bob.machine.drops[Drop.SUBNET_BUDGET] == 90


def test_a_short_hello_is_dropped() -> None:
    bob = World().host("bob")
    source = ("198.51.100.7", 9)
    assert bob.handle(Arrived(source, packets.hello(bytes(16))[:-1])) == []
    assert bob.machine.drops[Drop.SIZE] == 1


def test_a_claim_with_a_cookie_of_another_address_is_dropped_unread() -> None:
    world = World()
    alice, bob = world.host("alice"), world.host("bob")
    alice.dial(bob)
    while not world.flight or world.flight[0][1].datagram[0] != packets.CLAIM:
        source, sent = world.flight.pop(0)
        (bob if sent.address == bob.address else alice).handle(Arrived(source, sent.datagram))
    claim = world.flight[0][1].datagram
    assert bob.handle(Arrived(("203.0.113.9", 9), claim)) == []
    assert bob.handle(Arrived((alice.address[0], 9), claim)) == []
    assert bob.machine.drops[Drop.BAD_COOKIE] == 2
    assert bob.news == []


def test_a_cookie_outlives_one_change_of_secret_and_not_two() -> None:
    jar, here = CookieJar(Stream(b"s", "jar"), 10 * SECOND_US), ("192.0.2.1", 5)
    made = jar.make(here, bytes(16), 5 * SECOND_US)
    assert jar.is_own(here, bytes(16), made, 9 * SECOND_US)
    assert jar.is_own(here, bytes(16), made, 19 * SECOND_US)
    assert not jar.is_own(here, bytes(16), made, 20 * SECOND_US)
    assert not jar.is_own(here, bytes(16), made, 10**6 * SECOND_US)


@pytest.mark.parametrize("kind", range(256))
def test_no_single_datagram_from_a_stranger_is_answered_threefold(kind: int) -> None:
    world, _alice, bob = met()
    source = ("203.0.113.9", 9)
    for size in (1, 17, 25, 41, 106, 200, 1_200):
        datagram = (bytes((kind,)) + bytes(range(256)) * 5)[:size]
        assert sent_to(bob.handle(Arrived(source, datagram)), source) <= 3 * size
    assert world.now_us


# -- replay


def recorded_session(world: World, alice: Host, bob: Host) -> list[tuple[Address, Transmit]]:
    for number in range(30):
        alice.say(bob, bytes([number]))
        bob.say(alice, bytes([number]))
    world.deliver()
    return list(world.recorded)


def replay(world: World, recorded: list[tuple[Address, Transmit]], *hosts: Host) -> None:
    """Every recorded datagram again, to whom it went; answers fly too."""
    for source, sent in recorded:
        for host in hosts:
            if host.address == sent.address:
                host.handle(Arrived(source, sent.datagram))
    world.deliver()


def test_no_recorded_datagram_is_heard_twice() -> None:
    world, alice, bob = met()
    recorded = recorded_session(world, alice, bob)
    replay(world, recorded, alice, bob)
    assert len(alice.heard) == len(bob.heard) == 30


@pytest.mark.parametrize("who", ["alice", "bob", "both"])
@pytest.mark.parametrize("meets_again", [False, True])
def test_no_recorded_datagram_is_heard_after_a_restart(who: str, meets_again: bool) -> None:
    world, alice, bob = met()
    recorded = recorded_session(world, alice, bob)
    world.run(30 * SECOND_US)
    for host in (alice, bob):
        if who in (host.name, "both"):
            host.start(2)
    if meets_again:
        alice.dial(bob)
        world.deliver()
    replay(world, recorded, alice, bob)
    world.run(20 * SECOND_US)
    assert len(alice.heard) == len(bob.heard) == 30


def test_no_recorded_datagram_is_heard_after_the_contact_was_forgotten_and_met_again() -> None:
    world, alice, bob = met()
    recorded = recorded_session(world, alice, bob)
    bob.handle(ContactRetired(alice.peer_id))
    alice.dial(bob)
    world.deliver()
    replay(world, recorded, alice, bob)
    alice.say(bob, b"new")
    world.deliver()
    assert bob.heard[30:] == [b"new"]


def test_a_recorded_first_contact_makes_no_contact() -> None:
    world, alice, bob = met()
    recorded = list(world.recorded)
    bob.start(2)
    alice_sends = [(source, sent) for source, sent in recorded if sent.address == bob.address]
    for source, sent in alice_sends:
        bob.handle(Arrived(source, sent.datagram))
    assert bob.reached == [alice.peer_id]
    assert bob.machine.state_count == 0


def test_nonces_never_repeat_under_a_key() -> None:
    world, alice, bob = met()
    for number in range(50):
        recorded_session(world, alice, bob)
        if number % 10 == 3:
            bob.handle(ContactRetired(alice.peer_id))
        if number % 10 == 7:
            alice.handle(ContactRetired(bob.peer_id))
        (alice if number % 2 else bob).dial(bob if number % 2 else alice)
        world.deliver()
    sealed = [s.datagram for _, s in world.recorded if s.datagram[0] == packets.SEALED]
    confirms = [s.datagram for _, s in world.recorded if s.datagram[0] == packets.CONFIRM]
    nonces = [one[1:25] for one in sealed] + [one[17:41] for one in confirms]
    assert len(set(nonces)) == len(nonces) > 1_000


@given(st.lists(st.integers(0, 3_000), max_size=300), st.integers(0, 2_000))
def test_the_replay_window_never_accepts_a_counter_twice(counters: list[int], floor: int) -> None:
    window, accepted = ReplayWindow(floor), set()
    for counter in counters:
        highest = max(accepted, default=floor)
        expected = counter > floor and counter not in accepted and highest - counter < WINDOW_COUNT
        assert window.is_new(counter) == expected
        if expected:
            window.mark(counter)
            accepted.add(counter)


# -- forgeries


def test_a_contact_cannot_speak_for_another() -> None:
    world = World()
    alice, bob, mallory = (world.host(name) for name in ("alice", "bob", "mallory"))
    alice.dial(bob)
    mallory.dial(bob)
    world.deliver()
    mallory.say(bob, b"I am alice")
    sent = world.flight.pop(0)[1].datagram
    nonce = alice.peer_id[:8] + sent[9:25]
    bob.handle(Arrived(mallory.address, sent[:1] + nonce + sent[25:]))
    bob.handle(Arrived(alice.address, sent[:1] + nonce + sent[25:]))
    assert bob.heard == []


def test_a_peer_that_shows_anothers_datagram_key_shares_no_key_with_it() -> None:
    world, alice, bob = met()
    copycat = PeerId(b"c" * 20)
    shown = alice.identity.key.public
    bob.handle(ContactAdmitted(b"", copycat, Inception(b"o" * 32), ("10.3.3.3", 3), shown))
    alice.say(bob, b"for bob")
    world.deliver()
    assert bob.heard == [b"for bob"]


def test_every_changed_byte_of_a_sealed_datagram_is_refused() -> None:
    world, alice, bob = met()
    alice.say(bob, b"payload")
    sent = world.flight.pop(0)[1].datagram
    for position in range(len(sent)):
        changed = bytearray(sent)
        changed[position] ^= 0x41
        bob.handle(Arrived(alice.address, bytes(changed)))
    assert bob.heard == []
    bob.handle(Arrived(alice.address, sent))
    assert bob.heard == [b"payload"]


def test_an_org_beyond_its_budget_is_dropped_and_others_are_heard() -> None:
    world = World()
    bob = world.host("bob", config=DatagramConfig(org_per_second=1, org_burst=10))
    alice, carol = world.host("alice"), world.host("carol")
    alice.dial(bob)
    carol.dial(bob)
    world.deliver()
    for number in range(50):
        alice.say(bob, bytes([number]))
    carol.say(bob, b"fair")
    world.deliver()
    assert len(bob.heard) == 11
    assert bob.heard[-1] == b"fair"


# -- floods and garbage


def test_a_flood_of_calls_is_bounded() -> None:
    world = World()
    alice = world.host("alice", config=DatagramConfig(call_count_max=16))
    for number in range(1_000):
        alice.handle(Dialled(("10.9.9.9", number)))
    assert alice.machine.state_count == 16
    assert len(alice.unreachable) == 984


def test_random_bytes_are_counted_and_nothing_else() -> None:
    world, alice, bob = met()
    stream = Stream(b"seed", "garbage")
    before = bob.machine.state_count
    sources = (alice.address, ("203.0.113.9", 9), ("2001:db8::1", 9))
    pool = b"".join(stream.bits(256).to_bytes(32, "big") for _ in range(2_048))
    for number in range(100_000):
        size = (number * 31) % 1_300
        start = (number * 977) % (len(pool) - 1_300)
        untrusted = bytes((number % 12,)) + pool[start : start + size]
        bob.machine.handle(Arrived(sources[number % 3], untrusted), now_at(world.now_us + number))
    assert bob.machine.state_count == before
    assert bob.heard == []
    assert bob.machine.drops.total() > 50_000
    alice.say(bob, b"still there?")
    world.deliver()
    assert bob.heard == [b"still there?"]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_conversations_never_raise_and_stay_bounded(data: st.DataObject) -> None:
    world = World()
    alice, bob = world.host("alice", knows_chains=False), world.host("bob")
    alice.dial(bob)
    bob.dial(alice)
    for _ in range(40):
        if not world.flight:
            break
        source, sent = world.flight.pop(0)
        datagram = bytearray(sent.datagram)
        if data.draw(st.booleans()):
            position = data.draw(st.integers(0, min(len(datagram) - 1, 160)))
            datagram[position] = data.draw(st.integers(0, 255))
        cut = data.draw(st.sampled_from([len(datagram)] * 5 + [0, 1, 16, 17, 40, 48]))
        receiver = bob if sent.address == bob.address else alice
        receiver.handle(Arrived(source, bytes(datagram[:cut])))
    world.run(40 * SECOND_US)
    assert alice.machine.state_count <= 1
    assert bob.machine.state_count <= 1


def test_the_kind_of_a_message_is_kept() -> None:
    world, alice, bob = met()
    assert KIND >= packets.KIND_APPLICATION_FIRST
    alice.say(bob, b"x")
    world.deliver()
    assert [news.kind for news in bob.news if hasattr(news, "kind")] == [KIND]
