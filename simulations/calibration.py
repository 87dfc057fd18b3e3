"""What the engine and network cost by themselves: entities that only probe each other.

`python -m simulations.calibration [ENTITIES] [SECONDS] [SEED]` prints the history's digest on
stdout and events per cpu-second on stderr; `.ci/check` compares digests of several processes.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Final

from .disturbances import Burst, Duplicate, Loss
from .draws import Draws, entity_key
from .engine import Engine
from .network import Network
from .topology import Topology, TopologyConfig

PERIOD_US: Final = 1_000_000
PROBE, ANSWER, TICK = 1, 2, 3
PROBE_BYTES: Final = 100


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: what happened, and what it cost."""

    digest: str
    event_count: int
    answer_count: int
    cpu_s: float


class Probing:
    """A world whose entities ask one drawn other each second and answer who asks."""

    def __init__(self, entity_count: int, seed: bytes) -> None:
        topology = Topology(TopologyConfig(cluster_count=26))
        topology.add_spread(entity_count)
        self.network = Network(topology, seed)
        self.engine = Engine(self._deliver, entity_count)
        self.answer_count = 0
        self._count = entity_count
        self._draws = [Draws(seed, "probing", entity_key(n)) for n in range(entity_count)]
        for number, draws in enumerate(self._draws):
            self.engine.post(draws.below(PERIOD_US), number, number, TICK, TICK)

    def _deliver(self, destination: int, source: int, event: int) -> None:
        if event == TICK:
            other = self._draws[destination].below(self._count)
            self.engine.post(PERIOD_US, destination, destination, TICK, TICK)
            self._send(destination, other, PROBE)
        elif event == PROBE:
            self._send(destination, source, ANSWER)
        else:
            self.answer_count += 1

    def _send(self, source: int, destination: int, kind: int) -> None:
        now_us = self.engine.now_us
        packet = self.network.packet(source, destination, PROBE_BYTES, now_us)
        if not packet.is_lost:
            self.engine.post(packet.at_us - now_us, destination, source, kind, kind)
        for at_us in packet.copies_at_us:
            self.engine.post(at_us - now_us, destination, source, kind, kind)


def measure(entity_count: int, seconds: int, seed: bytes, is_disturbed: bool = True) -> Measured:
    """Runs the world for so many virtual seconds, by default under loss and duplication."""
    world = Probing(entity_count, seed)
    if is_disturbed:
        end_us = seconds * PERIOD_US
        world.network.begin("loss", Loss(rate_ppm=20_000), end_us)
        world.network.begin("again", Duplicate(rate_ppm=10_000, delay_us=500_000), end_us)
        burst = Burst(enter_ppm=1_000, leave_ppm=100_000, rate_ppm=800_000)
        world.network.begin("bursts", burst, end_us)
    began = time.process_time()
    world.engine.run(seconds * PERIOD_US)
    cpu_s = time.process_time() - began
    return Measured(world.engine.digest(), world.engine.event_count, world.answer_count, cpu_s)


def main() -> None:
    """Prints the digest, and what it cost."""
    given = [int(argument) for argument in sys.argv[1:4]]
    entity_count, seconds, seed = (*given, *(1_000, 30, 1)[len(given) :])
    measured = measure(entity_count, seconds, seed.to_bytes(8, "big"))
    print(measured.digest)
    rate = measured.event_count / max(measured.cpu_s, 1e-9)
    print(f"{measured.event_count} events, {rate:,.0f} a cpu-second", file=sys.stderr)


if __name__ == "__main__":
    main()
