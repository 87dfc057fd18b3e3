"""Goal: a case is one history, judged. Method: small worlds of whole peers, run and compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hive.errors import ConfigError
from simulations.draws import Draws
from simulations.engine import Item
from simulations.faults import parse as parse_fault
from simulations.faults import plain
from simulations.liars import LIES
from simulations.promises import NOT_BUILT, PROMISES
from simulations.scenario import load, names, parse, to_plain, with_settings
from simulations.swarm import DRAWS
from simulations.trial import Case, Outcome, Trial, case_of, parse_case, run, standing

SMALL = """
[world]
nodes = 4
orgs = ["acme", "bell"]
[phases]
warm_s = 8
inject_s = 12
converge_s = 120
[users]
writes = 8
[faults]
all = 0.2
"""


def small(seed: int) -> Case:
    return case_of(parse(SMALL, "small"), seed)


@pytest.mark.parametrize("seed", range(4))
def test_small_worlds_keep_every_promise(seed: int) -> None:
    outcome = run(small(seed))
    assert outcome.violations == ()
    assert outcome.converged_us is not None
    assert outcome.checked["P1"] > 0


def test_a_case_is_one_history_also_from_its_file() -> None:
    case = small(5)
    again = parse_case(case.to_json())
    assert (again.faults, again.deeds, again.seed) == (case.faults, case.deeds, case.seed)
    seen: list[list[Item]] = [[], []]
    one, two = (
        Trial(each, journal=items.append).run()
        for each, items in zip((case, again), seen, strict=True)
    )
    assert [item[:5] for item in seen[0]] == [item[:5] for item in seen[1]]
    assert one.digest == two.digest
    assert one.digest != run(small(6)).digest


def test_leaving_one_fault_out_leaves_the_draws_of_the_others() -> None:
    scenario = parse(SMALL.replace("0.2", "1"), "small")
    without = with_settings(scenario, {"faults.loss": "0"})
    kept = [fault for fault in case_of(scenario, 1).faults if fault.name != "loss"]
    assert kept == list(case_of(without, 1).faults)
    assert len({fault.name for fault in kept}) >= 25


def test_every_fault_survives_its_file() -> None:
    scenario = parse(SMALL.replace("0.2", '1\n"lying disk" = 1'), "small")
    faults = case_of(scenario, 3).faults
    again = [parse_fault(json.loads(json.dumps(plain(fault)))) for fault in faults]
    assert again == list(faults)
    assert {fault.name for fault in faults} == set(DRAWS)


@pytest.mark.parametrize("lie", LIES)
def test_a_liar_of_each_kind_lies_and_honest_nodes_keep_their_promises(lie: str) -> None:
    text = SMALL.replace("all = 0.2", "") + f'[liars]\ncount = 1\nkinds = ["{lie}"]\n'
    outcome = run(case_of(parse(text, lie), 1))
    assert outcome.violations == ()
    assert outcome.sometimes[f"lie: {lie}"] > 0


def test_a_promise_that_is_not_built_never_counts_as_kept() -> None:
    outcome = run(small(0))
    for promise in PROMISES:
        said = standing(promise, outcome.checked[promise])
        assert (said == "not built yet") == (promise in NOT_BUILT)
    assert standing("P5", 0) == "never exercised"


def test_a_machine_that_raises_is_a_finding() -> None:
    trial = Trial(small(0))
    node = trial.world.nodes[0]
    trial.world.start(node)

    def fail(*_: object) -> object:
        raise KeyError("bug")

    node.peer.handle = fail  # type: ignore[method-assign, union-attr, assignment]
    trial.world.run(1_000)
    assert [(v.promise, "KeyError" in v.text) for v in trial.promises.violations] == [("P13", True)]
    assert not node.is_up


def test_the_scenarios_that_come_with_hive_load_and_travel() -> None:
    assert {"laptop", "two-orgs", "one-cell", "global", "partition", "region-outage"} < set(names())
    assert {"churn", "byzantine-tenth", "residency", "flash-crowd"} < set(names())
    for name in names():
        scenario = load(name)
        case = case_of(scenario, 1)
        assert to_plain(parse_case(case.to_json()).scenario) == to_plain(scenario)
        assert set(scenario.exercises) <= set(PROMISES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[world]\nnodes = 5\nspeed = 3\n", "line 3: unknown key speed"),
        ("[wurld]\n", "line 1: unknown key wurld"),
        ("[faults]\ncrash = -0.1\n", "line 2: crash must be between 0 and 1"),
        ("[world]\nloss = -0.5\n", "line 2: loss must be"),
        ("[users]\nwrites = -1\n", "users do nothing less than never"),
        ('[world]\nnodes = "many"\n', "line 2: nodes must be a int"),
        ("[world]\nnodes = 3\n[liars]\ncount = 3\n", "line 4: count: more liars than peers"),
        ('[liars]\ncount = 1\nkinds = ["rude"]\n', "no lie is called rude"),
        ('[world]\nmatrix = "gone.tsv"\n', "line 2: no matrix file gone.tsv"),
        ("[world\n", "Expected"),
    ],
)
def test_a_wrong_scenario_is_refused_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(text, "wrong", tmp_path)


def test_a_case_of_another_version_is_refused_with_its_line() -> None:
    text = small(1).to_json().replace('"version": 1', '"version": 9')
    with pytest.raises(ConfigError, match="line 2: the case is of version 9"):
        parse_case(text)
    with pytest.raises(ConfigError, match="no case"):
        parse_case("{")
    with pytest.raises(ConfigError, match="lacks or garbles"):
        parse_case('{"version": 1}')


def test_settings_replace_single_values_and_unknown_ones_are_refused() -> None:
    scenario = with_settings(load("two-orgs"), {"loss": "0.05", "nodes": "7", "crash": "1"})
    assert (scenario.world.loss, scenario.world.nodes) == (0.05, 7)
    assert scenario.chances_ppm["crash"] == 1_000_000
    for wrong in ({"lost": "1"}, {"world.lost": "1"}, {"loss": "2"}):
        with pytest.raises(ConfigError):
            with_settings(load("two-orgs"), wrong)


def test_a_measured_matrix_is_where_latencies_come_from(tmp_path: Path) -> None:
    rows = "\n".join(" ".join("0" if a == b else "90" for a in range(4)) for b in range(4))
    (tmp_path / "trips.tsv").write_text(rows)
    scenario = parse(SMALL + "[liars]\ncount = 0\n", "m", tmp_path)
    placed = parse(SMALL.replace("[world]", '[world]\nmatrix = "trips.tsv"'), "m", tmp_path)
    assert Trial(case_of(placed, 1)).world.network.topology.base_us(0, 1) == 45_000
    assert Trial(case_of(scenario, 1)).world.network.topology.base_us(0, 1) == 42_000


def test_waiting_times_have_the_mean_that_was_asked() -> None:
    draws = Draws(b"seed", "waits")
    assert sum(draws.waits(1_000) for _ in range(50_000)) / 50_000 == pytest.approx(1_000, rel=0.03)


def rows(outcome: Outcome) -> str:
    return json.dumps(outcome.to_plain())


def test_an_outcome_is_one_row_of_json() -> None:
    assert json.loads(rows(run(small(2))))["violations"] == []
