"""Goal: every benchmark can be run by name. Method: compare the table with the tree, run one."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from click.testing import CliRunner

from cli.commands.bench import BENCHES
from cli.main import main

FOLDER = Path(__file__).resolve().parents[2] / "cli" / "bench"


def measures(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "measure" for node in tree.body)


def test_every_benchmark_of_the_tree_has_its_command() -> None:
    assert sorted(BENCHES) == sorted(path.stem for path in FOLDER.glob("*.py") if measures(path))


def test_a_benchmark_prints_its_report_and_exits_by_its_goals() -> None:
    words = ["bench", "storage", "--set", "writes_per_waiter=4", "--set", "memory_count=64"]
    done = CliRunner().invoke(main, [*words, "--json"])
    report = json.loads(done.stdout)
    assert done.exit_code == (0 if report["goal_met"] else 1)
