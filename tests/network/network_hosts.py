"""Hosts: network namespaces with a TUN device each, joined by the link process.

Needs root, `ip` and /dev/net/tun, and nothing else of the kernel: no bridge, netem or netfilter.
What an earlier run left behind, killed before it could tidy up, is removed first.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from network_link import Weather

LINK = Path(__file__).with_name("network_link.py")
TUN_DEVICE = Path("/dev/net/tun")
MTU_BYTES = 1_280
"""The least that IPv6 allows: whatever is larger than hive's datagrams would be cut, and seen."""
PREFIX = "hive-"
_networks = itertools.count()
_TUNSETIFF = 0x4004_54CA
_IFF_TUN_NO_PI = 0x1001


@dataclass(frozen=True)
class Place:
    """Where a host stands: its number and region, and its addresses."""

    number: int
    region: str
    address: str
    address6: str
    public: str = ""
    """The address of the NAT it stands behind."""


def place(number: int, region: str, *, subnet: int = 0, is_behind_nat: bool = False) -> Place:
    """The host of this number; each has a subnet of its own, as organisations have."""
    here = subnet or number + 1
    public = f"10.110.{here}.1" if is_behind_nat else ""
    return Place(number, region, f"10.100.{here}.1", f"fd00:100:{here}::1", public)


def why_impossible() -> str:
    """Why namespaces cannot be made here; empty where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the command `ip` is missing (Debian: iproute2)"
    if not TUN_DEVICE.exists():
        return f"{TUN_DEVICE} is missing"
    trial = f"{PREFIX}{os.getpid()}-trial"
    made = subprocess.run(["ip", "netns", "add", trial], capture_output=True, text=True)
    if made.returncode:
        return f"no namespace can be made: {made.stderr.strip()}"
    ip("netns", "delete", trial)
    return ""


def ip(*words: str) -> str:
    """One `ip` command; fails with what it said."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


class Network:
    """Hosts and the link between them."""

    def __init__(self, places: Sequence[Place], seed: str, nat_life_us: int = 30_000_000) -> None:
        sweep()
        self._ordinal = next(_networks)
        self.places = list(places)
        self.weather = Weather()
        self._addresses = [[each.address, each.address6] for each in places]
        self._fds = [self._make(each) for each in places]
        plan = {
            "seed": seed,
            "fds": self._fds,
            "regions": [each.region for each in places],
            "addresses": self._addresses,
            "nats": [[each.address, each.public] for each in places if each.public],
            "nat_life_us": nat_life_us,
        }
        self._process = subprocess.Popen(
            [sys.executable, str(LINK), json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=self._fds,
        )
        self._heard()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()
        for fd in self._fds:
            os.close(fd)
        for each in self.places:
            ip("netns", "delete", self.namespace(each))

    def namespace(self, of: Place) -> str:
        return f"{PREFIX}{os.getpid()}-{self._ordinal}-{of.number}"

    def _make(self, new: Place) -> int:
        space, device = self.namespace(new), f"hv{os.getpid()}x{self._ordinal}x{new.number}"
        fd = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH", device.encode(), _IFF_TUN_NO_PI))
        ip("netns", "add", space)
        ip("link", "set", device, "netns", space)
        ip("-n", space, "link", "set", device, "name", "tun0")
        ip("-n", space, "link", "set", "lo", "up")
        ip("-n", space, "addr", "add", f"{new.address}/32", "dev", "tun0")
        ip("-n", space, "-6", "addr", "add", f"{new.address6}/128", "dev", "tun0", "nodad")
        ip("-n", space, "link", "set", "tun0", "mtu", str(MTU_BYTES), "up")
        ip("-n", space, "route", "add", "default", "dev", "tun0")
        ip("-n", space, "-6", "route", "add", "default", "dev", "tun0")
        return fd

    # -- weather and faults

    def cut(self, sources: Sequence[Place], targets: Sequence[Place]) -> None:
        """Nothing of the sources arrives at the targets from now on; the other way is as it was."""
        cuts = [[a.number, b.number] for a in sources for b in targets if a != b]
        self.weather.cuts += [cut for cut in cuts if cut not in self.weather.cuts]
        self.blow()

    def part(self, some: Sequence[Place], others: Sequence[Place]) -> None:
        """Nothing arrives between them, either way."""
        self.cut(some, others)
        self.cut(others, some)

    def heal(self) -> None:
        """No cut is left."""
        self.weather.cuts = []
        self.blow()

    def blow(self) -> None:
        """Makes the weather as `weather` says; it is when this returns."""
        self._say({"weather": asdict(self.weather)})

    def move(self, host: Place, address: str) -> None:
        """The host loses its IPv4 address and gets another, as with a new provider."""
        space, before = self.namespace(host), self._addresses[host.number][0]
        ip("-n", space, "addr", "add", f"{address}/32", "dev", "tun0")
        ip("-n", space, "addr", "delete", f"{before}/32", "dev", "tun0")
        self._addresses[host.number][0] = address
        self._say({"addresses": self._addresses})

    def add(self, host: Place, address: str) -> None:
        """One more IPv4 address of a host."""
        ip("-n", self.namespace(host), "addr", "add", f"{address}/32", "dev", "tun0")
        self._addresses[host.number].append(address)
        self._say({"addresses": self._addresses})

    def counts(self) -> dict[str, int]:
        """What the link did so far."""
        return self._say({})

    def _say(self, wanted: dict[str, Any]) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
        self._process.stdin.flush()
        return self._heard()

    def _heard(self) -> dict[str, int]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the link process ended"
        counts: dict[str, int] = json.loads(line)
        return counts


def sweep() -> None:
    """Removes namespaces whose test process is gone."""
    for line in ip("netns", "list").splitlines():
        name = line.split()[0]
        owner = name.removeprefix(PREFIX).partition("-")[0]
        if name.startswith(PREFIX) and owner.isdigit() and not Path(f"/proc/{owner}").exists():
            ip("netns", "delete", name)


@contextmanager
def network(places: Sequence[Place], seed: str, **bounds: int) -> Iterator[Network]:
    """Hosts that are gone at the end."""
    made = Network(places, seed, **bounds)
    try:
        yield made
    finally:
        made.close()
