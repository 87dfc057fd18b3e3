"""Two organisations found a federation; what one remembers the other recalls, and no more.

Run it: python examples/two_organisations.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hive.client.client import Client, connect
from hive.custody.file import create_keyring
from hive.custody.passphrase import make_unlock_file
from hive.errors import Refused
from hive.node import clocks
from hive.node.cards import make_card, make_keys
from hive.node.ceremony import combine_ceremony, propose_founding, sign_ceremony
from hive.node.member import initialise_member

PLACES = {"acme": "eu-west", "bell": "us-east"}


def found(folder: Path) -> bytes:
    """Each founder makes keys and a card, both sign, anybody combines: the federation's file."""
    cards, rings = [], []
    for org in PLACES:
        keys = folder / f"{org}-founder"
        keys.mkdir(mode=0o700)
        ring = create_keyring(keys, make_unlock_file(keys, clocks.entropy), clocks.entropy)
        make_keys(ring, clocks.entropy)
        cards.append(make_card(ring, name=org, namespaces=(org, "commons")))
        rings.append(ring)
    now_ms = clocks.read().wall_us // 1_000
    proposal = propose_founding(cards, name="example", threshold=2, now_ms=now_ms)
    signatures = [sign_ceremony(proposal, ring) for ring in rings]
    return combine_ceremony(proposal, signatures, now_ms)


def start(folder: Path, org: str, *bootstrap: str) -> subprocess.Popen[str]:
    """The organisation's first node in a process of its own; returns once it listens."""
    initialise_member(
        folder / org,
        founder=folder / f"{org}-founder",
        federation_file=folder / "federation",
        name=f"{org}-1",
        region=PLACES[org],
        listen="127.0.0.1:0",
        bootstrap=bootstrap,
    )
    command = [sys.executable, "-P", "-m", "hive.cli", "up", "--home", str(folder / org)]
    with (folder / f"{org}.log").open("w") as log:
        node = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert node.stdout is not None
    print(node.stdout.readline().strip())
    return node


def talk(acme: Client, bell: Client) -> None:
    """What one remembers the other recalls; what is not its own it cannot write."""
    made = acme.remember("The ferry to Harwich leaves at ten.", namespace="commons/travel")
    give_up_at = time.perf_counter() + 60
    while not (hits := bell.recall("ferry Harwich")["hits"]):
        assert time.perf_counter() < give_up_at, "the memory did not arrive"
    hit = hits[0]
    assert (hit["id"], hit["org_name"], hit["region"]) == (made["id"], "acme", "eu-west")
    print(f"bell recalls: {hit['text']} (by {hit['author_name']} of {hit['org_name']})")
    why = ""
    try:
        bell.remember("acme owes bell a million", namespace="acme/accounts")
    except Refused as refused:
        why = f"refused at step {refused.step} ({refused.reason})"
    print(f"bell writing in acme's name: {why}")
    assert why == "refused at step 5 (not_covered)"


def main() -> None:
    """Founds, starts, talks, stops."""
    nodes: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "federation").write_bytes(found(folder))
        try:
            nodes.append(start(folder, "acme"))
            with connect(folder / "acme") as acme:
                nodes.append(start(folder, "bell", acme.status()["node"]["address"]))
                with connect(folder / "bell") as bell:
                    talk(acme, bell)
        finally:
            for node in nodes:
                node.terminate()
                node.communicate(timeout=30)


if __name__ == "__main__":
    main()
