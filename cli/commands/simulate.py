"""`hive simulate`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from ..command import command, group
from ..output import FAILED
from ..progress import bar
from ..reports import compare, grid_of, measure, range_of, report
from ..session import Session

_ROOT: Final = (__package__ or "").removesuffix("cli.commands")
FINDINGS_SHOWN: Final = 10


def _module(name: str) -> Any:
    """A module of the simulations, which only these commands load."""
    return import_module(f"{_ROOT}simulations.{name}")


_SET: Final = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE[,VALUE…]",
    help="Replace a setting of the scenario, such as loss=0.01 or faults.crash=1.",
)


@group("simulate", example="hive simulate run two-orgs --seed 7")
def simulate() -> None:
    """Run the shipped peers in a virtual world under seeded faults, and check the promises."""


@command("run", example="hive simulate run two-orgs --seed 7", has_home=False)
@click.argument("scenario")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@_SET
@click.option(
    "--case",
    "case_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the case, with every fault it drew, for `replay` and `shrink`.",
)
def run(
    session: Session, scenario: str, seed: int, settings: tuple[str, ...], case_file: Path | None
) -> None:
    """Run one seed of a SCENARIO, a name or a TOML file, and say how each promise stands.

    The exit code is 1 where a promise was broken, or where one that the scenario means to exercise
    was not.
    """
    scenarios, trials = _module("scenario"), _module("trial")
    single = {key: values[0] for key, values in grid_of(settings, is_single=True)}
    chosen = scenarios.with_settings(scenarios.load(scenario), single)
    case = trials.case_of(chosen, seed)
    if case_file is not None:
        case_file.write_text(case.to_json(), encoding="utf-8")
    _judge(session, case)


@command("replay", example="hive simulate replay case.json", has_home=False)
@click.argument("case_file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def replay(session: Session, case_file: Path) -> None:
    """Run a case from its file again, to the bit.

    The exit code is 1 where a promise was broken.
    """
    _judge(session, _read(case_file), is_whole=False)


@command("shrink", example="hive simulate shrink case.json --to small.json", has_home=False)
@click.argument("case_file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--to",
    "to_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the smaller case goes.  [default: beside the case, ending in .small.json]",
)
@click.option(
    "--seconds", type=click.IntRange(min=1), default=60, show_default=True, help="Processor time."
)
def shrink(session: Session, case_file: Path, to_file: Path | None, seconds: int) -> None:
    """Find the smallest part of a failing case that still breaks the same promise."""
    shrinking = _module("shrinking")
    with bar("runs", 0) as advance:
        shrinker = shrinking.Shrinker(
            _read(case_file), seconds_max=seconds, on_run=lambda _: advance(1)
        )
        shrunk = shrinker.shrink()
    target = to_file or case_file.with_suffix(".small.json")
    target.write_text(shrunk.case.to_json(), encoding="utf-8")
    data = {
        "promise": shrunk.promise,
        "runs": shrunk.run_count,
        "faults": [repr(fault) for fault in shrunk.case.faults],
        "deeds": len(shrunk.case.deeds),
        "case": str(target),
        "replay": f"hive simulate replay {target}",
    }
    text = [f"{shrunk.promise} still breaks with {len(shrunk.case.faults)} faults"]
    text += [f"  {fault}" for fault in data["faults"]]
    text.append(f"replay: {data['replay']}")
    session.emit(data, "\n".join(text))


@command("sweep", example="hive simulate sweep two-orgs --seeds 0:100", has_home=False)
@click.argument("scenario")
@click.option("--seeds", default="0:20", show_default=True, metavar="A:B")
@_SET
@click.option(
    "--engine",
    type=click.Choice(["pool"]),
    default="pool",
    show_default=True,
    help="Who runs them.",
)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True)
@click.option(
    "--rows",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append a line of JSON for each run; a sweep begun again goes on where it was.",
)
@click.option(
    "--twice-every",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Run each so-manieth seed twice and compare the histories; 0 never.",
)
def sweep(
    session: Session,
    scenario: str,
    seeds: str,
    settings: tuple[str, ...],
    engine: str,
    workers: int,
    rows: Path | None,
    twice_every: int,
) -> None:
    """Run many seeds of a SCENARIO over a grid of settings, and sum up what was found.

    An interrupt keeps what is done. The exit code is 1 where a promise was broken, a worker died,
    or a promise that the scenario means to exercise was not.
    """
    sweeps, scenarios = _module("sweep"), _module("scenario")
    config = sweeps.SweepConfig(
        **range_of(seeds), grid=grid_of(settings), worker_count=workers, twice_every=twice_every
    )
    tasks = sweeps.tasks_of(scenario, config)
    running = sweeps.Sweep(tasks, rows)
    is_whole = True
    with bar(f"{scenario} on {engine}", len(running.waiting)) as advance:
        try:
            running.run(workers, on_row=lambda _: advance(1))
        except KeyboardInterrupt:
            is_whole = False
    summary = running.summary
    missed = summary.unexercised(scenarios.load(scenario)) if is_whole else []
    lines = [sweeps.replay_line(row) for row in summary.findings]
    data = {**summary.to_plain(), "is_whole": is_whole, "replay": lines, "never_exercised": missed}
    session.emit(data, _sweep_text(data))
    if summary.findings or missed or not is_whole:
        click.get_current_context().exit(FAILED)


@command("fleet", example="hive simulate fleet --peers 1000 --seconds 40", has_home=False)
@click.option("--peers", type=click.IntRange(min=2), default=1_000, show_default=True)
@click.option("--seconds", type=click.IntRange(min=1), default=40, show_default=True)
@click.option("--cell", type=click.IntRange(2, 512), default=125, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True)
def fleet(session: Session, peers: int, seconds: int, cell: int, seed: int, workers: int) -> None:
    """Run as many whole peers as this machine holds, and say what they cost.

    Cells begin settled and do not talk to each other; discovery and the rail are idle. The exit
    code is 1 where a delta was missed or a peer that runs was declared dead.
    """
    settlement, runs = _module("settlement"), _module("fleet_run")
    config = settlement.FleetConfig(peer_count=peers, cell_size=min(cell, peers))
    with bar("workers", workers) as advance:
        report = runs.run_fleet(config, seed, seconds, workers, on_share=lambda: advance(1))
    session.emit(report.as_dict(), report.text())
    if report.missed_count or report.false_death_count:
        click.get_current_context().exit(FAILED)


def _sweep_text(data: dict[str, Any]) -> str:
    text = [f"{name:4} {said}" for name, said in data["promises"].items()]
    text.append("")
    text.append(f"{data['rows']} runs, {data['fault_classes']} classes of faults, ")
    text[-1] += f"{data['cpu_s_per_seed']} cpu-s a run, {data['events_per_cpu_s']} events a cpu-s"
    if not data["is_whole"]:
        text.append("interrupted: what is done is kept")
    for finding, line in list(zip(data["findings"], data["replay"], strict=True))[:FINDINGS_SHOWN]:
        broken = finding.get("violations") or [{"promise": "worker died", "text": ""}]
        text.append(f"{broken[0]['promise']}: {broken[0]['text']}")
        text.append(f"  {line}")
    for promise in data["never_exercised"]:
        text.append(f"{promise}: never exercised, which this scenario means to")
    return "\n".join(text)


def _judge(session: Session, case: Any, *, is_whole: bool = True) -> None:
    trials, promises = _module("trial"), _module("promises")
    phases = case.scenario.phases
    with bar("converging", phases.converge_s) as advance:
        outcome = trials.Trial(case).run(on_second=lambda _: advance(1))
    exercised = case.scenario.exercises if is_whole else ()
    missed = [name for name in exercised if not outcome.checked[name]]
    standing = {name: trials.standing(name, outcome.checked[name]) for name in promises.PROMISES}
    data = {**outcome.to_plain(), "promises": standing, "never_exercised": missed}
    text = [f"{name:4} {said:26} {promises.PROMISES[name]}" for name, said in standing.items()]
    text += ["", f"{outcome.event_count} events, {outcome.virtual_us / 1e6:.0f} virtual seconds, "]
    text[-1] += f"{outcome.cpu_s:.2f} cpu-s; faults: {', '.join(outcome.faults) or 'none'}"
    text.append(f"history {outcome.digest}")
    for each in outcome.violations[:FINDINGS_SHOWN]:
        text.append(f"{each.promise} broken at {each.at_us / 1e6:.3f} s {each.node}: {each.text}")
    session.emit(data, "\n".join(text))
    if outcome.violations or missed:
        click.get_current_context().exit(FAILED)


def _read(case_file: Path) -> Any:
    return _module("trial").parse_case(case_file.read_text(encoding="utf-8"))


for _each in (run, sweep, replay, shrink, measure, report, compare, fleet):
    simulate.add_command(_each)
