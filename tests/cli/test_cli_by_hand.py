"""Goal: what the README tells an operator to type works. Method: type it, with real processes.

Every line of the section runs in one shell in an empty folder; only the three ports are replaced
by free ones, because many may test on one machine.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PORTS = ("7441", "7442", "7443")
HOMES = ("acme-1", "acme-2", "corp-1", "dora-1")
TIMEOUT_S = 240


def blocks() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("\n## A federation by hand\n")[1].split("\n### Commands\n")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def free_ports(count: int) -> list[str]:
    """Ports that are free for datagrams and streams alike."""
    found: list[str] = []
    while len(found) < count:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        ):
            stream.bind(("127.0.0.1", 0))
            port = stream.getsockname()[1]
            try:
                datagram.bind(("127.0.0.1", port))
            except OSError:
                continue
            if str(port) not in found:
                found.append(str(port))
    return found


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HIVE_")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for home in HOMES:
        subprocess.run(
            ["hive", "down", "--home", home],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            check=False,
            timeout=60,
        )


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_every_line_of_a_federation_by_hand_works(folder: Path) -> None:
    script = "\n".join(blocks())
    for written, free in zip(PORTS, free_ports(len(PORTS)), strict=True):
        script = script.replace(f":{written}", f":{free}")
    done = run(f"PS4='>> '; set -x\n{script}", folder)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-6_000:]
    assert "2 imported, 0 known before" in done.stdout
    assert "0 imported, 2 known before" in done.stdout
    assert "Pump seven was replaced in May" in done.stdout


def test_memories_cross_organisations_and_the_stranger_at_the_door_is_told_why(
    folder: Path,
) -> None:
    founding, _, nodes, *_ = blocks()
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    script = founding + nodes.replace("dora", "corp").replace("with-corp", "federation")
    for written, free in ports.items():
        script = script.replace(f":{written}", f":{free}")
    done = run(script, folder)
    assert done.returncode == 0, done.stderr[-4_000:]
    told = run("hive remember --home acme-1 --namespace commons 'Bees dance for honey'", folder)
    assert told.returncode == 0, told.stderr
    wait = "until hive recall bees --home corp-1 | grep -q Bees; do :; done"
    assert run(f"timeout 60 bash -c '{wait}'", folder).returncode == 0
    hit = json.loads(run("hive recall bees --home corp-1 --json", folder).stdout)["hits"][0]
    assert (hit["org_name"], hit["writer_name"]) == ("acme", "acme-1")
    assert next(link["kind"] for link in hit["chain"]) == "root"
    again = run("hive join acme-2.invite --home acme-3 --listen 127.0.0.1:0", folder)
    assert (again.returncode, "spent" in again.stderr) == (3, True)
    scout = run("hive agent list --json --home acme-2", folder)
    rights = json.loads(scout.stdout)["agents"][0]["capabilities"][0]
    assert (rights["prefix"], rights["actions"]) == ("commons", ["remember", "recall"])
    second = run("hive agent join scout.invite --home acme-2", folder)
    assert (second.returncode, "exists here" in second.stderr) == (1, True)
    swapped = run("hive agent join acme-2.invite --home acme-2", folder)
    assert (swapped.returncode, "for a node" in swapped.stderr) == (1, True)
