"""The manual's pictures, what each shows, and whether it still looks so.

A picture is stale when one of the files that make its page look as it does has changed
since it was taken. Words that come from Python are not among them: after a change of
those, look at the pictures yourself.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Final

import connectly_tracking

ROOT: Final = Path(__file__).resolve().parent.parent
#: Where the package is: the checkout's own, or one that was installed.
PACKAGE: Final = Path(connectly_tracking.__file__).parent
IMAGES: Final = ROOT / "docs" / "images"
TAKEN: Final = IMAGES / "taken.json"

ADMIN: Final = "connectly_tracking/templates/admin/connectly_tracking"
STYLE: Final = "connectly_tracking/static/connectly_tracking/admin.css"
LISTED: Final = (f"{ADMIN}/change_list.html", f"{ADMIN}/conversion/change_list.html")
STORY: Final = (f"{ADMIN}/conversion/change_form.html",)
STATUS: Final = (f"{ADMIN}/page.html", f"{ADMIN}/conversion/status.html")
CAMPAIGNS: Final = (f"{ADMIN}/page.html", f"{ADMIN}/campaign/report.html")
SHOP: Final = "example_project/shop"

#: Picture → the files that make its page look as it does.
SOURCES: Final = {
    "shop": (
        f"{SHOP}/templates/shop/base.html",
        f"{SHOP}/templates/shop/bar.html",
        f"{SHOP}/templates/shop/landing.html",
    ),
    "sandbox": (
        "connectly_tracking/sandbox/page.css",
        "connectly_tracking/sandbox/page.html",
        "connectly_tracking/sandbox/page.js",
    ),
    "list-light": (STYLE, *LISTED),
    "list-dark": (STYLE, *LISTED),
    "story-light": (STYLE, *STORY),
    "campaigns-light": (STYLE, *CAMPAIGNS),
    "status-dark": (STYLE, *STATUS),
}

#: What nobody sees, in a template and in a style.
COMMENT: Final = re.compile(r"\{#.*?#\}\n?|/\*.*?\*/\n?", re.S)


def looks() -> dict[str, str]:
    """Return for each picture a digest of its files as they are now."""
    return {name: _digest(files) for name, files in SOURCES.items()}


def note_taken() -> None:
    TAKEN.write_text(json.dumps(looks(), indent=2) + "\n")


def stale() -> list[str]:
    """Return the pictures to take again."""
    taken = json.loads(TAKEN.read_text())
    return [name for name, digest in looks().items() if taken.get(name) != digest]


def _digest(files: tuple[str, ...]) -> str:
    found = hashlib.sha256()
    for file in files:
        room = PACKAGE.parent if file.startswith(PACKAGE.name) else ROOT
        text = (room / file).read_text("utf-8")
        found.update(COMMENT.sub("", text).encode())
    return found.hexdigest()[:16]
