"""Goal: the tree names no package host and no machine. Method: search every file as text."""

from __future__ import annotations

import re

from house_tree import ROOT, project_files

HOSTS = ("py" + "pi.org", "python" + "hosted", "github" + "usercontent", "conda" + ".anaconda")
OPTIONS = ("--index" + "-url", "--extra-index" + "-url", "--find" + "-links", "--trusted" + "-host")
PATHS = re.compile(
    r"(?<![\w.])/(wo" + r"rk|ho" + r"me|ro" + r"ot|Us" + r"ers|o" + r"pt|sr" + r"v)/\w"
)


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8", errors="ignore")


def names() -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in project_files()]


def test_no_file_names_a_package_host_or_an_index() -> None:
    words = (*HOSTS, *OPTIONS)
    assert [name for name in names() if any(word in text_of(name) for word in words)] == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert [(name, m.group()) for name in names() for m in PATHS.finditer(text_of(name))] == []


def test_the_top_level_holds_only_what_is_agreed() -> None:
    agreed = {
        *("hive", "cli", "simulations", "tests", "examples", ".ci"),
        *("README.md", "pyproject.toml", "LICENSE", ".gitignore"),
    }
    assert {name.split("/")[0] for name in names()} - agreed == set()
