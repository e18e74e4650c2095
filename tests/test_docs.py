"""What the documentation says is so."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from django.apps import apps

from connectly_tracking import __version__, checks
from connectly_tracking.conf import NAMES
from connectly_tracking.models import State

from . import test_conf

APP = "connectly_tracking"
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_each_setting_has_a_property_a_check_a_heading_and_a_test() -> None:
    page = (ROOT / "docs/reference/settings.md").read_text()
    headings = re.findall(r"^## (\w+)$", page, re.M)
    tested = {
        name
        for mark in test_conf.test_what_is_given_is_read.pytestmark
        for name, *_ in mark.args[1]
    } | {"API_KEY"}
    assert set(NAMES) == set(headings) == set(checks.SETTING_IDS) == tested


def test_the_readme_names_every_state() -> None:
    section = README.partition("\n## What becomes of an order\n")[2].partition("\n## ")[
        0
    ]
    assert re.findall(r"^\| (\w+) \|", section, re.M) == ["state", *State.values]


def test_each_problem_in_the_log_is_explained() -> None:
    page = (ROOT / "docs/operator/monitoring.md").read_text()
    called = re.compile(
        r"(?:logger\.(?:warning|error|exception|log)|guarded|tolerated|_act)\("
        r"\s*(?:level,\s*)?\"([a-z]+(?:_[a-z]+)+)"
    )
    named = {
        event
        for file in Path(checks.__file__).parent.parent.rglob("*.py")
        for event in called.findall(file.read_text())
    }
    assert len(named) > 30
    assert [event for event in sorted(named) if f"`{event}" not in page] == []


def test_the_readme_is_short() -> None:
    assert len(README.split()) < 1200


def test_each_field_of_each_model_is_explained_as_stored() -> None:
    page = (ROOT / "docs/operator/stored.md").read_text()
    sections = dict(re.findall(r"^## [^\n]*`(\w+)`\n(.*?)(?=^## )", page, re.M | re.S))
    models = {
        it.__name__: it
        for it in apps.get_app_config(APP).get_models()
        if not it._meta.proxy
    }
    assert sections.keys() == models.keys()
    for name, text in sections.items():
        fields = {field.name for field in models[name]._meta.concrete_fields}
        columns = re.findall(r"^\| (`.*?) \|", text, re.M)
        assert set(re.findall(r"`(\w+)`", " ".join(columns))) == fields, name


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_the_links_lead_somewhere(name: str) -> None:
    """Those within docs are followed when the manual is built."""
    links = re.findall(
        r"\]\((?!http)([^)#]+)(?:#([^)]+))?\)", (ROOT / name).read_text()
    )
    assert links
    for target, anchor in links:
        assert (ROOT / target).exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", (ROOT / target).read_text(), re.M)
            anchors = [re.sub(r"[^\w -]", "", it).lower() for it in headings]
            assert anchor.replace("-", " ") in anchors, (target, anchor)


def test_the_pages_that_the_code_and_the_changelog_name_are_there() -> None:
    sources = [
        ROOT / "CHANGELOG.md",
        *Path(checks.__file__).parent.parent.rglob("*.py"),
    ]
    named = {
        page
        for source in sources
        for page in re.findall(r"\bdocs/[\w/]+\.md", source.read_text())
    }
    assert named
    assert [page for page in named if not (ROOT / page).exists()] == []


def test_the_python_in_the_documentation_is_python() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
            compile(block, str(page), "exec")


def test_the_pictures_show_what_the_pages_look_like() -> None:
    """If not: ``python docs/screenshots.py``, and look at each."""
    pictures = runpy.run_path(str(ROOT / "docs/pictures.py"))
    assert pictures["stale"]() == []
    taken = {path.stem for path in (ROOT / "docs/images").glob("*.png")}
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "".join(page.read_text() for page in pages)
    shown = set(re.findall(r"images/([\w-]+)\.png", text))
    assert taken == shown == set(pictures["SOURCES"])


def test_there_are_two_commands_and_each_is_one_line() -> None:
    commands = re.findall(r"```sh\n(.*?)```", README, re.S)
    assert [command.count("\n") for command in commands] == [1, 1]
    assert commands[0].rstrip().endswith("manage.py demo")


def test_the_version_is_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
