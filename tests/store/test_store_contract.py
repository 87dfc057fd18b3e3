"""One contract, two stores."""

from __future__ import annotations

from dataclasses import replace

import pytest
from store_deltas import (
    chain_name,
    chain_of,
    forget_draft,
    inception,
    memory,
    pen,
    put,
    signed,
)

from hive.errors import HiveError, StateError
from hive.memory.delta import Delta
from hive.memory.log import State, head_after
from hive.protocol.ports import (
    Forget,
    PutBody,
    PutDelta,
    PutForget,
    PutFork,
    PutMeta,
    PutRecord,
    Row,
    StoreReader,
    Truncate,
)
from hive.store.lmdb_store import LmdbStore
from hive.store.memory_store import MemoryStore
from hive.wire.clock import HLC_MAX, Hlc
from hive.wire.ids import DeltaId, Digest, RecordId, digest

AnyStore = LmdbStore | MemoryStore

ALL = (Hlc(0), Hlc(HLC_MAX), 1_000)


def forget_of(
    delta: Delta, by: str = "ann", *, is_any: bool = False, space: str = "acme/notes"
) -> Forget:
    forgetting = DeltaId(digest("test", f"forget by {by} in {space}".encode()))
    return Forget(delta.id, forgetting, inception(by), is_any, space)


def states(store: StoreReader, namespace: str = "acme/notes") -> list[State]:
    return [summary.state for summary in store.summaries(namespace, *ALL)]


def test_an_empty_store_answers_every_question(store: AnyStore) -> None:
    reader: StoreReader = store
    nothing = DeltaId(bytes(32))
    assert reader.delta(nothing) is None
    assert not reader.has(nothing)
    assert reader.ids_with_prefix(b"", 10) == ()
    assert reader.head(Digest(bytes(32))) is None
    assert reader.at(Digest(bytes(32)), 1) is None
    assert reader.chain_slice(Digest(bytes(32)), 1, 9) == ()
    assert reader.heads("acme") == reader.heads_of(inception("ann")) == ()
    assert reader.namespaces() == ()
    assert reader.summaries("acme", *ALL) == ()
    assert reader.missing_bodies(9) == ()
    assert reader.newest_hlc() == reader.last_row() == 0
    assert reader.forgets_of(nothing) == reader.forks() == ()
    assert list(reader.records()) == list(reader.rows_after(Row(0), 9)) == []
    assert reader.meta("absent") is None
    assert not reader.usage().is_full


@pytest.mark.parametrize("together", [1, 2, 3, 64])
def test_what_is_read_is_to_the_bit_what_was_written(store: AnyStore, together: int) -> None:
    deltas = chain_of(70, together=together)
    store.apply(put(deltas))
    for delta in deltas:
        held = store.delta(delta.id)
        assert held is not None
        assert held.delta == delta
        assert held.delta.to_bytes() == delta.to_bytes()
        assert held.state is State.LIVE


def test_paths_survive_when_deltas_of_one_signature_arrive_one_by_one(store: AnyStore) -> None:
    deltas = chain_of(64, together=64)
    for delta in deltas:
        store.apply(put([delta]))
    assert [held.delta for held in store.rows_after(Row(0), 99)] == deltas


def test_odd_receipts_and_paths_are_kept_as_they_came(store: AnyStore) -> None:
    one, two, three, four = chain_of(4, together=2)
    crooked = replace(one.proof, path=(bytes(32),))
    odd = [
        replace(one, receipt=b"not a receipt", proof=crooked),
        replace(two, receipt=b""),
        replace(three, receipt=one.receipt),
        replace(four, proof=replace(four.proof, path=two.proof.path * 2)),
    ]
    store.apply(put(odd))
    assert [held.delta for held in store.rows_after(Row(0), 9)] == odd


def test_a_chain_is_read_by_position_head_and_slice(store: AnyStore) -> None:
    deltas = chain_of(5)
    chain = chain_name(deltas[0])
    store.apply(put(deltas))
    assert store.head(chain) == head_after(deltas[-1])
    assert [store.at(chain, n) for n in range(7)] == [None, *(d.id for d in deltas), None]
    assert [held.delta for held in store.chain_slice(chain, 2, 3)] == deltas[1:4]
    assert store.chain_slice(chain, 0, 1)[0].delta == deltas[0]
    assert store.chain_slice(chain, 6, 3) == ()


def test_heads_are_found_by_namespace_and_by_author(store: AnyStore) -> None:
    pens = [pen(a, n) for a in ("ann", "bob") for n in ("acme/notes", "acme/notes2", "acme")]
    chains = [chain_of(2, by=each) for each in pens]
    store.apply([write for deltas in chains for write in put(deltas)])
    heads = [head_after(deltas[-1]) for deltas in chains]
    by_chain = sorted(heads, key=lambda head: head.chain)
    assert store.namespaces() == ("acme", "acme/notes", "acme/notes2")
    assert store.heads("acme/notes") == tuple(h for h in by_chain if h.namespace == "acme/notes")
    bob = inception("bob")
    assert store.heads_of(bob) == tuple(h for h in by_chain if h.author == bob)


def test_the_time_index_is_ordered_and_bounded_on_both_sides(store: AnyStore) -> None:
    deltas = chain_of(6) + chain_of(3, by=pen("bob"))
    store.apply(put(deltas))
    stamps = sorted((delta.header.hlc, delta.id) for delta in deltas)
    found = [(each.hlc, each.id) for each in store.summaries("acme/notes", *ALL)]
    assert found == stamps
    first, last = Hlc(stamps[2][0]), Hlc(stamps[5][0])
    within = [each for each in stamps if first <= each[0] <= last]
    got = [(each.hlc, each.id) for each in store.summaries("acme/notes", first, last, 99)]
    assert got == within
    assert len(store.summaries("acme/notes", Hlc(0), Hlc(HLC_MAX), 4)) == 4
    assert store.summaries("acme/notes", Hlc(last + 1), first, 9) == ()
    assert store.summaries("", *ALL) == ()
    packed = b"".join(stamp.to_bytes(8, "big") + id + b"\1" for stamp, id in within)
    assert store.lines("acme/notes", first, last, 99) == packed
    assert store.lines("acme/notes", first, last, 2) == packed[:82]
    assert store.lines("acme/notes", Hlc(last + 1), first, 9) == store.lines("", *ALL) == b""
    assert store.newest_hlc() == stamps[-1][0]


def test_ids_are_found_by_prefix_in_order(store: AnyStore) -> None:
    deltas = chain_of(40)
    store.apply(put(deltas))
    ids = sorted(delta.id for delta in deltas)
    assert store.ids_with_prefix(b"", 99) == tuple(ids)
    assert store.ids_with_prefix(ids[3][:5], 9) == (ids[3],)
    assert store.ids_with_prefix(b"", 3) == tuple(ids[:3])
    assert store.ids_with_prefix(ids[0] + b"x", 3) == ()
    byte = ids[7][:1]
    assert store.ids_with_prefix(byte, 99) == tuple(id for id in ids if id.startswith(byte))


def test_a_delta_that_does_not_continue_its_chain_spoils_the_whole_batch(store: AnyStore) -> None:
    deltas = chain_of(4)
    store.apply(put(deltas[:1]))
    with pytest.raises(StateError):
        store.apply([*put([deltas[1], deltas[3]]), PutMeta("mark", b"set")])
    assert store.head(chain_name(deltas[0])) == head_after(deltas[0])
    assert not store.has(deltas[1].id)
    assert store.meta("mark") is None
    assert store.last_row() == 1


def test_a_rival_at_a_held_position_is_not_kept(store: AnyStore) -> None:
    first, *_ = chain_of(1)
    rival = signed([memory("another first")])[0]
    store.apply(put([first]))
    with pytest.raises(StateError):
        store.apply(put([rival]))
    assert store.at(chain_name(first), 1) == first.id


def test_writing_again_changes_nothing(store: AnyStore) -> None:
    deltas = chain_of(3)
    batch = [*put(deltas), PutForget(forget_of(deltas[1]))]
    store.apply(batch)
    rows, last = list(store.rows_after(Row(0), 9)), store.last_row()
    store.apply(batch)
    store.apply(batch[::-1])
    assert list(store.rows_after(Row(0), 9)) == rows
    assert store.last_row() == last


def test_a_void_keeps_header_and_position_and_no_body(store: AnyStore) -> None:
    deltas = chain_of(2)
    store.apply([PutDelta(deltas[0], State.VOID), PutDelta(deltas[1], State.LIVE)])
    held = store.delta(deltas[0].id)
    assert held is not None
    assert (held.state, held.delta) == (State.VOID, replace(deltas[0], body=b""))
    assert store.missing_bodies(9) == ()
    store.apply([PutBody(deltas[0].id, deltas[0].body)])
    assert store.delta(deltas[0].id) == held


def test_a_void_becomes_live_with_the_receipt_that_justifies_it(store: AnyStore) -> None:
    deltas = chain_of(2)
    store.apply([PutDelta(replace(deltas[0], receipt=b""), State.VOID), *put(deltas[1:])])
    store.apply(put(deltas[:1]))
    held = store.delta(deltas[0].id)
    assert held is not None
    assert (held.state, held.delta) == (State.LIVE, deltas[0])
    assert states(store) == [State.LIVE, State.LIVE]
    assert [each.delta for each in store.rows_after(Row(2), 9)] == [deltas[0]]
    store.apply([PutDelta(deltas[0], State.VOID)])
    assert store.delta(deltas[0].id) == held


def test_a_missing_body_is_listed_until_it_arrives_and_then_appears_in_the_feed(
    store: AnyStore,
) -> None:
    deltas = chain_of(3)
    bare = [replace(delta, body=b"") for delta in deltas]
    store.apply(put(bare))
    assert store.missing_bodies(9) == tuple(delta.id for delta in deltas)
    assert store.missing_bodies(1) == (deltas[0].id,)
    seen = store.last_row()
    store.apply([PutBody(deltas[1].id, deltas[1].body)])
    store.apply([PutBody(deltas[1].id, b"other")])
    assert store.missing_bodies(9) == (deltas[0].id, deltas[2].id)
    assert [held.delta for held in store.rows_after(seen, 9)] == [deltas[1]]


def test_a_forget_of_the_author_erases_the_body_and_nothing_else(store: AnyStore) -> None:
    deltas = chain_of(3)
    store.apply(put(deltas))
    seen = store.rows_after(Row(1), 1)[0].row
    forget = forget_of(deltas[1])
    store.apply([PutForget(forget)])
    held = store.delta(deltas[1].id)
    assert held is not None
    assert (held.state, held.delta) == (State.FORGOTTEN, replace(deltas[1], body=b""))
    assert store.forgets_of(deltas[1].id) == (forget,)
    assert states(store) == [State.LIVE, State.FORGOTTEN, State.LIVE]
    assert store.missing_bodies(9) == ()
    assert held.row == seen
    assert store.erased_rows(Row(0), 9) == (seen,)
    assert store.erased_rows(Row(seen), 9) == ()
    store.apply([PutBody(deltas[1].id, deltas[1].body), *put(deltas[1:2])])
    assert store.delta(deltas[1].id) == held


def test_a_forget_of_a_stranger_binds_only_where_it_may_forget_any(store: AnyStore) -> None:
    deltas = chain_of(2)
    store.apply(put(deltas))
    store.apply([PutForget(forget_of(delta, "eve")) for delta in deltas])
    assert states(store) == [State.LIVE, State.LIVE]
    store.apply([PutForget(forget_of(deltas[0], "eve", is_any=True))])
    assert states(store) == [State.FORGOTTEN, State.LIVE]


def test_a_forget_reaches_nothing_outside_its_namespace(store: AnyStore) -> None:
    deltas = chain_of(2)
    elsewhere = [forget_of(delta, "eve", is_any=True, space="acme") for delta in deltas]
    store.apply([PutForget(elsewhere[0]), *put(deltas), PutForget(elsewhere[1])])
    assert states(store) == [State.LIVE, State.LIVE]
    store.apply([PutForget(forget_of(deltas[0], "eve", is_any=True, space="acme/notes"))])
    assert states(store) == [State.FORGOTTEN, State.LIVE]


def test_a_forget_waits_for_its_target(store: AnyStore) -> None:
    deltas = chain_of(2)
    store.apply([PutForget(forget_of(delta)) for delta in deltas])
    assert len(store.forgets_of(deltas[0].id)) == 1
    store.apply(put(deltas[:1]))
    store.apply(put([replace(deltas[1], body=b"")]))
    store.apply([PutBody(deltas[1].id, deltas[1].body)])
    assert states(store) == [State.FORGOTTEN, State.FORGOTTEN]
    assert [held.delta.body for held in store.rows_after(Row(0), 9)] == [b"", b""]
    assert store.missing_bodies(9) == ()


def test_a_void_that_a_forget_names_becomes_forgotten_once_justified(store: AnyStore) -> None:
    (delta,) = chain_of(1)
    store.apply([PutDelta(delta, State.VOID), PutForget(forget_of(delta))])
    assert states(store) == [State.VOID]
    store.apply(put([delta]))
    assert states(store) == [State.FORGOTTEN]


def test_a_truncated_tail_leaves_no_trace_and_the_chain_goes_on(store: AnyStore) -> None:
    deltas = chain_of(5)
    chain = chain_name(deltas[0])
    store.apply(put([*deltas[:4], replace(deltas[4], body=b"")]))
    store.apply([Truncate(chain, 2)])
    assert store.head(chain) == head_after(deltas[1])
    assert store.heads("acme/notes") == (head_after(deltas[1]),)
    assert [store.has(delta.id) for delta in deltas] == [True, True, False, False, False]
    assert len(store.summaries("acme/notes", *ALL)) == 2
    assert store.missing_bodies(9) == ()
    assert store.newest_hlc() == deltas[1].header.hlc
    assert [held.row for held in store.rows_after(Row(0), 9)] == [1, 2]
    assert store.last_row() == 5
    assert store.erased_rows(Row(0), 9) == (3, 4, 5)
    assert store.erased_rows(Row(3), 1) == (4,)
    other = signed([memory("the other branch")], head_after(deltas[1]))
    store.apply(put(other))
    assert store.at(chain, 3) == other[0].id
    assert store.last_row() == 6


def test_a_chain_truncated_to_nothing_is_gone(store: AnyStore) -> None:
    deltas = chain_of(2)
    store.apply(put(deltas))
    store.apply([Truncate(chain_name(deltas[0]), 0), Truncate(Digest(bytes(32)), 3)])
    assert store.head(chain_name(deltas[0])) is None
    assert store.heads("acme/notes") == store.heads_of(inception("ann")) == ()
    assert store.namespaces() == ()
    assert store.newest_hlc() == 0
    store.apply(put(deltas))
    assert [held.delta for held in store.rows_after(Row(0), 9)] == deltas


def test_a_batch_may_truncate_and_go_on_at_once(store: AnyStore) -> None:
    deltas = chain_of(4)
    other = signed([memory("x"), memory("y")], head_after(deltas[0]))
    cut = Truncate(chain_name(deltas[0]), 1)
    store.apply([*put(deltas[:3]), cut, *put(other), cut, *put(deltas[1:])])
    assert store.head(chain_name(deltas[0])) == head_after(deltas[3])
    with pytest.raises(StateError):
        store.apply([cut, *put(other[1:])])
    assert store.head(chain_name(deltas[0])) == head_after(deltas[3])


def test_records_come_back_in_order_of_admission_and_once(store: AnyStore) -> None:
    envelopes = [b"%d" % n * 50 for n in range(300)]
    writes = [PutRecord(RecordId(digest("r", each)), each) for each in envelopes]
    store.apply(writes)
    store.apply(writes[::-1])
    assert list(store.records()) == envelopes


def test_forks_come_back_by_id_and_once(store: AnyStore) -> None:
    chain = digest("test", b"chain")
    writes = [PutFork(digest("f", b"%d" % n), chain, n, 0, b"proof" * 400) for n in range(5)]
    store.apply([*writes, *writes])
    assert [fork.id for fork in store.forks()] == sorted(write.id for write in writes)
    assert store.forks()[0].proof == b"proof" * 400


def test_small_values_are_replaced_and_cannot_reach_the_stores_own(store: AnyStore) -> None:
    store.apply([PutMeta("boot", b"1"), PutMeta("boot", b"2"), PutMeta("\0counters", b"x")])
    assert store.meta("boot") == b"2"
    assert store.meta("\0counters") == b"x"
    store.apply(put(chain_of(1)))
    assert store.last_row() == 1


def test_a_long_body_is_kept(store: AnyStore) -> None:
    (delta,) = signed([memory("long " * 12_000)])
    store.apply(put([delta]))
    held = store.delta(delta.id)
    assert held is not None
    assert held.delta == delta


def test_submit_tells_success_and_failure(store: AnyStore) -> None:
    deltas = chain_of(3)
    outcomes: list[HiveError | None] = []
    store.submit(put(deltas[:1]), outcomes.append)
    store.submit(put(deltas[2:]), outcomes.append)
    store.submit(put(deltas[1:2]), outcomes.append)
    store.apply([])
    assert outcomes[0] is outcomes[2] is None
    assert isinstance(outcomes[1], StateError)


def test_the_forgetting_delta_itself_is_an_ordinary_one(store: AnyStore) -> None:
    deltas = chain_of(1)
    forgetting = signed([forget_draft(deltas[0].id)], head_after(deltas[0]))
    forget = Forget(deltas[0].id, forgetting[0].id, inception("ann"), False, "acme/notes")
    store.apply([*put(deltas), *put(forgetting), PutForget(forget)])
    assert states(store) == [State.FORGOTTEN, State.LIVE]
