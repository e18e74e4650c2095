"""Spans around a batch and each POST, if OpenTelemetry's API is installed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from connectly_tracking import outbox
from connectly_tracking.delivery import deliver, tracing
from connectly_tracking.models import Conversion

from .conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from connectly_tracking.sandbox import Sandbox

HEADERS = {"traceparent", "tracestate", "baggage"}
SEND = """
import sys
sys.modules["opentelemetry"] = None
import django
django.setup()
from connectly_tracking.delivery import deliver
print(deliver())
"""


class Broken(SpanProcessor):
    """Of the shop; it fails at each step."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise OSError("secret")

    def on_end(self, span: Any) -> None:
        raise OSError("secret")


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    provider = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return provider


@pytest.fixture
def exporter(provider: TracerProvider) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    provider.shutdown()


def record(*numbers: str) -> None:
    for number in numbers:
        outbox.record(make_purchase(number), attribution=make_click())


def by_name(exporter: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    found: dict[str, list[ReadableSpan]] = {}
    for span in exporter.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    return found


@pytest.mark.django_db
def test_a_batch_and_each_of_its_posts_are_spans(
    sandbox: Sandbox, exporter: InMemorySpanExporter, provider: TracerProvider
) -> None:
    sandbox.behave("400:no such click", order_id="A-2")
    record("A-1", "A-2", "A-3")
    with provider.get_tracer("the shop's").start_as_current_span("task") as task:
        deliver()
    spans = by_name(exporter)
    (batch,) = spans["connectly.batch"]
    assert batch.parent == task.get_span_context()
    assert dict(batch.attributes or {}) == {
        "connectly.business": "default",
        "connectly.rows": 3,
        "connectly.is_probe": False,
        "connectly.delivered": 2,
        "connectly.rejected": 1,
    }
    posts = {
        span.attributes["connectly.conversion"]: span  # type: ignore[index]
        for span in spans["POST"]
    }
    keys = dict(Conversion.objects.values_list("order_id", "pk"))
    assert posts.keys() == set(keys.values())
    for span in posts.values():
        assert span.parent == batch.context
        assert span.kind == trace.SpanKind.CLIENT
    common = {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "connectly.attempts": 1,
    }
    assert dict(posts[keys["A-1"]].attributes or {}) == common | {
        "connectly.conversion": keys["A-1"],
        "connectly.outcome": "confirmed",
        "http.response.status_code": 200,
    }
    refused = posts[keys["A-2"]]
    assert dict(refused.attributes or {}) == common | {
        "connectly.conversion": keys["A-2"],
        "connectly.outcome": "refused",
        "http.response.status_code": 400,
        "error.type": "refused",
    }
    assert refused.status.status_code == trace.StatusCode.ERROR
    assert posts[keys["A-1"]].status.is_ok
    assert spans.keys() == {"task", "connectly.batch", "POST"}


@pytest.mark.django_db
def test_nothing_on_the_wire_changes(
    sandbox: Sandbox, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    record("A-1")
    deliver()
    Conversion.objects.all().delete()
    monkeypatch.setattr(tracing, "trace", None)
    record("A-1")
    deliver()
    traced, plain = sandbox.requests
    assert traced.headers == plain.headers
    assert not {name.lower() for name in traced.headers} & HEADERS
    assert len(exporter.get_finished_spans()) == 2


@pytest.mark.django_db
def test_a_span_names_neither_key_nor_customer(
    sandbox: Sandbox, exporter: InMemorySpanExporter, settings: Any
) -> None:
    sandbox.behave("401")
    record("A-77")
    deliver()
    assert len(exporter.get_finished_spans()) == 2
    for span in exporter.get_finished_spans():
        for word in (settings.CONNECTLY_TRACKING["API_KEY"], "A-77", "clid-1"):
            assert word not in span.to_json()


@pytest.mark.django_db
def test_a_tracer_that_fails_costs_no_delivery(
    sandbox: Sandbox, provider: TracerProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.add_span_processor(Broken())
    record("A-1", "A-2")
    assert deliver() == {"delivered": 2}
    assert "span_lost error=OSError" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.django_db
def test_an_error_ends_the_spans_without_its_words(
    sandbox: Sandbox, exporter: InMemorySpanExporter
) -> None:
    with pytest.raises(ZeroDivisionError), tracing.traced("x", {}):
        raise ZeroDivisionError("A-77")
    (span,) = exporter.get_finished_spans()
    assert dict(span.attributes or {}) == {"error.type": "ZeroDivisionError"}
    assert "A-77" not in span.to_json()
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.mark.django_db(transaction=True)
def test_without_the_api_orders_are_sent_as_ever(
    sandbox: Sandbox, process_env: dict[str, str]
) -> None:
    record("A-1")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SEND],
        env=process_env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "claimed 1, delivered 1\n", done.stderr
    assert not {name.lower() for name in sandbox.requests[0].headers} & HEADERS
