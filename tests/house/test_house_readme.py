"""Goal: no map lies. Method: compare what the READMEs say with settings, scripts and tests."""

from __future__ import annotations

import ast
import re

from house_tree import ROOT, contracts, fenced, section, sources

README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN_NOTES = (ROOT / "hive" / "README.md").read_text(encoding="utf-8")
DECISION_LINES_MAX = 10


def rows(layers: list[str]) -> list[list[str]]:
    return [[part.strip(" ()") for part in layer.split("|")] for layer in layers]


def drawn(picture: str) -> list[list[str]]:
    """The names of each line of a picture, without number and explanation."""
    lines = [re.match(r" *\d? *([a-z_]+(?: \| [a-z_]+)*)", line) for line in picture.splitlines()]
    return [line.group(1).split(" | ") for line in lines if line]


def test_the_picture_of_the_floors_is_the_contract() -> None:
    outer, inner = fenced(section(README, "## The floors"))
    roof = [layer for layer in rows(contracts()["roof"]["layers"]) if layer != ["hive"]]
    assert drawn(outer) == [*roof, *rows(contracts()["floors"]["layers"])]
    assert drawn(inner) == rows(contracts()["machines"]["layers"])


def test_start_is_two_commands_and_the_second_is_what_ci_runs() -> None:
    (commands,) = fenced(section(README, "## Start"))
    first, second = commands.strip().splitlines()
    assert first.endswith("hive demo")
    assert second in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_last_thing_that_ci_runs_is_the_check() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").strip()
    assert script.splitlines()[-1].endswith("&& .ci/check")


def test_the_stages_of_the_check_are_these_in_this_order() -> None:
    script = (ROOT / ".ci" / "check").read_text(encoding="utf-8")
    stages = re.findall(r'^stage ("[a-z ]+"|[a-z]+) ', script, re.MULTILINE)
    assert [stage.strip('"') for stage in stages] == [
        *("format", "lint", "types", "floors"),
        *("tests", "hosts", "demo", "examples", "short simulation"),
    ]


def test_the_glossary_is_sorted_and_gives_each_word_once() -> None:
    words = re.findall(r"^\| ([a-z][^|]*?) \|", section(README, "## Glossary"), re.MULTILINE)[1:]
    assert words == sorted(set(words))


def test_no_decision_is_longer_than_ten_lines() -> None:
    parts = re.split(r"^### ", section(DESIGN_NOTES, "## Decisions"), flags=re.MULTILINE)[1:]
    bodies = {part.splitlines()[0]: part.strip().splitlines()[1:] for part in parts}
    text = {title: [line for line in body if line] for title, body in bodies.items()}
    assert {title: len(b) for title, b in text.items() if len(b) > DECISION_LINES_MAX} == {}
    assert [title for title, body in text.items() if "*Outcome.*" not in "\n".join(body)] == []


def test_every_test_that_the_design_notes_name_exists() -> None:
    defined = {
        node.name
        for source in sources("tests")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    named = set(re.findall(r"`(test_\w+)`", DESIGN_NOTES))
    assert named - defined == set()


def test_every_defended_threat_names_its_test() -> None:
    table = section(DESIGN_NOTES, "### Defended")
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(lines) > 10
    assert [line for line in lines if "`test_" not in line] == []
