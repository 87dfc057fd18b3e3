"""Faults as data: an explicit list, each with its own moment, so that a failing case can shrink.

Every fault has a name (its class in reports), begins at `at_us` and, where it lasts, ends after
`for_us`. A fault is told to begin and to end; healing ends all. What a crash or another disk does
to a node is the world's; which promises then still hold is the checks'.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, Final

from hive.errors import ConfigError
from hive.protocol.commands import Leave

from . import disturbances
from .disturbances import Disturbance
from .federation import START_US
from .nodes import Identity, Node
from .world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(ABC):
    """Something goes wrong for a while."""

    name: str
    at_us: int
    for_us: int = 0

    @property
    def ends_us(self) -> int:
        """When it is over."""
        return self.at_us + self.for_us

    @abstractmethod
    def begin(self, world: World) -> None:
        """It goes wrong."""

    @abstractmethod
    def end(self, world: World) -> None:
        """It is right again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather(Fault):
    """A disturbance of links."""

    disturbance: Disturbance

    def _key(self) -> str:
        return f"{self.name} {self.at_us} {self.disturbance}"

    def begin(self, world: World) -> None:
        world.network.begin(self._key(), self.disturbance, self.ends_us)

    def end(self, world: World) -> None:
        world.network.end(self._key())


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash(Fault):
    """A node dies at once and starts again; `survivors` batches had just reached the disk."""

    node: int
    survivors: int = 0

    def begin(self, world: World) -> None:
        node = world.nodes[self.node]
        if node.is_up:
            lost = world.stop(node, self.survivors)
            world.note("unsynced batches lost", lost)

    def end(self, world: World) -> None:
        start_again(world, world.nodes[self.node])


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving(Fault):
    """A node says goodbye, stops, and comes back."""

    node: int

    def begin(self, world: World) -> None:
        node = world.nodes[self.node]
        if node.is_up:
            world.ask(node, Leave())
            node.may_author = False

    def end(self, world: World) -> None:
        node = world.nodes[self.node]
        node.may_author = True
        if node.is_up:
            world.stop(node)
        start_again(world, node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk(Fault):
    """A disk is full, fails or is slow: `slowness` times the usual sync."""

    node: int
    is_full: bool = False
    is_failing: bool = False
    slowness: int = 1

    def begin(self, world: World) -> None:
        disk = world.nodes[self.node].disk
        disk.is_full, disk.is_failing = self.is_full, self.is_failing
        disk.slowness = self.slowness

    def end(self, world: World) -> None:
        disk = world.nodes[self.node].disk
        disk.is_full, disk.is_failing, disk.slowness = False, False, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherDisk(Fault):
    """A node dies and comes back with another content: that of an earlier time (`share_ppm` of
    its history), none, or another node's (`of`). As the product demands of a store that lies
    elsewhere than it was written, it comes back under a new identity."""

    node: int
    share_ppm: int = 0
    of: int | None = None

    def begin(self, world: World) -> None:
        node = world.nodes[self.node]
        if node.is_up:
            world.stop(node)
        source = node if self.of is None else world.nodes[self.of]
        history = source.disk.history
        if self.of is None:
            history = history[: len(history) * self.share_ppm // 1_000_000]
        node.disk.put(list(history))
        reborn(world, node)

    def end(self, world: World) -> None:
        start_again(world, world.nodes[self.node])


@dataclass(frozen=True, slots=True, kw_only=True)
class LyingDisk(Fault):
    """The disk says that it synced and did not, until the power is lost. No promise covers what
    is lost, nor the sequences that are then signed twice."""

    node: int

    def begin(self, world: World) -> None:
        world.nodes[self.node].disk.lie()

    def end(self, world: World) -> None:
        node = world.nodes[self.node]
        if node.is_up:
            world.note("batches lied about", world.stop(node))
        start_again(world, node)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFault(Fault):
    """A clock is set wrong (`jump_us`) and runs wrong (`drift_ppm`)."""

    node: int
    jump_us: int = 0
    drift_ppm: int = 0

    def begin(self, world: World) -> None:
        clock = world.nodes[self.node].clock
        clock.jump(self.jump_us)
        clock.drift(self.drift_ppm, world.now_us)

    def end(self, world: World) -> None:
        """The clock is set right, whatever it drifted meanwhile."""
        clock = world.nodes[self.node].clock
        clock.drift(0, world.now_us)
        clock.jump(START_US + world.now_us - clock.read(world.now_us).wall_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor(Fault):
    """Each happening costs a node this long; a pause is one that costs all of it."""

    node: int
    cost_us: int = 0
    is_pause: bool = False

    def begin(self, world: World) -> None:
        node = world.nodes[self.node]
        if self.is_pause:
            node.free_us = max(node.free_us, world.now_us + self.for_us)
        else:
            node.cost_us = self.cost_us

    def end(self, world: World) -> None:
        world.nodes[self.node].cost_us = 0


def start_again(world: World, node: Node) -> None:
    """A node that is down starts and greets everybody it may have known."""
    if node.is_up:
        return
    others = [n.identity.endpoint for n in world.nodes if n is not node][:8]
    world.start(node, others)
    world.note("restarted")


def reborn(world: World, node: Node) -> None:
    """The issuer gives the node an identity that no copy of its disk can have."""
    old = node.identity
    name = f"{old.name.split('.')[0]}.{node.boot + 1}"
    org = world.federation.orgs[old.org]
    zone = old.record.record.zone
    record = org.node(name, old.region, zone)
    identity = Identity(
        org=old.org,
        name=name,
        region=old.region,
        record=record,
        endpoint=old.endpoint,
        agents=old.agents,
        is_issuer=old.is_issuer,
    )
    world.rename(node, identity)


# Faults in case files.

_CLASSES: Final = (
    Weather,
    Crash,
    Leaving,
    Disk,
    OtherDisk,
    LyingDisk,
    ClockFault,
    Processor,
)
_BY_NAME: Final[dict[str, type[Fault]]] = {cls.__name__: cls for cls in _CLASSES}


def register(cls: type[Fault]) -> type[Fault]:
    """Faults of other modules can stand in case files too."""
    _BY_NAME[cls.__name__] = cls
    return cls


def plain(fault: Fault) -> dict[str, Any]:
    """The fault for JSON, what has its default left out."""
    return _plain(fault)


def _plain(value: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"kind": type(value).__name__}
    for each in fields(value):
        held = getattr(value, each.name)
        if held != each.default:
            is_part = isinstance(held, Disturbance)
            data[each.name] = _plain(held) if is_part else held
    return data


def parse(data: dict[str, Any]) -> Fault:
    """A fault from JSON. ConfigError: a kind, field or value that no fault has."""
    kind = data.get("kind")
    cls = _BY_NAME.get(str(kind))
    if cls is None:
        raise ConfigError(f"no fault is called {kind}", hint="was the case written elsewhere?")
    given = {name: value for name, value in data.items() if name != "kind"}
    if isinstance(given.get("disturbance"), dict):
        given["disturbance"] = _disturbance(given["disturbance"])
    try:
        fault: Fault = cls(**given)
    except TypeError as error:
        raise ConfigError(f"a fault does not fit: {error}") from None
    if fault.at_us < 0 or fault.for_us < 0:
        raise ConfigError("a fault can neither begin nor last less than nothing")
    return fault


def _disturbance(data: dict[str, Any]) -> Disturbance:
    cls = getattr(disturbances, str(data.get("kind")), None)
    if not (isinstance(cls, type) and issubclass(cls, Disturbance)) or cls is Disturbance:
        raise ConfigError(f"no disturbance is called {data.get('kind')}")
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in data.items()
        if name != "kind"
    }
    try:
        return cls(**given)
    except TypeError as error:
        raise ConfigError(f"a disturbance does not fit: {error}") from None
