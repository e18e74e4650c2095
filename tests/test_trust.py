"""Which click an order trusts first, if several lead to it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from connectly_tracking import attribution
from connectly_tracking.attribution.clicks import why_not_credited
from connectly_tracking.models import Attribution, Conversion, State
from connectly_tracking.outbox import record

from .conftest import TAGGED, make_click, make_purchase

if TYPE_CHECKING:
    from django.test import RequestFactory

    from .conftest import Configure

pytestmark = pytest.mark.django_db

PARAMS = {
    "cnct_tracking_id": "track-8",
    "sendout_id": "send-8",
    "ctwa_clid": "clid-8",
    "ad_id": "8",
}


def landed(campaign: str, user: User | None = None, *, without: str = "") -> Any:
    client: Any = Client()
    if user is not None:
        client.force_login(user)
    client.get(TAGGED.replace("send-1", campaign))
    if without:
        del client.cookies[without]
    return client.get("/").wsgi_request


def credited(request: Any, order: str = "1", **source: Any) -> str:
    row = record(make_purchase(order), request=request, **source)
    return row.sendout_id or row.reason


def test_an_employees_click_is_not_the_customers() -> None:
    staff, ana, bob = map(User.objects.create_user, ("staff", "ana", "bob"))
    make_click(user_id=ana.pk)
    request = landed("staffs", staff)
    assert credited(request, "1", user=ana) == "send-1"
    assert credited(request, "2", user=bob) == "not_attributed"
    assert credited(request, "3", user=AnonymousUser()) == "not_attributed"
    assert credited(request, "4", user=staff) == "staffs"
    assert credited(request, "5") == "staffs"


def test_an_employees_no_is_not_the_customers(configure: Configure) -> None:
    staff, ana = map(User.objects.create_user, ("staff", "ana"))
    make_click(user_id=ana.pk)
    request = landed("staffs", staff)
    configure(CONSENT=lambda request: request.user.pk != staff.pk)
    request.user = staff
    assert credited(request, "1", user=ana) == "send-1"
    assert credited(request, "2", user=staff) == "consent_refused"
    assert credited(request, "3") == "consent_refused"


@pytest.mark.parametrize("without", ["", "sessionid", "connectly_click"])
def test_a_guest_who_becomes_a_customer_keeps_the_click(without: str) -> None:
    new = User.objects.create_user("new")
    assert credited(landed("guests", without=without), user=new) == "guests"


def test_who_the_request_is_costs_no_query() -> None:
    ana = User.objects.create_user("ana")
    request = landed("anas", ana)
    with CaptureQueriesContext(connection) as queries:
        assert credited(request, user=ana) == "anas"
    assert not [query for query in queries if 'FROM "auth_user"' in query["sql"]]


def test_a_capture_notes_the_user_of_the_view(rf: RequestFactory) -> None:
    ana = User.objects.create_user("ana")
    request, later = rf.post("/"), rf.post("/")
    request.user = later.user = ana
    attribution.capture(request, PARAMS)
    assert Attribution.objects.get().user_id == ana.pk
    assert credited(later) == "send-8"


@pytest.mark.parametrize("user", [None, AnonymousUser(), object()])
def test_a_capture_without_a_user_has_none(rf: RequestFactory, user: Any) -> None:
    request = rf.post("/")
    request.user = user
    attribution.capture(request, PARAMS)
    assert Attribution.objects.get().user_id is None


@pytest.mark.parametrize("without", ["", "sessionid", "connectly_click"])
def test_a_newer_click_comes_before_an_old_binding(without: str) -> None:
    attribution.bind_order(landed("a"), "2001")
    time.sleep(0.01)
    assert credited(landed("b", without=without), "2001") == "b"


def test_an_older_click_comes_after_a_binding() -> None:
    later = landed("b")
    time.sleep(0.01)
    attribution.bind_order(landed("a"), "2001")
    assert credited(later, "2001") == "a"


@pytest.mark.parametrize(
    ("zone", "clicked", "ordered"),
    [
        ("America/Santiago", (2026, 4, 4, 23, 40), (2026, 4, 4, 23, 10)),
        ("Europe/Berlin", (2026, 10, 25, 2, 59), (2026, 10, 25, 2, 1)),
        ("America/New_York", (2026, 11, 1, 1, 30), (2026, 11, 1, 1, 0)),
        ("Australia/Lord_Howe", (2026, 4, 5, 1, 55), (2026, 4, 5, 1, 31)),
    ],
)
def test_in_the_hour_that_comes_twice_a_click_seems_to_come_after_its_order(
    settings: Any, django_user_model: Any, zone: str, clicked: Any, ordered: Any
) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, zone
    at, placed = datetime(*clicked), datetime(*ordered)  # noqa: DTZ001
    user = django_user_model.objects.create_user("ana")
    click = make_click(captured_at=at, user_id=user.pk)
    assert why_not_credited(click, placed) is None
    row = record(make_purchase(event_time=placed), user=user)
    assert (row.state, row.attribution_id) == (State.PENDING, click.pk)
    # Not in an hour that comes once.
    assert why_not_credited(click, placed - timedelta(hours=3)) is not None


def test_with_time_zones_the_hour_that_comes_twice_is_two_hours(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    at = datetime(2026, 10, 25, 0, 40, tzinfo=UTC)
    click = make_click(captured_at=at)
    assert why_not_credited(click, at - timedelta(minutes=30)) is not None
    assert why_not_credited(click, at + timedelta(minutes=30)) is None


def test_a_session_that_lost_its_row_leaves_the_order_to_its_binding() -> None:
    long = landed("x" * 900)  # too long for a session, which only has the row's id
    attribution.bind_order(landed("bound"), "1")
    Attribution.objects.exclude(sendout_id="bound").delete()
    assert credited(long, "1") == "bound"


def test_a_user_of_another_kind_owns_no_order() -> None:
    request = landed("guests")
    request.user = type("TokenUser", (), {"pk": "7", "is_authenticated": False})()
    record(make_purchase("1"), request=request)
    assert Conversion.objects.get().user_id is None
