"""LMDB against the memory store as its naive model: random writes, equal answers."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from store_deltas import inception, memory, pen, signed

from hive.errors import HiveError
from hive.memory.delta import Delta
from hive.memory.log import State
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
    Write,
)
from hive.store.consistency import check
from hive.store.lmdb_store import LmdbStore, LmdbStoreConfig
from hive.store.memory_store import MemoryStore
from hive.wire.clock import HLC_MAX, Hlc
from hive.wire.ids import DeltaId, Digest, RecordId, digest

AUTHORS = ("ann", "bob")
SPACES = ("acme", "acme/notes", "beta/x")
CONFIG = LmdbStoreConfig(is_durable=False)

numbers = st.integers(0, 10**6)
states = st.sampled_from(State)


def answers(store: StoreReader, deltas: list[Delta]) -> list[object]:
    """Every question of the contract, asked about everything the machine ever made."""
    ids = [delta.id for delta in deltas]
    chains = sorted({delta.header.chain for delta in deltas})
    middle = Hlc(deltas[len(deltas) // 2].header.hlc) if deltas else Hlc(5)
    return [
        [store.delta(id) for id in ids],
        [store.has(id) for id in ids],
        [store.forgets_of(id) for id in ids],
        [store.ids_with_prefix(id[:1], 3) for id in ids],
        [store.head(chain) for chain in chains],
        [[store.at(chain, sequence) for sequence in range(9)] for chain in chains],
        [store.chain_slice(chain, first, 3) for chain in chains for first in range(9)],
        [store.heads(space) for space in SPACES],
        [store.heads_of(inception(author)) for author in AUTHORS],
        [store.summaries(space, middle, Hlc(HLC_MAX), 5) for space in SPACES],
        [store.summaries(space, Hlc(0), middle, 99) for space in SPACES],
        [store.lines(space, middle, Hlc(HLC_MAX), 5) for space in SPACES],
        [store.lines(space, Hlc(0), middle, 99) for space in SPACES],
        store.namespaces(),
        store.missing_bodies(3),
        store.newest_hlc(),
        store.forks(),
        list(store.records()),
        [list(store.rows_after(Row(row), 4)) for row in range(0, store.last_row() + 1, 3)],
        store.erased_rows(Row(0), 99),
        store.erased_rows(Row(3), 2),
        store.last_row(),
        store.meta("name"),
    ]


class StoreAgainstModel(RuleBasedStateMachine):
    """Builds batches of writes, some of them wrong, and gives each to both stores."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self.path = Path(self._directory.name)
        self.lmdb = LmdbStore(self.path, CONFIG)
        self.model = MemoryStore()
        self.made: list[Delta] = []
        self.batch: list[Write] = []

    def teardown(self) -> None:
        self.flush()
        assert check(self.lmdb) == ()
        self.lmdb.close()
        self._directory.cleanup()

    def flush(self) -> None:
        outcomes = []
        for store in (self.model, self.lmdb):
            try:
                store.apply(self.batch)
            except HiveError as error:
                outcomes.append(type(error))
            else:
                outcomes.append(type(None))
        self.batch = []
        assert outcomes[0] is outcomes[1]

    def pick(self, number: int) -> Delta | None:
        return self.made[number % len(self.made)] if self.made else None

    @rule(
        author=st.sampled_from(AUTHORS),
        space=st.sampled_from(SPACES),
        count=st.integers(1, 5),
        number=numbers,
        state=states,
        is_bare=st.booleans(),
    )
    def extend(
        self, author: str, space: str, count: int, number: int, state: State, is_bare: bool
    ) -> None:
        by = pen(author, space)
        heads = self.model.heads(space)
        head = next((each for each in heads if each.author == by.author), None)
        deltas = signed([memory(f"{number} {i}") for i in range(count)], head, by)
        self.made += deltas
        kept = [replace(delta, body=b"") for delta in deltas] if is_bare else deltas
        self.batch += [PutDelta(delta, state) for delta in kept]

    @rule(number=numbers, state=states)
    def put_again(self, number: int, state: State) -> None:
        if delta := self.pick(number):
            self.batch.append(PutDelta(delta, state))

    @rule(number=numbers)
    def complete(self, number: int) -> None:
        if delta := self.pick(number):
            self.batch.append(PutBody(delta.id, delta.body))

    @rule(
        number=numbers,
        author=st.sampled_from(AUTHORS),
        is_any=st.booleans(),
        space=st.sampled_from(("", *SPACES)),
    )
    def forget(self, number: int, author: str, is_any: bool, space: str) -> None:
        if delta := self.pick(number):
            forgetting = DeltaId(digest("forgetting", author.encode()))
            forget = Forget(delta.id, forgetting, inception(author), is_any, space)
            self.batch.append(PutForget(forget))

    @rule(number=numbers, kept=st.integers(0, 6))
    def truncate(self, number: int, kept: int) -> None:
        if delta := self.pick(number):
            self.batch.append(Truncate(delta.header.chain, kept))

    @rule(number=st.integers(0, 5))
    def put_the_rest(self, number: int) -> None:
        name = digest("rest", bytes((number,)))
        self.batch += [
            PutRecord(RecordId(name), b"record %d" % number),
            PutFork(name, Digest(bytes(32)), number, 0, b"proof"),
            PutMeta("name", bytes((number,))),
        ]

    @rule()
    def commit(self) -> None:
        self.flush()

    @rule()
    def reopen(self) -> None:
        self.flush()
        self.lmdb.close()
        self.lmdb = LmdbStore(self.path, CONFIG)

    @invariant()
    def both_answer_alike(self) -> None:
        if not self.batch:
            assert answers(self.lmdb, self.made) == answers(self.model, self.made)


StoreAgainstModel.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
TestStoreAgainstModel = StoreAgainstModel.TestCase
