"""Rows of the report about mutants: `python -m tests.simulations.mutant_rows DIR A:B [NAME...]`.

Nothing installed imports the mutants, so this stands among the tests.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simulations.experiments import Row, Running, Task, row_of
from simulations.mutants import MUTANTS
from simulations.studies import Measured


def study(settings: Mapping[str, Any], seed: int) -> Measured:
    """One seed of one mutant: whether it was caught, and what broke."""
    mutant = next(each for each in MUTANTS if each.name == settings["mutant"])
    outcome = mutant.run(seed)
    return Measured(
        figures={"caught": mutant.is_caught(outcome)},
        digest=outcome.digest,
        events=outcome.event_count,
        more={
            "broken": sorted({violation.promise for violation in outcome.violations}),
            "mutants": {each.name: ", ".join(each.promises) for each in MUTANTS},
        },
    )


def work(task: Task) -> Row:
    """What a worker does."""
    return row_of(task, study)


def measure(folder: Path, seeds: range, names: Sequence[str] = ()) -> int:
    """Each mutant over the seeds; gives how many rows are new."""
    chosen = [each.name for each in MUTANTS if not names or each.name in names]
    tasks = [Task("mutants", (("mutant", name),), seed) for name in chosen for seed in seeds]
    return Running(tasks, folder / "mutants.jsonl", work).run(1)


def main() -> None:
    """Measures and says how much."""
    folder, names = Path(sys.argv[1]), sys.argv[3:]
    first, _, end = sys.argv[2].partition(":")
    print(f"{measure(folder, range(int(first), int(end)), names)} rows more")


if __name__ == "__main__":
    main()
