"""Goal: a node starts, says goodbye and stops as its operator expects, in real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from node_processes import FailedToStart, Process
from node_world import eventually, found

from hive.client.client import connect
from hive.node.home import Home, initialise

Start = Callable[..., Process]


def test_a_stopped_node_says_goodbye_and_the_others_show_that_it_left(
    tmp_path: Path, start: Start
) -> None:
    realm = found(tmp_path, ("acme", "bell"))
    acme, bell = start(realm.member("acme")), start(realm.member("bell"))
    with acme.client() as client:
        eventually(lambda: client.status()["peers"]["connected"] == 1, "connected")
        eventually(
            lambda: [p["state"] for p in client.call("peers")["peers"]] == ["alive"], "alive"
        )
        tree = client.call("peer_tree")
        cells = [c for r in tree["regions"] for k in r["clusters"] for c in k["cells"]]
        assert [[(m["state"], m["is_super_peer"]) for m in c["members"]] for c in cells] == [
            [("alive", True)],
            [("alive", True)],
        ]
        assert bell.stop() == 0
        states = eventually(
            lambda: [p["state"] for p in client.call("peers")["peers"] if p["state"] != "alive"],
            "the goodbye is heard",
        )
        assert states == ["left"]
    assert acme.stop() == 0


def test_the_log_is_one_json_object_a_line(tmp_path: Path, start: Start) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    process = start(Home(tmp_path / "home"))
    assert process.stop() == 0
    lines = [json.loads(line) for line in process.stderr.splitlines()]
    assert all({"at", "level", "event"} <= set(line) for line in lines)
    assert lines[0]["event"] == "listening"


def test_the_stop_verb_ends_the_daemon_in_order(tmp_path: Path, start: Start) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    process = start(Home(tmp_path / "home"))
    with process.client() as client:
        client.remember("otters hold hands")
        client.call("stop")
    assert process.wait() == 0
    assert not Home(tmp_path / "home").socket.exists()


def test_status_names_what_stands_behind_steps_7_8_12_and_13(tmp_path: Path) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    with connect(tmp_path / "home") as hive:
        named = hive.status()["implementations"]
    assert [name.split(" (")[0] for name in named] == [
        "step 7", "step 8", "step 12", "step 13", "time",
    ]  # fmt: skip
    assert all(named.values())
    assert named["time"] == "attested by admitting node"


def test_while_a_node_runs_the_client_talks_to_it_instead_of_opening_the_store(
    tmp_path: Path, start: Start
) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    start(Home(tmp_path / "home"))
    with connect(tmp_path / "home") as hive:
        assert not hive.is_embedded
        written = hive.remember("otters hold hands")["id"]
    with connect(tmp_path / "home") as again:
        assert again.recall("otters")["hits"][0]["id"] == written


def test_a_second_node_on_one_home_is_refused_and_the_first_goes_on(
    tmp_path: Path, start: Start
) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    first = start(Home(tmp_path / "home"))
    with pytest.raises(FailedToStart) as caught:
        start(Home(tmp_path / "home"))
    assert caught.value.kind == "StateError"
    assert str(first.pid) in caught.value.message
    assert "stop it" in caught.value.hint
    with first.client() as client:
        assert client.remember("otters hold hands")["sequence"] == 1


def test_a_taken_port_is_named_and_the_store_is_free_again(tmp_path: Path, start: Start) -> None:
    realm = found(tmp_path, ("acme",))
    first = realm.member("acme")
    start(first)
    initialise(tmp_path / "other", listen=realm.bootstrap[0])
    with pytest.raises(FailedToStart) as caught:
        start(Home(tmp_path / "other"))
    assert caught.value.kind == "TransportError"
    assert caught.value.hint
    with connect(tmp_path / "other") as hive:
        assert hive.remember("otters hold hands")["sequence"] == 1


def test_a_command_that_only_writes_loads_no_index_and_the_next_recall_finds_it(
    tmp_path: Path,
) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    heavy = "{'tantivy', 'hnswlib', 'hive.store.projection', 'hive.store.embedder'}"
    script = (
        "import sys\nfrom pathlib import Path\nfrom hive.client.client import connect\n"
        f"with connect(Path({str(tmp_path / 'home')!r})) as hive:\n"
        "    hive.remember('otters hold hands')\n"
        f"print(sorted({heavy} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    with connect(tmp_path / "home") as hive:
        assert hive.recall("otters")["hits"][0]["text"] == "otters hold hands"
