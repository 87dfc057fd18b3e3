"""Homes of a small federation on loopback, for benchmarks that run real nodes."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from hive.custody.file import FileKeyring, create_keyring
from hive.custody.passphrase import make_unlock_file
from hive.node import clocks
from hive.node.cards import make_card, make_keys
from hive.node.ceremony import combine_ceremony, propose_founding, sign_ceremony
from hive.node.home import Home
from hive.node.member import initialise_member

COMMONS = "commons"


def found_homes(folder: Path, orgs: Sequence[str], region: str = "eu-west") -> list[Home]:
    """One node of each organisation; the others bootstrap from the first. One issuer suffices."""
    rings = [_founder(folder / f"{org}-founder") for org in orgs]
    cards = [
        make_card(ring, name=org, namespaces=(org, COMMONS))
        for org, ring in zip(orgs, rings, strict=True)
    ]
    now_ms = clocks.read().wall_us // 1_000
    proposal = propose_founding(
        cards, name="bench", threshold=1, now_ms=now_ms, freshness_threshold=1
    )
    signatures = [sign_ceremony(proposal, ring) for ring in rings]
    file = folder / "federation"
    file.write_bytes(combine_ceremony(proposal, signatures, now_ms))
    homes: list[Home] = []
    addresses = free_addresses(len(orgs))
    for org, address in zip(orgs, addresses, strict=True):
        home = Home(folder / org)
        initialise_member(
            home.path,
            founder=folder / f"{org}-founder",
            federation_file=file,
            name=org,
            region=region,
            listen=address,
            bootstrap=(addresses[0],) if homes else (),
        )
        homes.append(home)
    return homes


def _founder(folder: Path) -> FileKeyring:
    folder.mkdir(mode=0o700)
    ring = create_keyring(folder, make_unlock_file(folder, clocks.entropy), clocks.entropy)
    make_keys(ring, clocks.entropy)
    return ring


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
