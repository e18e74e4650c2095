from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections

from connectly_tracking import checks
from connectly_tracking.conf import NAMES, conf
from connectly_tracking.middleware import AttributionMiddleware

from .conftest import broker_at

if TYPE_CHECKING:
    from collections.abc import Iterator

#: MySQL is asked for its version before anything else is known of it.
pytestmark = pytest.mark.django_db
BUSINESS_ID = "3f2b8c1e-5d4a-4b6f-9a7e-0c1d2e3f4a5b"
BR = {"BUSINESS_ID": BUSINESS_ID, "API_KEY": "k"}
OURS = "connectly_tracking.middleware.AttributionMiddleware"
SESSION = "django.contrib.sessions.middleware.SessionMiddleware"


@pytest.fixture(autouse=True)
def _broker() -> Iterator[None]:
    """Named, as a project's is; nobody calls it."""
    with broker_at("redis://127.0.0.1:1/0"):
        yield


def found(*, deploy: bool = False) -> list[str]:
    """The ids of what is ours, without the prefix."""
    messages = run_checks(include_deployment_checks=deploy, databases=["default"])
    ours = [message for message in messages if "connectly" in (message.id or "")]
    assert all(message.hint for message in ours)
    return sorted((message.id or "").partition(".")[2] for message in ours)


def test_settings_that_are_right_raise_nothing() -> None:
    assert found() == []
    assert found(deploy=True) == []


def test_every_setting_has_an_id_of_its_own() -> None:
    assert set(checks.SETTING_IDS) == set(NAMES)
    assert len(set(checks.SETTING_IDS.values())) == len(NAMES)


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({"BUSINESSES": []}, ["E001"]),
        ({"BUSINESS_ID": "no-uuid"}, ["E002"]),
        ({"API_KEY": "secret\n"}, ["E003"]),
        ({"BUSINESS_RESOLVER": 7}, ["E004"]),
        ({"BASE_URL": "http://api.connectly.ai"}, ["E005"]),
        ({"SEND": "yes"}, ["E006"]),
        ({"ORDER_ADAPTER": "no.such.module"}, ["E007"]),
        ({"ATTRIBUTION_WINDOW": 0}, ["E008"]),
        ({"RECORD_UNATTRIBUTED": None}, ["E009"]),
        ({"STRICT": 1}, ["E010"]),
        ({"LEASE": "2m"}, ["E011"]),
        ({"DEADLINE": -1}, ["E012"]),
        ({"CONNECT_TIMEOUT": None}, ["E013"]),
        ({"READ_TIMEOUT": 0}, ["E014"]),
        ({"RETRY_SCHEDULE": []}, ["E015"]),
        ({"BATCH": 0}, ["E016"]),
        ({"THREADS": 0}, ["E017"]),
        ({"PROXIES": 7}, ["E018"]),
        ({"CA_BUNDLE": "no/such/file"}, ["E019"]),
        ({"RETENTION": 0}, ["E020"]),
        ({"QUEUE": ""}, ["E021"]),
        ({"HOLD": -1}, ["E023"]),
        ({"MAX_EVENT_AGE": 0}, ["E024"]),
        ({"PROBE_SCHEDULE": []}, ["E025"]),
        ({"OSCAR_PURCHASE_STATUS": 7}, ["E040"]),
        ({"OSCAR_CANCEL_STATUSES": "Cancelled"}, ["E041"]),
        ({"LEASE": 30, "DEADLINE": 20}, ["E030"]),
        ({"HOLD": 86400, "MAX_EVENT_AGE": 86400}, ["E032"]),
        ({"HOLD": 8 * 86400, "MAX_EVENT_AGE": None}, []),
        ({"HOLD": 30 * 86400, "MAX_EVENT_AGE": None}, ["E032"]),
        ({"BUSINESS_ID": ""}, ["W001"]),
        ({"BUSINESS_ID": None, "API_KEY": None}, ["W001", "W001"]),
        ({"BUSINESSES": {"br": {"API_KEY": "k"}}}, ["W001"]),
        ({"BUSINESSES": {"br": {"BUSINESS_ID": 7, "API_KEY": "k"}}}, ["E002"]),
        (
            {
                "BUSINESS_ID": None,
                "API_KEY": None,
                "BUSINESSES": {"br": BR},
            },
            ["W001", "W001"],
        ),
        ({"ATTRIBUTION_WINDOW": 1e15}, ["E008"]),
        ({"SENT": True}, ["W002"]),
        ({"API_KEY": lambda: 1 / 0}, []),
        ({"BATCH": 0, "THREADS": 0, "nonsense": 1}, ["E016", "E017", "W002"]),
    ],
)
def test_each_fault_has_its_id(
    configure: Any, changes: dict[str, object], ids: list[str]
) -> None:
    configure(**changes)
    assert found() == ids


@pytest.mark.parametrize("debug", [0, 1, "", "1"])
def test_a_debug_that_is_not_a_bool_is_no_fault_of_a_strict_that_is_not_set(
    settings: Any, debug: object
) -> None:
    """Such as ``int(os.environ.get("DEBUG", 0))``."""
    raw = settings.CONNECTLY_TRACKING
    settings.CONNECTLY_TRACKING = {k: v for k, v in raw.items() if k != "STRICT"}
    settings.DEBUG = debug
    assert found() == []
    assert conf.STRICT is bool(debug)


def test_mail_to_admins_needs_an_admin(configure: Any, settings: Any) -> None:
    settings.ADMINS = []
    configure(ALERTS="mail_admins")
    assert found() == ["W018"]
    configure(ALERTS=print)
    assert found() == []
    configure(ALERTS=None)
    assert found() == []
    settings.ADMINS = ["ana@shop.example"]
    configure(ALERTS="mail_admins")
    assert found() == []


def test_without_a_default_business_somebody_must_name_one(
    configure: Any, settings: Any
) -> None:
    settings.CONNECTLY_TRACKING = {"BUSINESSES": {"br": BR}}
    assert found(deploy=True) == ["W006"]
    configure(BUSINESS_RESOLVER=lambda *_: "br")
    assert found(deploy=True) == []


def test_settings_that_are_no_dictionary_are_said(settings: Any) -> None:
    settings.CONNECTLY_TRACKING = None
    assert "E000" in found()


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"BUSINESS_ID": BUSINESS_ID}, "['API_KEY'] is missing"),
        ({"BUSINESS_ID": 7, "API_KEY": "k"}, "['BUSINESS_ID'] must be a UUID."),
    ],
)
def test_a_further_businesss_fault_is_named_as_the_project_writes_it(
    configure: Any, entry: dict[str, object], problem: str
) -> None:
    configure(BUSINESSES={"br": entry})
    (message,) = (it for it in run_checks() if "connectly" in (it.id or ""))
    name = "CONNECTLY_TRACKING['BUSINESSES']['br']"
    assert message.msg.startswith(f"{name}{problem}")


def test_an_unknown_setting_is_answered_with_the_nearest(configure: Any) -> None:
    configure(RETRY_SHEDULE=[30])
    (message,) = run_checks(tags=["compatibility"])
    assert message.hint == "Did you mean 'RETRY_SCHEDULE'?"


def test_missing_credentials_are_an_error_only_where_the_shop_is_deployed(
    configure: Any,
) -> None:
    configure(API_KEY="")
    assert found() == ["W001"]
    assert found(deploy=True) == ["E022", "W001"]
    configure(API_KEY=None, BUSINESS_ID=None, BUSINESSES={"br": BR})
    assert found(deploy=True) == ["E022", "E022", "W001", "W001"]


def test_a_developer_without_the_secret_can_migrate(configure: Any, db: None) -> None:
    configure(API_KEY="", BUSINESS_ID="")
    call_command("migrate", "--check", verbosity=0, skip_checks=False)


def test_the_key_is_never_printed(configure: Any) -> None:
    configure(API_KEY="secret\n", BASE_URL="https://user:secret@host")
    assert "secret" not in " ".join(map(str, run_checks()))


def test_no_check_calls_a_key_that_comes_from_a_vault(configure: Any, db: None) -> None:
    calls: list[str] = []
    entry = {"BUSINESS_ID": BUSINESS_ID, "API_KEY": lambda: calls.append("br")}
    configure(API_KEY=lambda: calls.append("default"), BUSINESSES={"br": entry})
    assert found(deploy=True) == []
    call_command("migrate", "--check", verbosity=0, skip_checks=False)
    assert calls == []


@pytest.mark.parametrize(
    ("middleware", "ids"),
    [
        ([], ["W003"]),
        ([SESSION], ["W003"]),
        ([OURS], ["E031"]),
        ([OURS, SESSION], ["E031"]),
        ([SESSION, OURS], []),
        ([SESSION, "no.such.Middleware", f"{__name__}.Mine"], []),
    ],
)
def test_the_middleware_must_come_after_the_sessions(
    settings: Any, middleware: list[str], ids: list[str]
) -> None:
    settings.MIDDLEWARE = middleware
    assert [identity for identity in found() if identity != "W004"] == ids


def test_a_middleware_that_comes_too_early_is_told_where_to_go(settings: Any) -> None:
    settings.MIDDLEWARE = [OURS, SESSION]
    (fault,) = (it for it in run_checks() if it.id == "connectly_tracking.E031")
    assert (fault.hint or "").startswith("Put it below SessionMiddleware")


class Mine(AttributionMiddleware):
    """A shop's own."""


@pytest.mark.sqlite
@pytest.mark.parametrize("options", [{}, {"transaction_mode": "deferred"}])
def test_a_sqlite_that_begins_as_a_reader_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "OPTIONS", options)
    assert found() == ["W004"]
