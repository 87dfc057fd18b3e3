"""One trial: a case (scenario, seed, faults and deeds as data) is run and judged.

Theory of operation. A case is complete: nothing is drawn while it runs but by streams keyed by
its seed. Three phases. *Warm*: everybody starts and joins. *Inject*: faults and users, while the
checks look on. *Heal*: all faults end, every node runs, users rest; within its bound the hive
must become one, and then the last checks are made.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from hive.errors import ConfigError
from hive.node.config import NodeConfig
from hive.node.presets import peer_config
from hive.protocol.events import Endpoint
from hive.protocol.peer import Peer
from hive.wire.clock import SECOND_US
from hive.wire.ids import Inception
from hive.wire.randomness import Stream

from . import faults as fault_data
from . import users as deed_data
from .disturbances import Loss
from .draws import MILLION
from .engine import Journal
from .faults import Fault, start_again
from .federation import found
from .liars import LIES, wrap
from .nodes import Identity
from .promises import NOT_BUILT, Promises, Violation
from .scenario import SCENARIOS, Scenario, of_plain, to_plain
from .swarm import Ground, draw_faults
from .topology import Topology, TopologyConfig, matrix_of_round_trips
from .users import Deed, Revoke, draw_deeds
from .world import Make, World

CASE_VERSION: Final = 1
FEDERATION_COUNT: Final = 8
"""Different sets of keys; records of one set are signed once a process."""

Alter = Callable[[World], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything that a run depends on."""

    scenario: Scenario
    seed: int
    faults: tuple[Fault, ...]
    deeds: tuple[Deed, ...]

    def to_json(self) -> str:
        """The case as a file."""
        data = {
            "version": CASE_VERSION,
            "name": self.scenario.name,
            "seed": self.seed,
            "scenario": to_plain(self.scenario),
            "matrix": self.scenario.matrix_text,
            "faults": [fault_data.plain(fault) for fault in self.faults],
            "deeds": [deed_data.plain(deed) for deed in self.deeds],
        }
        return json.dumps(data, indent=1)


def parse_case(text: str) -> Case:
    """A case from its file. ConfigError: of another version, or damaged."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"line {error.lineno}: no case: {error.msg}") from None
    version = data.get("version") if isinstance(data, dict) else None
    if version != CASE_VERSION:
        raise ConfigError(
            f"line {_line_of(text, 'version')}: the case is of version {version}, "
            f"this is {CASE_VERSION}",
            hint="run it with the hive that wrote it, or sweep its scenario and seed again",
        )
    try:
        scenario = of_plain(data["scenario"], str(data["name"]), SCENARIOS)
        return Case(
            scenario=replace(scenario, matrix_text=str(data["matrix"])),
            seed=int(data["seed"]),
            faults=tuple(fault_data.parse(each) for each in data["faults"]),
            deeds=tuple(deed_data.parse(each) for each in data["deeds"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the case lacks or garbles {error}") from None


def _line_of(text: str, key: str) -> int:
    for number, line in enumerate(text.splitlines(), 1):
        if f'"{key}"' in line:
            return number
    return 1


def case_of(scenario: Scenario, seed: int) -> Case:
    """The case that a seed draws in a scenario."""
    world, phases = scenario.world, scenario.phases
    key = _key(seed)
    first = phases.warm_s * SECOND_US
    last = first + phases.inject_s * SECOND_US
    ground = Ground(_topology(scenario, seed, world.nodes), world.nodes, first, last)
    return Case(
        scenario=scenario,
        seed=seed,
        faults=draw_faults(key, scenario.chances_ppm, ground),
        deeds=draw_deeds(key, scenario.users, world.orgs, world.nodes, (first, last)),
    )


def _key(seed: int) -> bytes:
    return seed.to_bytes(8, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a case."""

    scenario: str
    seed: int
    digest: str
    violations: tuple[Violation, ...]
    checked: dict[str, int]
    sometimes: dict[str, int]
    faults: dict[str, int]
    event_count: int
    virtual_us: int
    converged_us: int | None
    cpu_s: float
    traffic: dict[str, int]

    @property
    def is_good(self) -> bool:
        """Whether no promise was broken."""
        return not self.violations

    def to_plain(self) -> dict[str, Any]:
        """One row of a report."""
        return {
            "scenario": self.scenario,
            "seed": self.seed,
            "digest": self.digest,
            "violations": [
                {"promise": v.promise, "at_us": v.at_us, "node": v.node, "text": v.text}
                for v in self.violations
            ],
            "checked": self.checked,
            "sometimes": self.sometimes,
            "faults": self.faults,
            "event_count": self.event_count,
            "virtual_us": self.virtual_us,
            "converged_us": self.converged_us,
            "cpu_s": round(self.cpu_s, 4),
            "traffic": self.traffic,
        }


def standing(promise: str, checked: int) -> str:
    """How a promise stands in reports."""
    if promise in NOT_BUILT:
        return "not built yet"
    return f"checked {checked} times" if checked else "never exercised"


class Trial:
    """One world on its way through its phases."""

    def __init__(
        self,
        case: Case,
        *,
        make: Make = Peer,
        alter: Alter | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.case = case
        scenario = case.scenario
        self.world = _build(case, make, journal)
        self.liars = _choose_liars(case, self.world)
        if alter is not None:
            alter(self.world)
        self.promises = Promises(self.world, self.liars)
        self.world.watchers.append(self.promises)
        self._loss = Loss(rate_ppm=int(scenario.world.loss * MILLION))
        self._active: dict[int, Fault] = {}
        self._fault_counts: dict[str, int] = {}

    def run(self, on_second: Callable[[int], None] = lambda _: None) -> Outcome:
        """All phases."""
        began = time.process_time()
        world, phases = self.world, self.case.scenario.phases
        if self._loss.rate_ppm:
            world.network.begin("always", self._loss, 0)
        self._start()
        for at_us, action in self._timeline():
            world.run(at_us)
            action()
        world.run((phases.warm_s + phases.inject_s) * SECOND_US)
        self._heal()
        healed_us = world.now_us
        left = self.promises.unconverged()
        while left and world.now_us < healed_us + phases.converge_s * SECOND_US:
            world.run(world.now_us + SECOND_US)
            on_second(world.now_us)
            left = self.promises.unconverged()
        self.promises.conclude(left)
        converged_us = None if left else world.now_us - healed_us
        return self._outcome(converged_us, time.process_time() - began)

    def _start(self) -> None:
        """In turn, a tenth of a second apart, each greeting some who run already."""
        stream = Stream(_key(self.case.seed), "bootstrap")
        for node in self.world.nodes:
            self.world.run(node.number * SECOND_US // 10)
            earlier = self.world.nodes[: node.number]
            known = [other.identity.endpoint for other in stream.sample(earlier, 3)]
            self.world.start(node, known)

    def _timeline(self) -> list[tuple[int, Callable[[], None]]]:
        """Everything that the world does, by time; what is due at once keeps its order."""
        actions: list[tuple[int, int, int, Callable[[], None]]] = []
        for number, fault in enumerate(self.case.faults):
            actions.append((fault.at_us, 1, number, self._beginning(number, fault)))
            actions.append((fault.ends_us, 0, number, self._ending(number, fault)))
        for number, deed in enumerate(self.case.deeds):
            actions.append((deed.at_us, 2, number, self._doing(deed)))
        return [(at_us, act) for at_us, _, _, act in sorted(actions, key=lambda each: each[:3])]

    def _beginning(self, number: int, fault: Fault) -> Callable[[], None]:
        def begin() -> None:
            self._active[number] = fault
            self._fault_counts[fault.name] = self._fault_counts.get(fault.name, 0) + 1
            fault.begin(self.world)
            self.promises.begun(fault)
            if fault.ends_us == fault.at_us:
                self._ending(number, fault)()

        return begin

    def _ending(self, number: int, fault: Fault) -> Callable[[], None]:
        def end() -> None:
            if self._active.pop(number, None) is not None:
                fault.end(self.world)
                self.promises.ended(fault)

        return end

    def _doing(self, deed: Deed) -> Callable[[], None]:
        def do() -> None:
            node = self.world.nodes[deed.node]
            if not node.is_up or not node.may_author:
                self.world.note("deed at a node that is down")
                return
            deed.do(self.world, node)
            if isinstance(deed, Revoke):
                agent = self.world.nodes[deed.of].identity.agents[0]
                self.promises.revoked(Inception(agent.record.inception))

        return do

    def _heal(self) -> None:
        for number, fault in list(self._active.items()):
            self._ending(number, fault)()
        self.world.network.heal()
        for node in self.world.nodes:
            start_again(self.world, node)

    def _outcome(self, converged_us: int | None, cpu_s: float) -> Outcome:
        world = self.world
        traffic = world.network.traffic_table()
        return Outcome(
            scenario=self.case.scenario.name,
            seed=self.case.seed,
            digest=world.engine.digest(),
            violations=tuple(self.promises.violations),
            checked=dict(self.promises.checked),
            sometimes=dict(sorted(world.sometimes.items())),
            faults=dict(sorted(self._fault_counts.items())),
            event_count=world.engine.event_count,
            virtual_us=world.now_us,
            converged_us=converged_us,
            cpu_s=cpu_s,
            traffic={pair: row.bytes_count for pair, row in traffic.items()},
        )


def _topology(scenario: Scenario, seed: int, count: int = 0) -> Topology:
    world = scenario.world
    config = TopologyConfig(
        regions=world.regions, cluster_count=world.clusters, zone_count=world.zones
    )
    matrix = None
    if scenario.matrix_text:
        matrix = matrix_of_round_trips(scenario.matrix_text, world.clusters, _key(seed))
    topology = Topology(config, matrix)
    topology.add_spread(count)
    return topology


def _build(case: Case, make: Make, journal: Journal | None) -> World:
    scenario, settings = case.scenario, case.scenario.world
    federation = found(settings.orgs, f"{case.seed % FEDERATION_COUNT}")
    topology = _topology(scenario, case.seed)
    config = peer_config(NodeConfig(network=settings.network))
    world = World(federation, topology, _key(case.seed), config=config, make=make, journal=journal)
    for number in range(settings.nodes):
        name = settings.orgs[number % len(settings.orgs)]
        org = federation.orgs[name]
        place = topology.place_of_turn(number)
        region = topology.regions[place.region]
        identity = Identity(
            org=name,
            name=f"node-{number}",
            region=region,
            record=org.node(f"node-{number}", region, f"zone-{place.zone}"),
            endpoint=Endpoint(f"10.{place.cluster}.{number >> 8}.{number & 255}", 7_000),
            agents=(org.agent(f"agent-{number}"),),
            is_issuer=number < len(settings.orgs),
        )
        world.add(identity, place)
    return world


def _choose_liars(case: Case, world: World) -> tuple[int, ...]:
    config, stream = case.scenario.liars, Stream(_key(case.seed), "liars")
    may = range(len(case.scenario.world.orgs), len(world.nodes))
    liars = sorted(stream.sample(may, config.count))
    kinds = config.kinds or tuple(LIES)
    for number in liars:
        count = 1 + stream.below(min(3, len(kinds)))
        chosen = sorted(stream.sample(kinds, count))
        world.wraps[number] = wrap(world, chosen)
    return tuple(liars)


def run(case: Case) -> Outcome:
    """The case, run and judged."""
    return Trial(case).run()
