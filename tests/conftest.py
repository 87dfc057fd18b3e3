"""Script tests: a history as readable text, each command followed by `----` and its output.

A script is checked by `script(path, interpret)`; `pytest --rewrite` writes what came instead of
checking it: then read the diff.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Interpret = Callable[[str], str]
Script = Callable[[Path, Interpret], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite", action="store_true", help="write the output of scripts instead of checking it"
    )


def _commands(text: str) -> list[tuple[str, str]]:
    """The comment and command lines of each step; what stood as output is dropped."""
    steps = []
    for block in text.strip().split("\n\n"):
        head = block.split("\n----")[0].strip()
        steps.append((head, next(line for line in head.splitlines() if not line.startswith("#"))))
    return steps


@pytest.fixture
def script(request: pytest.FixtureRequest) -> Script:
    """Runs a script file command by command and compares, or rewrites it."""

    def check(path: Path, interpret: Interpret) -> None:
        text = path.read_text(encoding="utf-8")
        blocks = [
            f"{head}\n----\n{interpret(command)}".rstrip() for head, command in _commands(text)
        ]
        came = "\n\n".join(blocks) + "\n"
        if request.config.getoption("--rewrite"):
            path.write_text(came, encoding="utf-8")
        assert came.splitlines() == path.read_text(encoding="utf-8").splitlines()

    return check
