"""A fleet over worker processes, and what it came to.

Worker w of n holds every n-th cell. Nothing passes between cells, so the processes need not meet;
the digest is that of all traces in the order of entities, and the same for any number of workers.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from hive.errors import StateError
from hive.wire.clock import SECOND_US

from .cells import percentile
from .engine import digest_of
from .fleet import Fleet
from .pool import Died, Pool
from .settlement import FleetConfig

LEAVES_OUT: Final = "discovery and rail idle; cells do not talk to each other"
_KIB: Final = 1_024


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker is asked to run."""

    config: FleetConfig
    seed: int
    seconds: int
    worker: int
    worker_count: int


@dataclass(frozen=True, slots=True)
class Ran:
    """What one worker's cells came to; traces are those of its own entities, by number."""

    traces: dict[int, int]
    event_count: int
    written_count: int
    delivered_count: int
    missed_count: int
    false_death_count: int
    delays_us: list[int]
    bytes_per_s: list[int]
    settle_cpu_s: float
    run_cpu_s: float
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class FleetReport:
    """One run of a fleet; times in virtual milliseconds unless they say cpu or wall."""

    peer_count: int
    seconds: int
    seed: int
    worker_count: int
    digest: str
    event_count: int
    events_per_cpu_s: float
    cpu_us_per_peer_second: float
    settle_cpu_s: float
    run_cpu_s: float
    wall_s: float
    resident_bytes_per_peer: float
    written_count: int
    delivered_count: int
    missed_count: int
    false_death_count: int
    delivery_p50_ms: float
    delivery_p99_ms: float
    median_bytes_per_s: int
    leaves_out: str = LEAVES_OUT

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `--json` and rows."""
        return asdict(self)

    def text(self) -> str:
        """For people."""
        return "\n".join(
            [
                f"{self.peer_count} whole peers, {self.seconds} virtual seconds, "
                f"seed {self.seed}, {self.worker_count} workers ({self.leaves_out})",
                f"{self.event_count} events, {self.events_per_cpu_s:,.0f} a cpu-second, "
                f"{self.cpu_us_per_peer_second:.0f} cpu-us a peer and second; "
                f"{self.run_cpu_s:.0f} cpu-s, {self.wall_s:.0f} s on the wall, "
                f"settling included",
                f"{self.resident_bytes_per_peer / 1e3:.1f} kB resident a peer; "
                f"{self.median_bytes_per_s} B/s sent by the median peer",
                f"{self.written_count} deltas written, {self.delivered_count} deliveries, "
                f"{self.missed_count} missed; p50 {self.delivery_p50_ms:.1f} ms, "
                f"p99 {self.delivery_p99_ms:.1f} ms; {self.false_death_count} false deaths",
                f"history {self.digest}",
            ]
        )


def run_share(share: Share) -> Ran:
    """Settles and runs the cells of one worker."""
    began, before = time.process_time(), _resident_bytes()
    cells = range(share.worker, share.config.cell_count, share.worker_count)
    fleet = Fleet(share.config, share.seed.to_bytes(8, "big"), cells)
    gc.collect()
    gc.freeze()  # what was settled stays: the collector need not walk it again and again
    settled = time.process_time()
    try:
        fleet.run(share.seconds * SECOND_US)
    finally:
        gc.unfreeze()
    ended = time.process_time()
    spreads = list(fleet.spreads.values())
    wanted = [len(fleet.settlement.numbers(spread.cell)) - 1 for spread in spreads]
    held = [len(spread.delays_us) for spread in spreads]
    return Ran(
        traces={number: fleet.engine.traces[number] for number in fleet.settlers},
        event_count=fleet.engine.event_count,
        written_count=fleet.written_count,
        delivered_count=sum(held),
        missed_count=sum(wanted) - sum(held),
        false_death_count=fleet.death_count,
        delays_us=[delay for spread in spreads for delay in spread.delays_us],
        bytes_per_s=[each.bytes_sent // share.seconds for each in fleet.settlers.values()],
        settle_cpu_s=settled - began,
        run_cpu_s=ended - settled,
        resident_bytes=_resident_bytes() - before,
    )


def run_fleet(
    config: FleetConfig,
    seed: int,
    seconds: int,
    worker_count: int = 1,
    on_share: Callable[[], object] = lambda: None,
) -> FleetReport:
    """The whole fleet; raises `StateError` where a worker died."""
    shares = [Share(config, seed, seconds, w, worker_count) for w in range(worker_count)]
    began = time.perf_counter()
    rans: list[Ran] = []
    if worker_count == 1:
        rans.append(run_share(shares[0]))
        on_share()
    else:
        with Pool(run_share, worker_count) as pool:
            for share, ran in pool.run(shares):
                if isinstance(ran, Died):
                    raise StateError(
                        f"worker {share.worker} died with exit code {ran.exit_code}",
                        hint="the fleet may be too large for this machine's memory",
                    )
                rans.append(ran)
                on_share()
    return _report(config, seed, seconds, rans, time.perf_counter() - began)


def _report(
    config: FleetConfig, seed: int, seconds: int, rans: list[Ran], wall_s: float
) -> FleetReport:
    traces = {number: trace for ran in rans for number, trace in ran.traces.items()}
    delays = [delay for ran in rans for delay in ran.delays_us]
    events, cpu_s = sum(ran.event_count for ran in rans), sum(ran.run_cpu_s for ran in rans)
    return FleetReport(
        peer_count=config.peer_count,
        seconds=seconds,
        seed=seed,
        worker_count=len(rans),
        digest=digest_of([traces[number] for number in range(config.peer_count)]),
        event_count=events,
        events_per_cpu_s=events / cpu_s,
        cpu_us_per_peer_second=cpu_s * 1e6 / config.peer_count / seconds,
        settle_cpu_s=sum(ran.settle_cpu_s for ran in rans),
        run_cpu_s=cpu_s,
        wall_s=wall_s,
        resident_bytes_per_peer=sum(ran.resident_bytes for ran in rans) / config.peer_count,
        written_count=sum(ran.written_count for ran in rans),
        delivered_count=sum(ran.delivered_count for ran in rans),
        missed_count=sum(ran.missed_count for ran in rans),
        false_death_count=sum(ran.false_death_count for ran in rans),
        delivery_p50_ms=percentile(delays, 50) / 1e3,
        delivery_p99_ms=percentile(delays, 99) / 1e3,
        median_bytes_per_s=percentile([each for ran in rans for each in ran.bytes_per_s], 50),
    )


def _resident_bytes() -> int:
    """The most that this process ever held in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
