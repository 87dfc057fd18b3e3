"""Goal: every setting is documented where it is defined. Method: read each `…Config` by syntax."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from house_tree import Source, product_sources

NEIGHBOURS_MAX = 3
"""Fields that may share one text, such as a rate and its burst."""


def configs() -> Iterator[tuple[Source, ast.ClassDef]]:
    for source in product_sources():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Config"):
                yield source, node


def test_every_config_is_a_frozen_keyword_only_dataclass() -> None:
    loose = []
    for source, node in configs():
        text = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
        if not all(f"{word}=True" in text for word in ("frozen", "slots", "kw_only")):
            loose.append(f"{source.name}:{node.name}")
    assert loose == []


def undocumented(node: ast.ClassDef) -> Iterator[str]:
    """Fields with no text behind them, behind a neighbour they go with, or in the class's own.

    A field that holds another config is documented there.
    """
    waiting: list[str] = []
    told = ast.get_docstring(node) or ""
    for statement in node.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind):
                if f"`{name}`" not in told and not ast.unparse(kind).endswith("Config"):
                    waiting.append(name)
            case ast.Expr(value=ast.Constant(value=str())) if len(waiting) <= NEIGHBOURS_MAX:
                waiting.clear()
    yield from waiting


def test_every_setting_says_what_it_means() -> None:
    found = [f"{s.name}:{node.name}.{name}" for s, node in configs() for name in undocumented(node)]
    assert found == []
