"""The figures of membership: how fast deaths are noticed, who dies falsely, what quiet costs.

`measure` takes them all; each part can be taken alone. All times are virtual.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Final

from hive.protocol.membership.config import SwimConfig
from hive.wire.clock import MILLISECOND_US, SECOND_US

from .cells import CellWorld, CellWorldConfig, percentile
from .disturbances import Loss

SETTLE_US: Final = 10 * SECOND_US
HOUR_S: Final = 3_600


@dataclass(frozen=True, slots=True)
class Detection:
    """From the kill to the verdict, over all observers of all kills; times in milliseconds."""

    kill_count: int
    observer_count: int
    unaware_count: int
    p50_ms: int
    p99_ms: int
    first_p50_ms: int
    last_p99_ms: int
    false_deaths: int


@dataclass(frozen=True, slots=True)
class Endurance:
    """What faults and liars did in so much time; a verdict of one observer is one false death."""

    seconds: int
    false_deaths: int
    suspicions_begun: int
    bytes_per_second: int


@dataclass(frozen=True, slots=True)
class HalfConnected:
    """Traffic of a whole cell with one half-connected member, in permille of that without."""

    seconds: int
    extra_permille: int
    false_deaths: int


@dataclass(frozen=True, slots=True)
class MembershipFigures:
    """All of them, each beside its goal in `goals`."""

    cell: Detection
    ring: Detection
    quiet_bytes_per_second: int
    endurance: Endurance
    half_connected: HalfConnected

    def goals(self) -> dict[str, bool]:
        """Which of the goals are met."""
        return {
            "cell p50 <= 6 s": self.cell.p50_ms <= 6_000,
            "cell p99 <= 9 s": self.cell.p99_ms <= 9_000,
            "ring p99 <= 12 s": self.ring.p99_ms <= 12_000,
            "quiet <= 300 B/s": self.quiet_bytes_per_second <= 300,
            "no false death": self.endurance.false_deaths == 0,
            "half-connected adds < 5 %": self.half_connected.extra_permille < 50,
            "half-connected < 1 false death an hour": self.half_connected.false_deaths == 0,
        }

    def as_dict(self) -> dict[str, object]:
        """Plain values, for `--json`."""
        return {**asdict(self), "goals": self.goals()}


def measure_detection(config: CellWorldConfig, kills: int, gap_us: int, seed: bytes) -> Detection:
    """Kills one member after another and waits until everybody should know."""
    world = CellWorld(config, seed)
    world.run(SETTLE_US)
    every: list[int] = []
    firsts: list[int] = []
    lasts: list[int] = []
    observers = 0
    for kill in range(kills):
        victim = config.member_count - 1 - kill
        killed_at = world.engine.now_us
        world.kill(victim)
        world.run(gap_us)
        delays = [noted.at_us - killed_at for noted in world.deaths if noted.subject == victim]
        observers += config.member_count - kill - 1
        every += delays
        firsts += delays[:1]
        lasts += delays[-1:]
    return Detection(
        kills,
        observers,
        observers - len(every),
        percentile(every, 50) // MILLISECOND_US,
        percentile(every, 99) // MILLISECOND_US,
        percentile(firsts, 50) // MILLISECOND_US,
        percentile(lasts, 99) // MILLISECOND_US,
        len(world.false_deaths()),
    )


def cell_detection(member_count: int = 512, kills: int = 40, seed: bytes = b"cell") -> Detection:
    """A cell on one site, without faults but the kills."""
    return measure_detection(
        CellWorldConfig(member_count=member_count), kills, 15 * SECOND_US, seed
    )


def ring_detection(member_count: int = 78, kills: int = 25, seed: bytes = b"ring") -> Detection:
    """The ring of all clusters: 250 ms round trip, 2 % loss."""
    config = CellWorldConfig(
        member_count=member_count,
        one_way_us=125 * MILLISECOND_US,
        loss_ppm=20_000,
        swim=SwimConfig.for_internet(),
    )
    return measure_detection(config, kills, 20 * SECOND_US, seed)


def quiet_bytes(member_count: int = 512, seconds: int = 60, seed: bytes = b"quiet") -> int:
    """Bytes a second on the wire that the median member sends while nothing happens."""
    world = CellWorld(CellWorldConfig(member_count=member_count), seed)
    world.run(SETTLE_US)
    world.forget_traffic()
    world.run(seconds * SECOND_US)
    return world.median_bytes_sent() // seconds


def endurance(
    member_count: int = 512, seconds: int = HOUR_S, seed: bytes = b"endurance"
) -> Endurance:
    """5 % loss, 10 % slow members, 10 % lying accusers."""
    tenth = member_count // 10
    config = CellWorldConfig(
        member_count=member_count, loss_ppm=50_000, slow_count=tenth, liar_count=tenth
    )
    world = CellWorld(config, seed)
    world.run(SETTLE_US)
    world.forget_traffic()
    world.run(seconds * SECOND_US)
    sent = world.median_bytes_sent() // seconds
    return Endurance(seconds, len(world.false_deaths()), len(world.suspicions), sent)


def half_connected(
    member_count: int = 512, seconds: int = HOUR_S, seed: bytes = b"half"
) -> HalfConnected:
    """One member loses half of what it sends, in a cell where nothing else is wrong."""
    sent: list[int] = []
    false_deaths = 0
    for is_faulty in (False, True):
        world = CellWorld(CellWorldConfig(member_count=member_count), seed)
        if is_faulty:
            world.network.begin("half", Loss(sources=(0,), rate_ppm=500_000), 0)
        world.run(SETTLE_US)
        world.forget_traffic()
        world.run(seconds * SECOND_US)
        sent.append(world.total_bytes_sent())
        false_deaths += len(world.false_deaths())
    return HalfConnected(seconds, sent[1] * 1_000 // sent[0] - 1_000, false_deaths)


def measure(member_count: int = 512, kills: int = 40, seconds: int = 600) -> MembershipFigures:
    """Every figure; `seconds` of virtual time for the long ones."""
    return MembershipFigures(
        cell_detection(member_count, kills),
        ring_detection(),
        quiet_bytes(member_count),
        endurance(member_count, seconds),
        half_connected(member_count, seconds),
    )


def main(arguments: list[str]) -> None:
    """`python -m simulations.cell_figures [MEMBERS] [KILLS] [SECONDS]` prints them as JSON."""
    numbers = [int(argument) for argument in arguments]
    print(json.dumps(measure(*numbers).as_dict(), indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
