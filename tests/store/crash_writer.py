"""Writes to a store until it is killed; started by `test_store_crash`, not by pytest.

Imports once and forks a writer for every line on its input. A writer prints the name of each
batch when it is told that the batch is durable, and goes on where the last one was killed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from store_deltas import chain_name, chain_of, inception, memory

from hive.errors import HiveError
from hive.memory.log import State, head_after
from hive.protocol.ports import Forget, PutBody, PutDelta, PutForget, PutMeta, PutRecord, Write
from hive.store.lmdb_store import LmdbStore
from hive.wire.ids import DeltaId, RecordId, digest

WAITING_MAX = 8


def batches(store: LmdbStore) -> Iterator[list[Write]]:
    """Pairs of deltas in two batches: "2n" puts pair n, one bare; "2n+1" completes it."""
    chain = chain_name(chain_of(1)[0])
    kept = int(store.meta("batch") or b"1")
    if kept % 2 == 0:
        whole_id, bare_id = store.at(chain, kept - 1), store.at(chain, kept)
        assert whole_id is not None
        assert bare_id is not None
        yield completion(whole_id, bare_id, kept)
    head = store.head(chain)
    while True:
        whole, bare = chain_of(2, head=head, together=2)
        head = head_after(bare)
        yield [
            PutDelta(whole, State.LIVE),
            PutDelta(replace(bare, body=b""), State.LIVE),
            PutMeta("batch", b"%d" % head.sequence),
        ]
        yield completion(whole.id, bare.id, head.sequence)


def completion(whole: DeltaId, bare: DeltaId, sequence: int) -> list[Write]:
    """Gives the second of a pair its body, forgets the first, keeps a record."""
    forgetting = DeltaId(digest("forget", whole))
    return [
        PutBody(bare, memory(f"memory {sequence - 1}").body.to_body()),
        PutForget(Forget(whole, forgetting, inception("ann"), False, "acme/notes")),
        PutRecord(RecordId(digest("record", whole)), whole),
        PutMeta("batch", b"%d" % (sequence + 1)),
    ]


def say(name: str, error: HiveError | None = None) -> None:
    os.write(1, f"{error or name}\n".encode())


def write_for_ever(directory: Path) -> None:
    store = LmdbStore(directory)
    for count, writes in enumerate(batches(store)):
        mark = writes[-1]
        assert isinstance(mark, PutMeta)
        store.submit(writes, partial(say, mark.value.decode()))
        if count % WAITING_MAX == 0:
            store.apply([])


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                write_for_ever(Path(line.strip()))
            finally:
                os._exit(1)
        say(f"child {child}")
        os.waitpid(child, 0)
        say("gone")


if __name__ == "__main__":
    main()
