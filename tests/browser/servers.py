"""The shop and the cache before it: two processes, two hosts of one site.

Browsers take every name below ``localhost`` for this machine.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings

from example_project.demo.ports import LOOPBACK
from example_project.demo.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

PATIENCE: Final = 60.0  # seconds; for a machine that has other things to do
RUNSERVER: Final = [sys.executable, "manage.py", "runserver", "--noreload"]


class Server:
    """``url`` is how a browser names it."""

    def __init__(
        self, supervisor: Supervisor, name: str, host: str, command: Sequence[str]
    ) -> None:
        self._supervisor = supervisor
        self._log = supervisor.directory / f"{name}.log"
        child = supervisor.start(name, command)
        supervisor.until_up(child, self._port)
        self.url = f"http://{host}:{self._port()}"

    @property
    def said(self) -> str:
        """Its log so far: a line for each request that it has answered."""
        return self._log.read_text(errors="replace")

    def until(self, condition: Callable[[], object]) -> None:
        self._supervisor.until(condition, seconds=PATIENCE)

    def _port(self) -> str | None:
        found = re.search(rf"at http://{LOOPBACK}:(\d+)|port (\d+)", self.said)
        return found and (found[1] or found[2])


class Cdn(Server):
    """Serves files; Django never hears of what is read here."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._files = supervisor.directory / "pages"
        self._files.mkdir()
        files = ["--bind", LOOPBACK, "--directory", str(self._files), "0"]
        command = [sys.executable, "-m", "http.server", *files]
        super().__init__(supervisor, "cdn", "www.shop.localhost", command)

    def publish(self, name: str, page: str) -> str:
        """Returns the page's URL."""
        (self._files / name).write_text(page)
        return f"{self.url}/{name}"


class Shop(Server):
    """The example shop. Its Django trusts the cache's pages."""

    def __init__(self, supervisor: Supervisor, cdn: Cdn, **changes: Any) -> None:
        changed = {"CSRF_TRUSTED_ORIGINS": [cdn.url]} | changes
        supervisor.environ["BROWSER_SETTINGS"] = json.dumps(changed)
        # Static files are its own to serve.
        command = [*RUNSERVER, "--insecure", "--skip-checks", f"{LOOPBACK}:0"]
        super().__init__(supervisor, "shop", "shop.localhost", command)

    @property
    def told(self) -> int:
        """How often a page has told of a landing."""
        return self.said.count('"POST /connectly/capture/ ')


def start(directory: Path, environ: dict[str, str]) -> Supervisor:
    supervisor = Supervisor(directory, threading.Event())
    supervisor.environ = environ | {"DJANGO_SETTINGS_MODULE": "tests.browser.settings"}
    return supervisor


def without_middleware() -> dict[str, Any]:
    """Settings of a shop whose Django never looks at a landing itself."""
    return {
        "MIDDLEWARE": [
            name for name in settings.MIDDLEWARE if "connectly_tracking" not in name
        ]
    }
