"""What a process loads, seen in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WEB = """
import sys, django
django.setup()
from django.core.handlers.wsgi import WSGIHandler
from django.core.handlers.asgi import ASGIHandler
from django.urls import get_resolver
WSGIHandler(); ASGIHandler(); get_resolver().url_patterns
from connectly_tracking import attribution, outbox, receivers
"""


def loaded(code: str, **environ: str) -> set[str]:
    """The modules after running it, with warnings as errors."""
    code += "\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"} | environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_a_web_process_loads_no_http_client_and_nothing_of_the_workers_wing() -> None:
    modules = loaded(WEB)
    assert "connectly_tracking.outbox" in modules
    foreign = {"requests", "urllib3", "opentelemetry", "prometheus_client"} | {
        f"connectly_tracking.{name}"
        for name in (
            "api.client",
            "api.transport",
            "delivery",
            "tasks",
            "sandbox",
            "testing",
        )
    }
    assert not modules & foreign


@pytest.mark.parametrize(
    "module",
    [
        "events",
        "exceptions",
        *(f"api.{name}" for name in ("client", "landing", "payload", "verdicts")),
    ],
)
def test_the_wire_can_be_used_without_django(module: str) -> None:
    modules = loaded(f"import connectly_tracking.{module}")
    assert not {name.partition(".")[0] for name in modules} & {"django", "celery"}


def test_the_sandbox_needs_the_standard_library_alone() -> None:
    modules = loaded("import connectly_tracking.sandbox")
    foreign = {"django", "celery", "requests"}
    assert not {name.partition(".")[0] for name in modules} & foreign
    own = {name for name in modules if name.startswith("connectly_tracking.")}
    assert all(name.startswith("connectly_tracking.sandbox") for name in own)


def test_the_plugin_can_be_loaded_before_anything_else() -> None:
    modules = loaded("import connectly_tracking.testing.plugin")
    assert not {name.partition(".")[0] for name in modules} & {"django", "celery"}
    assert "pytest" not in loaded("import connectly_tracking.testing")
