"""P14: what it costs a web process to start: ``python -m benchmarks.process``.

A new process sets up a Django project with Celery, with this app or without it, and
says what it took. Django's admin, if a project has it, loads the pages of this app.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Final

from .command import command
from .line import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .line import Round

ROUNDS: Final = 5
SMALL: Final = {"starts": 1}
CHECK: Final = {"starts": 1}
START: Final = """
import json, resource, sys, time
import celery, django, django.core.checks, redis
from django.conf import settings
apps = sys.argv[1:]
if "django.contrib.admin" in apps:
    import django.contrib.admin
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes",
        "django.contrib.sessions", "django.contrib.messages", *apps
    ],
    CONNECTLY_TRACKING={"BUSINESS_ID": "b", "API_KEY": "k"},
)
cpu = time.process_time()
celery.Celery("shop", broker="redis://").set_default()
django.setup()
if "connectly_tracking" in apps:
    import connectly_tracking.middleware
print(json.dumps({
    "cpu": 1000 * (time.process_time() - cpu),
    "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "modules": len(sys.modules),
    "requests": "requests" in sys.modules,
}))
"""
FIGURES: Final = ("cpu", "memory", "modules", "requests")
OURS: Final = "connectly_tracking"
ADMIN: Final = "django.contrib.admin"

LINES: Final = (
    Line(name="P14 start of a web process: CPU added", of="cpu", unit="ms", goal=20),
    Line(name="P14: memory added", of="memory", unit="MiB", goal=1.0),
    Line(name="P14: modules added", of="modules"),
    Line(name="P14: loads of requests", of="requests", goal=0, bound=0),
    Line(name="With Django's admin: CPU added", of="admin cpu", unit="ms"),
    Line(name="With Django's admin: memory added", of="admin memory", unit="MiB"),
    Line(name="With Django's admin: modules added", of="admin modules"),
    Line(
        name="With Django's admin: loads of requests",
        of="admin requests",
        goal=0,
        bound=0,
    ),
)


@contextmanager
def subject(*, starts: int = 10) -> Iterator[Callable[[], Round]]:
    def measure() -> Round:
        with_admin = _added(starts, ADMIN)
        return _added(starts) | {
            f"admin {name}": value for name, value in with_admin.items()
        }

    _started(ADMIN, OURS)  # so that all modules are compiled
    yield measure


def _added(starts: int, *apps: str) -> dict[str, float]:
    """What our app adds to a process with those apps, by medians."""
    pairs = [(_started(*apps), _started(*apps, OURS)) for _ in range(starts)]
    return {
        name: median(ours[name] - without[name] for without, ours in pairs)
        for name in FIGURES
    }


def _started(*apps: str) -> dict[str, float]:
    child = subprocess.run(
        [sys.executable, "-c", START, *apps], stdout=subprocess.PIPE, check=True
    )
    found: dict[str, float] = json.loads(child.stdout)
    return found


if __name__ == "__main__":
    command("process")
