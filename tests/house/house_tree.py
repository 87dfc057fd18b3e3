"""The tree as the house tests read it: which files are ours, and their syntax."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("hive", "cli", "simulations")
PURE = ("errors", "wire", "trust", "memory", "law", "protocol")
LEFT_OUT = {"__pycache__", "build", "dist", "node_modules"}


@dataclass(frozen=True)
class Source:
    """One Python file of the project: its name from the top of the tree, text and syntax."""

    name: str
    text: str
    tree: ast.Module


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that belongs to the project, dot folders but `.ci` left out."""
    return tuple(sorted(_walk(ROOT)))


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        hidden = path.name.startswith(".") and path.name not in {".ci", ".gitignore"}
        if hidden or path.name in LEFT_OUT or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.suffix != ".pyc":
            yield path


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """The Python files below the given top folders, in the order of their names."""
    found = []
    for path in project_files():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".py" and name.split("/")[0] in folders:
            text = path.read_text(encoding="utf-8")
            found.append(Source(name, text, ast.parse(text, name)))
    return tuple(found)


def product_sources() -> tuple[Source, ...]:
    """What is installed: hive, cli and simulations."""
    return sources(*PRODUCT)


def pure_sources() -> tuple[Source, ...]:
    """The floors that neither read a clock nor open a file."""
    return tuple(s for s in sources("hive") if s.name.split("/")[1].removesuffix(".py") in PURE)


@cache
def pyproject() -> dict[str, Any]:
    """The project's settings."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def contracts() -> dict[str, dict[str, Any]]:
    """The import contracts by id."""
    return {c["id"]: c for c in pyproject()["tool"]["importlinter"]["contracts"]}


def section(text: str, heading: str) -> str:
    """The part of a markdown text below a heading, up to the next of the same depth or less."""
    depth = len(heading) - len(heading.lstrip("#"))
    lines = text.splitlines()
    start = lines.index(heading) + 1
    fenced = False
    for end in range(start, len(lines)):
        fenced ^= lines[end].startswith("```")
        marks = len(lines[end]) - len(lines[end].lstrip("#"))
        if not fenced and 0 < marks <= depth:
            return "\n".join(lines[start:end])
    return "\n".join(lines[start:])


def fenced(text: str) -> list[str]:
    """The contents of the fenced blocks of a markdown text."""
    return [part.split("\n", 1)[1] for part in text.split("```")[1::2]]
