"""setup.py read as text: the literals in its call of `setup`, and what it imports. It is never run."""

from __future__ import annotations

import ast
import sys
import warnings
from dataclasses import dataclass, field
from typing import Any

_TOOLS = {"setuptools", "distutils", "wheel", "pip"}


@dataclass(slots=True)
class SetupFile:
    """What can be told of a setup.py without running it.

    Attributes:
        values: the arguments of `setup` that are literals, by name.
        imports: modules from outside the standard library that it can't start without.
        parsed: whether it is Python 3 at all.
    """

    values: dict[str, Any] = field(default_factory=dict)
    imports: list[str] = field(default_factory=list)
    parsed: bool = False


def parse_python(text: str) -> ast.Module | None:
    """The syntax tree of a file; `None` where this Python can't read it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def read_setup(text: str) -> SetupFile:
    """Read a setup.py."""
    tree = parse_python(text)
    if tree is None:
        return SetupFile()
    found = SetupFile(parsed=True)
    names: dict[str, ast.expr] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name):
                names[target.id] = statement.value
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            found.imports += _outside(statement)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_setup(node.func):
            for keyword in node.keywords:
                value = _literal(keyword.value, names)
                if keyword.arg and value is not None:
                    found.values[keyword.arg] = value
    return found


def _is_setup(function: ast.expr) -> bool:
    return (isinstance(function, ast.Name) and function.id == "setup") or (
        isinstance(function, ast.Attribute) and function.attr == "setup"
    )


def _literal(node: ast.expr, names: dict[str, ast.expr]) -> Any:
    if isinstance(node, ast.Name):
        if node.id not in names:
            return None
        node = names[node.id]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _outside(statement: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(statement, ast.Import):
        modules = [alias.name for alias in statement.names]
    else:
        modules = [statement.module] if statement.module and not statement.level else []
    tops = [module.partition(".")[0] for module in modules]
    return [top for top in tops if top not in sys.stdlib_module_names and top not in _TOOLS]
