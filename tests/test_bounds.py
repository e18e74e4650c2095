"""How many rows landings write, and what a click without a row is still good for."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path

from connectly_tracking import attribution
from connectly_tracking.attribution.clicks import (
    BURST,
    MAX_OF_SESSION,
    RATE,
    RowBound,
    landing_rows,
)
from connectly_tracking.models import Attribution, State
from connectly_tracking.outbox import record

from .conftest import TAGGED, make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def bind(request: HttpRequest) -> HttpResponse:
    attribution.bind_order(request, "2001")
    return HttpResponse()


def token(request: HttpRequest) -> HttpResponse:
    return HttpResponse(attribution.make_token(request))


def agree(request: HttpRequest) -> HttpResponse:
    request.COOKIES["agreed"] = "yes"
    attribution.consent_changed(request)
    return HttpResponse()


urlpatterns = [
    path("bind/", bind),
    path("token/", token),
    path("agree/", agree),
    path("connectly/", include("connectly_tracking.urls")),
    path("<path:any>", lambda request, **_: page(request)),
    path("", page),
]


def link(number: object, *, length: int = 1) -> str:
    """A link of its own campaign."""
    return TAGGED.replace("send-1", f"{number}".rjust(length, "x"))


def landed(number: object, client: Client | None = None) -> Client:
    client = client or Client()
    client.get(f"/promo{link(number)}")
    return client


def rows() -> int:
    return Attribution.objects.count()


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> RowBound:
    """In a process whose clock stands still: after the first landings no row comes."""
    monkeypatch.setattr(landing_rows, "clock", lambda: 1000.0)
    landing_rows.reset()
    return landing_rows


@pytest.fixture
def spent(bound: RowBound) -> None:
    for _ in range(BURST):
        assert bound.may_write(written=0)


def test_a_flood_of_landings_is_bounded_in_a_process(
    bound: RowBound, caplog: pytest.LogCaptureFixture
) -> None:
    clients = [landed(number) for number in range(BURST + 30)]
    assert rows() == BURST
    assert caplog.messages == ["landing_without_row bound=process"]
    # Even the last of them may be a customer.
    request = clients[-1].get("/").wsgi_request
    row = record(make_purchase(), request=request)
    assert (row.state, row.sendout_id) == (State.PENDING, str(BURST + 29))
    assert rows() == BURST + 1


def test_a_campaign_is_not() -> None:
    """A message to many: 150 of its readers at once, then 50 a second, at random."""
    chance, now = random.Random(7), 0.0
    bound = RowBound(clock=lambda: now)
    assert all(bound.may_write(written=0) for _ in range(BURST))
    now = 5.0
    for _ in range(50 * 600):
        now += chance.expovariate(50)
        assert bound.may_write(written=0)


def test_a_flood_gets_its_rate_and_a_quiet_minute_no_more_than_a_burst() -> None:
    now = 0.0
    bound = RowBound(clock=lambda: now)

    def flood(seconds: float) -> int:
        nonlocal now
        written = 0
        for _ in range(round(seconds * 1000)):
            now += 0.001
            written += bound.may_write(written=0)
        return written

    assert abs(flood(10) - (BURST + 10 * RATE)) <= 1
    assert abs(flood(10) - 10 * RATE) <= 1
    now += 3600
    assert abs(flood(1) - (BURST + RATE)) <= 1


def test_one_session_writes_so_many_rows_and_its_last_click_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = Client()
    for number in range(MAX_OF_SESSION + 40):
        landed(number, client)
        landed(number, client)
    assert rows() == MAX_OF_SESSION
    assert caplog.messages == ["landing_without_row bound=session"]
    request = client.get("/").wsgi_request
    row = record(make_purchase(), request=request)
    assert row.sendout_id == str(MAX_OF_SESSION + 39)
    # Another visitor has a bound of his own.
    landed("other")
    assert Attribution.objects.filter(sendout_id="other").exists()


@pytest.mark.parametrize("links", ["two in turn", "incomplete", "first touch"])
def test_whatever_the_links_are(configure: Any, links: str) -> None:
    configure(ATTRIBUTION_TOUCH="first" if links == "first touch" else "last")
    client = landed("a")
    for number in range(MAX_OF_SESSION + 10):
        if links == "incomplete":
            client.get(link(number).replace("ctwa_clid=clid-1", ""))
        else:
            landed(number % 2 if links == "two in turn" else number, client)
    assert rows() == MAX_OF_SESSION


def login(client: Client) -> None:
    client.force_login(User.objects.create_user("ana"))


@pytest.mark.usefixtures("spent")
@pytest.mark.parametrize(
    "use", [lambda it: it.get("/bind/"), lambda it: it.get("/token/"), login]
)
def test_the_first_use_writes_the_row(use: Callable[[Client], Any]) -> None:
    client = landed("send-5")
    assert rows() == 0
    assert "connectly_click" not in client.cookies  # it would lead nowhere
    use(client)
    row = Attribution.objects.get()
    assert (row.sendout_id, row.page) == ("send-5", "/promo/")
    use_again = client.get("/token/").content.decode()
    assert record(make_purchase(), token=use_again).attribution_id == row.pk
    assert rows() == 1


@pytest.mark.usefixtures("spent")
def test_the_endpoint_and_a_capture_in_a_view_are_bounded(rf: Any) -> None:
    client = Client()
    client.post("/connectly/capture/", link("a"), content_type="text/plain")
    request = rf.post("/")
    request.session = client.session
    names = ("cnct_tracking_id", "sendout_id", "ctwa_clid", "ad_id")
    click = attribution.capture(request, dict.fromkeys(names, "7"))
    assert click is not None
    assert click.sendout_id == "7"
    assert rows() == 0


def test_if_only_the_cookie_returns_the_click_before_counts(
    bound: RowBound, settings: Any
) -> None:
    client = landed("a")
    while bound.may_write(written=0):
        pass
    landed("b", client)
    request: Any = client.get("/").wsgi_request
    assert record(make_purchase("1"), request=request).sendout_id == "b"
    del client.cookies["sessionid"]
    request = client.get("/").wsgi_request
    assert record(make_purchase("2"), request=request).sendout_id == "a"
    assert rows() == 2


@pytest.mark.usefixtures("spent")
def test_a_click_that_no_session_can_hold_is_one_log_line(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    client.get(link("a", length=1024).replace("clid-1", "y" * 1024))
    settings.SESSION_COOKIE_SAMESITE = "Strict"
    landed("b", client)
    assert rows() == 0
    assert caplog.messages == [
        "landing_without_row bound=process",
        "landing_not_kept reason=too_long_past_the_bound",
        "landing_not_kept reason=no_session_past_the_bound",
    ]


@pytest.mark.usefixtures("spent")
def test_a_signed_cookie_session_holds_it(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    client = landed("a")
    assert rows() == 0
    request = client.get("/").wsgi_request
    assert record(make_purchase(), request=request).sendout_id == "a"


def test_only_a_row_counts(bound: RowBound, configure: Any) -> None:
    for number in range(BURST):
        Client().get(link(number), headers={"Purpose": "prefetch"})
    configure(CONSENT=lambda request: None)
    for number in range(BURST):
        landed(number)
    configure(CONSENT=lambda request: False)
    for number in range(BURST):
        landed(number)
    assert rows() == 0
    configure(CONSENT=None)
    landed("a")
    assert rows() == 1


def test_a_click_that_waited_keeps_its_landing_page(configure: Any) -> None:
    configure(CONSENT=lambda request: True if "agreed" in request.COOKIES else None)
    client = landed("a")
    client.get("/agree/")
    prefetched = Client()
    prefetched.cookies["agreed"] = "yes"
    prefetched.get(f"/news{link('b')}", headers={"Purpose": "prefetch"})
    prefetched.get("/token/")
    pages = Attribution.objects.order_by("captured_at").values_list("page", flat=True)
    assert list(pages) == ["/promo/", "/news/"]


@pytest.mark.parametrize("rows", [None, "many", 1.5, [], -1])
def test_a_session_of_another_version_counts_as_new(rows: Any) -> None:
    client = landed("a")
    session = client.session
    session["connectly_tracking"]["rows"] = rows
    session.save()
    landed("b", client)
    assert Attribution.objects.filter(sendout_id="b").exists()
