from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, connections
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.test.utils import CaptureQueriesContext, override_settings
from django.urls import path

from connectly_tracking.middleware import AttributionMiddleware
from connectly_tracking.models import Attribution

from .conftest import TAGGED

if TYPE_CHECKING:
    from django.http import HttpRequest

OURS = "connectly_tracking.middleware.AttributionMiddleware"


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("page")


async def async_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("page")


def broken(request: HttpRequest) -> HttpResponse:
    raise ValueError("the view's own fault")


def moved(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=302, headers={"Location": "/"})


def streamed(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter([b"pa", b"ge"]))


urlpatterns = [
    path("", page),
    path("async/", async_page),
    path("broken/", broken),
    path("moved/", moved),
    path("streamed/", streamed),
]
pytestmark = pytest.mark.urls(__name__)


class UntouchableSession:
    """Fails whoever looks at it."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the session was touched: {name}")


def headers(response: Any) -> dict[str, str]:
    return dict(response.items())


def test_an_untagged_page_is_byte_for_byte_what_it_was(
    db: None, client: Client, settings: Any
) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = client.get("/?a=1&utm_source=x&ctwa_clid=alone")
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != OURS]
    without = Client().get("/?a=1&utm_source=x&ctwa_clid=alone")

    assert len(queries) == 0
    assert response.content == without.content
    assert headers(response) == headers(without)
    assert "Vary" not in headers(response)
    assert not response.cookies


def test_an_untagged_request_leaves_the_session_alone() -> None:
    request = RequestFactory().get("/?a=1")
    request.session = UntouchableSession()  # type: ignore[assignment]
    assert AttributionMiddleware(page)(request).content == b"page"  # type: ignore[union-attr]


def test_an_untagged_request_leaves_the_session_alone_under_asgi() -> None:
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"a=1"}
    request = ASGIRequest({**scope, "headers": []}, None)  # type: ignore[arg-type]
    request.session = UntouchableSession()  # type: ignore[assignment]
    middleware: Any = AttributionMiddleware(async_page)  # type: ignore[arg-type]
    response = asyncio.run(middleware(request))
    assert response.content == b"page"


def get_async(url: str) -> Any:
    """One request through the ASGI chain; its thread's connection is closed after."""

    async def get() -> Any:
        response = await AsyncClient().get(url)
        await sync_to_async(connections.close_all)()
        return response

    return asyncio.run(get())


def test_an_untagged_page_under_asgi_costs_no_query_and_sets_nothing(
    transactional_db: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "django.db.backends")
    with override_settings(DEBUG=True):  # so that queries of any thread are logged
        response = get_async("/async/?a=1")
        logged = [record for record in caplog.records if "django.db" in record.name]
    assert response.status_code == 200
    assert not logged
    assert "Vary" not in headers(response)
    assert not response.cookies


def test_a_tagged_page_under_asgi_is_a_landing(transactional_db: None) -> None:
    assert get_async(f"/async{TAGGED}").status_code == 200
    assert Attribution.objects.get().cnct_tracking_id == "track-1"


def test_the_middleware_is_what_its_chain_is() -> None:
    assert iscoroutinefunction(AttributionMiddleware(async_page))  # type: ignore[arg-type]
    assert not iscoroutinefunction(AttributionMiddleware(page))


@pytest.mark.parametrize("path", ["/moved", "/gone", "/streamed"])
def test_redirects_missing_pages_and_streams_are_landings_too(
    db: None, client: Client, path: str
) -> None:
    assert client.get(f"{path}{TAGGED}").status_code in {200, 302, 404}
    assert Attribution.objects.count() == 1


def test_a_page_that_fails_is_a_landing_too(db: None) -> None:
    client = Client(raise_request_exception=False)
    assert client.get(f"/broken{TAGGED}").status_code == 500
    assert Attribution.objects.count() == 1


def test_a_thousand_parameters_are_no_error(db: None, client: Client) -> None:
    query = "&".join(f"p{number}=1" for number in range(1001))
    assert client.get(f"{TAGGED}&{query}").status_code == 200
    assert Attribution.objects.count() == 1


def test_without_session_middleware_the_row_is_written_all_the_same(
    db: None, client: Client, settings: Any
) -> None:
    settings.MIDDLEWARE = [OURS]
    assert client.get(TAGGED).content == b"page"
    assert Attribution.objects.count() == 1


def test_raw_bytes_that_are_no_ascii_are_refused_and_the_page_served(
    transactional_db: None,
) -> None:
    started = []
    environ = RequestFactory().get("/").environ
    environ["QUERY_STRING"] = "cnct_tracking_id=\xff\xfe&sendout_id=caf\xc3\xa9"

    def start(status: str, *_: Any) -> Any:
        started.append(status)

    body = WSGIHandler()(environ, start)
    assert (started, b"".join(body)) == (["200 OK"], b"page")
    assert Attribution.objects.count() == 0
