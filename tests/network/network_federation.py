"""A federation of real node processes, one a namespace: three organisations, three regions."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from network_hosts import Network, Place, network, place
from node_processes import Launcher, Process
from node_world import ORGS, REGIONS, Realm, found, seconds

from hive.client.client import Client
from hive.errors import HiveError, Refused
from hive.node.home import Home
from hive.node.member import initialise_member

PORT = 7_440
POLL_S = 0.3
CONVERGE_S = 60
SECOND = {"acme": "us-east", "bell": "ap-south", "corp": "eu-west"}
DELAY_US = {
    "eu-west|eu-west": 2_000,
    "us-east|us-east": 2_000,
    "ap-south|ap-south": 2_000,
    "eu-west|us-east": 25_000,
    "ap-south|us-east": 60_000,
    "ap-south|eu-west": 40_000,
}
"""One way, by pair of regions."""


@dataclass
class Host:
    """One node, where it stands, and its process while it runs."""

    name: str
    place: Place
    home: Home
    process: Process | None = None
    _client: Client | None = None

    @property
    def is_running(self) -> bool:
        return self.process is not None

    def call(self, verb: str, **arguments: Any) -> dict[str, Any]:
        assert self.process is not None
        if self._client is None:
            self._client = self.process.client()
        return self._client.call(verb, **arguments)

    def states(self) -> dict[str, str]:
        """What it says of every other node, by name."""
        return {peer["name"]: peer["state"] for peer in self.call("peers")["peers"]}

    def forget_process(self) -> None:
        if self._client is not None:
            self._client.close()
        self.process = self._client = None


@dataclass
class Federation:
    """Hosts, the network between them, and every write that was acknowledged."""

    realm: Realm
    network: Network
    launcher: Launcher
    hosts: dict[str, Host] = field(default_factory=dict)
    acknowledged: list[str] = field(default_factory=list)
    _count: int = 0

    # -- hosts

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    @property
    def running(self) -> list[Host]:
        return [host for host in self.hosts.values() if host.is_running]

    @property
    def bootstrap(self) -> tuple[str, ...]:
        return tuple(f"{host.place.address}:{PORT}" for host in list(self.hosts.values())[:1])

    def _host(self, name: str) -> Host:
        free = self.network.places[len(self.hosts)]
        made = self.hosts[name] = Host(name, free, Home(self.realm.folder / name))
        return made

    def first(self, org: str, name: str = "", *, listen: str = "") -> Host:
        """An organisation's first node, not yet started; it holds the issuer's key."""
        bootstrap = self.bootstrap
        host = self._host(name or f"{org}-1")
        initialise_member(
            host.home.path,
            founder=self.realm.founder(org),
            federation_file=self.realm.file,
            name=host.name,
            region=host.place.region,
            listen=listen or f"{host.place.address}:{PORT}",
            bootstrap=bootstrap,
        )
        return host

    def invited(self, org: str, name: str) -> Host:
        """One more node of an organisation, enrolled over the network by nothing but an invite."""
        host = self._host(name)
        invite = self[f"{org}-1"].call("invite", name=name, region=host.place.region)["invite"]
        words = {"invite_text": invite, "listen": f"{host.place.address}:{PORT}"}
        job = self.launcher.start(host.home, namespace=self._space(host), join=words)
        assert job.wait() == 0
        return host

    def start(self, *hosts: Host, **suffers: Any) -> None:
        for host in hosts:
            space = self._space(host)
            host.process = self.launcher.start(host.home, namespace=space, **suffers)

    def _space(self, host: Host) -> str:
        return self.network.namespace(host.place)

    def kill(self, host: Host) -> None:
        """SIGKILL: no goodbye, nothing flushed."""
        assert host.process is not None
        host.process.kill()
        host.forget_process()

    def stop(self, host: Host) -> None:
        """In order, with a goodbye."""
        assert host.process is not None
        assert host.process.stop() == 0
        host.forget_process()

    @contextmanager
    def paused(self, host: Host) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end."""
        process = host.process
        assert process is not None
        process.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.signal(signal.SIGCONT)

    # -- writes

    def write(self, *hosts: Host, count: int = 1) -> list[str]:
        """Writes by the agents of these hosts, all acknowledged."""
        written = [self._write(host) for host in hosts for _ in range(count)]
        self.acknowledged += written
        return written

    def try_to_write(self, *hosts: Host, count: int = 1) -> None:
        """The same where a node may refuse: it has just begun and heard of no freshness yet."""
        for host in hosts * count:
            with suppress(Refused):
                self.acknowledged.append(self._write(host))

    def _write(self, host: Host) -> str:
        self._count += 1
        text = f"{host.name} noticed fact number {self._count}"
        written: str = host.call("remember", text=text)["id"]
        return written

    # -- what must be true

    def everywhere(
        self, check: Callable[[Host], bool], what: str, hosts: Iterable[Host] | None = None,
        within_s: float = CONVERGE_S,
    ) -> float:  # fmt: skip
        """Seconds until it is so at each of these hosts, at all that run unless said."""
        began, waiting = seconds(), list(self.running if hosts is None else hosts)
        while waiting := [host for host in waiting if not check(host)]:
            if seconds() - began > within_s:
                raise AssertionError(f"not within {within_s} s: {what}\n{self.standing()}")
            threading.Event().wait(POLL_S)
        return seconds() - began

    def let_pass(self, quiet_s: float) -> None:
        """Nothing is asked and nothing written for so long."""
        threading.Event().wait(quiet_s)

    def healed(self, within_s: float = CONVERGE_S) -> None:
        """After every fault: who runs is alive to everybody, all hold the same, nothing is lost."""
        names = {host.name for host in self.running}
        self.everywhere(
            lambda host: (
                {n for n, state in host.states().items() if state == "alive"} >= names - {host.name}
            ),
            "everybody who runs is alive to everybody",
            within_s=within_s,
        )
        self.everywhere(self.holds_everything, "every acknowledged write is here")
        self.everywhere(lambda _: len(self.digests()) == 1, "digests are equal")
        # The verdicts stay: what was wrongly suspected was refuted, not only not yet declared.
        for host in self.running:
            dead = {n for n, state in host.states().items() if n in names and state == "dead"}
            assert not dead, f"{host.name} thinks {dead} dead"

    def digests(self) -> set[str]:
        return {host.call("status")["replica_digest"] for host in self.running}

    def holds_everything(self, host: Host) -> bool:
        return all(self.holds(host, delta) for delta in self.acknowledged)

    def holds(self, host: Host, delta: str) -> bool:
        try:
            return host.call("show", id=delta)["id"] == delta
        except HiveError:
            return False

    def thinks(self, host: Host, of: Host, *states: str) -> bool:
        return host.states().get(of.name, "unknown") in states

    def standing(self) -> str:
        """For the reader of a failed test."""
        lines = [f"link: {self.network.counts()}, cuts: {self.network.weather.cuts}"]
        for host in self.running:
            status = host.call("status")
            held = sum(self.holds(host, delta) for delta in self.acknowledged)
            lines.append(
                f"{host.name}: {held} of {len(self.acknowledged)}, {host.states()}, "
                f"{status['freshness']}, {status['peers']}, {status['replica_digest'][:8]}"
            )
        return "\n".join(lines)


def places(count: int, *, spare: int = 0) -> list[Place]:
    """Regions in the order in which hosts are made: one each, then one each again."""
    regions = [*(REGIONS[org] for org in ORGS), *(SECOND[org] for org in ORGS)]
    return [place(number, regions[number % len(regions)]) for number in range(count + spare)]


@contextmanager
def federation(
    folder: Path, hosts: Sequence[Place], seed: str, launcher: Launcher, **bounds: int
) -> Iterator[Federation]:
    """A founded federation without nodes yet; everything that runs at the end is killed."""
    with network(hosts, seed, **bounds) as joined:
        joined.weather.delay_us = dict(DELAY_US)
        joined.weather.jitter_us = 2_000
        joined.weather.loss_permille = 5
        joined.weather.duplicate_permille = 5
        joined.weather.reorder_permille = 10
        joined.blow()
        made = Federation(found(folder), joined, launcher)
        try:
            yield made
        finally:
            for host in made.running:
                made.kill(host)


def six(made: Federation) -> Federation:
    """Two nodes of each of three organisations in three regions, all running."""
    made.start(*(made.first(org) for org in ORGS))
    made.start(*(made.invited(org, f"{org}-2") for org in ORGS))
    return made
