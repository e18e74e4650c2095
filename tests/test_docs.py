"""What the documentation says is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from django.apps import apps

from connectly_tracking import __version__, checks, signals
from connectly_tracking.conf import NAMES
from connectly_tracking.models import Reason, State

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


def test_the_readme_names_every_state_and_reason_that_can_be() -> None:
    for code in {*State.values, *Reason.values}:
        assert re.search(rf"(\| |`){code}( \||`)", README), code


def test_the_readme_names_every_signal() -> None:
    for name in vars(signals):
        if name.islower() and not name.startswith("_") and name != "annotations":
            assert name in README


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


def test_the_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_python_in_the_readme_is_python() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) == 5
    for block in blocks:
        compile(block, "README.md", "exec")


def test_there_are_two_commands_and_each_is_one_line() -> None:
    commands = re.findall(r"```sh\n(.*?)```", README, re.S)
    assert [command.count("\n") for command in commands] == [1, 1]
    assert commands[0].rstrip().endswith("manage.py demo")


def test_the_steps_of_the_installation_work_in_their_order_in_a_new_project(
    tmp_path: Path,
) -> None:
    def manage(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            cwd=tmp_path,
            env=os.environ
            | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "DJANGO_SETTINGS_MODULE": "new"},
            capture_output=True,
            check=True,
        )

    settings, tracking = tmp_path / "new.py", tmp_path / "shop/tracking.py"
    tracking.parent.mkdir()
    settings.write_text(
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3',"
        " 'NAME': 'db.sqlite3', 'OPTIONS': {'transaction_mode': 'IMMEDIATE'}}}\n"
        "SECRET_KEY = 'new'\n"
        "INSTALLED_APPS = ['django.contrib.auth', 'django.contrib.contenttypes',"
        " 'django.contrib.sessions']\n"
        "MIDDLEWARE = ['django.contrib.sessions.middleware.SessionMiddleware']\n"
    )
    section = README.partition("\n## Install it\n")[2].partition("\n## ")[0]
    done = []
    for step in re.split(r"^\*\*\d\.\*\* ", section, flags=re.M)[1:]:
        code = "".join(re.findall(r"```python\n(.*?)```", step, re.S))
        if "INSTALLED_APPS" in code:
            settings.write_text(settings.read_text() + code)
            done.append("settings")
        elif "`shop/tracking.py`" in step:
            tracking.write_text(code)
            done.append("adapter")
        elif command := re.search(
            r"`python manage.py (\w+) && python manage.py (\w+)`", step
        ):
            for name in command.groups():
                manage(name)
            done.append("migrate")
    assert sorted(done) == ["adapter", "migrate", "settings"]


def test_the_version_is_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
