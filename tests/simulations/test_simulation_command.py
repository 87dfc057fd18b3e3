"""Goal: `hive simulate` runs, sweeps, replays and shrinks. Method: small worlds, by the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from hive.errors import ConfigError, StateError
from simulations.pool import Died, Pool
from simulations.promises import Violation
from simulations.scenario import parse
from simulations.shrinking import Shrinker
from simulations.sweep import Summary, Sweep, SweepConfig, replay_line, tasks_of, work
from simulations.trial import Case, Outcome, case_of, run

ROOT = Path(__file__).resolve().parents[2]

TINY = """
[world]
nodes = 1
orgs = ["acme"]
network = "lan"
[phases]
warm_s = 1
inject_s = 4
converge_s = 30
[users]
writes = 4
[faults]
"crash" = 1
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def simulate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)])


def test_run_says_how_each_promise_stands_and_writes_the_case_it_can_replay(
    tiny: Path, tmp_path: Path
) -> None:
    case = tmp_path / "case.json"
    one = simulate("run", tiny, "--seed", 3, "--case", case, "--json")
    assert one.exit_code == 0, one.output
    told = json.loads(one.stdout)
    assert told["promises"]["P8"].startswith("checked ")
    assert told["promises"]["P7"] == "not built yet"
    again = json.loads(simulate("replay", case, "--json").stdout)
    assert again["digest"] == told["digest"]


def test_wrong_input_is_refused_with_a_hint(tiny: Path, tmp_path: Path) -> None:
    case = tmp_path / "case.json"
    case.write_text('{\n "version": 0\n}')
    refused = (
        (("run", "no-such"), "no scenario called no-such"),
        (("run", tiny, "--set", "speed=1"), "no setting is called speed"),
        (("run", tiny, "--set", "loss=1,2"), "is no KEY=VALUE"),
        (("sweep", tiny, "--seeds", "9"), "a range A:B"),
        (("replay", case), "line 2: the case is of version 0"),
        (("shrink", case), "line 2: the case is of version 0"),
    )
    for arguments, said in refused:
        done = simulate(*arguments)
        assert done.exit_code == 2, (arguments, done.output)
        assert said in done.stderr


def test_a_sweep_sums_up_goes_on_and_runs_some_seeds_twice(tiny: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    arguments = ("sweep", tiny, "--seeds", "0:3", "--rows", rows, "--workers", 1)
    first = json.loads(simulate(*arguments, "--json").stdout)
    assert first["findings"] == []
    assert first["rows"] == 4
    assert first["promises"]["P14"] == "checked 1 times"
    lines = rows.read_text().splitlines()
    rows.write_text("\n".join(lines[:2]) + "\n" + lines[2][:40])
    running = Sweep(tasks_of(str(tiny), SweepConfig(first=0, end=3)), rows)
    assert len(running.waiting) == 2
    rows.write_text("nothing\n" + lines[0] + "\n")
    with pytest.raises(ConfigError, match="line 1: no row"):
        Sweep([], rows)


def test_a_grid_runs_every_combination() -> None:
    config = SweepConfig(
        first=0, end=2, grid=(("loss", ("0", "0.05")), ("nodes", ("5", "6"))), twice_every=0
    )
    tasks = tasks_of("two-orgs", config)
    assert len(tasks) == 8
    assert {(t.scenario.world.loss, t.scenario.world.nodes) for t in tasks} == {
        *((0.0, 5), (0.0, 6)),
        *((0.05, 5), (0.05, 6)),
    }


def fall(task: int) -> int:
    if task == 2:
        os._exit(9)
    return task * task


def test_a_worker_that_dies_is_a_finding_with_its_task_and_is_not_tried_again() -> None:
    with Pool(fall, 2) as pool:
        results = dict(pool.run(range(1, 6)))
    died = results.pop(2)
    assert isinstance(died, Died)
    assert died.exit_code == 9
    assert results == {1: 1, 3: 9, 4: 16, 5: 25}


def test_a_dead_worker_and_two_histories_are_findings_of_a_summary(tiny: Path) -> None:
    (task,) = tasks_of(str(tiny), SweepConfig(first=0, end=1, twice_every=0))
    row, summary = work(task), Summary()
    summary.add(row)
    summary.add({**row, "turn": 1, "digest": "other"})
    summary.add({"scenario": "tiny", "settings": {"loss": "0"}, "seed": 7, "turn": 0, "died": -9})
    assert len(summary.findings) == 2
    assert summary.findings[0]["violations"][0]["promise"] == "P14"
    assert replay_line(summary.findings[1]).endswith("run tiny --seed 7 --set loss=0")


def test_a_case_shrinks_to_the_faults_that_matter() -> None:
    """The judge calls a case broken while one certain fault and one certain deed are in it."""
    case = case_of(
        parse(TINY.replace('"crash" = 1', "all = 1").replace("nodes = 1", "nodes = 4"), "t"), 1
    )
    assert len(case.faults) > 25
    fault, deed = case.faults[7], case.deeds[3]
    good = run(case_of(parse(TINY, "tiny"), 1))

    def judge(given: Case) -> Outcome:
        is_there = any(f.at_us == fault.at_us and f.name == fault.name for f in given.faults)
        is_broken = is_there and deed in given.deeds
        broken = (Violation("P9", 1, "", "it"),) if is_broken else ()
        return _with(good, broken)

    shrunk = Shrinker(case, judge=judge).shrink()
    assert [f.name for f in shrunk.case.faults] == [fault.name]
    assert shrunk.case.deeds == (deed,)
    assert shrunk.promise == "P9"
    with pytest.raises(StateError):
        Shrinker(case_of(parse(TINY, "tiny"), 1))


def _with(outcome: Outcome, violations: tuple[Violation, ...]) -> Outcome:
    return replace(outcome, violations=violations)


def test_one_seed_is_one_history_in_two_processes_and_under_two_hash_seeds(tiny: Path) -> None:
    script = (
        "from simulations.trial import *; from simulations.scenario import load; "
        f"print(run(case_of(load({str(tiny)!r}), 5)).digest)"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for salt in ("0", "1")
    }
    assert len(digests) == 1
