"""The demo's own promises: honest figures, clear failures, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.demo import attacking, joining, run
from cli.demo.corpus import texts
from cli.demo.federation import Federation, free_addresses
from cli.demo.member import Member
from cli.demo.stage import DemoFailed, Stage, percentile, require
from cli.demo.summary import as_data, as_text


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0)]
)
def test_percentile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], share) == expected


def test_free_addresses_are_distinct_and_free_for_both_protocols() -> None:
    addresses = free_addresses(6)
    assert len(set(addresses)) == 6
    for address in addresses:
        port = int(address.rpartition(":")[2])
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind(("127.0.0.1", port))


def test_corpus_is_real_text_without_repeats() -> None:
    found = texts(300)
    assert len({each.text for each in found}) == 300
    assert all(each.text.startswith(each.question) for each in found)


def test_missed_goal_is_shown_and_is_no_failure() -> None:
    stage = Stage(act_name="spreading")
    stage.figure("slow", 300.0, "ms", 200.0)
    assert "slower than the goal: slow" in as_text(stage, "")
    data = as_data(stage, "")
    assert (data["is_good"], data["is_fast"]) == (True, False)


def test_broken_promise_names_act_and_reason() -> None:
    with pytest.raises(DemoFailed, match="lost"):
        require(False, "two memories were lost")
    stage = Stage(act_name="crashing")
    assert "failed in crashing: two memories were lost" in as_text(stage, "two memories were lost")


def test_node_that_does_not_start_fails_with_the_end_of_its_log(tmp_path: Path) -> None:
    member = Member("acme", "acme-1", "eu-west", tmp_path / "nothing-here")
    member.start()
    with pytest.raises(DemoFailed, match=r"acme-1 ended while it started(.|\n)*hive init"):
        member.await_ready()
    member.stop()


def test_failure_exits_1_and_leaves_no_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(stage: Stage, federation: Federation) -> None:
        assert federation.folder.parent == tmp_path
        raise DemoFailed("the founders fell out")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(joining, "play", fail)
    assert run(None, True) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["is_good"], said["failure"]) == (False, "the founders fell out")
    assert list(tmp_path.iterdir()) == []


def test_every_attack_is_answered_by_another_step() -> None:
    reasons = ("forged_signature", "leaf_not_valid", "not_covered", "wrong_federation")
    assert len({attacking.REASONS[reason].step for reason in reasons}) == len(reasons)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_ends_what_it_started(number: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "hive.cli", "demo"],
        env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stderr is not None
        pids = []
        for line in demo.stderr:
            if "process" in line:
                pids.append(int(line.split("process")[1].split()[0]))
            if len(pids) == 6:
                break
        demo.send_signal(number)
        demo.communicate(timeout=60)
    assert len(pids) == 6
    assert demo.returncode != 0
    assert list(tmp_path.glob("hive-demo-*")) == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
