"""Liars, grinders and junk: what discovery survives."""

from __future__ import annotations

from discovery_world import Resident, World, identity, make_contact, peer_record, provider_record
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import pointer_to
from hive.protocol.discovery.events import Introduce
from hive.protocol.discovery.lookup import Lookup
from hive.protocol.discovery.messages import (
    Find,
    Found,
    Read,
    Records,
    Store,
    Stored,
    decode_message_untrusted,
    encode_message,
)
from hive.protocol.discovery.records import provider_key
from hive.protocol.machine import Received, Send, Verify
from hive.wire.codec import encode
from hive.wire.ids import PeerId, digest
from hive.wire.randomness import Stream

CONFIG = DiscoveryConfig()


def collude(world: World, colluders: list[Resident]) -> None:
    """From now on they name only each other, keep nothing and say they did."""
    names = {colluder.peer: colluder for colluder in colluders}

    def nearest(target: bytes) -> tuple[bytes, ...]:
        position = int.from_bytes(target, "big")
        ordered = sorted(colluders, key=lambda one: one.contact.long_id ^ position)[:21]
        return tuple(one.contact.pointer for one in ordered)

    def answer(resident: Resident, event: Received) -> list[Send] | None:
        if resident.peer not in names:
            return None
        message = decode_message_untrusted(event.untrusted_payload)
        match message:
            case Find(request=request, target=target):
                pointers = tuple(p for p in nearest(target) if p[:20] != resident.peer)
                lie = Found(request, pointers, False)
            case Read(request=request, key=key):
                pointers = tuple(p for p in nearest(key) if p[:20] != resident.peer)
                lie = Records(request, (), pointers, False, False)
            case Store(request=request):
                lie = Stored(request, 0)
            case _:
                return None
        return [Send(event.sender, encode_message(lie))]

    world.liar = answer


def test_reads_are_right_with_forty_percent_colluders() -> None:
    world = World(51)
    people = world.populate(150)
    honest = [r for r in people if r.index % 5 not in (1, 3)]
    collude(world, [r for r in people if r.index % 5 in (1, 3)])
    right = count = 0
    stream = Stream(b"c", "colluders")
    for author in honest[:25]:
        world.publish(author, peer_record(author))
        reader = honest[stream.below(len(honest))]
        found, _ = world.read(reader, author.peer)
        right += [f.record for f in found.records] == [peer_record(author)]
        count += 1
    found_nearest = 0
    for _ in range(15):
        reader = honest[stream.below(len(honest))]
        lookup_target = stream.bits(160).to_bytes(20, "big")
        namespace_owner = honest[stream.below(len(honest))]
        namespace = digest("test/namespace", lookup_target)
        world.publish(namespace_owner, provider_record(namespace_owner, namespace))
        found, _ = world.read(reader, provider_key(namespace))
        found_nearest += len(found.records) == 1
    print(
        f"\n40 % colluders, d=4: {right}/{count} peer and {found_nearest}/15 provider reads right"
    )
    assert right == count
    assert found_nearest == 15


def test_disjoint_paths_find_the_nearest_honest_peer() -> None:
    config = DiscoveryConfig(refresh_paths=4)
    world = World(52, config=config)
    people = world.populate(150)
    honest = [r for r in people if r.index % 5 not in (1, 3)]
    colluders = [r for r in people if r.index % 5 in (1, 3)]
    collude(world, colluders)
    stream = Stream(b"d", "disjoint")
    asked, hits = 40, 0
    before = world.sent_count
    for _ in range(asked):
        reader = honest[stream.below(len(honest))]
        target = stream.bits(160).to_bytes(20, "big")
        position = int.from_bytes(target, "big")
        others = [r.contact for r in honest if r is not reader]
        nearest = min(others, key=lambda c: c.long_id ^ position)
        finished, _ = world.lookup(reader, target)
        hits += nearest.peer in [c.peer for c in finished.contacts]
    sent = (world.sent_count - before) / asked
    print(f"\nd=4: nearest honest found {hits}/{asked}, {sent:.0f} messages a lookup")
    assert hits >= 0.99 * asked


def test_forty_five_sybils_nearest_to_a_key_deny_less_than_one_percent() -> None:
    world = World(53)
    people = world.populate(120)
    namespace = digest("test/namespace", b"eclipsed")
    key = provider_key(namespace)
    position = int.from_bytes(key, "big")
    limit = int.from_bytes(world.nearest(key, 1)[0], "big") ^ position
    sybils: list[Resident] = []
    number = 0
    while len(sybils) < 45:
        name, org = f"sybil {number}", f"evil {number % 3}"
        number += 1
        if int.from_bytes(identity(name, org)[2], "big") ^ position < limit:
            sybils.append(world.add(1_000 + number % 5_000, org, name))
    for sybil in sybils:
        for other in people[::7]:
            world.acquaint(sybil, other)
    collude(world, sybils)
    author = people[3]
    world.publish(author, provider_record(author, namespace))
    reads = [
        len(world.read(reader, key)[0].records) for reader in people[::3] if reader is not author
    ]
    print(f"\n45 Sybils nearest to the key: {sum(reads)}/{len(reads)} reads right")
    assert sum(reads) >= 0.99 * len(reads)


def lookup_at(target: bytes = bytes(20), *, network_bits: int = 8) -> tuple[Lookup, PeerId]:
    own = make_contact(0).peer
    start = make_contact(1)
    lookup = Lookup(target, own, [start], 1, network_bits, CONFIG)
    (candidate,) = lookup.next_queries(0)
    assert candidate.id == start.peer
    return lookup, start.peer


def pointers(*peers: bytes) -> list[bytes]:
    return [pointer_to(PeerId(peer), make_contact(1).addresses[0]) for peer in peers]


def test_answer_that_does_not_rise_in_distance_is_a_failure() -> None:
    far, near = b"\x70" + bytes(19), b"\x60" + bytes(19)
    for wrong in (pointers(far, near), pointers(near, near)):
        lookup, peer = lookup_at()
        assert lookup.answered(peer, wrong) is False
        assert lookup.is_done
        assert lookup.closest() == ()


def test_ourselves_and_the_answerer_are_excluded() -> None:
    lookup, peer = lookup_at()
    named = sorted([make_contact(0).peer, peer])
    assert lookup.answered(peer, pointers(*named)) is True
    assert lookup.next_queries(0) == []


def test_implausibly_near_ids_are_dropped_and_the_target_itself_is_not() -> None:
    lookup, peer = lookup_at(network_bits=8)
    ground = b"\x00" * 5 + b"\x01" + bytes(14)
    plausible = b"\x00\x01" + bytes(18)
    assert lookup.answered(peer, pointers(bytes(20), ground, plausible)) is True
    assert [c.id for c in lookup.next_queries(0)] == [bytes(20), plausible]


def test_who_names_the_absent_is_blamed_and_the_rest_of_its_pointers_ignored() -> None:
    lookup, liar = lookup_at()
    named = pointers(*(bytes([n]) + b"\xaa" * 19 for n in range(1, 21)))
    lookup.answered(liar, named)
    queried = 0
    while wanted := lookup.next_queries(0):
        for candidate in wanted:
            queried += 1
            lookup.failed(candidate.id)
    assert queried < len(named)
    assert lookup.is_done


def test_lookup_towards_an_endless_liar_is_bounded() -> None:
    world = World(54)
    people = world.populate(6)
    liar = people[1]
    counter = iter(range(10**6))
    introduced: list[PeerId] = []

    def answer(resident: Resident, event: Received) -> list[Send] | None:
        if resident is not liar:
            return None
        request = decode_message_untrusted(event.untrusted_payload).request
        named = sorted(make_contact(30_000 + next(counter)).peer for _ in range(20))
        lie = Found(request, tuple(pointers(*named)), True)
        return [Send(event.sender, encode_message(lie))]

    world.liar = answer
    perform = world._perform

    def watch(resident: Resident, effect: object) -> None:
        if isinstance(effect, Introduce):
            introduced.append(effect.peer)
        perform(resident, effect)  # type: ignore[arg-type]

    world._perform = watch  # type: ignore[method-assign]
    finished, took_us = world.lookup(people[0], bytes(20))
    assert took_us <= CONFIG.lookup_timeout_us
    assert len(introduced) <= CONFIG.queries_max
    assert len(finished.contacts) >= 4


# hostile bytes

plain = st.recursive(
    st.integers(0, 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=8) | st.booleans(),
    lambda inner: st.lists(inner, max_size=6).map(tuple),
    max_leaves=20,
)
contact_id = st.binary(min_size=20, max_size=20)
pointer = st.tuples(contact_id, st.binary(min_size=1, max_size=30)).map(b"".join)
structured = st.one_of(
    st.tuples(st.just(3), st.integers(0, 2**64 - 1), contact_id, st.integers(0, 255)),
    st.tuples(
        st.just(4), st.integers(0, 3), st.lists(pointer, max_size=20).map(tuple), st.booleans()
    ),
    st.tuples(st.just(5), st.integers(0, 9), contact_id, st.integers(0, 255), st.integers(0, 255)),
    st.tuples(
        st.just(6),
        st.integers(0, 3),
        st.lists(
            st.tuples(st.binary(min_size=1, max_size=60), st.binary(min_size=64, max_size=64)),
            max_size=4,
        ).map(tuple),
        st.lists(pointer, max_size=9).map(tuple),
        st.booleans(),
        st.booleans(),
    ),
    st.tuples(
        st.just(7),
        st.integers(0, 9),
        st.tuples(st.binary(min_size=1, max_size=60), st.binary(min_size=64, max_size=64)),
    ),
    plain,
)


@settings(max_examples=200, deadline=None)
@given(payload=st.binary(max_size=1_300) | structured.map(encode))
def test_no_payload_raises_or_grows_the_table(payload: bytes) -> None:
    world = World(55)
    victim, attacker = world.add(0), world.add(1)
    world.acquaint(victim, attacker)
    effects = victim.machine.handle(Received(attacker.peer, payload), world.clock())
    assert len(effects) <= 1
    assert all(isinstance(effect, Send | Verify) for effect in effects)
    assert len(victim.machine.table) == 1


@settings(max_examples=60, deadline=None)
@given(
    lies=st.lists(structured, min_size=1, max_size=8),
    seed=st.integers(0, 100),
    is_read=st.booleans(),
)
def test_no_answer_raises_or_keeps_a_lookup_from_ending(
    lies: list[tuple[object, ...]], seed: int, *, is_read: bool
) -> None:
    world = World(seed)
    people = [world.add(index) for index in range(3)]
    for other in people[1:]:
        world.acquaint(people[0], other)
    turn = iter(lies * 1_000)

    def answer(resident: Resident, event: Received) -> list[Send] | None:
        if resident is people[0]:
            return None
        request = decode_message_untrusted(event.untrusted_payload).request
        lie = next(turn)
        if isinstance(lie, tuple) and len(lie) > 2:
            lie = (lie[0], request, *lie[2:])
        return [Send(event.sender, encode(lie))]  # type: ignore[arg-type]

    world.liar = answer
    if is_read:
        found, took_us = world.read(people[0], bytes(20))
        assert found.records == ()
    else:
        _, took_us = world.lookup(people[0], bytes(20))
    assert took_us <= CONFIG.lookup_timeout_us
