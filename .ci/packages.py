"""Compare the wheel and the source distribution with what the repository has.

``python .ci/packages.py FIRST SECOND``: two directories, each with both packages. They
must be equal, byte by byte, and contain each file that belongs in them and no other.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGE = "connectly_tracking/"
IN_SOURCE = (
    ".ci/",
    ".github/",
    "benchmarks/",
    PACKAGE,
    "docs/",
    "example_project/",
    "tests/",
    ".gitignore",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "compose.yaml",
    "manage.py",
    "pyproject.toml",
)


def tracked(*prefixes: str) -> set[str]:
    names = subprocess.check_output(["git", "ls-files"], text=True).splitlines()
    return {name for name in names if name.startswith(prefixes)}


def compare(what: str, found: set[str], expected: set[str]) -> None:
    if found != expected:
        missing, surplus = sorted(expected - found), sorted(found - expected)
        sys.exit(f"{what}: missing {missing}, and should not be there: {surplus}")
    print(f"{what}: {len(found)} files, as in the repository")


def check(first: Path, second: Path) -> None:
    for path in first.iterdir():
        if path.read_bytes() != (second / path.name).read_bytes():
            sys.exit(f"{path.name} is different if it is built again")
    (wheel,) = first.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    compare("wheel", names, tracked(PACKAGE))
    (source,) = first.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    compare("source distribution", names - {"PKG-INFO"}, tracked(*IN_SOURCE))


if __name__ == "__main__":
    check(Path(sys.argv[1]), Path(sys.argv[2]))
