"""Async views: the twins, the signals, and a call that cannot work there."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import connections, transaction
from django.http import HttpResponse, JsonResponse
from django.test import AsyncClient
from django.urls import path
from django.views.generic import View

from connectly_tracking import attribution, outbox, reports
from connectly_tracking.events import ViewContent
from connectly_tracking.exceptions import InvalidEvent
from connectly_tracking.models import (
    Attribution,
    Conversion,
    OrderAttribution,
    Reason,
    State,
)
from connectly_tracking.signals import content_viewed, order_cancelled, order_completed
from connectly_tracking.views import ContentViewedMixin
from example_project.shop.models import Order

from .conftest import TAGGED, make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from .conftest import Configure

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]

PARAMS = dict(pair.split("=") for pair in TAGGED[2:].split("&"))
VIEW = ViewContent(content_ids=["tee"])


async def twins(request: HttpRequest) -> JsonResponse:
    click = await attribution.arecall(request)
    binding = await attribution.abind_order(request, "bound")
    return JsonResponse(
        {
            "campaign": click and click.sendout_id,
            "bound": binding and binding.order_id,
            "token": await attribution.amake_token(request),
        }
    )


async def captured(request: HttpRequest) -> HttpResponse:
    click = await attribution.acapture(request, request.GET.dict())
    return HttpResponse(click and click.sendout_id)


async def bought(request: HttpRequest) -> HttpResponse:
    purchase = make_purchase(request.GET["order"])
    await order_completed.asend(None, purchase=purchase, request=request)
    return HttpResponse("bought")


async def looked(request: HttpRequest) -> HttpResponse:
    await content_viewed.asend(None, request=request, view=VIEW)
    return HttpResponse("looked")


async def in_one_transaction(request: HttpRequest) -> HttpResponse:
    @sync_to_async
    @transaction.atomic
    def place() -> None:
        order = Order.objects.create(number="whole", total=1, currency="USD")
        purchase = make_purchase(order.number)
        order_completed.send(Order, purchase=purchase, request=request)
        if "fail" in request.GET:
            raise ValueError("the shop's own fault")

    await place()
    return HttpResponse("placed")


urlpatterns = [
    path("", twins),
    path("captured/", captured),
    path("bought/", bought),
    path("looked/", looked),
    path("whole/", in_one_transaction),
]


@async_to_sync
async def visit(*urls: str) -> list[Any]:
    """One visitor's requests, by Django's client for async views."""
    client = AsyncClient()
    return [await client.get(url) for url in urls]


def test_the_twins_see_the_visitors_click() -> None:
    _, answer = visit(TAGGED, "/")
    found = answer.json()
    click = Attribution.objects.get()
    assert (found["campaign"], found["bound"]) == ("send-1", "bound")
    assert OrderAttribution.objects.get().attribution_id == click.pk
    row = outbox.record(make_purchase("by-token"), token=found["token"])
    assert (row.state, row.attribution_id) == (State.PENDING, click.pk)


def test_without_a_click_the_twins_answer_as_the_functions_do() -> None:
    (answer,) = visit("/")
    assert answer.json() == {"campaign": None, "bound": None, "token": ""}


def test_acapture_keeps_a_click_with_its_cookie() -> None:
    query = TAGGED[1:].replace("?", "?x=1&")
    first, _ = visit(f"/captured/{query}", "/bought/?order=1")
    assert first.content == b"send-1"
    assert first.cookies["connectly_click"].value
    assert Conversion.objects.get().state == State.PENDING


def test_the_signals_work_with_asend() -> None:
    visit(TAGGED, "/looked/", "/bought/?order=1")
    view, order = Conversion.objects.order_by("pk")
    assert (view.event_name, order.order_id) == ("ViewContent", "1")
    assert view.attribution_id == order.attribution_id

    @async_to_sync
    async def cancel() -> None:
        await order_cancelled.asend(None, order_id="1")

    cancel()
    order.refresh_from_db()
    assert order.reason == Reason.CANCELLED


def test_a_bad_order_is_raised_by_asend_under_strict(configure: Configure) -> None:
    configure(STRICT=True)

    @async_to_sync
    async def send() -> None:
        await order_completed.asend(None, purchase=make_purchase(""))

    with pytest.raises(InvalidEvent):
        send()


def test_in_one_function_order_and_report_are_one_transaction(
    transactional_db: None,
) -> None:
    visit(TAGGED, "/whole/")
    assert Order.objects.get().number == Conversion.objects.get().order_id
    Order.objects.all().delete()
    Conversion.objects.all().delete()
    with pytest.raises(ValueError, match="own fault"):
        visit(TAGGED, "/whole/?fail=1")
    assert not Order.objects.exists()
    assert not Conversion.objects.exists()


async def by_asgi(url: str, cookie: str = "") -> tuple[int, str, str]:
    """One request as an ASGI server makes it; status, cookies and body."""
    address, _, query = url.partition("?")
    scope = {
        "type": "http",
        "method": "GET",
        "path": address,
        "query_string": query.encode(),
        "headers": [(b"host", b"testserver"), (b"cookie", cookie.encode())],
    }
    server = ApplicationCommunicator(get_asgi_application(), scope)
    await server.send_input({"type": "http.request"})
    start, body = await server.receive_output(10), await server.receive_output(10)
    await server.wait(10)
    cookies = [
        value.decode().partition(";")[0]
        for name, value in start["headers"]
        if name == b"Set-Cookie"
    ]
    return start["status"], "; ".join(cookies), body["body"].decode()


def test_a_journey_through_the_asgi_handler(transactional_db: None) -> None:
    async def journey() -> None:
        status, cookies, _ = await by_asgi(TAGGED)
        assert (status, cookies.count("=")) == (200, 2)
        only_ours = "; ".join(
            cookie for cookie in cookies.split("; ") if "connectly_click" in cookie
        )
        # Two visitors at once, one of them without a session.
        orders = [f"/bought/?order={number}" for number in range(4)]
        await asyncio.gather(
            *(by_asgi(url, cookies) for url in orders[:2]),
            by_asgi(orders[2], only_ours),
            by_asgi(orders[3]),
        )

    asyncio.run(journey())
    found = dict(Conversion.objects.values_list("order_id", "state"))
    assert found == {
        **dict.fromkeys("012", State.PENDING),
        "3": State.SKIPPED,
    }


CALLS: list[tuple[Callable[[HttpRequest], object], object, str]] = [
    (attribution.recall, None, "await arecall("),
    (attribution.make_token, "", "await amake_token("),
    (lambda request: attribution.bind_order(request, "7"), None, "await abind_order("),
    (lambda request: attribution.capture(request, PARAMS), None, "await acapture("),
    (attribution.forget, None, "await sync_to_async(forget)("),
    (attribution.consent_changed, None, "await sync_to_async(consent_changed)("),
    (
        lambda request: order_completed.send(
            None, purchase=make_purchase("7"), request=request
        )[0][1],
        None,
        "await order_completed.asend(",
    ),
    (
        lambda _: order_cancelled.send(None, order_id="7")[0][1],
        None,
        "await order_cancelled.asend(",
    ),
    (
        lambda request: content_viewed.send(None, request=request, view=VIEW)[0][1],
        None,
        "await content_viewed.asend(",
    ),
]


@pytest.mark.parametrize(("call", "nothing", "words"), CALLS)
def test_a_call_in_async_code_is_raised_under_strict_and_else_one_log_line(
    configure: Configure,
    rf: Any,
    caplog: pytest.LogCaptureFixture,
    call: Callable[[HttpRequest], object],
    nothing: object,
    words: str,
) -> None:
    async def view() -> object:
        return call(rf.get(TAGGED))

    assert asyncio.run(view()) == nothing
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert words in record.getMessage()
    configure(STRICT=True)
    with pytest.raises(SynchronousOnlyOperation) as caught:
        asyncio.run(view())
    assert words in str(caught.value)


def test_an_order_that_async_code_loses_is_named_for_a_backfill(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def view() -> None:
        order_completed.send(None, purchase=make_purchase("ORD-7"))

    asyncio.run(view())
    assert "order_not_recorded order_id=ORD-7 " in caplog.text


@pytest.mark.parametrize(
    "call",
    [
        lambda: outbox.record(make_purchase("7")),
        lambda: outbox.cancel("7"),
        lambda: reports.explain("7"),
    ],
)
def test_what_raises_a_database_error_raises_this_one_too(
    call: Callable[[], object],
) -> None:
    async def view() -> None:
        call()

    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(view())


class AsyncBase(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("page")


@pytest.mark.parametrize("own", [{"get": AsyncBase.get}, {}], ids=["own", "inherited"])
def test_the_mixin_says_that_it_is_not_for_an_async_view(own: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"await content_viewed\.asend"):
        type("Product", (ContentViewedMixin, View if own else AsyncBase), own)


def test_who_allows_queries_in_async_code_is_not_refused(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, rf: Any
) -> None:
    """As in a notebook, in which every line is async code."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

    async def cell() -> None:
        attribution.capture(rf.get("/"), PARAMS)
        connections.close_all()

    asyncio.run(cell())
    assert Attribution.objects.get().sendout_id == "send-1"
