"""Measures one or more checkouts in turn: each a process that is asked for rounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .table import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType

    from .line import Round

#: They would lead a checkout to another's code, or to a service that others use.
DROPPED: Final = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "PYTHONHOME")


@dataclass(kw_only=True)
class Measured:
    """The rounds of each checkout, by its name; ``machine``: what they depend on."""

    trees: dict[str, list[Round]] = field(default_factory=dict)
    machine: list[str] = field(default_factory=list)


def measure(
    module: ModuleType,
    options: Mapping[str, Any],
    *,
    rounds: int,
    trees: Sequence[Path] = (ROOT,),
) -> Measured:
    """Ask each checkout for a round, in turn, so that a slow moment hits all."""
    name = module.__name__.rpartition(".")[2]
    python = module.python() if hasattr(module, "python") else sys.executable
    before = os.getloadavg()[0]
    with ExitStack() as stack:
        children = {
            _name_of(tree, trees): stack.enter_context(
                _child(python, name, options, tree)
            )
            for tree in trees
        }
        measured = Measured(trees={tree: [] for tree in children})
        for child in children.values():
            measured.machine = _read(child)
        for _ in range(rounds):
            for tree, child in children.items():
                measured.trees[tree].append(_ask(child))
    loads = sorted({f"{load:.1f}" for load in (before, os.getloadavg()[0])}, key=float)
    measured.machine.append(f"load {' to '.join(loads)}")
    return measured


def _name_of(tree: Path, trees: Sequence[Path]) -> str:
    return tree.name if [it.name for it in trees].count(tree.name) == 1 else str(tree)


@contextmanager
def _child(
    python: str, name: str, options: Mapping[str, Any], tree: Path
) -> Iterator[subprocess.Popen[str]]:
    """A process with that checkout's package, and these benchmarks."""
    with tempfile.TemporaryDirectory(prefix="connectly-bench-") as directory:
        Path(directory, "benchmarks").symlink_to(Path(__file__).parent)
        environ = {key: os.environ[key] for key in os.environ if key not in DROPPED}
        environ |= {"PYTHONPATH": f"{directory}:{tree}", "PYTHONSAFEPATH": "1"}
        command = [python, "-m", "benchmarks.subject", name, json.dumps(options)]
        pipe: Final = subprocess.PIPE
        with subprocess.Popen(
            command, cwd=tree, env=environ, stdin=pipe, stdout=pipe, text=True
        ) as child:
            try:
                yield child
            finally:
                assert child.stdin is not None
                child.stdin.close()


def _ask(child: subprocess.Popen[str]) -> Round:
    assert child.stdin is not None
    child.stdin.write("round\n")
    child.stdin.flush()
    found: Round = _read(child)
    return found


def _read(child: subprocess.Popen[str]) -> Any:
    assert child.stdout is not None
    answer = child.stdout.readline()
    if not answer:
        raise RuntimeError(f"it ended with {child.wait()}: {child.args!r}")
    return json.loads(answer)
