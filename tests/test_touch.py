"""Which of several clicks is credited."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedStore

from connectly_tracking import attribution, outbox
from connectly_tracking.attribution import session as sessions
from connectly_tracking.attribution.cookie import COOKIE_NOTE
from connectly_tracking.models import Attribution, Reason

from .conftest import TAGGED, make_click, make_purchase

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.test import RequestFactory

pytestmark = pytest.mark.django_db
DAY = 86400


def land(request: HttpRequest, name: str) -> None:
    query = TAGGED.replace("track-1", name).partition("?")[2]
    request.META["QUERY_STRING"] = query
    attribution.land(request)


@pytest.fixture
def visit(rf: RequestFactory) -> HttpRequest:
    request = rf.get("/")
    request.session = SessionStore()
    return request


def age(request: HttpRequest, seconds: float) -> None:
    """The click in the session becomes older."""
    held = request.session[sessions.KEY]
    request.session[sessions.KEY] = held | {"at": held["at"] - seconds}


@pytest.mark.parametrize(("touch", "credited"), [("last", "two"), ("first", "one")])
def test_of_two_clicks_in_one_session_the_setting_says_which(
    visit: HttpRequest, configure: Any, touch: str, credited: str
) -> None:
    configure(ATTRIBUTION_TOUCH=touch)
    land(visit, "one")
    land(visit, "two")
    land(visit, "two")
    assert Attribution.objects.count() == 2
    assert credited in outbox.record(make_purchase(), request=visit).body


@pytest.mark.parametrize(("touch", "credited"), [("last", "new"), ("first", "old")])
def test_of_a_users_clicks_on_several_devices_the_setting_says_which(
    configure: Any, touch: str, credited: str
) -> None:
    configure(ATTRIBUTION_TOUCH=touch)
    user = User.objects.create(username="ada")
    clicks = {
        "ancient": make_click(age=40 * DAY, user=user),
        "old": make_click(age=20 * DAY, user=user),
        "new": make_click(age=DAY, user=user),
        "later": make_click(age=-DAY, user=user),
    }
    row = outbox.record(make_purchase(), user=user)
    assert row.attribution == clicks[credited]


def pass_days(request: HttpRequest, days: int) -> None:
    age(request, days * DAY)
    for click in Attribution.objects.all():
        click.captured_at -= timedelta(days=days)
        click.save()


@pytest.mark.parametrize("way", ["request", "binding", "landing", "recall"])
def test_a_first_click_that_ages_out_before_the_order_gives_way_to_the_next(
    visit: HttpRequest, configure: Any, way: str
) -> None:
    configure(ATTRIBUTION_TOUCH="first")
    for name, days in (("one", 20), ("two", 5), ("three", 5)):
        land(visit, name)
        pass_days(visit, days)
    # One is 30 days old, two 10 and three 5.
    if way == "landing":
        land(visit, "four")
        assert len(visit.session[sessions.KEY]["later"]) == 2
    if way == "recall":
        click = attribution.recall(visit)
        assert click is not None
        assert click.cnct_tracking_id == "two"
    if way == "binding":
        attribution.bind_order(visit, "ORD-7821")
    row = outbox.record(make_purchase(), request=None if way == "binding" else visit)
    assert "two" in row.body


@pytest.mark.parametrize("gone", ["erased", "too old"])
def test_of_the_next_clicks_only_one_that_counts_is_credited(
    visit: HttpRequest, configure: Any, gone: str
) -> None:
    configure(ATTRIBUTION_TOUCH="first")
    for name, days in (("one", 5), ("two", 20), ("three", 5)):
        land(visit, name)
        pass_days(visit, days)
    if gone == "erased":
        second = Attribution.objects.order_by("captured_at")[1]
        attribution.erase(clicks=[second.pk])
    else:
        pass_days(visit, 5)
    assert "three" in outbox.record(make_purchase(), request=visit).body


@pytest.mark.parametrize("way", ["request", "binding", "landing"])
@pytest.mark.parametrize("is_long", [False, True])
def test_the_next_click_outlives_the_row_of_the_first(
    visit: HttpRequest, configure: Any, way: str, is_long: bool
) -> None:
    configure(ATTRIBUTION_TOUCH="first")
    land(visit, "one" * (300 if is_long else 1))
    pass_days(visit, 25)
    land(visit, "two")
    pass_days(visit, 5)
    Attribution.objects.earliest("captured_at").delete()  # pruned
    if way == "landing":
        land(visit, "three")
    if way == "binding":
        attribution.bind_order(visit, "ORD-7821")
    row = outbox.record(make_purchase(), request=None if way == "binding" else visit)
    assert "two" in row.body


def test_a_cookie_with_the_first_click_does_not_hide_the_sessions_own(
    visit: HttpRequest, configure: Any
) -> None:
    configure(ATTRIBUTION_TOUCH="first")
    land(visit, "one")
    visit.COOKIES["connectly_click"] = getattr(visit, COOKIE_NOTE)
    pass_days(visit, 20)
    del visit.session[sessions.KEY]
    configure(CLICK_COOKIE=None)
    land(visit, "two")
    delattr(visit, COOKIE_NOTE)
    configure(CLICK_COOKIE="connectly_click")
    pass_days(visit, 10)
    assert "two" in outbox.record(make_purchase(), request=visit).body


def test_of_the_next_clicks_the_orders_own_time_decides(
    visit: HttpRequest, configure: Any
) -> None:
    configure(ATTRIBUTION_TOUCH="first")
    for name, days in (("one", 20), ("two", 9)):
        land(visit, name)
        pass_days(visit, days)
    # One is 29 days old now, and was 27 days old when the order was placed.
    purchase = make_purchase(event_time=int(time.time()) - 2 * DAY)
    assert "one" in outbox.record(purchase, request=visit).body


def test_a_session_in_a_signed_cookie_has_the_next_clicks_too(
    rf: RequestFactory, configure: Any
) -> None:
    configure(ATTRIBUTION_TOUCH="first")
    visit = rf.get("/")
    visit.session = SignedStore()
    for name in ("one", "two"):
        land(visit, name)
        visit.COOKIES["connectly_click"] = getattr(visit, COOKIE_NOTE)
    assert len(visit.session[sessions.KEY]["later"]) == 1


def test_the_next_clicks_are_the_customers_who_logs_in_and_who_is_erased(
    visit: HttpRequest, configure: Any
) -> None:
    configure(ATTRIBUTION_TOUCH="first")
    user = User.objects.create(username="ada")
    visit.session.save()
    for name in ("one", "two"):
        land(visit, name)
    visit.session.save()
    first = Attribution.objects.earliest("captured_at")
    attribution.erase(clicks=[first.pk])
    assert not Attribution.objects.exists()

    for name in ("three", "four"):
        land(visit, name)
    attribution.attach_user(visit, user)
    assert set(Attribution.objects.values_list("user", flat=True)) == {user.pk}


def test_no_click_of_a_visitor_who_says_no_stays(
    visit: HttpRequest, configure: Any
) -> None:
    configure(ATTRIBUTION_TOUCH="first")
    for name in ("one", "two", "three"):
        land(visit, name)
    attribution.forget(visit)
    assert not Attribution.objects.exists()


def test_a_first_click_that_has_aged_out_gives_way(
    visit: HttpRequest, configure: Any
) -> None:
    configure(ATTRIBUTION_TOUCH="first")
    land(visit, "one")
    age(visit, 29 * DAY)
    land(visit, "two")
    assert "two" in outbox.record(make_purchase(), request=visit).body


def test_a_first_click_that_is_incomplete_gives_way(
    rf: RequestFactory, visit: HttpRequest, configure: Any
) -> None:
    configure(ATTRIBUTION_TOUCH="first")
    visit.META["QUERY_STRING"] = "cnct_tracking_id=lone"
    attribution.land(visit)
    land(visit, "two")
    assert "two" in outbox.record(make_purchase(), request=visit).body


def test_only_clicks_that_are_too_old_say_so(configure: Any) -> None:
    configure(ATTRIBUTION_TOUCH="first")
    user = User.objects.create(username="ada")
    make_click(age=40 * DAY, user=user)
    row = outbox.record(make_purchase(event_time=int(time.time())), user=user)
    assert row.reason == Reason.OUTSIDE_WINDOW


def test_without_a_window_the_first_click_of_all_is_the_first(configure: Any) -> None:
    configure(ATTRIBUTION_TOUCH="first", ATTRIBUTION_WINDOW=None)
    user = User.objects.create(username="ada")
    ancient = make_click(age=400 * DAY, user=user)
    make_click(age=DAY, user=user)
    assert outbox.record(make_purchase(), user=user).attribution == ancient
