"""The defects of upstream 2.2.3, one by one: each test shows that ours lacks it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from discovery_world import (
    Resident,
    World,
    is_good,
    make_contact,
    peer_record,
    provider_record,
    signed,
)

from hive.protocol.discovery.config import DATAGRAM_BYTES_MAX
from hive.protocol.discovery.contact import Address
from hive.protocol.discovery.events import ContactVerified
from hive.protocol.discovery.messages import (
    Found,
    Ping,
    Pong,
    Records,
    Store,
    Stored,
    decode_message_untrusted,
    encode_message,
)
from hive.protocol.discovery.records import SignedRecord, provider_key
from hive.protocol.discovery.storage import StoreVerdict
from hive.protocol.machine import Received, Send, Verified, Verify
from hive.wire.codec import encode
from hive.wire.ids import digest

MARK = 2**64 - 2
REQUEST = encode(MARK)


def small(count: int = 16, seed: int = 21) -> tuple[World, list[Resident]]:
    world = World(seed)
    return world, world.populate(count)


def store_at(world: World, holder: Resident, sender: Resident, what: SignedRecord) -> StoreVerdict:
    """One store, its verification answered at once."""
    payload = encode_message(Store(7, what))
    effects = holder.machine.handle(Received(sender.peer, payload), world.clock())
    if isinstance(effects[0], Verify):
        verdicts = tuple(is_good(check) for check in effects[0].checks)
        effects = holder.machine.handle(Verified(effects[0].token, verdicts), world.clock())
    assert isinstance(effects[0], Send)
    answer = decode_message_untrusted(effects[0].payload)
    assert isinstance(answer, Stored)
    return StoreVerdict(answer.verdict)


def lies(world: World, liars: list[Resident], payload: bytes) -> None:
    """From now on these peers answer every request with the payload, its request id put in."""
    names = {liar.peer: None for liar in liars}

    def answer(resident: Resident, event: Received) -> list[Send] | None:
        if resident.peer not in names:
            return None
        request = decode_message_untrusted(event.untrusted_payload).request
        return [Send(event.sender, payload.replace(REQUEST, encode(request)))]

    world.liar = answer


# 1: no authentication; a majority of forged values won


def test_defect_1_forged_values_are_neither_kept_nor_returned() -> None:
    world, people = small(20)
    author, reader, forger = people[1], people[2], people[3]
    world.publish(author, peer_record(author, sequence=1))
    true = signed(peer_record(author, sequence=9, host="192.0.2.66"))
    forged = SignedRecord(true.body, bytes(64))
    for holder in people:
        if holder not in (author, forger):
            assert store_at(world, holder, forger, forged) is StoreVerdict.BAD_SIGNATURE
    found, _ = world.read(reader, author.peer)
    assert [f.record for f in found.records] == [peer_record(author, sequence=1)]


def test_defect_1_three_sybils_answering_a_forgery_change_no_read() -> None:
    world, people = small(43)
    author = people[1]
    world.publish(author, peer_record(author))
    sybils = [
        world.residents[peer] for peer in world.nearest(author.peer, 4) if peer != author.peer
    ]
    forged = SignedRecord(peer_record(author, 9, "192.0.2.66").to_body(), b"f" * 64)

    def answer(resident: Resident, event: Received) -> list[Send] | None:
        if resident not in sybils:
            return None
        request = decode_message_untrusted(event.untrusted_payload).request
        return [Send(event.sender, encode_message(Records(request, (forged,), (), False, False)))]

    world.liar = answer
    for reader in people[5:45]:
        if reader in sybils:
            continue
        found, _ = world.read(reader, author.peer)
        assert [f.record for f in found.records] == [peer_record(author)]


# 2: odd types and junk answers made every read fail or hang


@pytest.mark.parametrize(
    "payload",
    [
        encode((6, MARK, ((b"x", b"y"),), (), False, False)),
        encode((4, MARK, (b"short",), False)),
        encode((4, MARK, ((1, 2, 3),), False)),
        encode((4, MARK, (b"p" * 20 + b"not an address",), False)),
        encode((8, MARK, 0)),
        encode((8, MARK, ())),
        encode([[1], [2]]),
        b"\x81\x01\x02",
        b"",
    ],
)
def test_defect_2_one_peer_with_malformed_answers_spoils_nothing(payload: bytes) -> None:
    world, people = small(16)
    lies(world, [people[5]], payload)
    for author in people[6:9]:
        assert world.publish(author, peer_record(author)).stored_count >= 13
        found, _ = world.read(people[0], author.peer)
        assert [f.record for f in found.records] == [peer_record(author)]


def test_defect_2_a_thousand_junk_contacts_do_not_fit_an_answer_and_bound_the_work() -> None:
    world, people = small(16)
    liar = people[5]

    def answer(resident: Resident, event: Received) -> list[Send] | None:
        if resident is not liar:
            return None
        message = decode_message_untrusted(event.untrusted_payload)
        target = getattr(message, "target", getattr(message, "key", bytes(20)))
        junk = [make_contact(10_000 + n) for n in range(22)]
        position = int.from_bytes(target, "big")
        junk.sort(key=lambda c: c.long_id ^ position)
        pointers = tuple(c.pointer for c in junk)
        return [Send(event.sender, encode_message(Found(message.request, pointers, True)))]

    world.liar = answer
    for author in people[6:9]:
        finished, took_us = world.lookup(people[0], author.peer)
        assert {c.peer for c in finished.contacts} >= {p.peer for p in people[6:]}
        assert took_us < 8_000_000


# 3: amplification, and tables grown by forged pings


def test_defect_3_no_answer_outgrows_a_datagram_and_strangers_never_enter_the_table() -> None:
    world, people = small(40)
    observer = people[0]
    before = len(observer.machine.table)
    for index in range(300):
        stranger = make_contact(20_000 + index).peer
        effects = observer.machine.handle(
            Received(stranger, encode_message(Ping(index))), world.clock()
        )
        assert effects == [Send(stranger, encode_message(Pong(index)))]
    assert len(observer.machine.table) == before
    assert world.sent_bytes_max <= DATAGRAM_BYTES_MAX


# 4: neighbours by left and right walk (recall .80); see also test_discovery_table


def test_defect_4_neighbours_are_complete_at_two_hundred_contacts() -> None:
    world = World(22)
    observer = world.add(0)
    for index in range(1, 200):
        world.tell(observer, ContactVerified(make_contact(index)))
    table = observer.machine.table
    held = {c.peer: c for b in table.buckets for c in b.get_nodes()} | table.siblings
    for index in range(300, 340):
        target = make_contact(index)
        truth = sorted(held.values(), key=target.distance_to)[:20]
        assert table.find_neighbors(target) == truth


# 5: re-seen peers were not moved up and new addresses never learnt; handover hashed twice


def test_defect_5_a_peer_seen_again_is_most_recent_and_known_at_its_new_address() -> None:
    world = World(23)
    observer = world.add(0)
    for index in (1, 2, 3):
        world.tell(observer, ContactVerified(make_contact(index)))
    address = Address("198.51.100.1", 9, 9)
    again = replace(make_contact(1), addresses=(address,), sequence=2)
    world.tell(observer, ContactVerified(again))
    newest = observer.machine.table.buckets[0].get_nodes()[-1]
    assert (newest.peer, newest.addresses) == (again.peer, (address,))
    heard = Received(make_contact(2).peer, encode_message(Ping(1)))
    observer.machine.handle(heard, world.clock())
    assert observer.machine.table.buckets[0].get_nodes()[-1].peer == make_contact(2).peer


def test_defect_5_a_record_has_one_key_wherever_it_travels() -> None:
    world, people = small(30)
    namespace = digest("test/namespace", b"n")
    author = people[4]
    world.publish(author, provider_record(author, namespace))
    key = provider_key(namespace)
    nearest = world.nearest(key, 5)
    for peer in nearest:
        held = world.residents[peer].machine._service.store.get(key)
        assert held is not None
        assert [kept.opened.key for kept in held] == [key]


# 6: dead neighbours raised; old values overwrote new ones; replacements of 5 k


def test_defect_6_publishing_among_the_dead_says_zero_and_raises_nothing() -> None:
    world, people = small(8)
    for other in people[1:]:
        other.is_alive = False
    published = world.publish(people[0], peer_record(people[0]))
    assert published.stored_count == 0


def test_defect_6_an_older_record_never_replaces_a_newer() -> None:
    world, people = small(20)
    author, relay, reader = people[1], people[2], people[3]
    world.publish(author, peer_record(author, sequence=5))
    holders = [r for r in people if r not in (author, relay)]
    for holder in holders:
        old = signed(peer_record(author, sequence=4))
        assert store_at(world, holder, relay, old) is StoreVerdict.STALE
    found, _ = world.read(reader, author.peer)
    assert [f.record.sequence for f in found.records] == [5]


def test_defect_6_a_reader_corrects_a_holder_of_an_older_record() -> None:
    world, people = small(20)
    author = people[1]
    world.publish(author, peer_record(author, sequence=1))
    stale = next(world.residents[p] for p in world.nearest(author.peer, 2, without=author.peer))
    stale.is_alive = False
    world.publish(author, peer_record(author, sequence=2))
    stale.is_alive = True
    reader = next(r for r in people if r not in (author, stale))
    for resident in people:
        world.acquaint(resident, stale) if resident is not stale else None
    world.read(reader, author.peer)
    world.run(until_us=world.now_us + 3_000_000)
    held = stale.machine._service.store.get(author.peer)
    assert held is not None
    assert [kept.opened.record.sequence for kept in held] == [2]


def test_defect_6_replacements_are_at_most_k() -> None:
    world = World(24)
    observer = world.add(0)
    for index in range(1, 2_000):
        world.tell(observer, ContactVerified(make_contact(index)))
    for bucket in observer.machine.table.buckets:
        assert len(bucket.replacement_nodes) <= 20


# 7: one lost datagram removed a contact and cost five seconds: test_discovery_network;
#    here the narrow rule


def test_defect_7_a_lost_datagram_costs_a_retransmission_and_no_contact() -> None:
    world, people = small(30)
    world.loss_percent = 10
    before = [len(r.machine.table) for r in people]
    for asker in people[:10]:
        _, took_us = world.lookup(asker, people[-1].peer)
        assert took_us < 3_000_000
    world.loss_percent = 0
    world.run(until_us=world.now_us + 10_000_000)
    assert sum(r.machine.counts.retransmissions for r in people) > 0
    assert all(len(r.machine.table) >= n for r, n in zip(people, before, strict=True))


def test_importing_what_we_use_of_upstream_starts_nothing() -> None:
    script = (
        "import sys, threading, hive.protocol.discovery.kademlia;"
        "import asyncio.events as e;"
        "assert e._get_running_loop() is None and e.get_event_loop_policy()._local._loop is None;"
        "assert threading.active_count() == 1;"
        "bad = ['kademlia.network', 'kademlia.protocol', 'kademlia.crawling', 'rpcudp'];"
        "assert not [name for name in bad if name in sys.modules]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
