"""The figures of whole peers: courses in time, traffic, promises, mutants, engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .plots import Chart, Heat, chart_svg, heat_svg
from .promises import PROMISES
from .report_figures import MEASURE, SPREAD, course, told
from .report_pages import Section, Table
from .results import SWEEP, Result, Results
from .statistics import number
from .timeline import ONE_HIVE, SEEN, STALE, UP
from .trial import standing

FINDINGS_SHOWN: Final = 20
WHOLE_PEERS: Final = (SWEEP, "partition", "churn")


def partition(results: Results) -> Section:
    """A hive in two, and one again."""
    return _course(
        results,
        "partition",
        "Partition and healing",
        (ONE_HIVE, SEEN, UP),
        "Whole peers, real bytes and signatures. A third of the nodes is cut off; the bar shows "
        "when. Users write on both sides all the while, so that contents differ now and then "
        "even when nothing is wrong.",
    )


def churn(results: Results) -> Section:
    """Who is there, and who is thought to be."""
    return _course(
        results,
        "churn",
        "Churn",
        (UP, STALE, SEEN),
        "Whole peers in heavy-tailed sessions, drawn by the seed; bars are those of the first "
        "seed. A stale entry: a node that is down and held alive by one that is up.",
    )


def _course(
    results: Results, experiment: str, title: str, curves: Sequence[str], about: str
) -> Section:
    groups = list(results.groups(experiment).values())
    plots, table = [], []
    for rows in groups:
        series = [course(rows, curve, curve, at) for at, curve in enumerate(curves)]
        plots.append(
            chart_svg(
                Chart(
                    title=f"{title}: {rows[0].label}",
                    x_label="virtual seconds",
                    y_label="share",
                    series=series,
                    bars=[(start, end, name) for start, end, name in rows[0].bars],
                )
            )
        )
        names = ("converged_s", "violations", "stale share mean", "population mean")
        table.append([rows[0].label, *(told(rows, name) for name in names)])
    head = ["settings", "s from healing to one hive", "promises broken"]
    return Section(
        title=title,
        about=f"{about} {SPREAD}",
        command=f"{MEASURE} {experiment} --seeds 0:3 --to DIR",
        used=[row for rows in groups for row in rows],
        plots=plots,
        tables=[Table([*head, "stale share", "population"], table)],
    )


def traffic(results: Results) -> Section:
    """Bytes from region to region."""
    groups: dict[str, list[Result]] = {}
    for row in results.rows:
        if row.experiment in WHOLE_PEERS and row.plain.get("traffic"):
            groups.setdefault(f"{row.experiment}: {row.label}", []).append(row)
    plots, tables = [], []
    for name, rows in groups.items():
        regions = sorted(
            {end for row in rows for pair in row.plain["traffic"] for end in pair.split(">")}
        )
        values = [[_rate(rows, f"{one}>{other}") for other in regions] for one in regions]
        plots.append(
            heat_svg(
                Heat(
                    title=f"Bytes a virtual second, {name}",
                    x_label="to",
                    y_label="from",
                    columns=regions,
                    rows=regions,
                    values=values,
                )
            )
        )
        texts = [
            [one, *(number(value or 0) for value in line)]
            for one, line in zip(regions, values, strict=True)
        ]
        tables.append(Table([f"{name}: from \\ to", *regions], texts))
    return Section(
        title="Traffic between regions",
        about="Everything whole peers sent, headers and seals included; means over all runs.",
        command=f"{MEASURE} partition --seeds 0:3 --to DIR",
        used=[row for rows in groups.values() for row in rows],
        plots=plots,
        tables=tables,
    )


def _rate(rows: Sequence[Result], pair: str) -> float:
    rates = [row.plain["traffic"].get(pair, 0) / row.figures["virtual_s"] for row in rows]
    return float(sum(rates) / len(rates))


def promises(results: Results) -> Section:
    """P1 to P14: checked, never exercised, or not built yet."""
    used = [row for row in results.rows if row.experiment in WHOLE_PEERS]
    checked = dict.fromkeys(PROMISES, 0)
    for row in used:
        for name, count in row.plain.get("checked", {}).items():
            checked[name] = checked.get(name, 0) + count
    checked["P14"] += _repeated(used)
    broken = [(row, each) for row in used for each in row.plain.get("violations", [])]
    counts = {name: sum(each["promise"] == name for _, each in broken) for name in PROMISES}
    lines = [
        [name, PROMISES[name], standing(name, checked[name]), str(counts[name])]
        for name in PROMISES
    ]
    findings = [
        [each["promise"], each["text"], _replay(row)] for row, each in broken[:FINDINGS_SHOWN]
    ]
    dead = [row for row in results.rows if "died" in row.plain]
    findings += [["worker died", "", _replay(row)] for row in dead]
    tables = [Table(["", "promise", "standing", "broken"], lines)]
    if findings:
        tables.append(Table(["broken", "how", "again"], findings))
    return Section(
        title="Promises",
        about=(
            "Checks of running worlds of whole peers. A promise whose machinery is not built "
            "says so and never counts as kept; one that was never exercised proves nothing."
        ),
        command="hive simulate sweep correctness --seeds 0:200 --rows DIR/sweep.jsonl",
        used=[*used, *(row for row in dead if row not in used)],
        tables=tables,
    )


def _repeated(rows: Sequence[Result]) -> int:
    """Seeds of sweeps that were run twice."""
    return sum(bool(row.plain.get("turn")) for row in rows)


def _replay(row: Result) -> str:
    if row.experiment == "mutants":
        seeds = f"{row.seed}:{row.seed + 1}"
        return f'`python -m tests.simulations.mutant_rows DIR {seeds} "{row.settings["mutant"]}"`'
    if row.experiment != SWEEP:
        return f"`{MEASURE} {row.experiment} --seeds {row.seed}:{row.seed + 1} --to DIR`"
    settings = "".join(
        f" --set {key}={value}" for key, value in row.settings.items() if key != "scenario"
    )
    return f"`hive simulate run {row.settings['scenario']} --seed {row.seed}{settings}`"


def mutants(results: Results) -> Section:
    """What is wrong on purpose, and after how many seeds it was caught."""
    used = results.of("mutants")
    promised: dict[str, str] = {}
    for row in used:
        promised |= row.plain.get("mutants", {})
    lines = []
    for name, broken in promised.items():
        rows = sorted(results.of("mutants", mutant=name), key=lambda row: row.seed)
        hits = [bool(row.figures.get("caught")) for row in rows]
        died = any("died" in row.plain for row in rows)
        missed = "worker died" if died else "not caught" if rows else "not run"
        first = str(hits.index(True) + 1) if True in hits else missed
        lines.append([name, broken, first, f"{sum(hits)} of {len(hits)}"])
    caught = sum(line[2].isdecimal() for line in lines)
    return Section(
        title="Mutants",
        about=(
            "Shipped machines with one thing wrong: without them the checks would prove nothing. "
            "Nothing installed makes one, so their rows come from the tests of the tree."
        ),
        command="python -m tests.simulations.mutant_rows DIR 0:5",
        used=used,
        tables=[Table(["mutant", "must break", "seeds to catch", "seeds that catch"], lines)],
        notes=[f"{caught} of {len(lines)} caught."],
    )


def engine(results: Results) -> Section:
    """What everything cost."""
    lines, used = [], []
    for experiment in results.experiments():
        for label, rows in results.groups(experiment).items():
            alive = [row for row in rows if "cpu_s" in row.figures]
            if alive:
                used += alive
                names = ("events", "cpu_s", "events_per_cpu_s", "virtual_s", "rss_bytes")
                lines.append([experiment, label, *(told(alive, name) for name in names)])
    head = [
        "experiment",
        "settings",
        "events",
        "cpu-s",
        "events a cpu-s",
        "virtual s",
        "highest memory",
    ]
    return Section(
        title="Engine",
        about=(
            "What each run cost, machines included; `engine` is the engine and the network by "
            "themselves. Other work on the machine makes it slower."
        ),
        command=f"{MEASURE} engine --seeds 0:3 --to DIR",
        used=used,
        tables=[Table(head, lines)],
    )
