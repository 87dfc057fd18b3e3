"""Scenarios: what a world is made of, as TOML; a wrong line is refused by its number.

[world]       nodes, organisations, geography, always-on loss
[phases]      seconds: everybody joins, faults are injected, and how long healing may take
[users]       what users do
[faults]      class of faults -> how likely a seed draws it (0 to 1); `all` for every other
[liars]       how many nodes lie, and how
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from hive.errors import ConfigError

from .draws import MILLION
from .liars import LIES
from .swarm import DRAWS
from .topology import ONE_WAY_US, REGIONS
from .users import UserConfig

SCENARIOS: Final = Path(__file__).parent / "scenarios"
NODE_COUNT_MAX: Final = 1_000
NETWORKS: Final = ("lan", "internet")
UNDRAWN: Final = ("lying disk",)
"""What `all` leaves out: no promise survives it, so a scenario must ask for it by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldConfig:
    """Who is there, and where."""

    nodes: int = 5
    """How many nodes; the first of each org holds its issuer. Sane: 1–60, more is slow."""
    orgs: tuple[str, ...] = ("acme", "bell")
    """Names of the organisations, dealt to the nodes in turn."""
    regions: tuple[str, ...] = REGIONS
    """Names of at most three regions."""
    clusters: int = 3
    zones: int = 3
    """Clusters in all, dealt to the regions in turn, and zones in each."""
    network: str = "internet"
    """Which presets the peers use: `lan` or `internet`."""
    loss: float = 0.0
    """Share of packets that is always lost, healed or not. Sane: 0–0.1."""
    matrix: str = ""
    """A file of round trips in milliseconds between sites, beside the scenario; else generated."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.orgs) <= self.nodes <= NODE_COUNT_MAX:
            raise ConfigError(
                f"nodes must be between the number of orgs and {NODE_COUNT_MAX}",
                hint="each org's issuer lives on a node of its own",
            )
        if len(set(self.orgs)) < len(self.orgs):
            raise ConfigError("two orgs have one name")
        if not 1 <= len(self.regions) <= min(self.clusters, len(ONE_WAY_US)) or self.zones < 1:
            raise ConfigError(
                f"regions must be 1 to {len(ONE_WAY_US)} and no more than clusters",
                hint="every region needs a cluster",
            )
        if self.network not in NETWORKS:
            raise ConfigError("network must be lan or internet")
        if not 0 <= self.loss < 1:
            raise ConfigError("loss must be at least 0 and below 1", hint="it is a share, not %")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseConfig:
    """Seconds of virtual time."""

    warm_s: int = 15
    """Everybody joins, nothing goes wrong. Sane: 2 for one node, 30 for fifty."""
    inject_s: int = 45
    """Faults and users. More meets more situations and costs more."""
    converge_s: int = 180
    """The bound within which a healed hive must be one."""

    def __post_init__(self) -> None:
        if min(self.warm_s, self.inject_s, self.converge_s) < 1:
            raise ConfigError("every phase lasts at least a second")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiarConfig:
    """Who lies."""

    count: int = 0
    """How many of the nodes lie; those that hold an issuer never do."""
    kinds: tuple[str, ...] = ()
    """The kinds of lies of which each liar draws up to three; empty for all."""

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ConfigError("liars cannot be fewer than none")
        for kind in self.kinds:
            if kind not in LIES:
                raise ConfigError(f"no lie is called {kind}", hint=f"one of: {', '.join(LIES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A kind of world; with a seed it is one world."""

    name: str
    about: str = ""
    world: WorldConfig = field(default_factory=WorldConfig)
    phases: PhaseConfig = field(default_factory=PhaseConfig)
    users: UserConfig = field(default_factory=UserConfig)
    faults: tuple[tuple[str, float], ...] = ()
    liars: LiarConfig = field(default_factory=LiarConfig)
    exercises: tuple[str, ...] = ()
    matrix_text: str = ""

    def __post_init__(self) -> None:
        if self.liars.count > self.world.nodes - len(self.world.orgs):
            raise ConfigError(
                "count: more liars than peers that may lie",
                hint="the issuers' nodes (one an org) stay honest",
            )

    @property
    def chances_ppm(self) -> dict[str, int]:
        """How likely each class of faults is drawn, in millionths."""
        given = dict(self.faults)
        every = given.pop("all", 0.0)
        chances = {name: every for name in DRAWS if name not in UNDRAWN}
        return {name: int(share * MILLION) for name, share in {**chances, **given}.items()}


_SECTIONS: Final[dict[str, type]] = {
    "world": WorldConfig,
    "phases": PhaseConfig,
    "users": UserConfig,
    "liars": LiarConfig,
}
_USERS: Final = {f"{name}s": f"{name}_count" for name in ("write", "forget", "recall", "revoke")}


def names() -> list[str]:
    """The scenarios that come with hive."""
    return sorted(path.stem for path in SCENARIOS.glob("*.toml"))


def load(name: str) -> Scenario:
    """A scenario by name or path. ConfigError: no such file, or a wrong line in it."""
    path = SCENARIOS / f"{name}.toml" if name in names() else Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"no scenario called {name}", hint=f"a TOML file, or one of: {', '.join(names())}"
        ) from None
    return parse(text, path.stem, path.parent)


def parse(text: str, name: str, folder: Path = SCENARIOS) -> Scenario:
    """A scenario from TOML; files it names lie beside it."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}", hint="the file is no TOML") from None
    return of_plain(data, name, folder, text)


def of_plain(data: Mapping[str, Any], name: str, folder: Path, text: str = "") -> Scenario:
    """A scenario from parsed TOML or JSON."""
    _refuse_unknown(data, {*_SECTIONS, "about", "faults", "exercises"}, "", text, name)
    parts = {}
    for section, cls in _SECTIONS.items():
        given = dict(data.get(section, {}))
        if section == "users":
            given = {_USERS.get(key, key): value for key, value in given.items()}
        known = {each.name: each.default for each in fields(cls)}
        _refuse_unknown(given, set(known), section, text, name)
        parts[section] = _made(cls, given, section, text, name)
    faults = dict(data.get("faults", {}))
    _refuse_unknown(faults, {*DRAWS, "all"}, "faults", text, name)
    for key, share in faults.items():
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            raise _wrong(f"{key} must be between 0 and 1", "faults", key, text, name)
    try:
        scenario = Scenario(
            name=name,
            about=str(data.get("about", "")),
            faults=tuple(faults.items()),
            exercises=tuple(data.get("exercises", ())),
            **parts,
        )
    except ConfigError as error:
        raise _wrong(str(error), "liars", "count", text, name, error.hint) from None
    return _with_matrix(scenario, folder, text)


def _with_matrix(scenario: Scenario, folder: Path, text: str) -> Scenario:
    matrix = scenario.world.matrix
    if not matrix:
        return scenario
    try:
        table = (folder / matrix).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        hint = f"put it into {folder} or name it whole"
        said = f"no matrix file {matrix}"
        raise _wrong(said, "world", "matrix", text, scenario.name, hint) from None
    return replace(scenario, matrix_text=table)


def _made(cls: type, given: dict[str, Any], section: str, text: str, name: str) -> Any:
    for key, value in given.items():
        wanted = type(next(each.default for each in fields(cls) if each.name == key))
        if wanted is tuple and isinstance(value, list | tuple):
            given[key] = tuple(map(str, value))
        elif wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
            given[key] = float(value)
        elif wanted is not type(value):
            raise _wrong(f"{key} must be a {wanted.__name__}", section, key, text, name)
    try:
        return cls(**given)
    except ConfigError as error:
        said = str(error)
        key = next((key for key in given if key in said or said.startswith(key)), "")
        raise _wrong(said, section, key, text, name, error.hint) from None


def _refuse_unknown(
    given: Mapping[str, Any], known: set[str], section: str, text: str, name: str
) -> None:
    for key in given:
        if key not in known:
            hint = f"known here: {', '.join(sorted(known))}"
            raise _wrong(f"unknown key {key}", section, key, text, name, hint)


def _wrong(said: str, section: str, key: str, text: str, name: str, hint: str = "") -> ConfigError:
    line = _line_of(text, section, key)
    place = f"{name}, line {line}" if line else f"{name} [{section}]" if section else name
    return ConfigError(f"{place}: {said}", hint=hint)


def _line_of(text: str, section: str, key: str) -> int:
    """The line of a key, or of its section; 0 where there is no text."""
    here, found = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.split("#")[0].strip()
        if bare.startswith("["):
            here = bare.strip("[]").strip()
            if here in (section, key):
                found = found or number
        elif here == section and bare.split("=")[0].strip().strip('"') in (key, f"{key[:-6]}s"):
            return number
    return found


def with_settings(scenario: Scenario, settings: Mapping[str, str]) -> Scenario:
    """The scenario with single values replaced: `loss`, `world.nodes` or `faults.crash`."""
    data = to_plain(scenario)
    for key, value in settings.items():
        section, leaf = _place_of(key)
        held = data.setdefault(section, {})
        held[leaf] = _value(value)
    return replace(
        of_plain(data, scenario.name, SCENARIOS),
        matrix_text=scenario.matrix_text,
    )


def _place_of(key: str) -> tuple[str, str]:
    section, _, leaf = key.rpartition(".")
    if section:
        return section, leaf
    for name, cls in _SECTIONS.items():
        if leaf in {each.name for each in fields(cls)} or (name == "users" and leaf in _USERS):
            return name, leaf
    if leaf in DRAWS or leaf == "all":
        return "faults", leaf
    raise ConfigError(f"no setting is called {key}", hint="name it as section.key")


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def to_plain(scenario: Scenario) -> dict[str, Any]:
    """The scenario for JSON; the matrix stays a name, its text travels beside."""
    data: dict[str, Any] = {
        section: {
            each.name: _listed(getattr(getattr(scenario, section), each.name))
            for each in fields(cls)
        }
        for section, cls in _SECTIONS.items()
    }
    data["world"]["matrix"] = ""
    data["faults"] = dict(scenario.faults)
    data["about"] = scenario.about
    data["exercises"] = list(scenario.exercises)
    return data


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
