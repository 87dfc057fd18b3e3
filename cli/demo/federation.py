"""The demo's federation: founded by a ceremony, joined by invites, six processes on loopback."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hive.custody.file import FileKeyring, create_keyring
from hive.custody.passphrase import make_unlock_file
from hive.node import clocks
from hive.node.cards import make_card, make_keys
from hive.node.ceremony import combine_ceremony, propose_founding, sign_ceremony
from hive.node.enrolment import join
from hive.node.founded import Founded, read_federation
from hive.node.member import initialise_member

from .member import POLL_S, Member
from .stage import DemoFailed

ORGS: Final = ("acme", "bell", "corp")
FIRST: Final = (("acme", "eu-west"), ("bell", "us-east"), ("corp", "ap-south"))
SECOND: Final = (("acme", "us-east"), ("bell", "ap-south"), ("corp", "eu-west"))
COMMONS: Final = "commons"
THRESHOLD: Final = 2


@dataclass(slots=True)
class Federation:
    """Who founded it and which nodes run."""

    folder: Path
    members: list[Member] = field(default_factory=list)
    file: bytes = b""
    bootstrap: str = ""

    # Founding.

    def found(self) -> Founded:
        """A 2-of-3 root: each founder makes keys and a card, and all three sign."""
        rings = [self._founder(org) for org in ORGS]
        cards = [
            make_card(ring, name=org, namespaces=(org, COMMONS))
            for org, ring in zip(ORGS, rings, strict=True)
        ]
        now_ms = clocks.read().wall_us // 1_000
        proposal = propose_founding(
            cards, name="demo", threshold=THRESHOLD, now_ms=now_ms, freshness_threshold=THRESHOLD
        )
        signatures = [sign_ceremony(proposal, ring) for ring in rings]
        self.file = combine_ceremony(proposal, signatures, now_ms)
        self.federation_file.write_bytes(self.file)
        return read_federation(self.file, now_ms)

    @property
    def federation_file(self) -> Path:
        """The records that everybody may have."""
        return self.folder / "federation"

    def founder(self, org: str) -> Path:
        """Where a founder keeps the keys of its organisation."""
        return self.folder / f"{org}-founder"

    def _founder(self, org: str) -> FileKeyring:
        folder = self.founder(org)
        folder.mkdir(mode=0o700)
        ring = create_keyring(folder, make_unlock_file(folder, clocks.entropy), clocks.entropy)
        make_keys(ring, clocks.entropy)
        return ring

    # Members.

    def enrol_first_nodes(self) -> list[Member]:
        """The first node of each organisation; all but one know one address."""
        addresses = free_addresses(len(FIRST))
        self.bootstrap = addresses[0]
        added = []
        for number, (org, region) in enumerate(FIRST):
            member = self._member(org, f"{org}-1", region)
            initialise_member(
                member.home,
                founder=self.founder(org),
                federation_file=self.federation_file,
                name=member.name,
                region=region,
                listen=addresses[number],
                bootstrap=(self.bootstrap,) if number else (),
            )
            added.append(member)
        return added

    def enrol_second_nodes(self) -> list[Member]:
        """One more node each, with nothing but an invite of the organisation's first."""
        added = []
        for (org, region), address in zip(SECOND, free_addresses(len(SECOND)), strict=True):
            member = self._member(org, f"{org}-2", region)
            invite = self[f"{org}-1"].call("invite", name=member.name, region=region)["invite"]
            join(member.home, invite, listen=address)
            added.append(member)
        return added

    def _member(self, org: str, name: str, region: str) -> Member:
        member = Member(org, name, region, self.folder / name)
        self.members.append(member)
        return member

    def __getitem__(self, name: str) -> Member:
        return next(member for member in self.members if member.name == name)

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    @property
    def writers(self) -> list[Member]:
        """The nodes through which an agent of each organisation writes."""
        return [self[f"{org}-1"] for org in ORGS]

    def others(self, member: Member) -> list[Member]:
        """Everybody else."""
        return [each for each in self.members if each is not member]

    def start(self, members: Sequence[Member]) -> None:
        """Starts processes side by side and waits until all answer."""
        for member in members:
            member.start()
        for member in members:
            member.await_ready()

    def stop(self) -> None:
        """Ends every process that the demo started, and no other."""
        for member in self.members:
            member.terminate()
        with ExitStack() as stack:
            for member in self.members:
                stack.callback(member.stop)

    # Waiting.

    def wait(
        self,
        is_done: Callable[[Member], bool],
        members: Sequence[Member],
        what: str,
        within_s: float,
        poll_s: float = POLL_S,
    ) -> dict[str, float]:
        """When, in seconds from now, each of these came to be so; fails after `within_s`."""
        began = time.perf_counter()
        waiting, done = list(members), {}
        while waiting:
            for member in list(waiting):
                if is_done(member):
                    done[member.name] = time.perf_counter() - began
                    waiting.remove(member)
            if waiting and time.perf_counter() - began > within_s:
                raise waiting[0].failure(f"took longer than {within_s:.0f} s: {what}")
            if waiting:
                time.sleep(poll_s)
        return done

    def wait_equal(self, what: str, within_s: float) -> float:
        """Seconds until all hold the same, as their replica digests say."""
        began = time.perf_counter()
        while len(digests := self.digests()) > 1:
            if time.perf_counter() - began > within_s:
                raise DemoFailed(f"{what}: after {within_s:.0f} s there are {len(digests)} digests")
            time.sleep(POLL_S)
        return time.perf_counter() - began

    def digests(self) -> set[str]:
        """The different replica digests."""
        return {member.call("status")["replica_digest"] for member in self.members}


def free_addresses(count: int) -> list[str]:
    """Loopback ports that are free now, for UDP and TCP alike."""
    found: list[str] = []
    with ExitStack() as held:
        while len(found) < count:
            tcp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            tcp.bind(("127.0.0.1", 0))
            udp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue
            found.append(f"127.0.0.1:{tcp.getsockname()[1]}")
    return found
