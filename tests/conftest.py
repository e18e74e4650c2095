"""What the tests share: settings of ours, a sandbox, clicks and orders."""

from __future__ import annotations

import gc
import os
import threading
import time
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import django
import hypothesis
import pytest
from django.db import connection
from redis import Redis
from tqdm import tqdm

from connectly_tracking import wakeup
from connectly_tracking.api.landing import Landing
from connectly_tracking.events import Item, Purchase
from connectly_tracking.management.commands import connectly_backfill
from connectly_tracking.models import Attribution
from connectly_tracking.testing.scenario import reset_process
from example_project.demo import broker
from example_project.demo.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from connectly_tracking.sandbox import Sandbox
    from example_project.shop.models import Product

    Configure = Callable[..., None]

pytest_plugins = ["connectly_tracking.testing"]

#: Of RabbitMQ and Chromium there is none in a wheel, and faults take their time: all
#: three are asked for. Django has tasks since 6.0.
collect_ignore = [
    *([] if "BROWSER_TESTS" in os.environ else ["browser"]),
    *([] if "CI_AMQP_URL" in os.environ else ["amqp"]),
    *([] if "FAULTS" in os.environ else ["faults"]),
    *([] if django.VERSION >= (6, 0) else ["test_background.py"]),
]

LANDING = Landing(
    cnct_tracking_id="track-1", sendout_id="send-1", ctwa_clid="clid-1", ad_id="120210"
)
PATIENT = 20.0  # seconds
TAGGED = (
    "/?cnct_tracking_id=track-1&sendout_id=send-1&ctwa_clid=clid-1&ad_id=120210"
    "&attribution_source=meta_ctwa"
)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """A test for another database than the one in use is not collected."""
    ours = {connection.vendor.removesuffix("ql")}
    if connection.vendor != "sqlite":
        ours.add("server")
    others = {"postgres", "sqlite", "server"} - ours
    foreign = [
        item
        for item in items
        if (marked := {mark.name for mark in item.iter_markers()}) & others
        and not marked & ours
    ]
    items[:] = [item for item in items if item not in foreign]
    config.hook.pytest_deselected(items=foreign)


# How fast examples are made says how busy the machine is, and nothing of the product.
hypothesis.settings.register_profile(
    "patient",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    """Undo what a process remembers between runs."""
    reset_process()
    yield
    reset_process()


@pytest.fixture
def configure(settings: Any) -> Configure:
    """Change settings of ours for one test."""

    def configure(**changes: object) -> None:
        settings.CONNECTLY_TRACKING = {**settings.CONNECTLY_TRACKING, **changes}

    return configure


@pytest.fixture
def sandbox(connectly_sandbox: Sandbox) -> Sandbox:
    """The one that a shop's tests have."""
    return connectly_sandbox


@pytest.fixture
def process_env(sandbox: Sandbox, settings: Any) -> dict[str, str]:
    """So that another process works on this database with this sandbox."""
    url = urlsplit(os.environ["DATABASE_URL"])
    name = str(connection.settings_dict["NAME"])
    path = f"/{name}"  # of SQLite's file it is absolute, hence the second slash
    database_url = f"{url.scheme}://{url.netloc}{path}" + (
        f"?{url.query}" if url.query else ""
    )
    business = settings.CONNECTLY_TRACKING
    return os.environ | {
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "example_project.settings",
        "CONNECTLY_BUSINESS_ID": business["BUSINESS_ID"],
        "CONNECTLY_API_KEY": business["API_KEY"],
        "CONNECTLY_BASE_URL": sandbox.url,
        "PYTHONUNBUFFERED": "1",
        # As in this process; but the tests may be root's.
        "PYTHONWARNINGS": "error,ignore:You're running the worker",
    }


@contextmanager
def table_refused(table: str) -> Iterator[None]:
    """The database answers every INSERT into a table with an error of its own."""

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT") and table in sql:
            return execute("INSERT INTO no_such_table VALUES (1)", (), False, context)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        yield


@contextmanager
def cpu_time_below(seconds: float) -> Iterator[None]:
    """What this thread works, without collections: after thousands of tests, one takes
    half a second, and is not the block's.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        began = time.thread_time()
        yield
        assert time.thread_time() - began < seconds
    finally:
        if collects:
            gc.enable()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis on a port of its own, which keeps nothing."""
    with _redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def celery_broker(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """Celery's broker is that Redis, empty; yields a client of it.

    An order waits for its message, however crowded the machine is.
    """
    with _broker(redis_url, monkeypatch) as client:
        yield client


@pytest.fixture
def quiet_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """As `celery_broker`, but no other test has had a connection to it: one may still
    be open for a moment after its test.
    """
    with _redis(tmp_path) as url, _broker(url, monkeypatch) as client:
        yield client


@contextmanager
def _redis(directory: Path) -> Iterator[str]:
    with Supervisor(directory, threading.Event()) as supervisor:
        yield broker.url_of(supervisor)


@contextmanager
def _broker(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    monkeypatch.setattr(wakeup, "MAX_DELAY", PATIENT)
    monkeypatch.setattr(wakeup, "PUBLISH_TIMEOUT", PATIENT)
    with Redis.from_url(url) as client:
        client.flushall()
        with broker_at(url):
            yield client


@contextmanager
def broker_at(url: str | None, **options: object) -> Iterator[None]:
    """Point Celery at a broker."""
    from example_project import celery_app

    before = {name: celery_app.conf.get(name) for name in ("broker_url", *options)}
    celery_app.conf.update(broker_url=url, **options)
    wakeup.publisher.close_connection()
    try:
        yield
    finally:
        wakeup.publisher.close_connection()
        celery_app.conf.update(before)


@pytest.fixture
def click(db: None) -> Attribution:
    """A stored click, a minute old."""
    return make_click()


def make_click(
    landing: Landing = LANDING, *, age: float = 60, **fields: Any
) -> Attribution:
    from connectly_tracking.models import moment

    fields.setdefault("captured_at", moment(time.time() - age))
    click: Attribution = Attribution.from_landing(landing, **fields)
    click.save()
    return click


def make_product() -> Product:
    """One of the shop. Its migration makes some, but an earlier test may have emptied
    the tables.
    """
    from example_project.shop.models import Product

    product, _ = Product.objects.get_or_create(sku="mug", defaults={"price": 12})
    return product


def make_purchase(order_id: Any = "ORD-7821", **fields: Any) -> Purchase:
    """The documented order, placed now."""
    documented: dict[str, Any] = {
        "value": Decimal("99.97"),
        "currency": "USD",
        "event_time": int(time.time()),
        "contents": [
            Item(id="sku-1", quantity=1, item_price=Decimal("49.99")),
            Item(id="sku-2", quantity=1, item_price=Decimal("49.98")),
        ],
    }
    return Purchase(order_id=order_id, **(documented | fields))


def show_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a backfill's line on the terminal be written at once, however fast it is."""

    class Eager(tqdm):  # type: ignore[type-arg]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs, mininterval=0)

    monkeypatch.setattr(connectly_backfill, "tqdm", Eager)
