"""What Prometheus reads: the same figures as `reports.health()`, and never an error."""

from __future__ import annotations

import logging
import re
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import prometheus_client
import pytest
from django.db import connection, connections, transaction
from django.db.backends.signals import connection_created
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from connectly_tracking import outbox, reports
from connectly_tracking.contrib.prometheus import METRICS, ConnectlyCollector
from connectly_tracking.delivery import deliver
from connectly_tracking.models import Circuit, Conversion, DbNow

from .conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest
    from django.test import Client

    from connectly_tracking.sandbox import Sandbox

PAGE = (Path(__file__).parent.parent / "docs/operator/metrics.md").read_text()
#: A scrape's, of one business. A silence takes a few more.
MAX_STATEMENTS = 21


def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(scrape())


urlpatterns = [path("metrics/", metrics)]


def make_registry() -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(ConnectlyCollector())
    return registry


def scrape() -> str:
    return prometheus_client.generate_latest(make_registry()).decode()


def samples(text: str) -> dict[str, float]:
    """The lines of a scrape; none may stand there twice."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        for it in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in it.labels.items())
            line = f"{it.name} {labels}".rstrip()
            assert line not in found
            found[line] = it.value
    return found


def record(count: int = 1) -> None:
    for number in range(count):
        outbox.record(make_purchase(f"ORD-{number}"), attribution=make_click())


@pytest.fixture
def server(transactional_db: None) -> Iterator[str]:
    """Prometheus's own server, whose threads Django knows nothing of."""
    http, thread = prometheus_client.start_http_server(
        0, addr="127.0.0.1", registry=make_registry()
    )
    yield f"http://127.0.0.1:{http.server_port}/metrics"
    http.shutdown()
    http.server_close()
    thread.join()


def get(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as answer:
        assert answer.status == 200
        return str(answer.read().decode())


def test_the_names_and_their_labels_are_those_of_the_documentation() -> None:
    table = re.findall(r"^\| `(connectly_\w+)` \| (.*?) \|", PAGE, re.M)
    documented = {name: tuple(re.findall(r"`(\w+)`", it)) for name, it in table}
    assert documented == {name: it.labels for name, it in METRICS.items()}


def test_the_rules_of_the_documentation_use_only_these_names() -> None:
    rules = PAGE.partition("```yaml")[2].partition("```")[0]
    expressions = re.findall(r"expr: (.*)", rules)
    assert len(expressions) == rules.count("- alert:") > 3
    assert set(re.findall(r"connectly_\w+", " ".join(expressions))) <= METRICS.keys()


@pytest.mark.django_db
def test_every_figure_is_that_of_health(configure: Any, settings: Any) -> None:
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own})
    record(5)
    rows = Conversion.objects
    rows.filter(order_id="ORD-0").update(due_at=DbNow(-60))
    rows.filter(order_id="ORD-1").update(due_at=DbNow(600), business="gone")
    rows.filter(order_id="ORD-2").mark_expired()
    rows.filter(order_id="ORD-3").mark_rejected("refused")  # type: ignore[arg-type]
    placed = timezone.now() - timedelta(days=3)
    rows.filter(order_id="ORD-4").update(
        state="delivered", due_at=None, delivered_at=timezone.now(), recorded_at=placed
    )
    Circuit.objects.pause("default", reason="configuration", paused_until=DbNow(60))
    report, found = reports.health(), samples(scrape())
    times = {
        f"connectly_{name}_timestamp_seconds": report[f"{name}_at"].timestamp()
        for name in ("last_click", "last_order", "last_delivered")
    }
    passing = {
        "connectly_oldest_due_seconds business=default": report["oldest_due_seconds"],
        "connectly_seconds_to_expiry business=default": report["seconds_to_expiry"],
        "connectly_seconds_to_expiry business=gone": report["seconds_to_expiry"],
    }
    for line, value in passing.items():
        assert found.pop(line) == pytest.approx(value, abs=30)
    assert found == times | {
        "connectly_up": 1,
        "connectly_ok": 0,
        "connectly_finding business=default,code=paused_configuration,level=error": 1,
        "connectly_finding business=default,code=rejected_lately,level=warning": 1,
        "connectly_finding business=default,code=expired_lately,level=warning": 1,
        "connectly_paused business=default": 1,
        "connectly_paused business=br": 0,
        "connectly_paused business=gone": 0,
        "connectly_orders_waiting business=default": 1,
        "connectly_orders_waiting business=br": 0,
        "connectly_orders_waiting business=gone": 1,
        "connectly_orders_due business=default": 1,
        "connectly_orders_due business=br": 0,
        "connectly_orders_due business=gone": 0,
        "connectly_oldest_due_seconds business=br": 0,
        "connectly_oldest_due_seconds business=gone": 0,
        "connectly_orders_rejected_24h business=default,reason=refused": 1,
        "connectly_orders_expired_24h business=default,reason=expired": 1,
    }


def test_it_is_scraped_over_http(server: str, sandbox: Sandbox) -> None:
    record(2)
    assert samples(get(server))["connectly_orders_waiting business=default"] == 2
    deliver()
    found = samples(get(server))
    assert found["connectly_orders_waiting business=default"] == 0
    assert (found["connectly_up"], found["connectly_ok"]) == (1, 1)


def test_a_scrape_leaves_no_connection_open(server: str) -> None:
    opened: list[Any] = []

    def note(connection: Any, **_: Any) -> None:
        opened.append(connection)

    connection_created.connect(note)
    try:
        get(server)
    finally:
        connection_created.disconnect(note)
    assert opened
    assert all(it.connection is None for it in opened)


def test_a_database_that_is_down_breaks_no_scrape(
    server: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither ours nor the metrics of others; and it is seen when it is back."""
    with monkeypatch.context() as patched:
        name = f"{connection.settings_dict['NAME']}/none"
        patched.setitem(connections.settings["default"], "NAME", name)
        assert samples(get(server)) == {"connectly_up": 0}
    assert "metrics_not_collected error=OperationalError" in caplog.text
    assert samples(get(server))["connectly_up"] == 1


@pytest.mark.django_db
def test_a_scrape_in_a_transaction_leaves_it_whole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        table = "connectly_tracking_circuit"
        return execute(sql.replace(table, "no_such_table"), params, many, context)

    with transaction.atomic():
        with connection.execute_wrapper(refuse):
            assert samples(scrape()) == {"connectly_up": 0}
        assert Conversion.objects.count() == 0
    assert caplog.record_tuples[0][1] == logging.WARNING


@pytest.mark.urls(__name__)
@pytest.mark.django_db
def test_it_is_scraped_through_a_view(client: Client) -> None:
    assert samples(client.get("/metrics/").content.decode())["connectly_up"] == 1
    Conversion.objects.count()  # the request's connection is still there


@pytest.mark.django_db
def test_a_wrong_setting_is_a_finding_and_no_error(configure: Any) -> None:
    record()
    configure(MAX_EVENT_AGE="soon")
    found = samples(scrape())
    assert found["connectly_up"] == 1
    assert found["connectly_finding business=,code=settings_wrong,level=error"] == 1
    assert found["connectly_orders_waiting business=default"] == 1


@pytest.mark.django_db
def test_to_register_it_asks_no_database(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        make_registry()


@pytest.mark.django_db
def test_a_scrape_is_a_few_statements_however_many_orders() -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert samples(scrape())["connectly_up"] == 1
        return len(queries)

    record(25)
    few = statements()
    record(100)
    assert statements() == few <= MAX_STATEMENTS
