"""Each public name is defined once, and private names stay in their module."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import connectly_tracking

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = Path(connectly_tracking.__file__).parent
MODULES: Final = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text())
    for path in sorted(PACKAGE.rglob("*.py"))
    if "migrations" not in path.parts
}
#: Django looks for a command by name, and a logger has the same name everywhere.
CONVENTIONS: Final = {"Command", "logger"}


def test_a_public_name_is_defined_in_one_module_only() -> None:
    modules = defaultdict(set)
    for module, tree in MODULES.items():
        for name in defined_in(tree):
            if not name.startswith("_") and name not in CONVENTIONS:
                modules[name].add(module)
    repeated = {
        name: sorted(found) for name, found in modules.items() if len(found) > 1
    }
    assert repeated == {}


def test_no_module_uses_a_private_name_of_another() -> None:
    used = [
        f"{module}:{line} {name}"
        for module, tree in MODULES.items()
        for line, name in private_names_used_in(tree)
    ]
    assert used == []


def defined_in(tree: ast.Module) -> Iterator[str]:
    """The names that a module itself defines, also under ``if`` and ``try``."""
    nodes: list[ast.stmt] = [*tree.body]
    for node in nodes:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.Assign() | ast.AnnAssign():
                for name in ast.walk(node):
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                        yield name.id
            case ast.If() | ast.Try() | ast.With():
                nodes += [*node.body, *getattr(node, "orelse", [])]


def private_names_used_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Imported from this package, or an attribute of a module or object that is."""
    imported = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        if not node.level and not str(node.module).startswith(PACKAGE.name):
            continue
        for alias in node.names:
            imported.add(alias.asname or alias.name)
            if is_private(alias.name):
                yield node.lineno, alias.name
    for node in ast.walk(tree):
        match node:
            # A class may have Django's own _meta or _default_manager.
            case ast.Attribute(ast.Name(owner), name) if owner in imported:
                if is_private(name) and owner.islower():
                    yield node.lineno, f"{owner}.{name}"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")
