"""The operator's night: the key is withdrawn, and it comes back.

With a shop, a Redis, a Celery worker and a beat of their own, mail that is written to
files, and two people with browsers: one buys, the other one looks after it.
"""

from __future__ import annotations

import json
import sys
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any, Final

import django
import pytest
from redis import Redis

from connectly_tracking.models import Conversion, Pause, State

from .customer import QUERY, buy
from .servers import Shop
from .staff import log_in, make_ada

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from connectly_tracking.sandbox import Sandbox
    from example_project.demo.supervisor import Supervisor

    from .servers import Cdn

OPS: Final = "ops@shop.example"
CELERY: Final = [sys.executable, "-m", "celery", "-A", "example_project"]
HELD: Final = 3
BANNER: Final = (
    "Sending is paused for default: the key, the business or the address is wrong. "
    "Correct API_KEY, BUSINESS_ID or BASE_URL."
)


class Night:
    """The processes that send and watch, and what they have written."""

    def __init__(self, supervisor: Supervisor, mails: Path) -> None:
        self._supervisor, self._mails = supervisor, mails
        schedule = str(supervisor.directory / "schedule")
        level = ["--loglevel", "info"]
        quiet = ["--without-gossip", "--without-mingle"]
        supervisor.start("worker", [*CELERY, "worker", "-c1", *quiet, *level])
        beat = ["beat", "-s", schedule, "--pidfile=", "--max-interval", "1"]
        supervisor.start("beat", [*CELERY, *beat, *level])

    @property
    def mails(self) -> list[Any]:
        """Those that were sent so far, in their order."""
        paths = sorted(self._mails.glob("*.log"), key=lambda it: it.stat().st_mtime_ns)
        texts = [it.read_bytes().partition(b"\n" + b"-" * 79)[0] for it in paths]
        return [message_from_bytes(it, policy=policy.default) for it in texts]

    def until(self, condition: Callable[[], object]) -> None:
        self._supervisor.until(condition, seconds=90)

    def until_watched_again(self, times: int = 3) -> None:
        before = self._watched()
        self.until(lambda: self._watched() >= before + times)

    def _watched(self) -> int:
        said = (self._supervisor.directory / "worker.log").read_text(errors="replace")
        return sum(
            "connectly_tracking.watch" in line and "succeeded" in line
            for line in said.splitlines()
        )


@pytest.fixture
def mails(tmp_path: Path) -> Path:
    return tmp_path / "mails"


@pytest.fixture
def watched_shop(
    supervisor: Supervisor,
    cdn: Cdn,
    product: None,
    settings: Any,
    sandbox: Sandbox,
    mails: Path,
    redis_url: str,
) -> Shop:
    """Everything that is done every 30 seconds or 5 minutes is done every second."""
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    supervisor.environ["REDIS_URL"] = redis_url
    make_ada(settings)
    every_second = {
        name: {"task": f"connectly_tracking.{name}", "schedule": 1}
        for name in ("deliver_due", "watch")
    }
    return Shop(
        supervisor,
        cdn,
        ADMINS=[OPS if django.VERSION >= (6, 0) else ("Ops", OPS)],
        EMAIL_BACKEND="django.core.mail.backends.filebased.EmailBackend",
        EMAIL_FILE_PATH=str(mails),
        CELERY_BEAT_SCHEDULE=every_second,
        CONNECTLY_TRACKING=settings.CONNECTLY_TRACKING
        | {"ALERTS": "mail_admins", "PROBE_SCHEDULE": [1], "RETRY_SCHEDULE": [1]},
    )


def test_a_night_is_told_once_seen_and_remembered(
    watched_shop: Shop,
    supervisor: Supervisor,
    mails: Path,
    sandbox: Sandbox,
    chromium: Browser,
) -> None:
    shop, night = watched_shop, Night(supervisor, mails)
    customer = chromium.new_context().new_page()
    customer.goto(f"{shop.url}/campaign/?{QUERY}")
    buy(customer)
    night.until(lambda: states() == [State.DELIVERED])
    operator = log_in(chromium.new_context().new_page(), shop)
    assert operator.get_by_text("Sending is paused").count() == 0
    assert night.mails == []

    sandbox.behave("401:The key was withdrawn")
    for _ in range(HELD):
        customer.goto(f"{shop.url}/campaign/?{QUERY}")
        buy(customer)
    night.until(lambda: len(night.mails) == 1)
    (began,) = night.mails
    assert began["To"] == OPS
    assert "[Connectly] default is paused" in began["Subject"]
    assert "The key was withdrawn" in began.get_content()
    assert "Correct API_KEY, BUSINESS_ID or BASE_URL." in began.get_content()
    night.until_watched_again()
    assert len(night.mails) == 1

    row = Conversion.objects.filter(state=State.PENDING)[0]
    for path in (
        "",
        "connectly_tracking/conversion/",
        f"connectly_tracking/conversion/{row.pk}/change/",
        "shop/order/",
    ):
        operator.goto(f"{shop.url}/admin/{path}")
        operator.get_by_text(BANNER).wait_for()
    operator.get_by_role("link", name="Delivery status").first.click()
    operator.get_by_text("Paused: the key, the business or the address").wait_for()
    assert operator.get_by_text("All is well").count() == 0
    assert states() == [State.DELIVERED, *[State.PENDING] * HELD]

    sandbox.clear()
    night.until(lambda: states() == [State.DELIVERED] * (1 + HELD))
    night.until(lambda: len(night.mails) == 2)
    night.until_watched_again()
    _began, over = night.mails
    assert "[Connectly] Resolved: default is paused" in over["Subject"]
    delivered = [json.loads(it.body)["payload"]["order_id"] for it in sandbox.events]
    orders = Conversion.objects.order_by("pk").values_list("order_id", flat=True)
    assert sorted(delivered) == sorted(orders[1:])

    operator.goto(f"{shop.url}/admin/")
    assert operator.get_by_text("Sending is paused").count() == 0
    operator.get_by_role("link", name="Pauses").first.click()
    operator.get_by_role("heading", name="Pauses").wait_for()
    pause = Pause.objects.get()
    assert pause.ended is not None
    cells = operator.locator("#result_list tbody tr").locator("th, td")
    shown = dict(zip(column_names(operator), cells.all_inner_texts(), strict=True))
    assert shown["business"] == "default"
    assert shown["orders waiting"] == str(HELD)
    assert shown["ended by"] == "an answered order"
    assert shown["reason"] == "the key, the business or the address is wrong"
    assert f"{pause.began:%Y-%m-%d %H:%M}" in shown["began"]
    assert f"{pause.ended:%Y-%m-%d %H:%M}" in shown["ended"]
    operator.locator("#result_list tbody th a").click()
    operator.get_by_text("The key was withdrawn").wait_for()


def states() -> list[str]:
    rows = Conversion.objects.order_by("pk")
    return [
        # One is tried each second.
        State.PENDING if it == State.SENDING else it
        for it in rows.values_list("state", flat=True)
    ]


def column_names(page: Page) -> list[str]:
    heads = page.locator("#result_list thead th")
    return [it.strip().lower() for it in heads.all_inner_texts()]
