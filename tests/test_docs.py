"""What the documentation says is so."""

from __future__ import annotations

import re
from pathlib import Path

from connectly_tracking import __version__, checks, signals
from connectly_tracking.conf import NAMES
from connectly_tracking.models import Reason, State

from . import test_conf

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_each_setting_has_a_property_a_check_a_heading_and_a_test() -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/settings.md").read_text(), re.M)
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


def test_the_version_is_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
