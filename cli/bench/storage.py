"""What a store costs: acknowledged durable writes, and bytes on disk per memory.

Writes. A waiter sends one delta, waits until it is told that the delta is durable, and sends the
next; 1, 64 or 256 wait at a time, each in a chain of its own. The limit beside it is a bare
4 KiB append with fdatasync, and a bare LMDB put, each synced alone, measured between the rows.

Bytes. 300-byte texts, one author, receipts over 64 deltas each. A memory's *own bytes* are its
signed envelope without the receipt, plus its share (one in 64) of the receipt's signed body and
signature. The *log* is what header, body, receipt and audit path take in pages of the file;
*all* adds every index and the store's own tables. The file also holds free pages.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from statistics import median
from time import perf_counter
from typing import Final

import lmdb

from hive.errors import HiveError
from hive.memory.authoring import Draft, Pen, attach, compose
from hive.memory.bodies import MemoryBody
from hive.memory.delta import Delta, Kind
from hive.memory.log import Head, State, head_after
from hive.memory.receipt import Receipt, parse_receipt_untrusted, receipt_proofs
from hive.protocol.ports import PutDelta
from hive.store.lmdb_store import DATA_FILE, LmdbStore
from hive.trust.keys import SIGNATURE_BYTES
from hive.wire import merkle
from hive.wire.clock import Hlc
from hive.wire.ids import FederationId, Inception, RecordId, digest

WAITERS: Final = (1, 64, 256)
LOG_GOAL: Final = 1.4
ALL_GOAL: Final = 1.9
ONE_WAITER_GOAL: Final = 0.5
MANY_WAITERS_GOALS: Final = {64: 10.0, 256: 15.0}
TEXT_BYTES: Final = 300
TOGETHER: Final = 64
_LOG_TABLES: Final = ("log", "bodies", "receipts", "groves")
_SYNC_COUNT: Final = 300
_PAGE: Final = bytes(4_096)
_FEDERATION: Final = FederationId(digest("bench", b"federation"))
_SIGNATURE: Final = bytes(range(SIGNATURE_BYTES))


@dataclass(frozen=True, slots=True)
class WriteRow:
    """Acknowledged durable writes with so many waiters; latencies in milliseconds."""

    waiters: int
    per_second: float
    p50_ms: float
    p99_ms: float
    fdatasync_per_second: float
    lmdb_per_second: float
    times_one_waiter: float

    @property
    def goal_met(self) -> bool:
        """One waiter against fdatasync, many waiters against one."""
        if self.waiters == 1:
            return self.per_second >= ONE_WAITER_GOAL * self.fdatasync_per_second
        return self.times_one_waiter >= MANY_WAITERS_GOALS[self.waiters]


@dataclass(frozen=True, slots=True)
class BytesRow:
    """Bytes for one memory, with so many deltas to an author's signature."""

    deltas_per_signature: int
    own_bytes: float
    log_bytes: float
    all_bytes: float
    file_bytes: float

    @property
    def log_ratio(self) -> float:
        """The log over the memory's own bytes."""
        return self.log_bytes / self.own_bytes

    @property
    def all_ratio(self) -> float:
        """Log and indexes over the memory's own bytes."""
        return self.all_bytes / self.own_bytes

    @property
    def goal_met(self) -> bool:
        """Both ratios within their goals."""
        return self.log_ratio <= LOG_GOAL and self.all_ratio <= ALL_GOAL


@dataclass(frozen=True, slots=True)
class StorageReport:
    """What `hive bench storage` prints."""

    writes: tuple[WriteRow, ...]
    sizes: tuple[BytesRow, ...]

    @property
    def goal_met(self) -> bool:
        """Whether every row reaches its goal."""
        return all(row.goal_met for row in self.writes) and all(row.goal_met for row in self.sizes)

    def as_dict(self) -> dict[str, object]:
        """Plain values and ratios."""
        sizes = [
            {**asdict(row), "log_ratio": row.log_ratio, "all_ratio": row.all_ratio}
            for row in self.sizes
        ]
        writes = [asdict(row) for row in self.writes]
        return {"writes": writes, "sizes": sizes, "goal_met": self.goal_met}

    def text(self) -> str:
        """Two tables for people."""
        return "\n".join(
            (
                "acknowledged durable writes (each row beside its own fdatasync)",
                f"{'waiters':>8}{'per s':>9}{'p50 ms':>9}{'p99 ms':>9}{'fdatasync/s':>13}"
                f"{'bare lmdb/s':>13}{'x fdatasync':>13}{'x one':>8}  goal",
                *map(_write_line, self.writes),
                "",
                f"bytes per memory of {TEXT_BYTES} B text (own: envelope and share of receipt)",
                f"{'per signature':>14}{'own':>7}{'log':>7}{'all':>7}{'file':>7}"
                f"{'log/own':>9}{'all/own':>9}  goal",
                *map(_bytes_line, self.sizes),
            )
        )


def _write_line(row: WriteRow) -> str:
    goal = (
        f">= {ONE_WAITER_GOAL} x fdatasync"
        if row.waiters == 1
        else f">= {MANY_WAITERS_GOALS[row.waiters]:.0f} x one waiter"
    )
    return (
        f"{row.waiters:8}{row.per_second:9.0f}{row.p50_ms:9.2f}{row.p99_ms:9.2f}"
        f"{row.fdatasync_per_second:13.0f}{row.lmdb_per_second:13.0f}"
        f"{row.per_second / row.fdatasync_per_second:13.2f}{row.times_one_waiter:8.1f}"
        f"  {goal}: {_verdict(row.goal_met)}"
    )


def _bytes_line(row: BytesRow) -> str:
    return (
        f"{row.deltas_per_signature:14}{row.own_bytes:7.0f}{row.log_bytes:7.0f}"
        f"{row.all_bytes:7.0f}{row.file_bytes:7.0f}{row.log_ratio:9.2f}{row.all_ratio:9.2f}"
        f"  <= {LOG_GOAL}, <= {ALL_GOAL}: {_verdict(row.goal_met)}"
    )


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


def measure(*, writes_per_waiter: int = 120, memory_count: int = 20_000) -> StorageReport:
    """Measures in a temporary directory; some 20 seconds with the defaults."""
    rows: list[WriteRow] = []
    for waiters in WAITERS:
        one = rows[0].per_second if rows else 0.0
        rows.append(_write_row(waiters, max(writes_per_waiter, 1_200 // waiters), one))
    sizes = tuple(_bytes_row(memory_count, together) for together in (1, TOGETHER))
    return StorageReport(tuple(rows), sizes)


def _write_row(waiters: int, each: int, one_waiter: float) -> WriteRow:
    made = [list(_chain(f"waiter {number}", each, 1)) for number in range(waiters)]
    chains = _admitted_together(made)
    with _scratch() as directory:
        before = _syncs_per_second(directory)
        with LmdbStore(directory / "store") as store:
            seconds, latencies = _run_waiters(store, chains)
        after = _syncs_per_second(directory)
        bare = _lmdb_puts_per_second(directory)
    latencies.sort()
    per_second = len(latencies) / seconds
    return WriteRow(
        waiters,
        per_second,
        median(latencies) * 1_000,
        latencies[len(latencies) * 99 // 100] * 1_000,
        (before + after) / 2,
        bare,
        per_second / one_waiter if one_waiter else 1.0,
    )


def _run_waiters(store: LmdbStore, chains: Sequence[Sequence[Delta]]) -> tuple[float, list[float]]:
    """Seconds for all, and the latency of each; `done` only queues, as a driver's would."""
    told: SimpleQueue[tuple[int, float, HiveError | None]] = SimpleQueue()
    waiting = [iter(chain) for chain in chains]
    latencies: list[float] = []

    def send(waiter: int) -> None:
        delta = next(waiting[waiter], None)
        if delta is not None:
            done = partial(_tell, told, waiter, perf_counter())
            store.submit([PutDelta(delta, State.LIVE)], done)

    begin = perf_counter()
    for waiter in range(len(chains)):
        send(waiter)
    for _ in range(sum(map(len, chains))):
        waiter, sent_at, error = told.get()
        if error is not None:
            raise error
        latencies.append(perf_counter() - sent_at)
        send(waiter)
    return perf_counter() - begin, latencies


def _tell(
    told: SimpleQueue[tuple[int, float, HiveError | None]],
    waiter: int,
    sent_at: float,
    error: HiveError | None,
) -> None:
    told.put((waiter, sent_at, error))


def _syncs_per_second(directory: Path) -> float:
    with (directory / "bare").open("ab", buffering=0) as file:

        def append() -> None:
            file.write(_PAGE)
            os.fdatasync(file.fileno())

        return _rate(append)


def _lmdb_puts_per_second(directory: Path) -> float:
    numbers = iter(range(_SYNC_COUNT))
    with lmdb.open(str(directory / "bare.lmdb"), map_size=1 << 30) as env:

        def put() -> None:
            with env.begin(write=True) as txn:
                txn.put(next(numbers).to_bytes(8, "big"), _PAGE[:700], append=True)

        return _rate(put)


def _rate(act: Callable[[], None]) -> float:
    """Per second, from the median: a neighbour's burst is not the disk's limit."""
    spans = []
    for _ in range(_SYNC_COUNT):
        begin = perf_counter()
        act()
        spans.append(perf_counter() - begin)
    return 1 / median(spans)


def _bytes_row(count: int, together: int) -> BytesRow:
    own = 0.0
    with _scratch() as directory, LmdbStore(directory) as store:
        waiting: list[PutDelta] = []
        for delta in _chain("author", count, together):
            own += _own_bytes(delta)
            waiting.append(PutDelta(delta, State.LIVE))
            if len(waiting) == TOGETHER:
                store.apply(waiting)
                waiting = []
        store.apply(waiting)
        with store.snapshot() as txn:
            tables = store.table_bytes(txn)
        file_bytes = (directory / DATA_FILE).stat().st_size
    log = sum(tables[name] for name in _LOG_TABLES)
    return BytesRow(
        together, own / count, log / count, sum(tables.values()) / count, file_bytes / count
    )


def _own_bytes(delta: Delta) -> float:
    receipt = parse_receipt_untrusted(delta.receipt)
    share = (len(receipt.body) + len(receipt.signature)) / receipt.receipt.count
    return len(replace(delta, receipt=b"").to_bytes()) + share


def _chain(author: str, count: int, together: int) -> Iterator[Delta]:
    """Memories of one author, `together` to a signature, receipts over up to 64."""
    pen = Pen(
        federation=_FEDERATION,
        namespace="bench/storage",
        author=Inception(digest("bench", author.encode())),
        writer=Inception(digest("bench", b"node")),
        leaf=RecordId(digest("bench", b"leaf")),
        epochs=(1,),
        lease=0,
        residency=(),
    )
    head: Head | None = None
    for first in range(0, count, TOGETHER):
        made: list[Delta] = []
        end = min(first + TOGETHER, count)
        for start in range(first, end, together):
            numbers = range(start, min(start + together, end))
            drafts = [_draft(author, number) for number in numbers]
            unsigned = compose(pen, drafts, head, Hlc(0), 1_700_000_000_000_000 + start)
            made += attach(unsigned, _SIGNATURE)
            head = head_after(made[-1])
        yield from _received(made)


def _admitted_together(chains: Sequence[Sequence[Delta]]) -> list[list[Delta]]:
    """Receipts as a node gives them: one over up to 64 deltas that are written at a time."""
    received: list[list[Delta]] = [[] for _ in chains]
    for step in zip(*chains, strict=True):
        for first in range(0, len(step), TOGETHER):
            for offset, delta in enumerate(_received(step[first : first + TOGETHER])):
                received[first + offset].append(delta)
    return received


def _draft(author: str, number: int) -> Draft:
    salt = digest("salt", f"{author} {number}".encode())
    text = f"{author} noted {number}: " + "what was seen is written here as it was. " * 8
    return Draft(Kind.MEMORY, MemoryBody(salt, text[:TEXT_BYTES], "", (), 0, 0))


def _received(deltas: Sequence[Delta]) -> Iterator[Delta]:
    ids = [delta.id for delta in deltas]
    writer = deltas[0].header.writer
    receipt = Receipt(_FEDERATION, writer, writer, 1, (1,), 0, 1, len(ids), merkle.root(ids))
    proofs = receipt_proofs(receipt, _SIGNATURE, ids)
    for delta, proof in zip(deltas, proofs, strict=True):
        yield replace(delta, receipt=proof.to_bytes())


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hive-bench-") as name:
        yield Path(name)
