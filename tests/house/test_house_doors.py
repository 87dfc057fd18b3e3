"""Goal: nothing that is installed can switch an ingress check off. Method: scan for doors.

The scan is itself tried on planted doors, so that it cannot pass by being blind.
"""

from __future__ import annotations

import ast

import pytest
from house_doors import (
    DEFINERS,
    cut_steps,
    environment_reads,
    says_door,
    suspicious_names,
    weak_ingresses,
)
from house_tree import Source, product_sources, sources

PAGE = "a count of answers already had: the next page of a find begins behind them"
ARGUED: dict[str, str] = {
    "hive/protocol/discovery/errand.py:skip_pointers": PAGE,
    "hive/protocol/discovery/errand.py:skip_records": PAGE,
    "hive/protocol/discovery/messages.py:skip": PAGE,
    "hive/protocol/discovery/messages.py:skip_pointers": PAGE,
    "hive/protocol/discovery/messages.py:skip_records": PAGE,
}
"""file:name -> why this name is no door. An entry that matches nothing fails."""


def shipped() -> tuple[Source, ...]:
    return (*product_sources(), *sources("examples"))


def planted(text: str, name: str = "hive/node/planted.py") -> Source:
    return Source(name, text, ast.parse(text))


def test_no_name_says_that_a_check_may_be_left_out() -> None:
    assert sorted({place for s in shipped() for place in suspicious_names(s)}) == sorted(ARGUED)


def test_the_environment_is_read_only_where_settings_are() -> None:
    assert [place for s in shipped() for place in environment_reads(s)] == []


MUTANTS = "simulations/mutants.py"
"""Composes peers with a step missing, to show that sweeps catch them; in a virtual world only."""


def test_every_ingress_is_made_with_all_steps() -> None:
    assert [place for s in shipped() if s.name != MUTANTS for place in weak_ingresses(s)] == []


def test_nothing_installed_imports_the_mutants() -> None:
    importing = [
        s.name
        for s in shipped()
        for node in ast.walk(s.tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and "mutants" in ast.unparse(node)
    ]
    assert importing == []


def test_the_tuple_of_steps_is_whole_and_written_once() -> None:
    assert [place for s in shipped() for place in cut_steps(s)] == []
    assert tuple(s.name for s in shipped() if "\nSTEPS: Final" in s.text) == DEFINERS


def test_the_steps_bear_the_numbers_of_the_design_in_order() -> None:
    from hive.protocol.ingress import (
        STEPS,
    )

    numbers = [step.number for step in STEPS]
    assert numbers == sorted(numbers)
    assert sorted(set(numbers)) == list(range(14))


@pytest.mark.parametrize(
    "name",
    ["--no-verify", "HIVE_INSECURE", "skip_signature", "trust_all", "force", "--unsafe-ingress"],
)
def test_a_name_that_leaves_out_a_check_is_a_door(name: str) -> None:
    assert says_door(name)


@pytest.mark.parametrize("name", ["verify_count", "enforced_at", "--json", "steps", "reinforce"])
def test_an_honest_name_is_no_door(name: str) -> None:
    assert not says_door(name)


@pytest.mark.parametrize(
    "text",
    [
        "def run(skip_checks): ...",
        "class Config:\n    verify: bool = True",
        "def run(*, strict: bool): ...",
        'click.option("--insecure")',
        'read("HIVE_DISABLE_INGRESS")',
    ],
)
def test_a_planted_setting_is_found(text: str) -> None:
    assert list(suspicious_names(planted(text))) != []


@pytest.mark.parametrize("text", ["import os\nos.environ['A']", "from os import getenv"])
def test_a_planted_read_of_the_environment_is_found(text: str) -> None:
    assert list(environment_reads(planted(text))) != []
    assert list(environment_reads(planted(text, "cli/planted.py"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "Ingress(view, STEPS[:3])",
        "Ingress(view, steps)",
        "Ingress(view, steps=())",
        "Ingress(*arguments)",
        "ingress.Ingress(view, tuple(s for s in ingress.STEPS if s.number))",
        "class Open(Ingress): ...",
        "class Config:\n    steps: tuple[Step, ...] = STEPS",
        "Peer(config, steps=few)",
        "Peer(config, **options)",
        "def make(steps): return Ingress(view, steps)",
        "def make(steps=()): return Ingress(view, steps)",
        "def make(steps=STEPS):\n    steps = ()\n    return Ingress(view, steps)",
        "Door = Ingress",
        "from hive.protocol.ingress import Ingress as Door",
    ],
)
def test_a_planted_weak_ingress_is_found(text: str) -> None:
    assert list(weak_ingresses(planted(text))) != []


@pytest.mark.parametrize(
    "text",
    [
        "Ingress(view, STEPS)",
        "ingress.Ingress(v, steps=STEPS)",
        "def make(*, steps=STEPS): return Ingress(view, steps)",
        "Peer(config)",
    ],
)
def test_a_full_ingress_is_no_door(text: str) -> None:
    assert list(weak_ingresses(planted(text))) == []


@pytest.mark.parametrize(
    "text",
    [
        "few = STEPS[1:]",
        "few = STEPS + ()",
        "ingress.STEPS = ()",
        "setattr(ingress, 'STEPS', ())",
        "few = tuple(STEPS)",
        "STEPS: Final = (one, *others)",
    ],
)
def test_a_planted_cut_of_the_steps_is_found(text: str) -> None:
    assert list(cut_steps(planted(text))) != []
