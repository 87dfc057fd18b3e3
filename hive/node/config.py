"""What an operator sets. Order: default < `config.toml` in the home < environment < flag.

An environment variable is named `HIVE_` and the field in capitals, e.g. `HIVE_UDP_PORT`. No
setting removes a check: they are bounds, places and names.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hive.custody import outside
from hive.errors import ConfigError
from hive.memory.namespaces import GRAMMAR_HINT, is_namespace
from hive.store.embedders import EMBEDDERS, WORDLLAMA, cache_directory
from hive.transport.addresses import parse_address, parse_seed

PRESETS: Final = ("lan", "internet")
LEVELS: Final = ("debug", "info", "warning", "error")
ADDRESSES_MAX: Final = 4
"""As many as a peer record says."""
MIB: Final = 1 << 20
PREFIX: Final = "HIVE_"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """One node's settings."""

    name: str = ""
    """This node's name, as its record says."""
    federation: str = ""
    """The federation's id in hex; every record must name it."""
    agent: str = ""
    """Whose key writes and reads when a command names no agent."""
    namespace: str = ""
    """Where a command writes when it names no namespace."""
    listen: str = "127.0.0.1"
    """The numeric address to bind. `0.0.0.0` or `::` serves every interface."""
    also_listen: tuple[str, ...] = ()
    """Further numeric addresses to bind, with the same ports: other interfaces, or IPv6 beside
    IPv4. At most 3; each is announced."""
    advertise: str = ""
    """The numeric address that peers should use in place of `listen`; empty means the bound one,
    or the one from which this machine sends."""
    udp_port: int = 7440
    """Sealed datagrams; 0 takes a free port, which changes with each start."""
    tls_port: int = 7440
    """Mutual TLS streams; 0 takes a free port."""
    bootstrap: tuple[str, ...] = ()
    """`host:port` of nodes to greet first, numeric or a DNS name; any that lives is enough."""
    network: str = "lan"
    """Intervals and budgets: `lan` (one site, many nodes in a subnet) or `internet`."""
    map_mib_max: int = 65_536
    """Cap of the store in MiB; the file grows with its content. Sane: 64–1,048,576."""
    embedder: str = WORDLLAMA
    """What gives memories their vectors: `wordllama`, or `minilm` of the extra `[minilm]`: better
    and a hundred times slower, no answer `exact`. A change makes all vectors anew."""
    log_level: str = "info"
    """What goes to the log on stderr."""

    def __post_init__(self) -> None:
        if self.network not in PRESETS:
            raise ConfigError(f"network is {self.network!r}", hint=f"one of {', '.join(PRESETS)}")
        if self.embedder not in EMBEDDERS:
            raise ConfigError(f"embedder is {self.embedder!r}", hint=f"one of {EMBEDDERS}")
        if self.log_level not in LEVELS:
            raise ConfigError(f"log_level is {self.log_level!r}", hint=f"one of {LEVELS}")
        for port in (self.udp_port, self.tls_port):
            if not 0 <= port <= 65_535:
                raise ConfigError(f"{port} is not a port", hint="0 to 65535")
        if self.map_mib_max < 8:
            raise ConfigError("map_mib_max is too small", hint="at least 8; 65536 is the default")
        if self.namespace and not is_namespace(self.namespace):
            raise ConfigError(f"{self.namespace!r} is not a namespace", hint=GRAMMAR_HINT)
        if len(self.also_listen) >= ADDRESSES_MAX:
            raise ConfigError("too many addresses", hint=f"at most {ADDRESSES_MAX} with `listen`")
        for host in self.hosts:
            parse_address(_with_port(host))
        if self.advertise:
            parse_address(_with_port(self.advertise))
        for address in self.bootstrap:
            parse_seed(address)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every address to bind, each once."""
        return tuple(dict.fromkeys((self.listen, *self.also_listen)))

    @property
    def map_bytes_max(self) -> int:
        """The cap in bytes."""
        return self.map_mib_max * MIB


def _with_port(host: str) -> str:
    return f"[{host}]:1" if ":" in host else f"{host}:1"


def load(
    path: Path,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> NodeConfig:
    """Reads the file, then the environment, then flags; raises `ConfigError` naming the source."""
    values = _from_file(path)
    values |= _from_environment(os.environ if environment is None else environment)
    values |= {name: value for name, value in (flags or {}).items() if value is not None}
    return NodeConfig(**values)


def ssh_agent() -> Path:
    """Where the ssh-agent of this process's environment listens; raises `CustodyUnavailable`."""
    return outside.from_environment(os.environ)


def cache_folder() -> Path:
    """Where this process's user keeps what can be made again."""
    return cache_directory(os.environ)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path.parent} is no hive home", hint="make one with `hive init` or `hive join`"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint="mend or restore it") from None
    return {name: _fitting(name, value, str(path)) for name, value in plain.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for field in dataclasses.fields(NodeConfig):
        variable = PREFIX + field.name.upper()
        text = environment.get(variable)
        if text is not None:
            found[field.name] = _fitting(field.name, _parsed(field.name, text), variable)
    return found


_LISTS: Final = ("bootstrap", "also_listen")
_TYPES: Final = {field.name: field.type for field in dataclasses.fields(NodeConfig)}


def _parsed(name: str, text: str) -> object:
    if _TYPES.get(name) == "int":
        return int(text) if text.isascii() and text.isdigit() else text
    if name in _LISTS:
        return [part for part in text.split(",") if part]
    return text


def _fitting(name: str, value: object, source: str) -> object:
    """The value in the field's type, or a `ConfigError` that names field and source."""
    expected = _TYPES.get(name)
    if expected is None:
        known = ", ".join(sorted(_TYPES))
        raise ConfigError(f"{source} sets unknown {name!r}", hint=f"known settings: {known}")
    if expected == "int" and type(value) is int:
        return value
    if expected == "str" and isinstance(value, str):
        return value
    if name in _LISTS and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    raise ConfigError(f"{name} in {source} is {value!r}", hint=f"it must be of type {expected}")


def write(path: Path, config: NodeConfig) -> None:
    """Writes every setting that differs from its default, readable by `load`."""
    lines = ["# Settings of this hive node; `hive status` shows what is in force.\n"]
    for field in dataclasses.fields(NodeConfig):
        value = getattr(config, field.name)
        if value == field.default:
            continue
        lines.append(f"{field.name} = {_toml(value)}\n")
    partial = path.with_suffix(".partial")
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(path)


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, int):
        return str(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
