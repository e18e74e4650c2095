"""Whether a tag may be published: ``python .ci/release.py v1.0.0``.

The tag, the version and the newest chapter of the changelog must agree, and the
classifier must say what the version says.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
STATUS = "Development Status :: "


def problems(tag: str, root: Path = ROOT) -> Iterator[str]:
    """Yield a sentence for each thing that does not fit the tag."""
    module = (root / "connectly_tracking/__init__.py").read_text()
    (version,) = re.findall(r'^__version__ = "(.*)"$', module, re.M)
    if tag != f"v{version}":
        yield f"The tag is {tag}, but the version is {version}."
    chapters = re.findall(r"^## (.*)$", (root / "CHANGELOG.md").read_text(), re.M)
    if not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", chapters[0]):
        yield f"The changelog begins with {chapters[0]!r}, not {version} and its date."
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    (status,) = (it for it in project["classifiers"] if it.startswith(STATUS))
    is_stable = not version.startswith("0.")
    if is_stable != status.endswith("Production/Stable"):
        yield f"The classifier {status!r} does not fit the version {version}."


if __name__ == "__main__":
    found = list(problems(sys.argv[1]))
    sys.exit("\n".join(found) or None)
