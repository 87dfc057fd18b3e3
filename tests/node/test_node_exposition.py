"""Goal: a scraper can read every machine of a node. Method: a strict reader of the text format,
written from its description, on a node that has lived a little.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from node_world import federation, found, run

from hive.node.exposition import Family, exposition
from hive.node.reports import metrics
from hive.protocol.refusals import REASONS

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?[0-9]+(?:\.[0-9]+)?)")
MACHINES = (
    *("ingress", "membership", "discovery", "dissemination", "reconciliation"),
    *("trust", "transport", "store"),
)

Found = dict[str, dict[tuple[tuple[str, str], ...], float]]


def read(text: str) -> Found:
    """Families with their samples; raises where the text is not of the format."""
    assert text.endswith("\n")
    families: Found = {}
    kinds: dict[str, str] = {}
    helped = ""
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            helped = line.split(" ", 3)[2]
            assert helped not in families, "a family is told once, and whole"
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == helped
            assert kind in ("counter", "gauge")
            families[name], kinds[name] = {}, kind
        else:
            matched = SAMPLE.fullmatch(line)
            assert matched is not None, line
            name, labels = matched.group(1), tuple(re.findall(LABEL, matched.group(2) or ""))
            assert name == helped, "samples stand below their family"
            assert labels not in families[name], "a sample is told once"
            families[name][labels] = float(matched.group(matched.lastindex or 0))
    for name, kind in kinds.items():
        assert name.endswith("_total") == (kind == "counter"), name
        assert kind == "gauge" or min(families[name].values(), default=0) >= 0
    return families


def test_every_machine_of_a_node_is_in_its_exposition(tmp_path: Path) -> None:
    realm = found(tmp_path, ("acme", "bell"))

    async def main() -> None:
        async with federation(realm.member("acme"), realm.member("bell")) as (one, _):
            await one.call("remember", text="otters hold hands")
            families = read((await one.call("exposition"))["text"])
            assert {name.split("_")[1] for name in families} == set(MACHINES)
            refused = families["hive_ingress_refused_total"]
            assert {dict(labels)["reason"] for labels in refused} == set(REASONS)
            assert {dict(labels)["step"] for labels in refused} == {
                str(reason.step) for reason in REASONS.values()
            }
            assert families["hive_ingress_admitted_total"][(("origin", "own"),)] == 1
            assert families["hive_membership_members"][(("state", "alive"),)] >= 1
            assert families["hive_transport_streams"][()] == 1
            assert families["hive_transport_datagram_bytes_total"][(("direction", "in"),)] > 0
            assert exposition(one.node).count("\n") > len(metrics(one.node))

    run(main)


@pytest.mark.parametrize("text", ['a "quoted" word', "a back\\slash", "two\nlines"])
def test_a_label_with_odd_characters_is_escaped(text: str) -> None:
    family = Family("hive_x_y", "gauge", text, (((("of", text),), 1),))
    assert len(read(family.text())["hive_x_y"]) == 1


@pytest.mark.parametrize(
    "text",
    [
        "hive_x 1\n",
        "# TYPE hive_x gauge\nhive_x 1\n",
        "# HELP hive_x y\n# TYPE hive_x gauge\nhive_x{a=b} 1\n",
    ],
)
def test_the_strict_reader_is_strict(text: str) -> None:
    with pytest.raises(AssertionError):
        read(text)
