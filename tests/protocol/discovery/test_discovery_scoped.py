"""The DHT of an admissible set: nothing of a restricted namespace reaches anybody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from discovery_world import WALL_START_US, Resident, World, signed

from hive.protocol.discovery.contact import pointer_to
from hive.protocol.discovery.events import PublishRequested, RecordFound
from hive.protocol.discovery.messages import Records, decode_message_untrusted, encode_message
from hive.protocol.discovery.scoped import OVERHEAD_BYTES, ScopedDiscovery, ScopeKey
from hive.protocol.machine import Received, Send, Token
from hive.transport.packets import PAYLOAD_BYTES_MAX
from hive.wire.ids import Inception, PeerId, digest
from hive.wire.randomness import Stream

NAMESPACE = "acme/patients"
KEY = ScopeKey(bytes(range(32)))
LATER = WALL_START_US + 10**11


def scoped_world(
    seed: int = 71, count: int = 30, key_of: Callable[[int], ScopeKey] = lambda index: KEY
) -> tuple[World, list[Resident], dict[PeerId, None]]:
    """Every third peer is inadmissible; all run the scoped machine and know each other."""
    world = World(seed)
    people = [world.add(index) for index in range(count)]
    members = {one.peer: None for one in people if one.index % 3}

    def admits(peer: PeerId, org: Inception) -> bool:
        return peer in members

    for one in people:
        stream = Stream(seed.to_bytes(8, "big"), "scoped", one.peer)
        machine = ScopedDiscovery(
            one.peer, world.config, key_of(one.index), world.book, admits, stream
        )
        one.machine = machine  # type: ignore[assignment]
    return world, people, members


def acquaint_all(world: World, people: list[Resident]) -> None:
    for one in people:
        for other in people[: one.index]:
            world.acquaint(one, other)


def published(world: World, author: Resident) -> int:
    assert isinstance(author.machine, ScopedDiscovery)
    record = author.machine.record(NAMESPACE, author.inception, 1, LATER)
    bytes_ = signed(record).to_bytes()
    effect, _ = world._command(author, lambda token: PublishRequested(token, bytes_))
    return effect.stored_count  # type: ignore[union-attr]


def providers(world: World, reader: Resident) -> list[Inception]:
    machine = reader.machine
    assert isinstance(machine, ScopedDiscovery)
    found, _ = world._command(reader, lambda token: machine.request(token, NAMESPACE))
    assert isinstance(found, RecordFound)
    return [each.record.inception for each in found.records if each.is_attested]


def test_members_find_who_provides_and_no_byte_goes_to_anybody_else() -> None:
    world, people, members = scoped_world()
    sent: list[tuple[Resident, Send]] = []
    plain = world._send

    def watch(resident: Resident, send: Send) -> None:
        sent.append((resident, send))
        plain(resident, send)

    world._send = watch  # type: ignore[method-assign]
    acquaint_all(world, people)
    author, reader = people[1], people[20]
    assert published(world, author) >= 15
    assert providers(world, reader) == [author.inception]
    assert len(sent) > 50
    assert all(s.receiver in members and one.peer in members for one, s in sent)
    secrets = (
        NAMESPACE.encode(),
        digest("test/namespace", NAMESPACE.encode()),
        KEY.token(NAMESPACE),
    )
    assert not [s for _, s in sent if any(secret in s.payload for secret in secrets)]
    assert max(len(s.payload) for _, s in sent) <= PAYLOAD_BYTES_MAX


def test_who_keeps_a_replaced_key_learns_nothing_and_is_not_heard() -> None:
    old = ScopeKey(bytes(32))
    world, people, _ = scoped_world(72, key_of=lambda index: old if index == 2 else KEY)
    acquaint_all(world, people)
    assert published(world, people[1]) >= 14
    assert providers(world, people[2]) == []
    counts = people[1].machine.counts
    assert counts.foreign > 0  # type: ignore[attr-defined]


def test_a_member_that_leaves_the_set_is_told_nothing_more() -> None:
    world, people, members = scoped_world(73)
    acquaint_all(world, people)
    del members[people[4].peer]
    sent: list[PeerId] = []
    plain = world._send

    def watch(resident: Resident, send: Send) -> None:
        sent.append(send.receiver)
        plain(resident, send)

    world._send = watch  # type: ignore[method-assign]
    published(world, people[1])
    assert providers(world, people[7]) == [people[1].inception]
    assert sent
    assert people[4].peer not in sent


def test_an_inadmissible_peer_named_by_a_member_is_never_asked() -> None:
    world, people, members = scoped_world(74)
    acquaint_all(world, people[:6])
    outsider = people[9]
    assert outsider.peer not in members
    machine = people[1].machine
    assert isinstance(machine, ScopedDiscovery)
    spoken: list[tuple[PeerId, PeerId]] = []
    plain = world._send

    def watch(resident: Resident, send: Send) -> None:
        spoken.append((resident.peer, send.receiver))
        plain(resident, send)

    world._send = watch  # type: ignore[method-assign]
    before = machine.counts.inadmissible
    effects = machine.handle(machine.request(Token(1), NAMESPACE), world.clock())
    asked = next(effect for effect in effects if isinstance(effect, Send))
    pointer = pointer_to(outsider.peer, outsider.contact.addresses[0])
    inside = KEY.open_untrusted(asked.payload)
    assert inside is not None
    request = decode_message_untrusted(inside).request
    lie = encode_message(Records(request, (), (pointer,), False, False))
    received = Received(asked.receiver, KEY.seal(bytes(24), lie))
    for effect in machine.handle(received, world.clock()):
        world._perform(people[1], effect)
    world.run(until_us=world.now_us + 10_000_000)
    assert machine.counts.inadmissible == before + 1
    assert (people[1].peer, outsider.peer) not in spoken


@pytest.mark.parametrize("change", [0, 8, 31, 32, -1])
def test_every_changed_part_of_a_sealed_message_is_foreign(change: int) -> None:
    sealed = bytearray(KEY.seal(bytes(24), b"payload"))
    assert len(sealed) == OVERHEAD_BYTES + 7
    assert KEY.open_untrusted(bytes(sealed)) == b"payload"
    sealed[change] ^= 1
    assert KEY.open_untrusted(bytes(sealed)) is None
    assert KEY.open_untrusted(b"") is None


def test_tokens_differ_by_key_and_by_name() -> None:
    other = ScopeKey(bytes(32))
    tokens = [key.token(name) for key in (KEY, other) for name in ("a", "b")]
    assert len(dict.fromkeys(tokens)) == 4
