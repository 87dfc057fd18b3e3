"""Goal: the report says what rows say, and no more. Method: rows by hand and tiny measurements."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mutant_rows import measure as measure_mutants

from cli.main import main
from hive.errors import ConfigError
from hive.protocol.membership.config import SwimConfig
from simulations import theory
from simulations.compare import compare
from simulations.experiments import EXPERIMENTS, Running, tasks_of, work
from simulations.plots import (
    DASHED,
    DOTS,
    HEIGHT,
    LEFT,
    WIDTH,
    Chart,
    Heat,
    Series,
    chart_svg,
    heat_svg,
)
from simulations.report import SECTIONS, report_of
from simulations.results import Results, read, seeds
from simulations.scenario import load, with_settings
from simulations.statistics import SHARES, Quantiles, interval, intervals_of_curves, number
from simulations.timeline import Timeline
from simulations.trial import case_of, run

RESULTS = Path(__file__).resolve().parents[2] / "simulations" / "results"
ORIGIN = {"machine": "two cores", "versions": "CPython 3.11", "commit": "abc"}


def row(experiment: str, seed: int, figures: dict[str, float], **settings: Any) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "settings": settings,
        "seed": seed,
        "figures": figures,
        "digest": f"{experiment}{seed}",
        "origin": ORIGIN,
    }


def write(folder: Path, *rows: dict[str, Any], name: str = "rows.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(each) + "\n" for each in rows))
    return folder


def simulate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)])


# Statistics.


def test_streamed_quantiles_are_within_one_percent_of_sorted_ones() -> None:
    values = [1.0 + (n * 7_919) % 100_003 for n in range(5_000)]
    sketch, ordered = Quantiles(values[:2_000]), sorted(values)
    sketch.merge(Quantiles(values[2_000:]))
    for share in SHARES:
        exact = ordered[max(1, math.ceil(share * len(ordered))) - 1]
        assert abs(sketch.at(share) - exact) <= 0.0101 * exact
    assert sketch.at(1.0) == ordered[-1]
    assert Quantiles().at(0.5) == 0
    assert Quantiles().curve() == []


def test_an_interval_is_students_and_one_seed_has_none() -> None:
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.high - found.mean == pytest.approx(4.303 / math.sqrt(3))
    assert found.overlaps(interval([4.0, 4.1]))
    assert not interval([1.0, 1.01]).overlaps(interval([2.0, 2.01]))
    assert not interval([1.0]).is_known
    assert interval([1.0]).text() == "1 (1 seed)"


def test_curves_are_averaged_where_all_seeds_have_a_point() -> None:
    one, other = [[1.0, 0.5], [3.0, 1.0]], [[2.0, 0.5], [5.0, 1.0]]
    by_share = intervals_of_curves([one, other], is_by_share=True)
    assert [(share, each.mean) for share, each in by_share] == [(0.5, 1.5), (1.0, 4.0)]
    assert intervals_of_curves([one, [[1.0, 0.25]]], is_by_share=False)[0][1].mean == 0.375


def test_figures_are_written_with_the_digits_that_count() -> None:
    assert [number(x) for x in (0, 0.12345, 12.345, 12_345, 1e-9)] == [
        *("0", "0.123", "12.3", "12,345"),
        "1.00e-09",
    ]


# Theory.


def test_theory_gives_the_figures_of_the_papers() -> None:
    swim = SwimConfig.for_lan()
    classic = SwimConfig(
        probe_interval_us=1_000_000, suspicion_multiplier_milli=4_000, ping_attempts=1
    )
    assert theory.shortest_suspicion_s(512, classic) == pytest.approx(10.84, abs=0.01)
    chance = theory.false_suspicions_per_hour(0.05, classic) / 3_600
    assert chance == pytest.approx(6.2e-4, rel=0.05)
    assert theory.false_suspicions_per_hour(0.0, swim) == 0
    assert theory.hops_at_least(512, 5) == pytest.approx(4.5)
    assert theory.spread_rounds(1_000, 3) == pytest.approx(7.29, abs=0.01)
    assert theory.missed_share(12) < 1e-5
    assert theory.declared_s(512, swim) < theory.everybody_knows_s(512, swim) < 9


# Plots.


def test_plots_are_well_formed_static_and_escaped() -> None:
    lines = [
        Series(name="<a> & b", points=[(1, 1), (10, 100)], band=[((1, 0.5), (1, 2))]),
        Series(name="theory", points=[(1, 2), (10, 3)], style=DASHED, colour=1),
        Series(name="seed", points=[(2, 0)], style=DOTS, colour=2),
    ]
    chart = Chart(
        title="t",
        x_label="x",
        y_label="y",
        series=lines,
        is_x_log=True,
        is_y_log=True,
        bars=[(2, 5, "cut")],
    )
    heat = Heat(
        title="h", x_label="x", y_label="y", columns=["1"], rows=["a", "b"], values=[[2.0], [None]]
    )
    for svg in (chart_svg(chart), heat_svg(heat)):
        tree = ElementTree.fromstring(svg)
        names = {element.tag.rpartition("}")[2] for element in tree.iter()}
        assert "script" not in names
        for line in tree.iterfind(".//{*}polyline"):
            places = [pair.split(",") for pair in line.get("points", "").split()]
            assert all(LEFT <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in places)
        assert "href" not in svg
        assert "nan" not in svg
    assert "not run" in heat_svg(heat)


@pytest.mark.parametrize("is_log", [False, True])
def test_a_chart_without_points_and_one_of_equal_points_are_drawn(is_log: bool) -> None:
    for points in ([], [(0.0, 0.0)], [(3.0, 3.0), (3.0, 3.0)]):
        series = [Series(name="s", points=points)]
        chart = Chart(
            title="t", x_label="x", y_label="y", series=series, is_x_log=is_log, is_y_log=is_log
        )
        ElementTree.fromstring(chart_svg(chart))


# Rows.


def test_a_wrong_row_is_refused_by_its_line_and_a_torn_last_one_was_not_done(
    tmp_path: Path,
) -> None:
    good = row("engine", 1, {"events": 5}, entities=10)
    folder = write(tmp_path / "a", good, {**good, "seed": 2})
    file = folder / "rows.jsonl"
    file.write_text(file.read_text() + '{"experiment": "eng')
    assert len(read(folder).rows) == 2
    file.write_text("[]\n" + file.read_text())
    with pytest.raises(ConfigError, match=r"rows.jsonl, line 1: no row"):
        read(folder)
    with pytest.raises(ConfigError, match="holds no rows"):
        read(tmp_path / "none")


def test_seeds_are_told_as_ranges(tmp_path: Path) -> None:
    rows = [row("engine", seed, {}, entities=1) for seed in (1, 2, 3, 7)]
    assert seeds(read(write(tmp_path, *rows)).rows) == "1–3, 7"


# The report.


def test_a_report_without_rows_says_which_command_makes_each_figure_and_invents_none() -> None:
    made = report_of(Results(()))
    assert len(made.empty) == len(SECTIONS)
    for section in made.empty:
        assert section.command in made.markdown
    assert "<svg" not in made.html


def test_every_command_that_a_report_names_is_one() -> None:
    known = {experiment.name for experiment in EXPERIMENTS}
    for section in report_of(Results(())).empty:
        words = section.command.split()
        if words[2] == "measure":
            assert words[3] in known
        elif words[0] == "hive":
            assert words[2:4] == ["sweep", "correctness"]


def sweep_row(seed: int, **more: Any) -> dict[str, Any]:
    return {
        "scenario": "correctness",
        "settings": {},
        "seed": seed,
        "turn": 0,
        "digest": "d",
        "violations": [],
        "checked": {"P1": 4, "P7": 3},
        "event_count": 100,
        "virtual_us": 2_000_000,
        "converged_us": 1_000_000,
        "cpu_s": 0.5,
        "traffic": {"eu>us": 10_000},
        **more,
    }


def test_promises_are_checked_never_exercised_or_not_built_and_findings_are_replayable(
    tmp_path: Path,
) -> None:
    broken = {"promise": "P9", "at_us": 5, "node": "", "text": "2 <different> replicas"}
    folder = write(
        tmp_path,
        sweep_row(1),
        sweep_row(1, turn=1),
        sweep_row(2, violations=[broken]),
        {"scenario": "correctness", "settings": {"loss": "0"}, "seed": 7, "turn": 0, "died": -9},
    )
    text = report_of(read(folder)).markdown
    assert "| P1 | nothing unproven is stored | checked 12 times | 0 |" in text
    assert "| P7 | data stays in its jurisdiction | not built yet | 0 |" in text
    assert "| P5 | forks are proven everywhere | never exercised | 0 |" in text
    assert "| P14 | same seed, same history | checked 1 times | 0 |" in text
    assert "`hive simulate run correctness --seed 2`" in text
    assert "| worker died |  | `hive simulate run correctness --seed 7 --set loss=0` |" in text
    html = report_of(read(folder)).html
    assert "2 &lt;different&gt; replicas" in html
    assert "eu" in html


def test_mutants_that_were_not_run_or_not_caught_say_so(tmp_path: Path) -> None:
    every = {"one": "P1", "other": "P3", "third": "P2"}
    made = [
        row("mutants", seed, {"caught": caught}, mutant=name)
        for name, seed, caught in (("one", 0, 0), ("one", 1, 1), ("other", 0, 0))
    ]
    made.append({**row("mutants", 4, {}, mutant="fourth"), "died": 1})
    every["fourth"] = "P13"
    folder = write(tmp_path, *({**each, "mutants": every} for each in made))
    text = report_of(read(folder)).markdown
    assert "| one | P1 | 2 | 1 of 2 |" in text
    assert "| other | P3 | not caught | 0 of 1 |" in text
    assert "| third | P2 | not run | 0 of 0 |" in text
    assert "| fourth | P13 | worker died | 0 of 1 |" in text
    assert '`python -m tests.simulations.mutant_rows DIR 4:5 "fourth"`' in text
    assert "1 of 4 caught" in text


def test_a_row_of_a_mutant_says_what_it_broke(tmp_path: Path) -> None:
    name = "chokes on garbage"
    assert measure_mutants(tmp_path, range(1), [name]) == 1
    (made,) = read(tmp_path).rows
    assert made.settings == {"mutant": name}
    assert bool(made.figures["caught"]) == ("P13" in made.plain["broken"])


def test_a_report_names_machine_versions_commit_seeds_and_intervals(tmp_path: Path) -> None:
    rows = [row("scaling", n, {"p99 ms": 20.0 + n, "cpu_s": 1}, nodes=100) for n in range(3)]
    kernel = row("kernel", 0, {"p99 ms": 30.0}, nodes=100_000)
    made = report_of(read(write(tmp_path, *rows, kernel)))
    assert "machine: two cores; versions: CPython 3.11; commit: abc" in made.markdown
    assert "21 [18.5, 23.5]" in made.markdown
    assert "30 (1 seed)" in made.markdown
    assert "seeds 0–2" in made.markdown
    for forbidden in ("<script", "http-equiv", "src=", "href=", "@import", "url("):
        assert forbidden not in made.html


# Comparing.


def test_only_figures_whose_intervals_part_have_moved(tmp_path: Path) -> None:
    def side(name: str, shift: float, machine: str) -> Results:
        rows = [
            row("engine", seed, {"still": seed, "moved": shift + seed / 100, "cpu_s": shift}, n=1)
            for seed in range(3)
        ]
        lone = row("detection", 0, {"lone": shift}, n=1)
        rows = [*rows, lone]
        for each in rows:
            each["origin"] = {**ORIGIN, "machine": machine}
        return read(write(tmp_path / name, *rows))

    found = compare(side("a", 0.0, "m"), side("b", 5.0, "m"))
    assert [moved.figure for moved in found.moved] == ["moved", "cpu_s"]
    assert found.uncertain == ("detection (n 1) lone",)
    assert (found.same_history_count, found.other_history_count) == (4, 0)
    elsewhere = compare(side("a", 0.0, "m"), side("c", 5.0, "other"))
    assert [moved.figure for moved in elsewhere.moved] == ["moved"]


def test_compare_exits_1_where_a_figure_moved(tmp_path: Path) -> None:
    rows = [row("engine", seed, {"events": 5 + seed / 10}, n=1) for seed in range(3)]
    far = [row("engine", seed, {"events": 9 + seed / 10}, n=1) for seed in range(3)]
    one, other = write(tmp_path / "a", *rows), write(tmp_path / "b", *far)
    assert simulate("compare", one, one).exit_code == 0
    done = simulate("compare", one, other)
    assert done.exit_code == 1
    assert "moved: engine (n 1) events: 5.1" in done.output


# Measuring.


def test_measure_writes_rows_goes_on_and_the_report_shows_them(tmp_path: Path) -> None:
    arguments = ("measure", "engine", "--to", tmp_path, "--set", "seconds=1")
    first = simulate(*arguments, "--set", "entities=20", "--seeds", "0:2", "--json")
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["written"] == 2
    rows = tmp_path / "engine.jsonl"
    rows.write_text(rows.read_text() + '{"experiment": "engine", "sett')
    again = simulate(*arguments, "--set", "entities=20,30", "--seeds", "0:2", "--json")
    assert json.loads(again.stdout)["written"] == 2
    assert len(read(tmp_path).rows) == 4
    shown = simulate("report", tmp_path, "--json")
    assert shown.exit_code == 0, shown.output
    told = json.loads(shown.stdout)
    assert "Detection" in told["empty"]
    assert "Engine" not in told["empty"]
    assert "entities 30, seconds 1" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_unknown_experiments_and_settings_are_refused_with_a_hint(tmp_path: Path) -> None:
    for arguments, said in (
        (("no-such",), "no experiment is called no-such"),
        (("engine", "--set", "speed=1"), "engine has no setting speed"),
        (("engine", "--set", "entities=many"), "entities is a number"),
        (("engine", "--set", "entities=-4"), "may not be negative"),
        (("engine", "--seeds", "4"), "a range A:B"),
    ):
        done = simulate("measure", *arguments, "--to", tmp_path)
        assert done.exit_code == 2, done.output
        assert said in done.stderr


SMALL: dict[str, dict[str, list[str]]] = {
    "detection": {"members": ["16"], "kills": ["1"]},
    "false-positives": {
        "members": ["16"],
        "loss": ["0.1"],
        "slow": ["0.2"],
        "health": ["on"],
        "seconds": ["5"],
    },
    "dissemination": {"nodes": ["12"], "deltas": ["2"]},
    "scaling": {"nodes": ["12"], "deltas": ["1"]},
    "lookups": {"peers": ["16"], "dead": ["0.2"], "lookups": ["4"]},
}


@pytest.mark.parametrize("name", SMALL)
def test_a_study_gives_one_history_a_seed_and_its_section_has_plots(
    name: str, tmp_path: Path
) -> None:
    (task,) = tasks_of(name, range(3, 4), SMALL[name])
    made = [work(task), work(task)]
    assert made[0]["digest"] == made[1]["digest"]
    text = report_of(read(write(tmp_path, made[0])))
    assert name not in [section.command.split()[3] for section in text.empty if section.command]
    assert "<svg" in text.html


def test_looking_at_a_trial_every_second_moves_nothing_in_it() -> None:
    small = {"nodes": "3", "warm_s": "4", "inject_s": "12", "writes": "4"}
    case = case_of(with_settings(load("churn"), small), 1)
    watched = Timeline(case)
    assert watched.run().digest == run(case).digest
    assert len(watched.curves["nodes up"]) >= 12
    assert watched.curves["pairs seen alive"][-1][1] == 1.0
    assert watched.curves["stale entries"][-1][1] == 0.0


def test_a_dead_worker_is_a_row_that_says_so_and_is_not_tried_again(tmp_path: Path) -> None:
    (task,) = tasks_of("engine", range(1), {"entities": ["5"]})
    dead = {**row("engine", 0, {}, **dict(task.settings)), "died": -9}
    text = report_of(read(write(tmp_path, dead))).markdown
    assert "| worker died |  | `hive simulate measure engine --seeds 0:1 --to DIR` |" in text
    assert Running([task], tmp_path / "rows.jsonl").waiting == []


@pytest.mark.parametrize("folder", sorted(path for path in RESULTS.iterdir() if path.is_dir()))
def test_a_committed_report_is_what_its_rows_say(folder: Path) -> None:
    made = report_of(read(folder))
    assert (folder / "report.md").read_text(encoding="utf-8") == made.markdown
    assert (folder / "report.html").read_text(encoding="utf-8") == made.html
