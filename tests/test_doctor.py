"""What the doctor says of settings, project, sessions and the report itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, _state
from django.core.management import CommandError, call_command
from django.db import connection

from connectly_tracking.doctor import Level, examine
from connectly_tracking.doctor.celery import examine_schedule
from connectly_tracking.doctor.check import with_timeout
from connectly_tracking.doctor.database import examine_pool
from connectly_tracking.doctor.report import as_lines, exit_status
from connectly_tracking.doctor.settings import examine_sessions
from connectly_tracking.findings import CATALOGUE, Finding, Subject, one_line

from .conftest import broker_at
from .doctor import assert_says, codes, run, run_json

ROOT = Path(__file__).parent.parent
KEY = "key-for-tests-only"
CACHED = [
    "django.middleware.cache.FetchFromCacheMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "connectly_tracking.middleware.AttributionMiddleware",
]


def test_a_shop_without_a_broker_hears_what_to_run_instead(db: None) -> None:
    found = codes()
    assert_says(found["broker_none"], "note", "connectly_deliver --loop")
    assert_says(found["connectly_tracking.W008"], "warning", "CELERY_BROKER_URL")
    assert "worker_none" not in found
    assert found["database_ok"].level == "ok"


@pytest.mark.parametrize(
    ("changes", "code", "level", "words"),
    [
        ({"BATCH": 0}, "connectly_tracking.E016", "error", "reference/settings.md"),
        ({"SENT": 1}, "connectly_tracking.W002", "warning", "Did you mean 'SEND'"),
        ({"SEND": False}, "sending_off", "note", "Set SEND to True"),
        ({"API_KEY": ""}, "business_not_ready", "error", "Settings, General"),
        ({"BUSINESS_ID": "7"}, "business_not_ready", "error", "must be a UUID"),
        ({"API_KEY": lambda: 1 / 0}, "business_not_ready", "error", "ZeroDivision"),
        (
            {"BUSINESSES": 7},
            "connectly_tracking.E001",
            "error",
            "reference/settings.md",
        ),
        ({}, "business_ready", "ok", "API_KEY is set"),
        ({}, "settings_ok", "ok", "valid"),
        ({}, "session_short", "note", "to at least 2419200"),
        ({"ATTRIBUTION_WINDOW": None}, "session_short", "note", "bind_order"),
        ({"ATTRIBUTION_WINDOW": 3600}, "sessions_ok", "ok", "as long as"),
    ],
)
def test_each_state_of_our_settings(
    db: None,
    configure: Any,
    changes: dict[str, object],
    code: str,
    level: str,
    words: str,
) -> None:
    configure(**changes)
    assert_says(codes()[code], level, words)


@pytest.mark.parametrize(
    ("changes", "code", "level", "words"),
    [
        ({"MIDDLEWARE": []}, "connectly_tracking.W003", "warning", "after"),
        ({"MIDDLEWARE": CACHED}, "connectly_tracking.W017", "warning", "no click is"),
        ({"CONNECTLY_TRACKING": 7}, "connectly_tracking.E000", "error", '"API_KEY": …'),
        (
            {"SESSION_EXPIRE_AT_BROWSER_CLOSE": True},
            "session_ends_with_browser",
            "note",
            "make_token",
        ),
        (
            {"SESSION_ENGINE": "django.contrib.sessions.backends.cache"},
            "session_in_cache",
            "note",
            "cached_db",
        ),
    ],
)
def test_each_state_of_the_project(
    db: None,
    settings: Any,
    changes: dict[str, object],
    code: str,
    level: str,
    words: str,
) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)
    assert_says(codes()[code], level, words)


@pytest.mark.parametrize(
    ("hosts", "changes", "parted"),
    [
        ("shop.example www.shop.example", {}, ["shop.example"]),
        ("www.shop.example pay.shop.example", {}, ["shop.example"]),
        (".shop.example", {}, ["shop.example"]),
        ("Shop.example. m.shop.example", {}, ["shop.example"]),
        (
            "www.shop.com.br shop.com.br www.other.com.br other.com.br",
            {},
            ["shop.com.br", "other.com.br"],
        ),
        (
            "shop.example www.shop.example",
            {"SESSION_COOKIE_DOMAIN": "www.shop.example"},
            ["shop.example"],
        ),
        (
            "shop.example www.shop.example www.br.shop.example br.shop.example",
            {"SESSION_COOKIE_DOMAIN": ".shop.example"},
            [],
        ),
        ("shop.example www.shop.example", {"PREPEND_WWW": True}, []),
        ("shop.example", {}, []),
        ("shop.com.br other.com.br", {}, []),
        ("* localhost 127.0.0.1 [::1] .localhost", {}, []),
        ("", {}, []),
    ],
)
def test_a_site_whose_hosts_do_not_share_their_cookies_is_named(
    settings: Any, hosts: str, changes: dict[str, object], parted: list[str]
) -> None:
    settings.ALLOWED_HOSTS = hosts.split()
    for name, value in changes.items():
        setattr(settings, name, value)
    found = [it for it in examine_sessions() if it.code == "session_per_host"]
    assert len(found) == len(parted)
    for finding in found:
        words = finding.remedy.partition("SESSION_COOKIE_DOMAIN to ")[2]
        assert words.partition(",")[0] in parted
        assert_says(finding, "note", "its own session", "query string")


def test_a_check_that_is_silenced_is_not_repeated(db: None, settings: Any) -> None:
    settings.SILENCED_SYSTEM_CHECKS = ["connectly_tracking.W008"]
    found = codes()
    assert "connectly_tracking.W008" not in found
    assert found["celery_ok"].level == "ok"


def test_a_pool_that_celery_closes_is_noted(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "database_pool" not in codes()
    options = connection.settings_dict.get("OPTIONS", {})
    with monkeypatch.context() as patched:  # and not while the connection is closed
        patched.setitem(connection.settings_dict, "OPTIONS", {**options, "pool": True})
        (finding,) = examine_pool("default")
    assert finding.code == "database_pool"
    assert_says(finding, "note", "closes it", "--pool threads")


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(
    db: None, settings: Any
) -> None:
    settings.SESSION_COOKIE_AGE = "a fortnight"
    found = codes()
    assert_says(found["check_failed"], "error", "TypeError", "rest of the report")
    assert "database_ok" in found


@pytest.mark.parametrize(
    ("name", "code"),
    [("SEND", "E006"), ("ATTRIBUTION_WINDOW", "E008"), ("QUEUE", "E021")],
)
def test_a_fault_of_our_settings_is_said_once(
    db: None, configure: Any, name: str, code: str
) -> None:
    configure(**{name: 0})
    with broker_at("redis://127.0.0.1:1/0"):
        found = codes()
    assert f"connectly_tracking.{code}" in found
    assert "check_failed" not in found


def test_settings_of_celerys_that_cannot_be_read_are_said_once(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Celery("shop", set_as_current=False)
    app.config_from_object("no.such.module")
    monkeypatch.setattr(_state, "default_app", app)
    found = codes()
    assert_says(found["connectly_tracking.W013"], "warning", "report")
    assert not {"check_failed", "broker_none"} & {*found}


def test_another_scheduler_is_named(db: None) -> None:
    app = Celery("shop", set_as_current=False)
    app.conf.beat_scheduler = "redbeat.RedBeatScheduler"
    (finding,) = examine_schedule(app)
    assert finding.code == "schedule_elsewhere"
    assert_says(finding, "note", "redbeat", "every 30 seconds")


BEAT = """
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "connectly_tracking",
        "django_celery_beat",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
from django.db import connection
from django_celery_beat.models import PeriodicTask
with connection.schema_editor() as editor:
    editor.create_model(PeriodicTask)
from celery import Celery
from connectly_tracking.doctor.celery import examine_schedule
def say():
    print(*[it.code + " " + it.text for it in examine_schedule(Celery())])
say()
for name in ("deliver_due", "prune"):
    PeriodicTask.objects.create(task=f"connectly_tracking.{name}", enabled=True)
say()
PeriodicTask.objects.filter(task="connectly_tracking.prune").update(enabled=False)
say()
"""
BEAT_MODELS = """
from django.db import models
class PeriodicTask(models.Model):
    id = models.AutoField(primary_key=True)
    task = models.CharField(max_length=200)
    enabled = models.BooleanField(default=True)
"""


def test_a_schedule_in_the_database_is_read(tmp_path: Path) -> None:
    package = tmp_path / "django_celery_beat"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "models.py").write_text(BEAT_MODELS)
    environ = {key: os.environ[key] for key in os.environ if "DJANGO" not in key}
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BEAT],
        env=environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    empty, full, half = done.stdout.split("\n")[:3]
    assert empty.count("schedule_lacks") == 2
    assert full == ""
    assert half.count("schedule_lacks") == 1
    assert "connectly_tracking.prune" in half


def test_one_business_can_be_chosen(db: None, configure: Any) -> None:
    other = {"BUSINESS_ID": "9e1b8c1e-5d4a-4b6f-9a7e-0c1d2e3f4a5b", "API_KEY": "k-br"}
    configure(BUSINESSES={"br": other})
    said = " ".join(finding.text for finding in examine("br")[0])
    assert "br: BUSINESS_ID" in said
    assert "default: business" not in said
    with pytest.raises(CommandError, match="is not in the settings"):
        call_command("connectly_doctor", "--business", "us")


def test_settings_that_cannot_be_read_are_said_with_the_business(
    configure: Any,
) -> None:
    configure(BUSINESSES=7)
    with pytest.raises(CommandError, match="BUSINESSES"):
        call_command("connectly_doctor", "--business", "br")


def test_the_worst_finding_is_the_exit_status(
    db: None, configure: Any, settings: Any
) -> None:
    assert run()[0] == 1
    settings.SILENCED_SYSTEM_CHECKS = ["connectly_tracking.W008"]
    status, report = run_json()
    assert (status, report["level"]) == (0, "note")
    configure(API_KEY="")
    assert run()[0] == 2


@pytest.mark.parametrize(
    ("levels", "status"),
    [([], 0), (["ok", "note"], 0), (["warning", "ok"], 1), (["error", "warning"], 2)],
)
def test_each_level_has_its_exit_status(levels: list[str], status: int) -> None:
    findings = [
        Finding(subject=Subject.API, code="x", level=Level(it), text="words")
        for it in levels
    ]
    assert exit_status(findings) == status


def test_the_report_has_a_line_for_each_and_what_to_do_below(db: None) -> None:
    _status, out, _err = run()
    lines = out.splitlines()
    at = next(at for at, line in enumerate(lines) if "[session_short]" in line)
    assert lines[at].startswith("  note     Sessions end after 14 days")
    assert lines[at + 1].startswith("           → Bind the click")
    assert lines[-1] == "1 warning, 3 notes"
    assert "\x1b" not in out


def test_where_all_is_well_it_says_so() -> None:
    good = Finding(subject=Subject.API, code="api_ok", level=Level.OK, text="Reached.")
    *_lines, last = as_lines([good])
    assert last == "All is well."


def test_json_holds_every_finding(db: None) -> None:
    _status, report = run_json()
    assert {*report} == {"level", "findings"}
    for finding in report["findings"]:
        assert {*finding} == {
            *("subject", "code", "level", "text", "remedy", "business")
        }
        assert (finding["level"] == "ok") == (finding["remedy"] == "")


@pytest.mark.parametrize("key", [KEY, f"{KEY}\n", f"{KEY}ü"])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_key_is_never_printed(
    db: None, configure: Any, settings: Any, key: str, options: tuple[str, ...]
) -> None:
    configure(API_KEY=key, **{key.strip(): 1})
    settings.SESSION_COOKIE_AGE = key.strip()
    _status, out, err = run(*options)
    assert KEY not in out + err


def test_the_brokers_password_is_never_printed(db: None) -> None:
    with broker_at("redis://shop:swordfish@127.0.0.1:1/0"):
        _status, out, err = run("--json")
    assert "broker_refused" in out
    assert "swordfish" not in out + err


def test_a_key_that_a_vault_does_not_hand_out_is_not_waited_for(
    db: None, configure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr("connectly_tracking.doctor.settings.KEY_LIMIT", 0.1)
    configure(API_KEY=released.wait)
    try:
        assert_says(codes()["business_not_ready"], "error", "no answer within 0.1 s")
    finally:
        released.set()


def test_waiting_ends() -> None:
    released = threading.Event()
    with pytest.raises(TimeoutError):
        with_timeout(0.05, released.wait)
    released.set()
    assert with_timeout(5, lambda: 7) == 7


def test_others_words_become_one_line() -> None:
    assert one_line("a\nb\t c") == "a b c"
    assert len(one_line("x" * 10_000)) == 300


def test_every_code_stands_in_the_documentation_with_its_level_and_remedy() -> None:
    text = (ROOT / "docs/operator/doctor.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|.*\| ?(.*) \|$", text, re.M)
    assert len(rows) == len({code for code, _level, _remedy in rows})
    assert {code: (level, remedy) for code, level, remedy in rows} == {
        code: (str(level), re.sub(r"\{\w+\}", "…", str(remedy)))
        for code, (level, remedy) in CATALOGUE.items()
    }
