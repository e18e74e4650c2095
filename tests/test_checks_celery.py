"""What is said of Celery: who tells the workers, who looks, and who tidies up."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery, _state
from celery.beat import ScheduleEntry
from celery.schedules import crontab
from django.core.checks import run_checks
from kombu import Queue

if TYPE_CHECKING:
    from collections.abc import Callable

    Project = Callable[..., Celery]

BROKER = "redis://127.0.0.1:1/0"
SCHEDULE = {
    "deliver": {"task": "connectly_tracking.deliver_due", "schedule": 30},
    "prune": {"task": "connectly_tracking.prune", "schedule": 86400},
}


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Project:
    """Makes a Celery app with those settings the project's own."""

    def project(**conf: Any) -> Celery:
        app = Celery("shop", set_as_current=False)
        app.conf.update({"broker_url": BROKER, "beat_schedule": SCHEDULE} | conf)
        monkeypatch.setattr(_state, "default_app", app)
        return app

    return project


def found() -> list[str]:
    """The ids of what is said of Celery, without the prefix."""
    messages = run_checks(tags=["compatibility"])
    ours = [message for message in messages if "connectly" in (message.id or "")]
    assert all(message.hint for message in ours)
    return sorted((message.id or "").partition(".")[2] for message in ours)


def test_a_project_that_is_set_up_is_left_alone(project: Project) -> None:
    project()
    assert found() == []


def test_a_projects_app_that_nobody_imports_is_the_classic_mistake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_state, "default_app", None)
    assert found() == ["W007"]


def test_an_app_that_only_its_own_thread_knows_does_not_help(
    monkeypatch: pytest.MonkeyPatch, project: Project
) -> None:
    current = _state._tls  # type: ignore[attr-defined]
    monkeypatch.setattr(current, "current_app", project())
    monkeypatch.setattr(_state, "default_app", None)
    assert found() == ["W007"]


def test_a_celeryconfig_module_is_a_projects_way_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Celery("default", loader="default", set_as_current=False)
    app.conf.update(broker_url=BROKER, beat_schedule=SCHEDULE)
    monkeypatch.setattr(_state, "default_app", app)
    assert found() == []


@pytest.mark.parametrize(
    ("conf", "ids"),
    [
        ({"broker_url": None}, ["W008"]),
        ({"broker_url": None, "broker_write_url": BROKER}, []),
        ({"task_always_eager": True}, ["W009"]),
        ({"task_always_eager": True, "broker_url": None}, ["W009"]),
        ({"beat_schedule": {}}, ["W010", "W011"]),
        ({"beat_schedule": {"deliver": SCHEDULE["deliver"]}}, ["W011"]),
        ({"beat_schedule": {"prune": SCHEDULE["prune"]}}, ["W010"]),
        ({"beat_schedule": {}, "broker_url": None}, ["W008"]),
        (
            {"beat_schedule": {}, "beat_scheduler": "celery.beat:Scheduler"},
            ["W010", "W011"],
        ),
        ({"beat_schedule": {}, "beat_scheduler": "redbeat.RedBeatScheduler"}, []),
        (
            {
                "beat_schedule": {},
                "beat_scheduler": "django_celery_beat.schedulers:DatabaseScheduler",
            },
            [],
        ),
        ({"task_queues": [Queue("slow"), Queue("fast")]}, ["W012"]),
        ({"task_queues": [Queue("celery"), Queue("fast")]}, []),
        ({"task_queues": [Queue("slow")], "task_default_queue": "slow"}, []),
        ({"task_queues": [Queue("slow")], "task_routes": {"*": "slow"}}, []),
        ({"task_create_missing_queues": False}, []),
        ({"task_routes": {"*": {"exchange": "all", "routing_key": "x"}}}, []),
    ],
)
def test_each_fault_has_its_id(
    project: Project, conf: dict[str, Any], ids: list[str]
) -> None:
    project(**conf)
    assert found() == ids


def test_where_nothing_is_sent_nothing_is_said(
    project: Project, configure: Any
) -> None:
    configure(SEND=False)
    project(broker_url=None)
    assert found() == []


def test_a_fault_of_our_settings_is_said_once(project: Project, configure: Any) -> None:
    project(broker_url=None)
    configure(SEND="yes")
    assert found() == ["E006"]


@pytest.mark.parametrize(
    ("conf", "ids"),
    [
        ({}, []),
        ({"task_create_missing_queues": False}, ["W012"]),
        ({"task_queues": [Queue("celery")]}, ["W012"]),
        ({"task_queues": [Queue("celery"), Queue("reports")]}, []),
    ],
)
def test_our_own_queue_must_be_among_the_projects(
    project: Project, configure: Any, conf: dict[str, Any], ids: list[str]
) -> None:
    configure(QUEUE="reports")
    project(**conf)
    assert found() == ids


def test_the_schedule_must_not_poll_on_a_queue_that_nobody_reads(
    project: Project, configure: Any
) -> None:
    configure(QUEUE="reports")
    project(task_queues=[Queue("reports")])
    assert found() == ["W012"]
    project(
        task_queues=[Queue("reports")],
        beat_schedule={
            name: entry | {"options": {"queue": "reports"}}
            for name, entry in SCHEDULE.items()
        },
    )
    assert found() == []


def test_a_schedule_that_is_added_when_the_app_is_ready_is_seen(
    project: Project,
) -> None:
    app = project(beat_schedule={})

    def add(sender: Celery, **_: Any) -> None:
        for entry in SCHEDULE.values():
            sender.add_periodic_task(30.0, sender.signature(entry["task"]))

    app.on_after_finalize.connect(add)
    assert found() == []


def test_a_schedule_of_entry_objects_is_read(project: Project) -> None:
    daily = crontab(hour=4, minute=0)
    project(
        beat_schedule={
            name: ScheduleEntry(name=name, task=str(entry["task"]), schedule=daily)
            for name, entry in SCHEDULE.items()
        }
    )
    assert found() == []


def test_a_schedule_in_the_database_is_not_looked_for(
    project: Project, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(beat_schedule={})
    (tmp_path / "django_celery_beat").mkdir()
    (tmp_path / "django_celery_beat" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django_celery_beat"]
    assert found() == []


def test_settings_of_celerys_that_cannot_be_read_stop_no_other_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Celery("shop", set_as_current=False)
    app.config_from_object("no.such.module")
    monkeypatch.setattr(_state, "default_app", app)
    assert found() == ["W013"]


CLASSIC = """
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "connectly_tracking"
    ],
    MIDDLEWARE=[],
    CELERY_BROKER_URL="redis://127.0.0.1:1/0",
)
django.setup()
from django.core.checks import run_checks
print(*sorted(message.id for message in run_checks()))
import sys
print(*sys.modules)
"""


def test_a_check_loads_neither_the_tasks_nor_an_http_client() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CLASSIC],
        env={key: os.environ[key] for key in os.environ if "DJANGO" not in key},
        capture_output=True,
        text=True,
        check=True,
    )
    ids, modules = done.stdout.splitlines()
    assert "connectly_tracking.W007" in ids
    foreign = {"requests", "connectly_tracking.tasks", "connectly_tracking.delivery"}
    assert not foreign & set(modules.split())


def test_the_documented_settings_leave_nothing_to_say(
    project: Project, configure: Any
) -> None:
    text = (Path(__file__).parent.parent / "docs/operator/running.md").read_text()
    (block,) = re.findall(r"```python\n((?:(?!```).)*CELERY_BEAT.*?)```", text, re.S)
    given: dict[str, Any] = {"CONNECTLY_TRACKING": {}}
    exec(block, given)  # noqa: S102
    configure(**given["CONNECTLY_TRACKING"])
    names = [name for name in given if name.startswith("CELERY_")]
    project(**{name.removeprefix("CELERY_").lower(): given[name] for name in names})
    assert found() == []
