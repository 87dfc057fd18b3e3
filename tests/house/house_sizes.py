"""Measures functions, files and classes; run as a program it lists those above the guides."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from house_tree import Source, product_sources, sources

FUNCTION_LINES_GUIDE, FUNCTION_LINES_MAX = 40, 70
FILE_LINES_GUIDE, FILE_LINES_MAX = 300, 500
METHODS_GUIDE, ARGUMENTS_GUIDE = 15, 5


@dataclass(frozen=True, order=True)
class Size:
    """How large a named thing is."""

    lines: int
    name: str


def functions(found: tuple[Source, ...]) -> list[Size]:
    """Every function with its length in lines, signature and docstring included."""
    return [
        Size((node.end_lineno or 0) - node.lineno + 1, f"{source.name}:{node.name}")
        for source in found
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def files(found: tuple[Source, ...]) -> list[Size]:
    """Every file with its length in lines."""
    return [Size(source.text.count("\n"), source.name) for source in found]


def _methods(node: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def crowded_classes(found: tuple[Source, ...]) -> list[str]:
    """Classes with more public methods or constructor arguments than the guides say."""
    crowded = []
    for source in found:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ClassDef):
                continue
            public = sum(not m.name.startswith("_") for m in _methods(node))
            arguments = max(
                (len(m.args.args) + len(m.args.kwonlyargs) - 1)
                for m in [*_methods(node), ast.parse("def _(self): 0").body[0]]
                if isinstance(m, ast.FunctionDef) and m.name in {"__init__", "_"}
            )
            if public > METHODS_GUIDE or arguments > ARGUMENTS_GUIDE:
                crowded.append(
                    f"{source.name}:{node.name} ({public} methods, {arguments} arguments)"
                )
    return crowded


def _show(title: str, rows: list[Size], guide: int) -> None:
    above = sorted((row for row in rows if row.lines > guide), reverse=True)
    print(f"{title} above {guide} lines: {len(above)} of {len(rows)}")
    for row in above:
        print(f"  {row.lines:4d}  {row.name}")


def main() -> None:
    """Prints what is above the guides; the limits themselves are tests."""
    product, everything = product_sources(), (*product_sources(), *sources("tests", "examples"))
    _show("functions", functions(everything), FUNCTION_LINES_GUIDE)
    _show("files", files(product), FILE_LINES_GUIDE)
    crowded = crowded_classes(product)
    print(f"classes above {METHODS_GUIDE} public methods or {ARGUMENTS_GUIDE} arguments:", end=" ")
    print(len(crowded), *crowded, sep="\n  " if crowded else " ")


if __name__ == "__main__":
    main()
