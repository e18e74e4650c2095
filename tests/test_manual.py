"""The manual has what the code has; ``python -m tests.manual --write`` writes it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from connectly_tracking.conf import NAMES, VALIDATORS, conf

from .manual import DOCS, PART, TABLES, checks, generated
from .public_api import public_api

PAGES = {path.relative_to(DOCS).as_posix(): path for path in DOCS.rglob("*.md")}
SETTINGS = PAGES["reference/settings.md"].read_text()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_has_what_the_code_has(name: str) -> None:
    page = PAGES[name].read_text()
    assert page == generated(page)


def test_every_check_says_something_and_what_to_do() -> None:
    rows = re.findall(r"^\| `(\S+)` \|(.*)\|$", checks(), re.M)
    assert len(rows) > 20
    # E000 repeats the words of the error.
    hollow = [it for it, text in rows if not re.search(r"\w.*\|.*\w.*\|.*\w", text)]
    assert hollow == ["connectly_tracking.E000"]


def test_each_table_is_on_one_page() -> None:
    parts = [
        part[1] for path in PAGES.values() for part in PART.findall(path.read_text())
    ]
    assert sorted(parts) == sorted(TABLES)


def test_every_public_name_is_in_the_reference() -> None:
    pages = [path.read_text() for path in PAGES.values() if "reference" in path.parts]
    words = set(re.findall(r"[\w-]+", " ".join(pages)))
    kinds = {"check", "command", "field", "setting", "signal", "task", "value"}
    missing = [
        line
        for line in public_api()
        if line.split()[0] in kinds
        and re.findall(r"[\w-]+", re.sub(r"(field .*): .*", r"\1", line))[-1]
        not in words
    ]
    assert missing == []


def test_the_settings_page_has_the_defaults_of_the_code(settings: Any) -> None:
    settings.CONNECTLY_TRACKING = {}
    sections = dict(re.findall(r"^## (\w+)\n(.*)$", SETTINGS, re.M))
    derived = {*VALIDATORS, "BUSINESSES", "STRICT"}
    for name in set(NAMES) - derived:
        assert f"Default {written(getattr(conf, name))}" in sections[name], name


def written(default: Any) -> str:
    """A default as the page writes it."""
    match default:
        case timedelta():
            return f"{default.days} days"
        case float():
            return f"{default:g}" + (" seconds" if default else "")
        case (float(), *_):
            return ", ".join(short(it) for it in default)
        case tuple():
            return f"`{list(default)}`".replace("'", '"')
        case bool() | None:
            return f"`{default}`"
        case str():
            return f'`"{default}"`'
    return str(default)


def short(seconds: float) -> str:
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
