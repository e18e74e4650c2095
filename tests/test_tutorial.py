"""The tutorial, with the README's steps in it: a new project, to a delivered order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

pytestmark = pytest.mark.sqlite  # the new project's own database
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
STEPS = README.partition("<!-- steps -->")[2].partition("<!-- /steps -->")[0]
TUTORIAL, WITH_README = re.subn(
    r"```\{include\} \.\./README\.md\n.*?```",
    lambda _: STEPS,
    (ROOT / "docs/tutorial.md").read_text(),
    flags=re.S,
)
BLOCKS = re.findall(r"```(python|console)\n(.*?)```", TUTORIAL, re.S)
(LANDING,) = re.findall(r"`(/\?cnct_tracking_id=\S+)`", STEPS)


class Project:
    """An empty folder, and a terminal in it."""

    def __init__(self, folder: Path, background: ExitStack) -> None:
        self.folder = folder
        self.background = background
        foreign = ("CONNECTLY_", "DJANGO_SETTINGS_MODULE", "PYTHONPATH")
        self.environ = {
            name: os.environ[name]
            for name in os.environ
            if not name.startswith(foreign)
        }
        self.sandbox = ""

    def write(self, block: str) -> None:
        """Append a block to the file that its first line names."""
        name, code = block.removeprefix("# ").split("\n", 1)
        with (self.folder / name).open("a") as file:
            file.write(f"\n{code}")

    def run(self, command: str) -> str:
        """Run a command to its end, and return what it printed."""
        match shlex.split(command):
            case ["export", *variables]:
                self.environ |= dict(each.split("=") for each in variables)
                return ""
            case ["python", "manage.py", "connectly_sandbox"]:
                self.sandbox = self.start("manage.py", "connectly_sandbox")
                self.environ["CONNECTLY_BASE_URL"] = self.sandbox
                return self.sandbox
            case ["python", "manage.py", "runserver"]:
                # On a free port, and without the process that watches the files.
                options = ("--noreload", "127.0.0.1:0")
                shop = self.start("manage.py", "runserver", *options)
                return buy(shop)
            case ["django-admin", *words]:
                words = ["-m", "django", *words]
            case ["python", *words]:
                pass
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def start(self, *words: str) -> str:
        """Start a command that stays, and return the address that it prints."""
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.background.enter_context(process)
        self.background.callback(process.terminate)
        assert process.stdout is not None
        said = ""
        while not (found := re.search(r"http://127\.0\.0\.1:[1-9]\d*", said)):
            line = process.stdout.readline()
            assert line, f"{words}\n{said}"
            said += line
        return found[0]


def buy(shop: str) -> str:
    """Land from the ad, and press the button on the page."""
    with requests.Session() as browser:
        browser.trust_env = False  # no proxy
        page = browser.get(f"{shop}{LANDING}", timeout=10).text
        (action,) = re.findall(r'action="(\S+?)"', page)
        (token,) = re.findall(r'value="(\S+?)"', page)
        data = {"csrfmiddlewaretoken": token}
        answer = browser.post(f"{shop}{action}", data=data, timeout=10)
    assert answer.text == "Thank you! Your order is ORD-1."
    return answer.text


def test_it_leads_from_an_empty_folder_to_a_delivered_order(tmp_path: Path) -> None:
    assert WITH_README == 1
    printed = {}
    with ExitStack() as background:
        project = Project(tmp_path, background)
        for kind, block in BLOCKS:
            if kind == "python":
                project.write(block)
                continue
            for line in block.splitlines():
                command = line.removeprefix("$ ")
                printed[command] = project.run(command)
        arrived = requests.get(f"{project.sandbox}/events", timeout=10).json()
        # What the README says of the end.
        (uninstall,) = re.findall(r"`python (manage.py migrate \w+ zero)`", README)
        printed["uninstall"] = project.run(f"python {uninstall}")
    (event,) = arrived["events"]
    assert arrived["refused"] == []
    assert '"order_id":"ORD-1"' in event["body"].replace(" ", "")
    *_, explained, uninstalled = printed.values()
    sentence = explained.splitlines()[-1]
    assert sentence.startswith("Order ORD-1 was reported to Connectly at ")
    assert sentence.endswith("campaign s1, ad 1.")
    warned = re.findall(r"\((\w+)\.(\w\d+)\)", printed["python manage.py check"])
    # The credentials come later. There is no Celery app, as the tutorial says.
    assert [code for _, code in warned] == ["W001", "W001", "W007"]
    assert "Unapplying connectly_tracking.0001_initial... OK" in uninstalled
