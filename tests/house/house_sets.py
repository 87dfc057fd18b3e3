"""Finds iteration over sets by syntax: their order changes with PYTHONHASHSEED.

A heuristic: an expression counts as a set when it is written as one, when its name is annotated
or assigned as one in the same file, or when it is an operation on such. Feeding a set to
something that forgets order (sorted, len, any, min, set …) is allowed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

SET_NAMES = {"set", "frozenset", "Set", "FrozenSet", "AbstractSet", "MutableSet"}
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}
ORDER_KEEPERS = {"list", "tuple", "iter", "enumerate", "zip", "map", "filter", "reversed", "join"}
ORDER_FORGETTERS = {"sorted", "len", "any", "all", "min", "max", "sum", "set", "frozenset"}


def _is_set_annotation(node: ast.expr | None) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in SET_NAMES
        case ast.Subscript(value=value):
            return _is_set_annotation(value)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _is_set_annotation(left) or _is_set_annotation(right)
    return False


def _named(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


class SetFinder:
    """Knows the set-valued names of one file and reports iterations over them."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._names: set[str] = set()
        for node in ast.walk(tree):
            match node:
                case ast.AnnAssign(target=target, annotation=annotation):
                    if _is_set_annotation(annotation):
                        self._names.add(_named(target))
                case ast.arg(arg=name, annotation=annotation):
                    if _is_set_annotation(annotation):
                        self._names.add(name)
                case ast.FunctionDef(name=name, returns=returns):
                    if _is_set_annotation(returns):
                        self._names.add(name)
                case ast.Assign(targets=[target], value=value):
                    if self.is_set(value):
                        self._names.add(_named(target))
        self._names.discard("")

    def is_set(self, node: ast.expr) -> bool:
        """Whether the expression is, as far as syntax tells, a set."""
        match node:
            case ast.Set() | ast.SetComp():
                return True
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return name in self._names
            case ast.Call(func=ast.Name(id=name)):
                return name in {"set", "frozenset"} or name in self._names
            case ast.Call(func=ast.Attribute(value=value, attr=name)):
                copied = name in SET_METHODS | {"copy"} and self.is_set(value)
                return copied or name in SET_METHODS or name in self._names
            case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
                return any(self.is_set(s) or _is_view(s) for s in (node.left, node.right))
            case ast.IfExp(body=body, orelse=orelse):
                return self.is_set(body) or self.is_set(orelse)
        return False

    def found(self) -> Iterator[int]:
        """The lines on which the order of a set escapes."""
        forgiven = {
            id(argument)
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Call) and _named(node.func) in ORDER_FORGETTERS
            for argument in node.args
        }
        for node in ast.walk(self._tree):
            match node:
                case ast.For(iter=walked) | ast.Starred(value=walked) if self.is_set(walked):
                    yield node.lineno
                case ast.ListComp() | ast.GeneratorExp() | ast.DictComp():
                    if id(node) not in forgiven and self.is_set(node.generators[0].iter):
                        yield node.lineno
                case ast.Call(func=func, args=[first, *_]):
                    if _named(func) in ORDER_KEEPERS and self.is_set(first):
                        yield node.lineno
                case ast.Call(func=ast.Attribute(value=value, attr="pop"), args=[]):
                    if self.is_set(value):
                        yield node.lineno


def _is_view(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and _named(node.func) in {"keys", "items"}
