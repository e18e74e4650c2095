"""What our views answer while the database is down, with WSGI and with ASGI."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import prometheus_client
import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections
from django.urls import path
from prometheus_client import CollectorRegistry

from connectly_tracking import views
from connectly_tracking.attribution import session as sessions
from connectly_tracking.contrib.prometheus import ConnectlyCollector

from .conftest import TAGGED
from .test_prometheus import metrics, record, samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import AsyncClient, Client

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
]
urlpatterns = [
    path("monitor/", views.monitor),
    path("metrics/", metrics),
    path("capture/", views.capture_endpoint),
]


@pytest.fixture(params=[False, True], ids=["", "atomic requests"])
def down(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """No connection can be opened. Django opens one itself for atomic requests."""
    connection.close()
    known = connections.settings["default"]
    name = f"{connection.settings_dict['NAME']}/none"
    with monkeypatch.context() as patched:
        patched.setitem(known, "NAME", name)
        patched.setitem(known, "ATOMIC_REQUESTS", request.param)
        yield
        connection.close()


def assert_down(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert answer.status_code == 503
    assert answer.headers["Cache-Control"] == "no-store"
    found = {"ok": False, "findings": ["database_unreachable"]}
    assert json.loads(answer.content) == found
    lines = [it for it in caplog.records if it.name.startswith("connectly_tracking")]
    assert [it.getMessage().split()[0] for it in lines] == ["health_not_known"]
    assert not any(it.exc_info for it in lines)


@pytest.mark.usefixtures("down")
def test_a_monitor_says_that_the_database_is_down(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert_down(client.get("/monitor/"), caplog)


@pytest.mark.usefixtures("down")
def test_a_monitor_says_so_with_asgi_too(
    async_client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert_down(async_to_sync(async_client.get)("/monitor/"), caplog)


@pytest.mark.usefixtures("down")
@pytest.mark.parametrize("protocol", ["WSGI", "ASGI"])
def test_a_landing_is_kept_in_a_session_that_is_not_in_the_database(
    client: Client, async_client: AsyncClient, settings: Any, protocol: str
) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    browser: Any = client if protocol == "WSGI" else async_client
    post = browser.post if protocol == "WSGI" else async_to_sync(browser.post)
    answer = post("/capture/", TAGGED, content_type="text/plain")
    assert answer.status_code == 204
    assert sessions.KEY in browser.session


def test_a_monitor_says_that_our_tables_are_not_there(client: Client) -> None:
    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        table = "connectly_tracking_circuit"
        return execute(sql.replace(table, "no_such_table"), params, many, context)

    with connection.execute_wrapper(refuse):
        answer = client.get("/monitor/")
    assert answer.status_code == 503
    assert answer.json() == {"ok": False, "findings": ["database_refuses"]}


def test_a_monitor_is_well_with_asgi(async_client: AsyncClient) -> None:
    answer = async_to_sync(async_client.get)("/monitor/")
    assert (answer.status_code, json.loads(answer.content)["ok"]) == (200, True)


def test_a_view_with_metrics_is_well_with_asgi(async_client: AsyncClient) -> None:
    record()
    answer = async_to_sync(async_client.get)("/metrics/")
    found = samples(answer.content.decode())
    assert found["connectly_orders_waiting business=default"] == 1


def scrape_the_asgi_app() -> str:
    """What Prometheus's own app answers, which collects in the event loop."""
    registry, sent = CollectorRegistry(), list[Any]()
    registry.register(ConnectlyCollector())
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b""}

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    app: Any = prometheus_client.make_asgi_app(registry)
    asyncio.run(app({**scope, "headers": []}, receive, send))
    assert sent[0]["status"] == 200
    return b"".join(it.get("body", b"") for it in sent).decode()


def test_prometheuss_asgi_app_has_the_figures() -> None:
    record(2)
    found = samples(scrape_the_asgi_app())
    assert found["connectly_up"] == 1
    assert found["connectly_orders_waiting business=default"] == 2


@pytest.mark.usefixtures("down")
def test_prometheuss_asgi_app_says_that_the_database_is_down() -> None:
    assert samples(scrape_the_asgi_app()) == {"connectly_up": 0}
