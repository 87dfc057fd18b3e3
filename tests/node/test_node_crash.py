"""Goal: kill -9 at any instant: no repair, nothing acknowledged lost, recall finds it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from node_processes import Process
from node_world import eventually, seconds

from hive.client.client import Client, connect
from hive.errors import TransportError
from hive.node.home import Home, initialise
from hive.wire.randomness import Stream

KILL_COUNT = 20
SAVE_KILL_COUNT = 9


def write_until_it_dies(client: Client, number: int, acknowledged: dict[str, str]) -> None:
    """Batches, so that projections are fed and saved in the midst of it."""
    for batch in range(10_000):
        texts = [f"otter{number}x{batch}x{item} holds hands" for item in range(64)]
        try:
            ids = client.remember_many([{"text": text} for text in texts])
        except TransportError:
            return
        acknowledged.update(zip(ids, texts, strict=True))


def test_killed_twenty_times_a_node_loses_nothing_that_it_acknowledged(
    tmp_path: Path, start: Callable[..., Process]
) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    home, instants = Home(tmp_path / "home"), Stream(bytes(32), "kill", b"")
    acknowledged: dict[str, str] = {}
    for number in range(KILL_COUNT):
        process = start(home)
        with process.client() as client:
            writer = threading.Thread(
                target=write_until_it_dies, args=(client, number, acknowledged)
            )
            writer.start()
            before = len(acknowledged)
            enough = before + 64 * (1 + instants.below(8))
            eventually(lambda enough=enough: len(acknowledged) >= enough, "it writes")
            process.kill()
            writer.join()
        assert "Traceback" not in process.stderr
    with connect(home.path) as hive:
        assert [f for f in hive.call("doctor")["findings"] if f["severity"] == "error"] == []
        assert hive.status()["store"]["last_row"] >= len(acknowledged)
        everything = list(acknowledged.items())
        for identifier, text in everything[:: max(1, len(everything) // 60)]:
            assert hive.call("show", id=identifier)["state"] == "live"
            assert hive.recall(text.split()[0], count=1)["hits"][0]["id"] == identifier
        held = {e["id"] for e in hive.call("log", count=10_000)["entries"]}
        assert set(acknowledged) <= held or len(acknowledged) > 10_000


def test_killed_while_projections_are_being_saved_a_node_finds_everything_again(
    tmp_path: Path, start: Callable[..., Process]
) -> None:
    """Saved after every 64 rows; each kill falls when a snapshot's unfinished file is there."""
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    home = Home(tmp_path / "home")
    acknowledged: dict[str, str] = {}
    caught_count = 0
    for number in range(SAVE_KILL_COUNT):
        process = start(home, save_after_rows=64)
        with process.client() as client:
            writer = threading.Thread(
                target=write_until_it_dies, args=(client, number, acknowledged)
            )
            writer.start()
            unfinished = caught_saving(home)
            process.kill()
            writer.join()
            caught_count += any(path.exists() for path in unfinished)
    assert caught_count >= SAVE_KILL_COUNT // 3, "a kill left an unfinished snapshot"
    with connect(home.path) as hive:
        everything = list(acknowledged.items())
        for identifier, text in everything[:: max(1, len(everything) // 60)]:
            assert hive.recall(text.split()[0], count=1)["hits"][0]["id"] == identifier
        assert hive.status()["recall"]["row"] == hive.status()["store"]["last_row"]
        assert [f for f in hive.call("doctor")["findings"] if f["severity"] == "error"] == []


def caught_saving(home: Home) -> list[Path]:
    """Looks without rest until a snapshot is being written."""
    limit = seconds() + 30
    while seconds() < limit:
        if unfinished := list(home.recall.rglob("*.new")):
            return unfinished
    raise AssertionError("nothing was being saved")
