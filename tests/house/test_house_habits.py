"""Goal: the habits of STYLE that syntax can see. Method: read every file, name what breaks them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from house_sets import SetFinder
from house_tree import Source, product_sources, pure_sources, sources

BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "manager", "types", "misc"}
LEFT_TO_DO = ("TO" + "DO", "FIX" + "ME", "XX" + "X ", "NotImplemented" + "Error")

BROAD_EXCEPTS: dict[str, str] = {
    "hive/node/control.py:_answered": "a defect of ours ends one request; the node goes on",
    "simulations/world.py:handle": "that nothing escapes a machine is what is checked there (P13)",
    "simulations/world.py:start": "that a node starts from whatever it kept is checked there (P13)",
    "hive/store/writer.py:_tell": "one waiter's bug is kept for close; the others are still told",
}
"""file:function -> why a session, not the node, ends there. An entry without its except fails."""


def named(source: Source, node: ast.stmt | ast.expr | ast.excepthandler) -> str:
    return f"{source.name}:{node.lineno}"


def enclosing_functions(tree: ast.Module) -> dict[ast.AST, str]:
    """Every node with the name of the innermost function around it."""
    names: dict[ast.AST, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.update(dict.fromkeys(ast.walk(node), node.name))
    return names


def test_no_module_has_a_name_without_a_noun() -> None:
    everything = (*product_sources(), *sources("tests", "examples"))
    parts = {s.name: {p.removesuffix(".py") for p in s.name.split("/")} for s in everything}
    assert [name for name, found in parts.items() if found & BANNED_NAMES] == []


def test_nothing_is_left_to_do_in_the_code() -> None:
    everything = (*product_sources(), *sources("tests", "examples"))
    assert [s.name for s in everything if any(word in s.text for word in LEFT_TO_DO)] == []


def is_broad(kind: ast.expr | None) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(
        k is None or (isinstance(k, ast.Name) and k.id in {"Exception", "BaseException"})
        for k in kinds
    )


def passes_on(handler: ast.ExceptHandler) -> bool:
    """Whether a handler only tidies up: whatever it caught goes on."""
    leaves = any(isinstance(n, ast.Return | ast.Break | ast.Continue) for n in ast.walk(handler))
    return not leaves and isinstance(handler.body[-1], ast.Raise)


def broad_excepts(source: Source) -> Iterator[str]:
    names = enclosing_functions(source.tree)
    for node in ast.walk(source.tree):
        match node:
            case ast.ExceptHandler(type=kind) if is_broad(kind) and not passes_on(node):
                yield f"{source.name}:{names.get(node, '')}"
            case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress")):
                if any(is_broad(argument) for argument in node.args):
                    yield f"{source.name}:{names.get(node, '')}"


def test_a_broad_except_is_argued_and_nowhere_else() -> None:
    found = {place for s in product_sources() for place in broad_excepts(s)}
    assert sorted(found) == sorted(BROAD_EXCEPTS)


def test_the_order_of_a_set_never_escapes_in_a_pure_floor() -> None:
    found = [f"{s.name}:{line}" for s in pure_sources() for line in SetFinder(s.tree).found()]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "for x in {1, 2}: pass",
        "def f(a: set[int]):\n    return [x for x in a]",
        "def f(a: frozenset[int] | None):\n    yield from iter(a)",
        "class C:\n    a: set[int]\n    def f(self):\n        for x in self.a: pass",
        "a = set(); a.pop()",
        "a = {x for x in y}\nb = tuple(a)",
        "for x in a.keys() & b.keys(): pass",
        "print(*set(y))",
    ],
)
def test_the_finder_of_set_iterations_finds(text: str) -> None:
    assert list(SetFinder(ast.parse(text)).found()) != []


@pytest.mark.parametrize(
    "text",
    [
        "for x in sorted({1, 2}): pass",
        "def f(a: set[int]):\n    return len(a), any(x for x in a)",
        "for x in {1: 2}: pass",
        "a = {x for x in y}\nb = x in a",
        "def f(a: list[int]):\n    a.pop()\n    return tuple(a)",
    ],
)
def test_the_finder_of_set_iterations_lets_pass(text: str) -> None:
    assert list(SetFinder(ast.parse(text)).found()) == []


def sleeps(source: Source) -> Iterator[str]:
    """Sleeps in real time; under a mock clock a sleep is a statement about virtual time."""
    virtual = "MockClock" in source.text or "autojump_clock" in source.text
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr="sleep")):
                if not (virtual and module == "trio"):
                    yield named(source, node)
            case ast.Call(func=ast.Name(id="sleep")):
                yield named(source, node)


def test_no_test_sleeps() -> None:
    assert [place for s in sources("tests") for place in sleeps(s)] == []


COMPILES = {"hive/wire/codec.py": "shapes of records become one function each; never input"}


def test_no_pure_floor_opens_files_or_prints() -> None:
    calls = [
        named(source, node)
        for source in pure_sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"open", "print", "input", "exec", "eval", "__import__"}
        and not (node.func.id == "eval" and source.name in COMPILES)
    ]
    assert calls == []


def imports_of_hive_itself(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "hive" and node.level == 0:
            yield named(source, node)


def test_imports_name_the_defining_module() -> None:
    everything = (*product_sources(), *sources("tests", "examples"))
    assert [place for s in everything for place in imports_of_hive_itself(s)] == []


def test_every_package_has_a_docstring_that_says_what_it_is_for() -> None:
    bare = [
        s.name
        for s in product_sources()
        if s.name.endswith("__init__.py") and len(ast.get_docstring(s.tree) or "") < 40
    ]
    assert bare == []


def listed_modules(source: Source) -> set[str]:
    """The names at the beginnings of lines of a package's docstring."""
    lines = re.findall(r"^`([a-z_]+)/?`  ", ast.get_docstring(source.tree) or "", re.MULTILINE)
    return set(lines)


def test_every_package_docstring_lists_its_modules_and_no_others() -> None:
    names = {s.name for s in product_sources()}
    wrong = {}
    for package in (s for s in sources("hive") if s.name.endswith("/__init__.py")):
        folder = package.name.removesuffix("__init__.py")
        if folder == "hive/":
            continue
        inside = {n.removeprefix(folder).split("/")[0] for n in names if n.startswith(folder)}
        actual = {part.removesuffix(".py") for part in inside} - {"__init__"}
        if listed_modules(package) != actual:
            wrong[folder] = sorted(listed_modules(package) ^ actual)
    assert wrong == {}


def test_every_module_has_a_docstring() -> None:
    assert [s.name for s in product_sources() if not ast.get_docstring(s.tree)] == []
