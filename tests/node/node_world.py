"""Federations on disk and in this process: founding, running, waiting; shared by tests/node."""

from __future__ import annotations

import io
import itertools
import json
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import trio

from hive.custody.file import create_keyring
from hive.custody.passphrase import make_unlock_file
from hive.node import clocks
from hive.node.api import Api
from hive.node.cards import make_card, make_keys
from hive.node.ceremony import combine_ceremony, propose_founding, sign_ceremony
from hive.node.home import Home
from hive.node.logs import Log
from hive.node.member import initialise_member
from hive.node.node import Node, running
from hive.wire.clock import MonotonicUs, Now, WallUs

T = TypeVar("T")

ORGS = ("acme", "bell", "corp")
REGIONS = {"acme": "eu-west", "bell": "us-east", "corp": "ap-south"}
HOUR_MS = 3_600_000
MONTH_US = 720 * HOUR_MS * 1_000
"""How long a machine of a set clock is up already: no monotonic clock is below zero."""
PATIENCE_S = 30
_ports = itertools.count(16_000 + int.from_bytes(clocks.entropy(2), "big") % 12_000)
_real_clock = clocks.read


def free_port() -> int:
    """A port below the ephemeral ones that is free for UDP and TCP on the loopback."""
    for port in _ports:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        ):
            try:
                udp.bind(("127.0.0.1", port))
                tcp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def address() -> str:
    """`host:port` of a free port."""
    return f"127.0.0.1:{free_port()}"


def seconds() -> float:
    """The real monotonic clock."""
    return _real_clock().monotonic_us / 1e6


def eventually(check: Callable[[], T], what: str, within_s: float = PATIENCE_S) -> T:
    """What `check` gives once it is true; fails with `what` when time is up."""
    until, never = seconds() + within_s, threading.Event()
    while not (found := check()):
        assert seconds() < until, f"not within {within_s} s: {what}"
        never.wait(0.02)
    return found


async def until(check: Callable[[], T], what: str, within_s: float = PATIENCE_S) -> T:
    """The same inside trio."""
    limit = seconds() + within_s
    while not (found := check()):
        assert seconds() < limit, f"not within {within_s} s: {what}"
        with trio.move_on_after(0.02):
            await trio.Event().wait()
    return found


class Skew:
    """A clock that can be set ahead or back; both its hands move, as after a suspend."""

    def __init__(self) -> None:
        self.ms = 0

    def read(self) -> Now:
        now = _real_clock()
        return Now(
            MonotonicUs(now.monotonic_us + self.ms * 1_000 + MONTH_US),
            WallUs(now.wall_us + self.ms * 1_000),
        )


@dataclass
class Realm:
    """A founded federation on disk."""

    folder: Path
    homes: dict[str, Home] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.folder / "federation"

    def founder(self, org: str) -> Path:
        return self.folder / f"{org}-founder"

    @property
    def bootstrap(self) -> tuple[str, ...]:
        """The address of the first home made."""
        for home in self.homes.values():
            settings = home.settings()
            return (f"{settings.listen}:{settings.udp_port}",)
        return ()

    def member(self, org: str, name: str = "") -> Home:
        """The home of an organisation's first node, which holds the issuer's key."""
        home = Home(self.folder / (name or f"{org}-1"))
        initialise_member(
            home.path,
            founder=self.founder(org),
            federation_file=self.file,
            name=home.path.name,
            region=REGIONS[org],
            listen=address(),
            bootstrap=self.bootstrap,
        )
        self.homes[home.path.name] = home
        return home


def found(folder: Path, orgs: tuple[str, ...] = ORGS, threshold: int = 2) -> Realm:
    """A federation of these organisations with an m-of-n root."""
    now_ms = clocks.read().wall_us // 1_000
    cards, rings = [], []
    for org in orgs:
        founder = folder / f"{org}-founder"
        founder.mkdir(mode=0o700)
        keyring = create_keyring(founder, make_unlock_file(founder, clocks.entropy), clocks.entropy)
        make_keys(keyring, clocks.entropy)
        rings.append(keyring)
        cards.append(make_card(keyring, name=org, namespaces=(org, "commons")))
    needed = min(threshold, len(orgs))
    proposal = propose_founding(
        cards, name="test", threshold=needed, now_ms=now_ms, freshness_threshold=needed
    )
    signatures = [sign_ceremony(proposal, keyring) for keyring in rings]
    realm = Realm(folder)
    realm.file.write_bytes(combine_ceremony(proposal, signatures, now_ms))
    return realm


@dataclass
class Living:
    """A node in this process, its verbs, and what it logged."""

    node: Node
    lines: io.StringIO

    async def call(self, verb: str, **arguments: Any) -> dict[str, Any]:
        return await Api(self.node).call(verb, arguments)

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines.getvalue().splitlines()]

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log if line["event"] == event]

    @property
    def is_settled(self) -> bool:
        """Whether it may write and has streams to everybody it knows."""
        core = self.node.peer.core
        others = len(self.node.peer.introductions.known)
        return core.freshness.is_fresh(clocks.read()) and len(core.connected) == others

    @property
    def standing(self) -> str:
        """For the reader of a failed test."""
        node, core = self.node, self.node.peer.core
        known = [each.chain.name for _, each in node.peer.introductions.known.items()]
        age_ms = core.freshness.age_us(clocks.read()) // 1_000
        drops = dict(node.driver.links.drops) if node.driver.links else {}
        ends = dict(node.streams.ends)
        return f"{core.own.name}: {known=} {len(core.connected)=} {age_ms=} {drops=} {ends=}"

    def holds(self, id: str) -> bool:
        return bool(self.node.store.ids_with_prefix(bytes.fromhex(id), 1))


@asynccontextmanager
async def living(home: Home, *, is_online: bool = True, **flags: object) -> AsyncIterator[Living]:
    """One node, running in this process."""
    lines = io.StringIO()
    log = Log(lines, "debug")
    async with running(home, home.settings(**flags), None, is_online=is_online, log=log) as node:
        yield Living(node, lines)


@asynccontextmanager
async def federation(*homes: Home) -> AsyncIterator[list[Living]]:
    """Several nodes in this process, all connected and able to write."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(living(home)) for home in homes]
        await settled(nodes)
        yield nodes


async def settled(nodes: list[Living]) -> None:
    """Waits until all of these know all others and may write."""

    def is_settled() -> bool:
        return all(
            each.is_settled and len(each.node.peer.core.connected) >= len(nodes) - 1
            for each in nodes
        )

    try:
        await until(is_settled, "everybody is connected and fresh")
    except AssertionError as error:
        raise AssertionError("; ".join(each.standing for each in nodes)) from error


def run(main: Callable[..., Awaitable[None]], *arguments: object) -> None:
    """Runs an async test body; an error in a group of one is raised as itself."""
    try:
        trio.run(main, *arguments)  # type: ignore[arg-type]
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None
