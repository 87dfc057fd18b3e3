"""What is measured of each machine: one function a study, one run of one seed each.

A study gives figures (numbers) and curves (distributions, or courses in time) of its world; what
its settings may be stands in `experiments`. All times are virtual but those called `cpu_s`.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from hive.protocol.dissemination.events import Place as DisseminationPlace
from hive.protocol.membership.config import SwimConfig
from hive.wire.clock import SECOND_US

from . import calibration
from .cell_figures import SETTLE_US
from .cells import CellWorld, CellWorldConfig
from .disturbances import Cut
from .draws import MILLION, Draws
from .faults import Weather
from .gossip import INGRESS_US, GossipWorld
from .gossip_figures import meet, one_region, warm
from .lookups import LookupWorld, LookupWorldConfig
from .scenario import load, with_settings
from .statistics import Curve, Quantiles
from .timeline import Timeline
from .topology import Topology, TopologyConfig
from .trial import Case, case_of

Settings = Mapping[str, Any]
CUT_AFTER_S: Final = 10
KILL_GAP_US: Final = 15 * SECOND_US
SCOPES: Final = ("cluster", "region", "global")


@dataclass(slots=True, kw_only=True)
class Measured:
    """What one run of one seed gave."""

    figures: dict[str, float]
    curves: dict[str, Curve] = field(default_factory=dict)
    bars: list[tuple[float, float, str]] = field(default_factory=list)
    digest: str = ""
    events: int = 0
    more: dict[str, Any] = field(default_factory=dict)


Study = Callable[[Settings, int], Measured]


def key_of(seed: int) -> bytes:
    """The seed as the worlds take it."""
    return seed.to_bytes(8, "big")


# Membership.


def detection(settings: Settings, seed: int) -> Measured:
    """Members of a cell die one after another; when the first and when all others know."""
    members, kills = int(settings["members"]), int(settings["kills"])
    config = CellWorldConfig(
        member_count=members, loss_ppm=_ppm(settings["loss"]), swim=swim_of(settings)
    )
    world = CellWorld(config, key_of(seed))
    world.run(SETTLE_US)
    suspected, first, every, last = Quantiles(), Quantiles(), Quantiles(), Quantiles()
    unaware = 0
    for kill in range(kills):
        victim = members - 1 - kill * 7 % (members // 2)
        killed_at = world.engine.now_us
        world.kill(victim)
        world.run(KILL_GAP_US)
        delays = [n.at_us - killed_at for n in world.deaths if n.subject == victim]
        doubts = [n.at_us - killed_at for n in world.suspicions if n.subject == victim]
        unaware += members - kill - 1 - len(delays)
        for sketch, values in ((suspected, doubts[:1]), (first, delays[:1]), (last, delays[-1:])):
            for value in values:
                sketch.add(value)
        for value in delays:
            every.add(value)
    stages = {"first suspicion": suspected, "first verdict": first, "verdict of each": every}
    figures = {
        f"{name} p{share} s": sketch.at(share / 100) / 1e6
        for name, sketch in {**stages, "last verdict": last}.items()
        for share in (50, 90, 99)
    }
    return Measured(
        figures={**figures, "unaware": unaware, "false deaths": len(world.false_deaths())},
        curves={name: sketch.curve(per=1e6) for name, sketch in stages.items()},
        digest=world.engine.digest(),
        events=world.engine.event_count,
    )


def swim_of(settings: Settings) -> SwimConfig:
    """The shipped settings of a LAN, local health left as it is or without any range."""
    config = SwimConfig.for_lan()
    return config if settings.get("health", "on") == "on" else replace(config, health_max=0)


def false_positives(settings: Settings, seed: int) -> Measured:
    """A cell in which nobody dies, with lost packets and members that stand still now and then."""
    members, seconds = int(settings["members"]), int(settings["seconds"])
    config = CellWorldConfig(
        member_count=members,
        loss_ppm=_ppm(settings["loss"]),
        slow_count=int(members * float(settings["slow"])),
        swim=swim_of(settings),
    )
    world = CellWorld(config, key_of(seed))
    world.run(SETTLE_US)
    world.forget_traffic()
    before = len(world.deaths), len(world.suspicions)
    world.run(seconds * SECOND_US)
    deaths, doubts = world.deaths[before[0] :], world.suspicions[before[1] :]
    hours = members * seconds / 3_600
    slow = config.slow_count
    return Measured(
        figures={
            "false deaths a member-hour": len(deaths) / hours,
            "false deaths of healthy members": sum(n.subject >= slow for n in deaths),
            "members falsely dead": len({n.subject for n in deaths}),
            "false suspicions a member-hour": _begun(doubts) / hours,
            "bytes a second": world.median_bytes_sent() / seconds,
        },
        digest=world.engine.digest(),
        events=world.engine.event_count,
    )


def _begun(doubts: list[Any]) -> int:
    """Suspicions, however many observers share each: of one member within one minute."""
    return len({(noted.subject, noted.at_us // (60 * SECOND_US)) for noted in doubts})


# Dissemination.


def dissemination(settings: Settings, seed: int) -> Measured:
    """Deltas of random authors in three regions: when and by how many hops they come."""
    nodes, deltas = int(settings["nodes"]), int(settings["deltas"])
    topology = Topology(TopologyConfig(cluster_count=6))
    world = GossipWorld(
        topology, key_of(seed), frame_loss_ppm=_ppm(settings["loss"]), is_repaired=True
    )
    _populate(world, topology, nodes, key_of(seed))
    warm(world)
    draws, ids = Draws(key_of(seed), "authors"), []
    for _ in range(deltas):
        ids += world.publish(draws.below(nodes))
        world.run(0.3)
    world.run(2)
    at_once = 1 - world.missed(ids) / (len(ids) * max(1, nodes - 1))
    world.run(30)
    crossings = sum(sum(world.fates[id].crossings.values()) for id in ids)
    figures, curves = _deliveries(world, topology, ids)
    return Measured(
        figures={
            **figures,
            "redundancy": world.redundancy(ids),
            "last hop": world.last_hops(ids)[-1],
            "reached before repair": at_once,
            "missed after repair": world.missed(ids),
            "copies between regions a delta": crossings / len(ids),
        },
        curves=curves,
        digest=world.engine.digest(),
        events=world.engine.event_count,
        more={"traffic": _traffic(world)},
    )


def _populate(world: GossipWorld, topology: Topology, nodes: int, key: bytes) -> None:
    draws = Draws(key, "acquaintances")
    for number in range(nodes):
        topology.add_spread(1)
        region = topology.regions[topology.place(number).region]
        world.add(DisseminationPlace(bytes([number % 8]), region, 0))
    for number in range(nodes):
        meet(world, draws, number)
    world.run(15)


def _deliveries(
    world: GossipWorld, topology: Topology, ids: list[bytes]
) -> tuple[dict[str, float], dict[str, Curve]]:
    """By scope, the time of each delivery, and beside it what no overlay can beat: one direct
    link and one ingress."""
    times = {scope: Quantiles() for scope in SCOPES}
    direct = {scope: Quantiles() for scope in SCOPES}
    hops: dict[int, int] = {}
    for id in ids:
        fate = world.fates[id]
        for number, at_us in fate.arrived_at_us.items():
            scope = scope_of(topology, fate.author, number)
            times[scope].add(at_us - fate.made_at_us)
            direct[scope].add(topology.base_us(fate.author, number) + INGRESS_US)
        for count in fate.hops.values():
            hops[count] = hops.get(count, 0) + 1
    figures = {
        f"{scope} p{share} ms": sketch.at(share / 100) / 1e3
        for scope, sketch in times.items()
        for share in (50, 99)
    }
    curves = {scope: sketch.curve(per=1e3) for scope, sketch in times.items()}
    curves |= {f"{scope} direct": sketch.curve(per=1e3) for scope, sketch in direct.items()}
    total = max(1, sum(hops.values()))
    curves["hops"] = [[count, share / total] for count, share in sorted(hops.items())]
    return figures, curves


def scope_of(topology: Topology, one: int, other: int) -> str:
    """How far apart two are."""
    here, there = topology.place(one), topology.place(other)
    if here.cluster == there.cluster:
        return "cluster"
    return "region" if here.region == there.region else "global"


def scaling(settings: Settings, seed: int) -> Measured:
    """One region of so many nodes: time, bytes and memory as the number grows."""
    nodes, deltas = int(settings["nodes"]), int(settings["deltas"])
    before_bytes = peak_bytes()
    world = one_region(nodes, key_of(seed))
    warm(world)
    draws, ids = Draws(key_of(seed), "authors"), []
    sent = world.frame_bytes
    began_us = world.engine.now_us
    for _ in range(deltas):
        ids += world.publish(draws.below(nodes))
        world.run(0.3)
    world.run(2)
    times = Quantiles(world.latencies_us(ids))
    seconds = (world.engine.now_us - began_us) / 1e6
    return Measured(
        figures={
            "p50 ms": times.at(0.5) / 1e3,
            "p99 ms": times.at(0.99) / 1e3,
            "last hop": world.last_hops(ids)[-1],
            "redundancy": world.redundancy(ids),
            "missed": world.missed(ids),
            "bytes a node a second": (world.frame_bytes - sent) / nodes / seconds,
            "rss_bytes": peak_bytes(),
            "bytes_per_node": max(0, peak_bytes() - before_bytes) / nodes,
            "virtual_s": world.engine.now_us / 1e6,
        },
        digest=world.engine.digest(),
        events=world.engine.event_count,
    )


def peak_bytes() -> int:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024


def _traffic(world: GossipWorld) -> dict[str, int]:
    return {pair: row.bytes_count for pair, row in world.network.traffic_table().items()}


# Lookups.


def lookups(settings: Settings, seed: int) -> Measured:
    """Lookups right after a share of the peers died: hops, latency, what was right."""
    config = LookupWorldConfig(
        peer_count=int(settings["peers"]),
        lookup_count=int(settings["lookups"]),
        dead_ppm=_ppm(settings["dead"]),
        loss_ppm=_ppm(settings["loss"]),
    )
    world = LookupWorld(config, key_of(seed))
    done = world.run()
    times, count = Quantiles(one.took_us for one in done), max(1, len(done))
    hops: dict[int, int] = {}
    for one in done:
        if one.hops:
            hops[one.hops] = hops.get(one.hops, 0) + 1
    reached = max(1, sum(hops.values()))
    return Measured(
        figures={
            "hops mean": sum(hop * found for hop, found in hops.items()) / reached,
            "hops max": max(hops, default=0),
            "p50 ms": times.at(0.5) / 1e3,
            "p99 ms": times.at(0.99) / 1e3,
            "ended": len(done) / max(1, sum(r.lookup is not None for r in world.residents)),
            "right": sum(one.is_right for one in done) / count,
            "recall": sum(one.recall for one in done) / count,
            "dead asked a lookup": sum(one.asked_dead_count for one in done) / count,
            "messages a lookup": sum(r.messages_sent for r in world.residents) / count,
        },
        curves={
            "latency ms": times.curve(per=1e3),
            "hops": [[hop, found / reached] for hop, found in sorted(hops.items())],
        },
        digest=world.engine.digest(),
        events=world.engine.event_count,
    )


# Whole peers.


def partition(settings: Settings, seed: int) -> Measured:
    """A third of the nodes is cut off for so many seconds, ten seconds after the warm phase."""
    case = _case("partition", settings, seed)
    phases, count = case.scenario.phases, case.scenario.world.nodes
    cut_s = min(int(settings["cut_s"]), phases.inject_s - CUT_AFTER_S)
    minority = tuple(range(count - max(1, count // 3), count))
    majority = tuple(number for number in range(count) if number not in minority)
    cut = Weather(
        name="partition",
        at_us=(phases.warm_s + CUT_AFTER_S) * SECOND_US,
        for_us=cut_s * SECOND_US,
        disturbance=Cut(sources=minority, destinations=majority),
    )
    return _watched(replace(case, faults=(cut,)))


def churn(settings: Settings, seed: int) -> Measured:
    """Nodes that come and go as the seed draws it, and nothing else wrong."""
    return _watched(_case("churn", settings, seed))


def _case(name: str, settings: Settings, seed: int) -> Case:
    given = {key: str(settings[key]) for key in ("nodes", "inject_s", "writes")}
    alone = {"faults.all": "0", f"faults.{name}": "1"}
    scenario = replace(load(name), faults=())
    return case_of(with_settings(scenario, {**given, **alone}), seed)


def _watched(case: Case) -> Measured:
    scenario, watched = case.scenario, Timeline(case)
    outcome = watched.run()
    healed = float(scenario.phases.warm_s + scenario.phases.inject_s)
    return Measured(
        figures={
            "violations": len(outcome.violations),
            "virtual_s": outcome.virtual_us / 1e6,
            **({} if outcome.converged_us is None else {"converged_s": outcome.converged_us / 1e6}),
            "stale share mean": watched.mean("stale entries", healed),
            "population mean": watched.mean("nodes up", healed),
        },
        curves=watched.curves,
        bars=watched.bars(),
        digest=outcome.digest,
        events=outcome.event_count,
        more={
            "checked": outcome.checked,
            "violations": outcome.to_plain()["violations"],
            "traffic": outcome.traffic,
            "faults": outcome.faults,
        },
    )


def engine(settings: Settings, seed: int) -> Measured:
    """Engine and network by themselves, under loss, duplication and bursts."""
    began = time.process_time()
    measured = calibration.measure(
        int(settings["entities"]), int(settings["seconds"]), key_of(seed)
    )
    cpu_s = max(1e-9, time.process_time() - began)
    return Measured(
        figures={
            "events_per_cpu_s": measured.event_count / cpu_s,
            "virtual_s": float(settings["seconds"]),
            "rss_bytes": peak_bytes(),
        },
        digest=measured.digest,
        events=measured.event_count,
    )


def _ppm(share: object) -> int:
    return round(float(str(share)) * MILLION)
