"""Content views of attributed visitors."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.db import IntegrityError, connection
from django.db.models.signals import post_save
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone
from django.views.generic import View

from connectly_tracking import attribution, outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.events import Item, ViewContent
from connectly_tracking.exceptions import InvalidEvent
from connectly_tracking.models import Conversion, EventName, Reason, State
from connectly_tracking.signals import content_viewed
from connectly_tracking.views import ContentViewedMixin

from .conftest import TAGGED, make_click, make_purchase, table_refused

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.test import Client, RequestFactory
    from redis import Redis

    from connectly_tracking.sandbox import Sandbox

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
TEE = ViewContent(content_ids=["tee"])


class Plain(View):
    status = 200

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("tee", status=self.status)

    head = get


class Product(ContentViewedMixin, Plain):  # type: ignore[misc]
    def get_view_content(self) -> ViewContent:
        return TEE


class Odd(ContentViewedMixin, Plain):  # type: ignore[misc]
    def get_view_content(self) -> ViewContent:
        raise ZeroDivisionError


urlpatterns = [
    path("", Plain.as_view()),
    path("odd", Odd.as_view()),
    path("tee", Product.as_view()),
    path("gone", Product.as_view(status=404)),
]


@pytest.fixture
def visit(rf: RequestFactory) -> HttpRequest:
    request = rf.get(TAGGED)
    request.session = SessionStore()
    request.COOKIES["sessionid"] = "known"
    attribution.land(request)
    return request


def views() -> list[Conversion]:
    return list(Conversion.objects.filter(event_name=EventName.VIEW_CONTENT))


def test_a_view_is_sent_as_it_is_documented(
    visit: HttpRequest, sandbox: Sandbox
) -> None:
    item = Item(id="tee", quantity=1, item_price=20)
    view = ViewContent(contents=[item], value=20, currency="usd")
    content_viewed.send(None, request=visit, view=view)
    (row,) = views()
    assert deliver() == {State.DELIVERED: 1}
    body = json.loads(sandbox.events[0].body)
    assert body["event_name"] == "ViewContent"
    assert body["sendout_id"] == "send-1"
    assert body["payload"] == {
        "currency": "USD",
        "value": 20,
        "content_type": "product",
        "content_ids": ["tee"],
        "contents": [{"id": "tee", "quantity": 1, "item_price": 20}],
        "event_time": int(row.event_time.timestamp()),  # type: ignore[union-attr]
    }


def test_the_same_content_is_recorded_once_in_half_an_hour(visit: HttpRequest) -> None:
    for _ in range(3):
        content_viewed.send(None, request=visit, view=TEE)
    content_viewed.send(None, request=visit, view=ViewContent(content_ids=["mug"]))
    assert len(views()) == 2
    later = timezone.now() + timedelta(minutes=4)
    earlier = later - timedelta(minutes=31)
    Conversion.objects.all().delete()
    outbox.record(ViewContent(content_ids=["a"], event_time=earlier), request=visit)
    assert views() == []  # the click came a moment ago, which is after that view


def test_after_half_an_hour_it_counts_again(visit: HttpRequest) -> None:
    content_viewed.send(None, request=visit, view=TEE)
    hour = timedelta(minutes=60)
    (row,) = views()
    assert row.event_time is not None
    Conversion.objects.update(key="x", event_time=row.event_time - hour)
    content_viewed.send(None, request=visit, view=TEE)
    assert len(views()) == 2


def test_the_function_behind_the_signal_takes_a_click_from_anywhere(
    visit: HttpRequest, configure: Any, settings: Any
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own})
    user = User.objects.create(username="ada")
    click = make_click(user=user)
    other = make_click(business="br")
    ways: list[dict[str, Any]] = [
        {"request": visit},
        {"attribution": click},
        {"attribution": str(click.pk), "business": "default"},
        {"token": attribution.make_token(visit)},
        {"user": user},
        {"attribution": other, "request": visit},
    ]
    rows = [
        outbox.record(ViewContent(content_ids=[f"tee-{number}"]), **way)
        for number, way in enumerate(ways)
    ]
    assert [row.state for row in rows] == [State.PENDING] * len(ways)
    held = attribution.recall(visit)
    assert held is not None
    assert [row.attribution_id for row in rows] == [
        held.pk,
        click.pk,
        click.pk,
        held.pk,
        click.pk,
        other.pk,
    ]
    assert rows[-1].business == "br"
    again = outbox.record(ViewContent(content_ids=["tee-1"]), attribution=click)
    assert again.pk == rows[1].pk


@pytest.mark.parametrize("way", [{}, {"token": ""}, {"user": AnonymousUser()}])
def test_where_nothing_leads_to_a_click_a_view_is_not_kept(way: dict[str, Any]) -> None:
    row = outbox.record(TEE, **way)
    assert row.pk is None
    assert (row.state, row.reason) == (State.SKIPPED, Reason.NOT_ATTRIBUTED)
    assert not Conversion.objects.exists()


def test_a_visitor_without_a_click_leaves_no_trace(rf: RequestFactory) -> None:
    request = rf.get("/tee")
    request.session = SessionStore()
    request.COOKIES["sessionid"] = "known"
    content_viewed.send(None, request=request, view=TEE)
    assert not Conversion.objects.exists()


def test_a_click_of_a_business_that_is_gone_leaves_no_trace(
    visit: HttpRequest, settings: Any
) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    settings.CONNECTLY_TRACKING = {"BUSINESSES": {"br": own}}
    content_viewed.send(None, request=visit, view=TEE)
    assert not Conversion.objects.exists()


def test_a_strangers_page_costs_nothing_and_does_not_vary(client: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        page = client.get("/tee")
    assert len(queries) == 0
    assert "Vary" not in page.headers
    assert not page.cookies


def test_the_mixin_sends_it_for_each_page_that_is_shown(client: Client) -> None:
    client.get(TAGGED)
    client.get("/tee")
    assert [row.state for row in views()] == [State.PENDING]


def test_the_landing_page_itself_is_looked_at(client: Client) -> None:
    landing = f"/tee{TAGGED.removeprefix('/')}"
    client.get(landing, headers={"Sec-Purpose": "prefetch"})
    assert views() == []
    client.cookies.clear()
    client.get(landing)
    assert [row.state for row in views()] == [State.PENDING]


def test_a_view_content_that_fails_harms_no_page(
    client: Client, configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.get("/odd").content == b"tee"
    assert "view_not_recorded error=ZeroDivisionError" in caplog.text
    configure(STRICT=True)
    with pytest.raises(ZeroDivisionError):
        client.get("/odd")


@pytest.mark.parametrize("ask", ["head", "gone"])
def test_the_mixin_passes_over_what_nobody_looks_at(client: Client, ask: str) -> None:
    client.get(TAGGED)
    if ask == "head":
        client.head("/tee")
    else:
        client.get("/gone")
    assert views() == []


def test_a_view_wakes_nobody(
    transactional_db: None, celery_broker: Redis, visit: HttpRequest
) -> None:
    content_viewed.send(None, request=visit, view=TEE)
    assert len(views()) == 1
    assert celery_broker.llen("celery") == 0


def test_a_view_does_not_wait_for_cancellations(
    visit: HttpRequest, configure: Any, sandbox: Sandbox
) -> None:
    configure(HOLD=600)
    content_viewed.send(None, request=visit, view=TEE)
    assert deliver() == {State.DELIVERED: 1}


@pytest.mark.parametrize(
    "view",
    [
        ViewContent(),
        ViewContent(content_ids=[]),
        ViewContent(content_ids="tee"),
        ViewContent(content_ids=["tee"], value=1),
        ViewContent(content_ids=["tee"], value=-1, currency="USD"),
        ViewContent(content_ids=["tee"], currency="USD"),
        {"content_ids": ["tee"]},
        make_purchase(),
        None,
    ],
)
def test_what_is_no_view_is_said_and_harms_no_page(
    visit: HttpRequest, configure: Any, caplog: pytest.LogCaptureFixture, view: Any
) -> None:
    content_viewed.send(None, request=visit, view=view)
    assert "view_not_recorded" in caplog.text
    assert not Conversion.objects.exists()
    configure(STRICT=True)
    with pytest.raises(InvalidEvent):
        content_viewed.send(None, request=visit, view=view)


def test_a_business_that_is_not_in_the_settings_is_bad_input(
    visit: HttpRequest,
) -> None:
    with pytest.raises(InvalidEvent, match="business: must be one of those"):
        outbox.record(TEE, request=visit, business="typo")


def test_an_unknown_argument_is_bad_input(
    visit: HttpRequest, caplog: pytest.LogCaptureFixture
) -> None:
    content_viewed.send(None, request=visit, view=TEE, order="7")
    assert "view_not_recorded" in caplog.text


def test_a_database_that_fails_harms_no_page(client: Client) -> None:
    client.get(TAGGED)
    with table_refused("conversion"):
        assert client.get("/tee").content == b"tee"


def test_an_integrity_error_of_the_shops_own_is_raised_as_it_is(
    visit: HttpRequest,
) -> None:
    def listen(**_: Any) -> None:
        raise IntegrityError("the shop's own")

    post_save.connect(listen, sender=Conversion)
    try:
        with pytest.raises(IntegrityError, match="the shop's own"):
            outbox.record(TEE, request=visit)
    finally:
        post_save.disconnect(listen, sender=Conversion)
    assert not Conversion.objects.exists()


def test_with_sending_off_a_view_is_skipped(visit: HttpRequest, configure: Any) -> None:
    configure(SEND=False)
    content_viewed.send(None, request=visit, view=TEE)
    assert [row.reason for row in views()] == [Reason.SENDING_OFF]
