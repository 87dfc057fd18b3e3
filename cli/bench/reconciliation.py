"""Bytes and processor time of comparing 10^6 deltas, beside the anchors, for `hive bench network`.

Two real reconcilers talk in their real bytes over an instant wire; what they read is a sorted
array of (stamp, id, state) instead of a disk, and nothing is fetched: a talk ends when both sides
know what the other lacks and have asked for all of it (at once; a node asks in pieces). Ids are
random, stamps lie evenly over 30 days: `spread` differs in deltas of any time (ends of chains that
ended then), `newest` in the last of all, `nothing` in none, all three in more chains than heads
are compared of; `heads` in the ends of twenty chains. Half of the differences are on either side.
The processor time of a side counts the talk; the goal also counts the first scan, which a running
node has behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from time import process_time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hive.memory.log import Head, State
from hive.protocol.machine import Received, Send, Ticked
from hive.protocol.ports import LINE_BYTES
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.digests import HEADS_COMPARED_MAX
from hive.protocol.reconciliation.events import Event, PeerConnected, ReconcileRequested
from hive.protocol.reconciliation.messages import Pull, WantChains
from hive.protocol.reconciliation.reconciler import Reconciler
from hive.store.memory_store import MemoryStore
from hive.wire.clock import SECOND_US, Hlc, MonotonicUs, Now, WallUs
from hive.wire.ids import DeltaId, Digest, Inception, PeerId, digest
from hive.wire.randomness import Stream
from hive.wire.schema import label_of_untrusted

Lines = NDArray[np.void]

_LAYOUT: Final = np.dtype([("stamp", ">u8"), ("id", "u1", 32), ("state", "u1")])
NAMESPACE: Final = "bench/all"
NOBODY: Final = Inception(b"n" * 32)
PEERS: Final = (PeerId(b"a" * 20), PeerId(b"b" * 20))
FIRST_STAMP: Final = 1_800_000_000_000 << 16
SPAN_MS: Final = 30 * 86_400_000
FEW_CHAINS: Final = 20
BOUND: Final = 6.9
"""Bytes a difference that 64-bit ids cost at least, for 10^3 of 10^6."""


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison: the anchor's bytes (a difference, or in all) and the goal for ours."""

    name: str
    per_difference: bool
    anchor_bytes: float
    goal_bytes: float
    goal_cpu_s: float = 1.5


CASES: Final = (
    Case("newest", True, 35.0, 14.0),
    Case("spread", True, 1_366.0, 55.0),
    Case("nothing", False, 353.0, 100.0),
    Case("heads", True, 35.0, 14.0),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one case took."""

    name: str
    differences: int
    found: int
    bytes_total: int
    bytes_each: float
    cpu_s_a_side: float
    messages: int
    anchor_bytes: float
    goal_bytes: float
    goal_met: bool


@dataclass(frozen=True, slots=True)
class ReconciliationReport:
    """What the benchmark prints."""

    deltas_count: int
    differences_count: int
    scan_cpu_s: float
    outcomes: tuple[Outcome, ...] = field(default_factory=tuple)

    @property
    def goal_met(self) -> bool:
        """Every goal of FIGURES on reconciliation."""
        return all(outcome.goal_met for outcome in self.outcomes)

    def as_dict(self) -> dict[str, object]:
        """Plain values for `--json`."""
        return {**asdict(self), "bound_bytes": BOUND, "goal_met": self.goal_met}

    def text(self) -> str:
        """A table for people."""
        lines = [
            f"reconciling {self.differences_count} differences in {self.deltas_count} deltas "
            f"(bound {BOUND} B each; negentropy as FIGURES quotes it)",
            f"{'case':10}{'B/diff':>9}{'bytes':>9}{'cpu-s':>8}{'messages':>10}"
            f"{'negentropy':>12}{'goal':>7}",
        ]
        for each in self.outcomes:
            lines.append(
                f"{each.name:10}{each.bytes_each:9.1f}{each.bytes_total:9}{each.cpu_s_a_side:8.2f}"
                f"{each.messages:10}{each.anchor_bytes:12.0f}{each.goal_bytes:7.0f}"
                f"  {'met' if each.goal_met else 'missed'}"
            )
        lines.append(f"first scan of one side: {self.scan_cpu_s:.2f} cpu-s, once")
        return "\n".join(lines)


class ArrayStore(MemoryStore):
    """A store that answers what reconciliation asks from sorted lines of a time index."""

    def __init__(self, lines: Lines, heads: Sequence[Head]) -> None:
        super().__init__()
        self._stamps = lines["stamp"].astype(np.uint64)
        self._run = lines.tobytes()
        self._few = {head.chain: head for head in heads}

    def lines(self, namespace: str, first: Hlc, last: Hlc, count_max: int) -> bytes:
        """See `StoreReader`; so for every method below."""
        start = int(np.searchsorted(self._stamps, np.uint64(first)))
        end = int(np.searchsorted(self._stamps, np.uint64(last), side="right"))
        return self._run[start * LINE_BYTES : min(end, start + count_max) * LINE_BYTES]

    def heads(self, namespace: str, count_max: int | None = None) -> tuple[Head, ...]:
        return tuple(self._few[chain] for chain in sorted(self._few))[:count_max]

    def head(self, chain: Digest) -> Head | None:
        return self._few.get(chain)

    def namespaces(self) -> tuple[str, ...]:
        return (NAMESPACE,)


def measure(
    deltas_count: int = 1_000_000, differences_count: int = 1_000, seed: int = 1
) -> ReconciliationReport:
    """Compares in every way, in one process; some ten seconds."""
    whole = _lines(deltas_count, seed)
    sides = {
        "newest": _split(whole, np.arange(deltas_count - differences_count, deltas_count)),
        "spread": _split(whole, _sample(deltas_count, differences_count, seed)),
        "nothing": (whole, whole),
        "heads": _split(whole, np.arange(deltas_count - differences_count, deltas_count)),
    }
    outcomes, scans = [], []
    for case in CASES:
        behind = differences_count // FEW_CHAINS if case.name == "heads" else 0
        talk = Talk(*sides[case.name], deltas_count, behind)
        scans.append(talk.scan())
        talk.compare()
        outcomes.append(_outcome(case, talk, differences_count, scans[-1]))
    return ReconciliationReport(deltas_count, differences_count, max(scans), tuple(outcomes))


def _lines(count: int, seed: int) -> Lines:
    random = np.random.default_rng(seed)
    stamps = np.sort(random.integers(0, SPAN_MS, count, dtype=np.uint64)) << np.uint64(16)
    found = np.zeros(count, _LAYOUT)
    found["stamp"] = stamps + np.uint64(FIRST_STAMP)
    found["id"] = random.integers(0, 256, (count, 32), dtype=np.uint8)
    found["state"] = State.LIVE
    return found


def _sample(count: int, chosen: int, seed: int) -> NDArray[np.int64]:
    random = np.random.default_rng(seed + 1)
    return np.sort(random.choice(count, chosen, replace=False))


def _split(whole: Lines, differing: NDArray[np.int64]) -> tuple[Lines, Lines]:
    """Every other difference is held by one side only, the rest by the other."""
    return np.delete(whole, differing[::2]), np.delete(whole, differing[1::2])


class Talk:
    """Two reconcilers on an instant wire; what each spends and says is counted."""

    def __init__(self, one: Lines, two: Lines, deltas_count: int, behind: int) -> None:
        hour_us = 3_600 * SECOND_US
        config = ReconciliationConfig(
            greeting_us=hour_us,
            round_interval_us=hour_us,
            ask_deltas_first=1_024,
            ask_deltas_max=1_024,
        )
        self._now_us = SECOND_US
        self._machines = {}
        for side, lines in zip(PEERS, (one, two), strict=True):
            heads = _heads(deltas_count, PEERS.index(side), behind)
            store = ArrayStore(lines, heads)
            stream = Stream(b"bench", "reconciliation", side)
            self._machines[side] = Reconciler(config, store, lambda peer, namespace: True, stream)
        self.cpu_s = dict.fromkeys(PEERS, 0.0)
        self.sent: list[bytes] = []
        self._wire: deque[tuple[PeerId, bytes]] = deque()
        for side in PEERS:
            self._feed(side, PeerConnected(_other(side)))

    def scan(self) -> float:
        """Both sides hash what they hold, as a node does at its first greeting."""
        for side in PEERS:
            self._feed(side, ReconcileRequested(_other(side)))
        self._run(until_us=31 * SECOND_US, wants_answers=False)
        spent = max(self.cpu_s.values())
        self.cpu_s = dict.fromkeys(PEERS, 0.0)
        self._wire.clear()
        self.sent.clear()
        return spent

    def compare(self) -> None:
        """One talk, from the probe to the first asks."""
        self._feed(PEERS[0], ReconcileRequested(PEERS[1]))
        self._run(until_us=60 * SECOND_US, wants_answers=True)

    def _run(self, until_us: int, *, wants_answers: bool) -> None:
        end_us = self._now_us + until_us
        while self._now_us < end_us:
            while self._wire and wants_answers:
                sender, payload = self._wire.popleft()
                self._feed(_other(sender), Received(sender, payload))
            dues = [machine.deadline for machine in self._machines.values()]
            next_us = min((due for due in dues if due is not None), default=end_us)
            self._now_us = min(end_us, max(self._now_us, next_us))
            for side in PEERS:
                self._feed(side, Ticked())

    def _feed(self, side: PeerId, event: Event) -> None:
        now = Now(MonotonicUs(self._now_us), WallUs(self._now_us))
        begun = process_time()
        effects = self._machines[side].handle(event, now)
        self.cpu_s[side] += process_time() - begun
        for effect in effects:
            if isinstance(effect, Send):
                self.sent.append(effect.payload)
                self._wire.append((side, effect.payload))

    def asked_count(self) -> int:
        """Deltas asked for by both sides."""
        found = 0
        for payload in self.sent:
            match label_of_untrusted(payload):
                case Pull.LABEL:
                    found += Pull.from_body_untrusted(payload).count
                case WantChains.LABEL:
                    ranges = WantChains.from_body_untrusted(payload).ranges
                    found += sum(each.last - each.first + 1 for each in ranges)
        return found


def _other(side: PeerId) -> PeerId:
    return PEERS[1 - PEERS.index(side)]


def _heads(deltas_count: int, side: int, behind: int) -> list[Head]:
    """Twenty chains, each side behind in half of them; else as many as nobody compares."""
    count = FEW_CHAINS if behind else HEADS_COMPARED_MAX + 1
    length = deltas_count // count
    found = []
    for number in range(count):
        chain = digest("bench/chain", number.to_bytes(4, "big"))
        end = length - (behind if number % 2 == side else 0)
        id = DeltaId(digest("bench/end", chain + end.to_bytes(8, "big")))
        found.append(Head(chain, NAMESPACE, NOBODY, NOBODY, end, id, Hlc(FIRST_STAMP)))
    return found


def _outcome(case: Case, talk: Talk, differences: int, scan_s: float) -> Outcome:
    differences = 0 if case.name == "nothing" else differences
    total = sum(map(len, talk.sent))
    each = total / differences if differences else float(total)
    cpu_s = max(talk.cpu_s.values())
    found = talk.asked_count()
    return Outcome(
        case.name,
        differences,
        found,
        total,
        each,
        cpu_s,
        len(talk.sent),
        case.anchor_bytes,
        case.goal_bytes,
        found == differences and each <= case.goal_bytes and cpu_s + scan_s <= case.goal_cpu_s,
    )
