"""Goal: the daemon's life at a shell. Method: real processes, one home, signals and kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HIVE = (sys.executable, "-P", "-m", "hive.cli")
TIMEOUT_S = 60


def typed(home: Path, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("HIVE_")}
    return subprocess.run(
        [*HIVE, *words],
        env={**environment, "HIVE_HOME": str(home)},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    assert typed(home, "init", "--listen", "127.0.0.1:0").returncode == 0
    yield home
    typed(home, "down")


def process_of(home: Path) -> int:
    return int((home / "node.pid").read_text(encoding="ascii"))


def test_a_detached_node_serves_survives_a_second_start_and_stops(home: Path) -> None:
    up = json.loads(typed(home, "up", "--detach", "--json").stdout)
    assert (up["pid"], up["node"]) == (process_of(home), "laptop")
    told = typed(home, "remember", "Otters hold hands")
    assert told.returncode == 0, told.stderr
    second = typed(home, "up", "--detach")
    assert (second.returncode, "in use by process" in second.stderr) == (1, True)
    assert process_of(home) == up["pid"]
    assert "Otters" in typed(home, "recall", "otters").stdout
    assert "running" in typed(home, "restore", str(home)).stderr
    assert typed(home, "down").returncode == 0
    assert not (home / "node.pid").exists()
    assert typed(home, "down").returncode == 4


def test_what_was_acknowledged_is_there_after_kill_9(home: Path) -> None:
    assert typed(home, "up", "--detach").returncode == 0
    told = typed(home, "remember", "Otters hold hands").stdout.strip()
    os.kill(process_of(home), signal.SIGKILL)
    for _ in range(200):
        shown = typed(home, "show", told[:10])
        if shown.returncode == 0:
            break
    assert told in shown.stdout


def test_a_node_in_the_foreground_says_where_it_is_and_ends_on_sigterm(home: Path) -> None:
    with subprocess.Popen(
        [*HIVE, "up", "--json", "--home", str(home)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        while lines[-1].rstrip() != "}":
            lines.append(process.stdout.readline())
        assert json.loads("".join(lines))["pid"] == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0


def test_a_taken_port_is_told_and_nothing_stays_behind(home: Path, tmp_path: Path) -> None:
    up = json.loads(typed(home, "up", "--detach", "--json").stdout)
    other = tmp_path / "other"
    assert typed(other, "init", "--listen", up["udp"]).returncode == 0
    failed = typed(other, "up", "--detach")
    assert failed.returncode != 0
    assert failed.stderr.startswith("error: ")
    assert "hint: " in failed.stderr
    assert "Traceback" not in failed.stderr
    assert typed(other, "remember", "The store is free").returncode == 0


def test_a_node_starts_from_a_folder_that_holds_another_hive(home: Path, tmp_path: Path) -> None:
    decoy = tmp_path / "checkout" / "hive"
    decoy.mkdir(parents=True)
    (decoy / "__init__.py").write_text("", encoding="utf-8")
    up = typed(home, "up", "--detach", folder=decoy.parent)
    assert up.returncode == 0, up.stderr
