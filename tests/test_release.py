"""The workflows, the issue form and the recipe of a release."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

import connectly_tracking

ROOT: Final = Path(__file__).parent.parent
FILES: Final = sorted((ROOT / ".github").rglob("*.yml"))
WORKFLOWS: Final = {
    path.stem: yaml.safe_load(path.read_text())
    for path in FILES
    if path.parent.name == "workflows"
}
problems: Final = runpy.run_path(str(ROOT / ".ci/release.py"))["problems"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what a release changes, as it must be for 1.2.3."""
    (tmp_path / "connectly_tracking").mkdir()
    for name, pattern, new in (
        ("connectly_tracking/__init__.py", r"(?<=__version__ = ).*", '"1.2.3"'),
        ("CHANGELOG.md", "(?m)^## .*", "## 1.2.3 (2030-02-01)"),
        ("pyproject.toml", '(?<=Status :: ).*(?=")', "5 - Production/Stable"),
    ):
        ours = Path(connectly_tracking.__file__)
        path = ours if name.endswith(ours.name) else ROOT / name
        text, count = re.subn(pattern, new, path.read_text(), count=1)
        assert count == 1, name
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_tag_is_published_that_fits_version_changelog_and_classifier(
    tree: Path,
) -> None:
    assert list(problems("v1.2.3", tree)) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("connectly_tracking/__init__.py", "1.2.3", "1.2.4", "The tag is v1.2.3"),
        ("CHANGELOG.md", "## 1.2.3", "## Unreleased\n\n## 1.2.3", "The changelog"),
        ("CHANGELOG.md", "1.2.3 (2030-02-01)", "1.2.30 (2030-02-01)", "The changelog"),
        ("pyproject.toml", "5 - Production/Stable", "4 - Beta", "The classifier"),
    ],
)
def test_another_tag_is_not(
    tree: Path, name: str, old: str, new: str, problem: str
) -> None:
    text = (tree / name).read_text()
    assert old in text
    (tree / name).write_text(text.replace(old, new, 1))
    assert problem in " ".join(problems("v1.2.3", tree))


def test_the_registry_trusts_the_workflow_and_gets_attestations() -> None:
    release = WORKFLOWS["release"]
    # In YAML 1.1 the key "on" is a truth.
    assert release[True] == {"push": {"tags": ["v*"]}}
    publish = release["jobs"]["publish"]
    assert publish["needs"] == "build"
    assert publish["permissions"] == {"id-token": "write"}
    *_, last = publish["steps"]
    assert last["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert last["with"] == {"attestations": True}
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text()


def test_what_a_workflow_runs_is_there() -> None:
    steps = [
        step
        for workflow in WORKFLOWS.values()
        for job in workflow["jobs"].values()
        for step in job["steps"]
    ]
    words = [word for step in steps for word in shlex.split(step.get("run", ""))]
    scripts = [word for word in words if word.startswith(".ci/")]
    assert sorted(set(scripts)) == [".ci/packages.py", ".ci/release.py", ".ci/run"]
    assert all((ROOT / script).is_file() for script in scripts)
    for step in steps:
        assert len({"run", "uses"} & step.keys()) == 1
        assert re.fullmatch(r"[\w-]+/[\w-]+@[\w./]+", step.get("uses", "a/b@v1"))


def test_the_tests_have_the_services_that_they_need() -> None:
    services = WORKFLOWS["tests"]["jobs"]["all"]["services"]
    asked = re.findall(r"^answers \w+ (\d+)$", (ROOT / ".ci/run").read_text(), re.M)
    ports = [port for service in services.values() for port in service["ports"]]
    assert sorted(ports) == sorted(f"{port}:{port}" for port in asked)


def test_the_issue_form_asks_for_what_the_doctor_says() -> None:
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text())
    assert {"name", "description", "body"} <= form.keys()
    fields: dict[str, Any] = {it["id"]: it for it in form["body"] if "id" in it}
    assert "connectly_doctor --json" in fields["doctor"]["attributes"]["label"]
    for field in fields.values():
        assert field["type"] in {"input", "textarea"}
        assert field["validations"] == {"required": True}


def test_no_file_names_an_address() -> None:
    for path in [*FILES, ROOT / ".ci/release.py"]:
        assert re.findall(r"https?://\S+|\S+@\w+\.\w+", path.read_text()) == [], path
