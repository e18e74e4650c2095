"""The size and shape of the package: ``python -m benchmarks.house [TREE] [TREE]``.

Measures this checkout, another one, or two side by side: before and after.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = "connectly_tracking"
SMALL: Final = 60  # lines
#: The modules from the middleware to the settled row, with their earlier names.
PATH: Final = frozenset(
    [
        "api",
        "attribution",
        "client",
        "delivery",
        "iso4217",
        "landing",
        "middleware",
        "models",
        "outbox",
        "payload",
        "receivers",
        "secret",
        "shutdown",
        "transport",
        "verdicts",
        "wakeup",
        "wire",
    ]
)


@dataclass(frozen=True, kw_only=True)
class Module:
    """One file. ``name`` is its path below the package."""

    name: str
    source: str

    @property
    def lines(self) -> int:
        return len(self.source.splitlines())

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def import_lines(self) -> int:
        return sum(
            _length(node)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
        )

    @property
    def functions(self) -> dict[str, int]:
        """The lines of each function."""
        return {
            f"{node.name} ({self.name})": _length(node)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    def is_in(self, names: frozenset[str]) -> bool:
        return self.name.split("/")[0].removesuffix(".py") in names


def measure(tree: Path) -> dict[str, str]:
    """Everything except the size of the wheel, as text."""
    everything = modules_of(tree)
    modules = [it for it in everything if not it.is_in(frozenset({"migrations"}))]
    product = [it for it in modules if not it.is_in(frozenset({"sandbox"}))]
    path = [it for it in modules if it.is_in(PATH)]
    lines = _lines(modules)
    imports = sum(it.import_lines for it in modules)
    longest, length = max(
        (pair for it in modules for pair in it.functions.items()),
        key=lambda pair: pair[1],
    )
    landing, order = entered(tree)
    return {
        "modules": str(len(modules)),
        "lines": str(lines),
        "lines without the sandbox": str(_lines(product)),
        "lines of imports": f"{imports} ({imports / lines:.1%})",
        f"modules under {SMALL} lines": str(sum(it.lines < SMALL for it in modules)),
        "from middleware to settle: modules": str(len(path)),
        "from middleware to settle: lines": str(_lines(path)),
        "longest function": f"{length}: {longest}",
        "functions that a landing enters": _spread(landing),
        "functions that an order enters": _spread(order),
    }


def modules_of(tree: Path) -> list[Module]:
    """Every module of the package in that checkout."""
    package = tree / PACKAGE
    return [
        Module(name=path.relative_to(package).as_posix(), source=path.read_text())
        for path in sorted(package.rglob("*.py"))
    ]


def entered(tree: Path) -> tuple[list[str], list[str]]:
    """The functions that a landing and an order enter, as ``module:function``."""
    script = Path(__file__).with_name("entered.py")
    command = [sys.executable, "-P", str(script)]
    environ = os.environ | {"PYTHONPATH": str(tree)}
    found = subprocess.run(
        command, cwd=tree, env=environ, stdout=subprocess.PIPE, check=True
    )
    seen: dict[str, list[str]] = json.loads(found.stdout)
    return seen["landing"], seen["order"]


def wheel_size(tree: Path) -> str:
    """Built with pip, which may need the network for hatchling."""
    with tempfile.TemporaryDirectory(prefix="connectly-wheel-") as name:
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", name]
        built = subprocess.run([*command, str(tree)], capture_output=True, check=False)
        wheels = list(Path(name).glob("*.whl"))
        if built.returncode or not wheels:
            return "not built"
        return f"{wheels[0].stat().st_size / 1024:.0f} KiB"


def _length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _lines(modules: list[Module]) -> int:
    return sum(module.lines for module in modules)


def _spread(functions: list[str]) -> str:
    modules = {name.split(":")[0] for name in functions}
    return f"{len(functions)} in {len(modules)} modules"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.house", description=__doc__
    )
    parser.add_argument("tree", type=Path, nargs="*", default=[ROOT])
    trees = [tree.resolve() for tree in parser.parse_args().tree]
    columns = [measure(tree) | {"wheel": wheel_size(tree)} for tree in trees]
    width = max(len(text) for text in columns[0].values())
    for name in columns[0]:
        texts = [f"{column[name]:<{width}}" for column in columns]
        print(f"{name:<36} {'  '.join(texts)}".rstrip())


if __name__ == "__main__":
    main()
