"""What it costs to take a delta in: every step of ingress and the store behind it.

Whole peers (`station`) take real `Deltas` messages from 20 authors at 4 nodes; receipts cover up
to 64 deltas, as under load. Each run stands between two calibrations: the bare verify rate of
libsodium in the same second. Rates are per CPU second of the process, all its threads together,
except for the row of two verifying threads, which is wall time against wall time with one.

Goals given as bare times or rates hold on a machine that verifies `REFERENCE_VERIFIES` a second;
here they are multiples of the rate that was measured.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Final

from hive.memory.delta import Delta, Header
from hive.memory.fork import fork_proof
from hive.protocol.commands import Author
from hive.protocol.judgement import (
    Arrival,
)
from hive.protocol.machine import Ticked
from hive.protocol.outcomes import DeltaRefused, Output
from hive.wire.codec import encode
from hive.wire.ids import ZERO_DIGEST, DeltaId, Inception, PeerId

from .calibration import fdatasyncs_per_second, verifies_per_second
from .realm import NAMESPACE, Realm, Scribe, memory, staffed
from .station import Station, frames, now

REFERENCE_VERIFIES: Final = 17_500
AGENTS, NODES, TOGETHER = 20, 4, 64
WRITERS: Final = 64
"""Agents that write at once at one node, so that its disk has something to group."""

SENDER: Final = PeerId(b"the sender's peer id")

SINGLE, BATCHED, THREADS = 0.75, 4.0, 1.5
DUPLICATE: Final = 40.0
REFUSAL: Final = 1 / 10e-6 / REFERENCE_VERIFIES
GOSSIP_SINGLE: Final = 5_000 / REFERENCE_VERIFIES
GOSSIP_BATCHED: Final = 30_000 / REFERENCE_VERIFIES


@dataclass(frozen=True, slots=True)
class Row:
    """A rate beside its limit, from the same seconds; medians over the rounds."""

    name: str
    per_second: float
    limit_per_second: float
    ratio: float
    goal: float

    @property
    def goal_met(self) -> bool:
        """Whether the ratio reaches the goal."""
        return self.ratio >= self.goal


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What `hive bench ingest` prints."""

    deltas_count: int
    rounds_count: int
    fdatasyncs_per_second: float
    rows: tuple[Row, ...]

    @property
    def goal_met(self) -> bool:
        """Every goal of FIGURES that this benchmark covers."""
        return all(row.goal_met for row in self.rows)

    def as_dict(self) -> dict[str, object]:
        """Plain values for `--json`."""
        rows = [{**asdict(row), "goal_met": row.goal_met} for row in self.rows]
        return {**asdict(self), "rows": rows, "goal_met": self.goal_met}

    def text(self) -> str:
        """A table for people."""
        return "\n".join(
            [
                f"ingest of {self.deltas_count} deltas, medians of {self.rounds_count} rounds; "
                f"bare fdatasync {self.fdatasyncs_per_second:.0f}/s",
                f"{'':34}{'per s':>10}{'us each':>9}{'limit/s':>9}{'ratio':>8}  goal",
                *map(_line, self.rows),
                f"goals: {'met' if self.goal_met else 'missed'}",
            ]
        )


def _line(row: Row) -> str:
    verdict = "met" if row.goal_met else "missed"
    return (
        f"{row.name:34}{row.per_second:10.0f}{1e6 / row.per_second:9.1f}"
        f"{row.limit_per_second:9.0f}{row.ratio:8.2f}  >= {row.goal:.2f} {verdict}"
    )


Round = Callable[[], tuple[float, float]]
"""One run: its rate and that of its limit."""


def measure(deltas_count: int = 12_800, rounds_count: int = 5) -> IngestReport:
    """Measures in temporary directories; some two minutes with the defaults."""
    single, batched = _Parcel(deltas_count, 1), _Parcel(deltas_count, TOGETHER)
    rounds: list[tuple[str, float, Round]] = [
        ("single-signed, steps 0-13, stored", SINGLE, partial(_ingest, single)),
        (f"one signature for {TOGETHER}", BATCHED, partial(_ingest, batched)),
        ("two verify threads, against one", THREADS, partial(_threads, single)),
        ("duplicates, step 4", DUPLICATE, partial(_duplicates, batched)),
        *((f"refused in step {n}", REFUSAL, partial(_refuse, single, n)) for n in REFUSED_STEPS),
        ("two peers, each signed alone", GOSSIP_SINGLE, partial(_gossip, deltas_count // 4, 1)),
        ("two peers, 64 to a signature", GOSSIP_BATCHED, partial(_gossip, deltas_count, TOGETHER)),
    ]
    with _scratch() as directory:
        syncs = fdatasyncs_per_second(directory)
    rows = tuple(_row(name, goal, act, rounds_count) for name, goal, act in rounds)
    return IngestReport(deltas_count, rounds_count, syncs, rows)


def _row(name: str, goal: float, act: Round, rounds_count: int) -> Row:
    runs = [act() for _ in range(rounds_count)]
    rate, limit = (median(run[side] for run in runs) for side in (0, 1))
    return Row(name, rate, limit, median(rate / limit for rate, limit in runs), goal)


def _beside_verify(act: Callable[[], object], count: int) -> tuple[float, float]:
    """The rate of something done `count` times, and libsodium's just before and after."""
    gc.collect()
    before = verifies_per_second()
    begin = process_time()
    act()
    spent = process_time() - begin
    return count / spent, (before + verifies_per_second()) / 2


class _Parcel:
    """Deltas of many authors, interleaved by 64 as they come from several peers."""

    def __init__(self, count: int, together: int) -> None:
        self.realm, scribes = staffed(AGENTS, NODES)
        self.realm.node("receiver")
        each = max(1, count // len(scribes))
        logs = [list(scribe.write(each, together)) for scribe in scribes]
        self.envelopes = [
            delta.to_bytes()
            for first in range(0, each, TOGETHER)
            for log in logs
            for delta in log[first : first + TOGETHER]
        ]
        self.frames = frames(self.envelopes)


def _ingest(parcel: _Parcel) -> tuple[float, float]:
    with _receiver(parcel.realm) as station:
        return _beside_verify(lambda: _take(station, parcel.frames), len(parcel.envelopes))


def _take(station: Station, payloads: Sequence[bytes]) -> None:
    for payload in payloads:
        station.frame(SENDER, payload)
    station.settle()
    if station.refused:
        raise AssertionError(f"refused: {station.refused[0]}")


def _threads(parcel: _Parcel) -> tuple[float, float]:
    """Wall rates with two verifying threads and with one."""
    rates = []
    for count in (2, 1):
        with _receiver(parcel.realm, threads=count) as station:
            gc.collect()
            begin = perf_counter()
            _take(station, parcel.frames)
            rates.append(len(parcel.envelopes) / (perf_counter() - begin))
    return rates[0], rates[1]


def _duplicates(parcel: _Parcel) -> tuple[float, float]:
    with _receiver(parcel.realm) as station:
        _take(station, parcel.frames)
        return _arrive(station, parcel.envelopes, "duplicate")


def _arrive(station: Station, envelopes: Sequence[bytes], code: str) -> tuple[float, float]:
    """Envelopes at the door of ingress, 64 at a time, each refused for this reason."""
    arrivals = [Arrival(envelope, SENDER) for envelope in envelopes]
    flights = [arrivals[at : at + TOGETHER] for at in range(0, len(arrivals), TOGETHER)]
    intake = station.peer.intake
    outputs: list[list[Output]] = []

    def act() -> None:
        for flight in flights:
            outputs.append(intake.arrive(flight, now()))

    rates = _beside_verify(act, len(envelopes))
    told = [output for some in outputs for output in some if isinstance(output, DeltaRefused)]
    reasons = {output.refusal.reason.code for output in told}
    if reasons != {code} or sum(output.count for output in told) != len(envelopes):
        raise AssertionError(f"{reasons} instead of {code}")
    return rates


# Refusals: how a delta is spoilt so that this step refuses it.


def _refuse(parcel: _Parcel, step: int) -> tuple[float, float]:
    code, spoil = REFUSED_STEPS[step]
    scribe = Scribe(parcel.realm, "agent-0", "node-0")
    deltas = list(scribe.write(max(TOGETHER, len(parcel.envelopes) // 4), 1))
    with _receiver(parcel.realm) as station:
        if step == 8:
            _quarantine(station, parcel.realm, deltas[0])
        return _arrive(station, [spoil(delta) for delta in deltas], code)


def _cut_short(delta: Delta) -> bytes:
    return delta.to_bytes()[:-1]


def _widened(delta: Delta) -> bytes:
    return b"\xdc\x00\x04" + delta.to_bytes()[1:]


def _with_header(delta: Delta, header: Header) -> bytes:
    body = header.to_body()
    return replace(
        delta, id=DeltaId(Header.id_of(body)), header=header, header_bytes=body
    ).to_bytes()


def _of_other_federation(delta: Delta) -> bytes:
    return _with_header(delta, replace(delta.header, federation=ZERO_DIGEST))


def _elsewhere(delta: Delta) -> bytes:
    return _with_header(delta, replace(delta.header, namespace="elsewhere/notes"))


def _without_receipt(delta: Delta) -> bytes:
    return encode((delta.header_bytes, delta.proof.to_plain(), delta.body, b""))


REFUSED_STEPS: Final[dict[int, tuple[str, Callable[[Delta], bytes]]]] = {
    1: ("malformed", _cut_short),
    2: ("not_canonical", _widened),
    3: ("wrong_federation", _of_other_federation),
    5: ("not_covered", _elsewhere),
    6: ("receipt_missing", _without_receipt),
    8: ("quarantined", Delta.to_bytes),
}
"""Step 4 has a row of its own; step 7 refuses nothing, it voids what step 10 must verify."""


def _quarantine(station: Station, realm: Realm, delta: Delta) -> None:
    """The author forked: another delta stands where this one does."""
    other = Scribe(realm, "agent-0", "node-0")
    other.begin_at(1)
    station.peer.core.quarantine.add(fork_proof(delta, next(other.write(1, 1))), 0)


# Two peers: signed at one, gossiped, verified and stored at both.


def _gossip(count: int, together: int) -> tuple[float, float]:
    realm, _ = staffed(WRITERS, NODES)
    agents = tuple(realm.agents)
    with _scratch() as directory:
        author = Station(realm, "node-0", directory, agents=(*agents, "issuer"))
        with author, Station(realm, "node-1", directory) as reader:
            author.post(Ticked())
            author.settle()
            author.meet(reader.id)
            reader.meet(author.id)
            rates = _beside_verify(lambda: _converse(author, reader, count, together), count)
            if reader.store.last_row() != author.store.last_row() or reader.refused:
                raise AssertionError("the reader does not hold what the author wrote")
    return rates


def _converse(author: Station, reader: Station, count: int, together: int) -> None:
    agents = [Inception(signed.record.inception) for signed in author.realm.agents.values()]
    for first in range(0, count, together * len(agents)):
        for place, agent in enumerate(agents):
            start = first + place * together
            drafts = [memory(start + n) for n in range(min(together, max(0, count - start)))]
            author.ask(Author(agent, NAMESPACE, tuple(drafts)))
        author.settle()
        sent, author.sent = author.sent, []
        for payload in sent:
            reader.frame(author.id, payload)
    reader.settle()


@contextmanager
def _receiver(realm: Realm, threads: int = 0) -> Iterator[Station]:
    with _scratch() as directory, Station(realm, "receiver", directory, threads=threads) as station:
        station.meet(SENDER)
        yield station


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hive-bench-") as name:
        yield Path(name)
