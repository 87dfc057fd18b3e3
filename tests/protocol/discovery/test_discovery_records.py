"""Records: keys, signatures, order, expiry, storage bounds, and what a read reports."""

from __future__ import annotations

from dataclasses import replace

import pytest
from discovery_world import (
    WALL_START_US,
    Book,
    Resident,
    World,
    identity,
    peer_record,
    provider_record,
    signed,
)
from test_discovery_defects import small, store_at

from hive.errors import MalformedFrame, StateError
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.events import PublishRequested, RecordRequested
from hive.protocol.discovery.records import (
    SIGNED_BYTES_MAX,
    PeerRecord,
    ProviderRecord,
    SignedRecord,
    open_untrusted,
    provider_key,
    record_key,
)
from hive.protocol.discovery.storage import Kept, RecordStore, StoreVerdict
from hive.protocol.machine import Token
from hive.wire.clock import HOUR_US, MonotonicUs, Now, WallUs
from hive.wire.ids import Inception, RecordId, digest, peer_id

NAMESPACE = digest("test/namespace", b"n")


def pair() -> tuple[World, Resident, Resident]:
    world = World(31)
    holder, author = world.add(0), world.add(1)
    world.acquaint(holder, author)
    return world, holder, author


def test_peer_record_has_golden_bytes() -> None:
    one = Inception(b"\x01" * 32)
    record = PeerRecord(one, Inception(b"\x02" * 32), RecordId(b"\x03" * 32), (), 7)
    assert record.to_body().hex() == (
        "97a47065657201c420" + "01" * 32 + "c420" + "02" * 32 + "c420" + "03" * 32 + "9007"
    )


def test_provider_record_has_golden_bytes() -> None:
    record = ProviderRecord(digest("x", b""), Inception(b"\x01" * 32), 7, 9)
    assert record.to_body().hex() == (
        "96a870726f766964657201c420" + digest("x", b"").hex() + "c420" + "01" * 32 + "0709"
    )


def test_key_follows_from_the_record() -> None:
    _, _, author = pair()
    record = peer_record(author)
    assert record_key(record) == peer_id(author.inception, author.org) == author.peer
    provided = provider_record(author, NAMESPACE)
    assert record_key(provided) == provider_key(NAMESPACE)
    assert provider_key(NAMESPACE) == digest("hive/provider-key", NAMESPACE)[:20]


def test_signed_form_is_body_and_signature_and_bounded() -> None:
    _, _, author = pair()
    one = signed(peer_record(author))
    assert SignedRecord.from_bytes_untrusted(one.to_bytes()) == one
    with pytest.raises(MalformedFrame):
        SignedRecord.from_bytes_untrusted(bytes(SIGNED_BYTES_MAX + 1))
    with pytest.raises(MalformedFrame):
        open_untrusted(SignedRecord(b"\xc0", bytes(64)))


def test_record_without_address_is_malformed() -> None:
    world, holder, author = pair()
    naked = replace(peer_record(author), addresses=())
    assert store_at(world, holder, author, signed(naked)) is StoreVerdict.MALFORMED


def test_unknown_signer_is_refused_on_put() -> None:
    world, holder, author = pair()
    del world.book.orgs[author.inception]
    verdict = store_at(world, holder, author, signed(peer_record(author)))
    assert verdict is StoreVerdict.UNKNOWN_SIGNER
    assert len(holder.machine._service.store) == 0


def test_record_that_names_a_foreign_org_to_choose_its_key_is_refused() -> None:
    world, holder, author = pair()
    other = identity("x", "another org")[1]
    lying = replace(peer_record(author), org=other)
    assert store_at(world, holder, author, signed(lying)) is StoreVerdict.FOREIGN_ORG


def test_ended_provider_record_is_refused_and_never_answered() -> None:
    world, holder, author = pair()
    short = provider_record(author, NAMESPACE, lives_us=world.now_us + 1_000)
    assert store_at(world, holder, author, signed(short)) is StoreVerdict.STORED
    world.now_us += 1_000
    assert store_at(world, holder, author, signed(short)) is StoreVerdict.ENDED
    assert holder.machine._service.live(provider_key(NAMESPACE), world.clock()) == []


def test_unknown_signer_is_reported_unattested_on_get_and_never_cached() -> None:
    world, people = small(12)
    author, reader = people[1], people[2]
    world.publish(author, peer_record(author))
    reader.machine._service.store.__init__(reader.peer, world.config)
    strangers = Book({i: o for i, o in world.book.orgs.items() if i != author.inception})
    for part in (reader.machine, reader.machine._service, reader.machine._errands):
        part._key_book = strangers
    found, _ = world.read(reader, author.peer)
    assert [f.is_attested for f in found.records] == [False]
    assert len(reader.machine._service.store) == 0


def test_read_of_an_attested_record_caches_nothing_either() -> None:
    world, people = small(40)
    author = people[1]
    world.publish(author, peer_record(author))
    for reader in people:
        before = len(reader.machine._service.store)
        found, _ = world.read(reader, author.peer)
        assert [f.is_attested for f in found.records] == [True]
        assert len(reader.machine._service.store) == before


def test_revoked_signers_record_is_no_longer_answered() -> None:
    world, people = small(12)
    author, reader = people[1], people[2]
    world.publish(author, peer_record(author))
    del world.book.orgs[author.inception]
    assert world.read(reader, author.peer)[0].records == ()


def test_newest_sequence_wins_a_read() -> None:
    world, people = small(12)
    author, reader = people[1], people[2]
    for index, holder in enumerate(people[3:]):
        store_at(world, holder, author, signed(peer_record(author, sequence=1 + index % 4)))
    found, _ = world.read(reader, author.peer)
    assert [f.record.sequence for f in found.records] == [4]


def test_one_sequence_signed_twice_is_resolved_alike_everywhere() -> None:
    world, people = small(12)
    author = people[1]
    twins = [signed(peer_record(author, 3, host)) for host in ("192.0.2.1", "192.0.2.2")]
    winner = max(twins, key=lambda twin: open_untrusted(twin).rank)
    for order in (twins, twins[::-1]):
        holder = people[5] if order is twins else people[6]
        for twin in order:
            store_at(world, holder, author, twin)
        held = holder.machine._service.store[author.peer]
        assert [kept.opened.signed for kept in held] == [winner]


def test_only_the_peer_itself_prolongs_the_life_of_its_record() -> None:
    world = World(32)
    holder, author, other = world.add(0), world.add(1), world.add(2)
    record = signed(peer_record(author))
    store_at(world, holder, author, record)
    (first,) = holder.machine._service.store[author.peer]
    world.now_us += HOUR_US
    assert store_at(world, holder, other, record) is StoreVerdict.STORED
    assert holder.machine._service.store[author.peer] == (first,)
    store_at(world, holder, author, record)
    assert holder.machine._service.store[author.peer][0].kept_at == world.now_us


def test_copies_expire_with_jitter() -> None:
    world, people = small(30)
    author = people[1]
    world.publish(author, peer_record(author))
    ends = [
        kept.expires_at for r in people for kept in r.machine._service.store.get(author.peer) or ()
    ]
    assert len(set(ends)) > 15
    config = world.config
    spread = max(ends) - min(ends)
    assert 0 < spread <= config.record_lifetime_jitter_us + 1_000_000


def kept(number: int, org: int = 0, key_of: bytes | None = None) -> Kept:
    inception, org_inception, _ = identity(f"s{number}", f"o{org}")
    namespace = digest("test/ns", key_of if key_of is not None else b"%d" % number)
    record = ProviderRecord(namespace, inception, 1, WALL_START_US * 2)
    return Kept(open_untrusted(signed(record)), org_inception, 0, 10**12)


def fill(store: RecordStore, items: list[Kept]) -> None:
    for item in items:
        store[item.opened.key] = item


def test_store_is_bounded_per_key_per_org_and_in_all() -> None:
    own = identity("own", "own")[2]
    config = DiscoveryConfig(records_max=50, records_per_key_max=5, records_per_org_max=10)
    crowded = RecordStore(own, config)
    fill(crowded, [kept(n, org=n, key_of=b"one") for n in range(20)])
    assert len(crowded) == 5
    of_one_org = RecordStore(own, config)
    fill(of_one_org, [kept(n, org=1) for n in range(40)])
    assert len(of_one_org) == 10
    whole = RecordStore(own, config)
    items = [kept(n, org=n) for n in range(300)]
    fill(whole, items)
    assert len(whole) == 50
    position = int.from_bytes(own, "big")
    items.sort(key=lambda item: int.from_bytes(item.opened.key, "big") ^ position)
    assert sorted(key for key, _ in whole) == sorted(item.opened.key for item in items[:50])


def test_store_forgets_what_expired_and_counts_it_out() -> None:
    store = RecordStore(identity("own", "own")[2], DiscoveryConfig())
    fill(store, [kept(n) for n in range(10)])
    assert store.get(b"nothing here") is None
    assert len(store.iter_older_than(0)) == 10
    store.advance(Now(MonotonicUs(10**12), WallUs(WALL_START_US)))
    assert len(store) == 0
    assert list(store) == []
    assert store._of_org == {}


def test_stores_waiting_for_verification_are_bounded_per_peer() -> None:
    from hive.protocol.discovery.messages import Store, decode_message_untrusted, encode_message
    from hive.protocol.machine import Received, Send, Verify

    world, holder, author = pair()
    asked = busy = 0
    for number in range(100):
        payload = encode_message(Store(number, signed(peer_record(author, sequence=number))))
        (effect,) = holder.machine.handle(Received(author.peer, payload), world.clock())
        asked += isinstance(effect, Verify)
        if isinstance(effect, Send):
            answer = decode_message_untrusted(effect.payload)
            busy += answer.verdict == StoreVerdict.BUSY  # type: ignore[union-attr]
    assert asked == world.config.verifications_per_peer_max
    assert busy == 100 - asked


def test_our_own_mistakes_are_state_errors() -> None:
    world, holder, _ = pair()
    with pytest.raises(StateError):
        holder.machine.handle(PublishRequested(Token(1), b"junk"), world.clock())
    with pytest.raises(StateError):
        holder.machine.handle(RecordRequested(Token(1), b"short"), world.clock())


def test_publishing_an_older_record_says_zero() -> None:
    world, people = small(8)
    author = people[1]
    world.publish(author, peer_record(author, sequence=5))
    assert world.publish(author, peer_record(author, sequence=4)).stored_count == 0
