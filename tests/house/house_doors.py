"""Finds doors: a way for an installed hive to run with fewer ingress checks.

Four shapes are looked for: the environment read where settings are not read; a parameter, field,
setting or flag whose name says that a check may be left out; an `Ingress` made from anything but
the full `STEPS`; and `STEPS` itself cut, filtered or replaced.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from house_tree import Source

DOOR_WORDS = {
    *("skip", "skips", "skipped", "disable", "disabled", "insecure", "bypass", "force", "forced"),
    *("unchecked", "unverified", "unsafe", "lenient", "permissive", "relaxed", "allowall"),
}
DOOR_PHRASES = (
    *("no_verify", "no_check", "trust_all", "trust_any", "allow_all", "allow_any", "accept_all"),
    *("ignore_signature", "ignore_check", "without_check", "without_verif", "dry_check"),
)
SWITCHES = {"verify", "check", "checks", "validate", "strict", "enforce", "verification"}
DEFINERS = ("hive/protocol/ingress.py", "hive/trust/chain.py")
ENVIRONMENT_READERS = re.compile(r"cli/|hive/node/config")


def says_door(name: str) -> bool:
    """Whether a name says that something may be left out."""
    plain = name.lower().strip("-_").replace("-", "_")
    words = set(re.split(r"[_\W]+", plain))
    return bool(words & DOOR_WORDS) or any(phrase in plain for phrase in DOOR_PHRASES)


def _is_switch(name: str, annotation: ast.expr | None) -> bool:
    return name in SWITCHES and isinstance(annotation, ast.Name) and annotation.id == "bool"


def _names(node: ast.AST) -> Iterator[str]:
    """What the node lets a caller, a record, a file, a flag or the environment set."""
    match node:
        case ast.arg(arg=name, annotation=annotation):
            yield name
            if _is_switch(name, annotation):
                yield "force"
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
            yield name
            if _is_switch(name, annotation):
                yield "force"
        case ast.Constant(value=str(text)) if re.fullmatch(r"--[a-z][a-z/-]+|HIVE_[A-Z_]+", text):
            yield text


def suspicious_names(source: Source) -> Iterator[str]:
    """Names that say a check may be left out, as file:name."""
    for node in ast.walk(source.tree):
        for name in _names(node):
            if says_door(name):
                yield f"{source.name}:{name}"


def environment_reads(source: Source) -> Iterator[str]:
    """Reads of the environment outside the files that read settings."""
    if ENVIRONMENT_READERS.match(source.name):
        return
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(attr="environ" | "getenv" | "environb" | "getenvb"):
                yield f"{source.name}:{node.lineno}"
            case ast.ImportFrom(module="os", names=names):
                if any(alias.name in {"environ", "getenv"} for alias in names):
                    yield f"{source.name}:{node.lineno}"


def _is_full(node: ast.expr) -> bool:
    match node:
        case ast.Name(id="STEPS") | ast.Attribute(value=ast.Name(id="ingress"), attr="STEPS"):
            return True
    return False


def _is_named(node: ast.expr, name: str) -> bool:
    match node:
        case ast.Name(id=found) | ast.Attribute(attr=found):
            return found == name
    return False


def _parameters(node: ast.AST) -> dict[str, ast.expr | None]:
    """Parameters of a function with their defaults."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return {}
    given = node.args
    places = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(places) - len(given.defaults)) + list(given.defaults)
    pairs = [*zip(places, defaults, strict=True)]
    pairs += zip(given.kwonlyargs, given.kw_defaults, strict=True)
    return {argument.arg: default for argument, default in pairs}


def _handed_on(tree: ast.Module) -> set[ast.expr]:
    """Uses of a parameter `steps` that is the full tuple unless a test's caller says otherwise.

    A caller in the product would have to name it, and is then judged as a caller.
    """
    found: set[ast.expr] = set()
    for node in ast.walk(tree):
        default = _parameters(node).get("steps")
        if default is None or not _is_full(default):
            continue
        uses = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id == "steps"]
        if all(isinstance(use.ctx, ast.Load) for use in uses):
            found.update(uses)
    return found


def weak_ingresses(source: Source) -> Iterator[str]:
    """Calls that give an ingress anything but the full `STEPS`, heirs, aliases and fields."""
    handed_on = _handed_on(source.tree)
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=func, args=args, keywords=keywords):
                is_ingress = _is_named(func, "Ingress")
                steps = [k.value for k in keywords if k.arg == "steps"]
                if is_ingress and not steps:
                    steps = args[1:2]
                opened = any(k.arg is None for k in keywords) or any(
                    isinstance(argument, ast.Starred) for argument in args
                )
                weak = any(not _is_full(step) and step not in handed_on for step in steps)
                weak |= is_ingress and len(steps) != 1
                weak |= opened and (is_ingress or _is_named(func, "Peer"))
            case ast.ClassDef(bases=bases, body=body):
                weak = any(_is_named(base, "Ingress") for base in bases)
                weak |= any(
                    isinstance(field, ast.AnnAssign) and _is_named(field.target, "steps")
                    for field in body
                )
            case ast.Assign(value=value):
                weak = _is_named(value, "Ingress")
            case ast.alias(name="Ingress" | "STEPS", asname=asname):
                weak = asname is not None
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                default = _parameters(node).get("steps")
                weak = default is not None and not _is_full(default)
            case _:
                continue
        if weak:
            yield f"{source.name}:{getattr(node, 'lineno', 0)}"


def _cut(node: ast.AST) -> bool:
    match node:
        case ast.Subscript(value=value):
            return _is_named(value, "STEPS")
        case ast.BinOp(left=left, right=right):
            return _is_named(left, "STEPS") or _is_named(right, "STEPS")
        case ast.Assign(targets=targets):
            return any(_is_named(target, "STEPS") for target in targets)
        case ast.AugAssign(target=target):
            return _is_named(target, "STEPS")
        case ast.Call(func=ast.Name(id="setattr"), args=[_, ast.Constant(value=value), *_]):
            return value == "STEPS"
        case ast.Call(func=ast.Name(id="filter" | "tuple" | "list"), args=arguments):
            return any(_is_named(argument, "STEPS") for argument in arguments)
    return False


def cut_steps(source: Source) -> Iterator[str]:
    """Places that cut, filter or replace `STEPS`; to hand it on whole is no cut."""
    for node in ast.walk(source.tree):
        if _cut(node):
            yield f"{source.name}:{node.lineno}"
        if isinstance(node, ast.AnnAssign) and _is_named(node.target, "STEPS"):
            whole = node.value is not None and _is_full(node.value)
            literal = source.name in DEFINERS and isinstance(node.value, ast.Tuple)
            parts = list(ast.walk(node))
            chosen = any(isinstance(p, ast.IfExp | ast.Starred | ast.comprehension) for p in parts)
            if not (whole or (literal and not chosen)):
                yield f"{source.name}:{node.lineno}"
