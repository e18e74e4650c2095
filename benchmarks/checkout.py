"""P2 to P5: what a page pays for a landing and an order: ``benchmarks.checkout``.

Each page is beside the same page without us, all in turn in each round. A disk that
others use hides what a page costs; ``TMPDIR`` may name a directory in memory.
"""

from __future__ import annotations

import gc
import itertools
import json
import sys
import time
from contextlib import contextmanager
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from .command import command
from .line import Line
from .shop import shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .line import Round

    Times = tuple[float, float]

ROUNDS: Final = 15
SMALL: Final = {"times": 3}
CHECK: Final = {"times": 25}

LANDING: Final = "landing by hand"
INSERT: Final = "order and INSERT by hand"
LINES: Final = (
    Line(
        name="P2 landing of a new visitor",
        of="landing",
        beside=LANDING,
        unit="µs",
        goal=1.06,
        bound=2.0,
    ),
    Line(name="P2: our Python", of="landing in memory", unit="µs", goal=25.0),
    Line(name="P2: INSERTs of ours", of="landing INSERTs", goal=1, bound=1),
    Line(name="P2: other statements of ours", of="landing others", goal=0, bound=0),
    Line(
        name="P3 landing seen before: statements that write",
        of="again writes",
        goal=0,
        bound=0,
    ),
    Line(
        name="P4 checkout without the wake-up",
        of="checkout",
        beside=INSERT,
        unit="µs",
        goal=1.6,
        bound=3.5,
    ),
    Line(name="P4: statements of ours", of="checkout statements", goal=4, bound=4),
    Line(
        name="P4: CPU that we add to an order",
        of="checkout added",
        unit="µs",
    ),
    Line(
        name="P5 checkout with the wake-up",
        of="checkout and wake-up",
        beside=INSERT,
        unit="µs",
        goal=2.0,
        bound=5.0,
    ),
    Line(
        name="P5: CPU that we add to an order",
        of="wake-up added",
        unit="µs",
    ),
    Line(
        name="P5: beside Celery's `delay()` instead of our wake-up",
        of="checkout and wake-up",
        beside="order, INSERT and delay()",
        unit="µs",
    ),
)
TAG: Final = (
    "cnct_tracking_id=b1f6f3f0-7c1d-4a38-8b1a-{0:012d}"
    "&sendout_id=0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
    "&ctwa_clid=ARAkLkA8rmlFeiCktEJQ-QTwRiyYHAFDLMNDBH0CD3qpjd0HR4irJ6LEkR7JwLF4XvnO2E4"
    "&ad_id=120214839204810563&attribution_source=meta_ctwa"
)


@contextmanager
def subject(
    *, times: int = 60, database: str = "postgres"
) -> Iterator[Callable[[], Round]]:
    with shop(database, broker=True):
        pages = Pages()
        pages.round(5)  # connections are open, and modules loaded
        yield lambda: pages.round(times) | pages.statements()


class Pages:
    """The pages of one shop, which is always the same."""

    def __init__(self) -> None:
        from django.contrib.sessions.middleware import SessionMiddleware
        from django.http import HttpResponse
        from django.test import RequestFactory

        from connectly_tracking.middleware import AttributionMiddleware

        capture: Any = sys.modules["connectly_tracking.attribution.capture"]
        bounds: Any = sys.modules[type(capture.landing_rows).__module__]
        bounds.BURST = bounds.RATE = 10**9  # as many landings
        bounds.landing_rows.reset()
        self.numbers = itertools.count()
        self.requests = RequestFactory()
        self.landing_page = SessionMiddleware(
            AttributionMiddleware(lambda _: HttpResponse())
        )
        self.our_page = AttributionMiddleware(lambda _: HttpResponse())
        self.page_by_hand = SessionMiddleware(self._view_by_hand)
        self.open_session = SessionMiddleware(lambda _: HttpResponse()).process_request

    def round(self, times: int) -> dict[str, float]:
        """The median of each page in µs, and of what this process computed. All take
        turns, so that a slow moment hits all.
        """
        pages: dict[str, Callable[[], Times]] = {
            LANDING: self.landing_by_hand,
            "landing": self.landing,
            "landing in memory": self.landing_in_memory,
            INSERT: lambda: self.order(self.insert_by_hand),
            "order alone": lambda: self.order(lambda *_: None),
            "checkout": lambda: self.checkout(broker=False),
            "checkout and wake-up": lambda: self.checkout(broker=True),
            "order, INSERT and delay()": lambda: self.order(self.delay_by_hand),
        }
        took: dict[str, list[Times]] = {name: [] for name in pages}
        gc.collect()
        gc.disable()
        for _ in range(times):
            for name, page in pages.items():
                took[name].append(page())
        gc.enable()
        self.forget()
        whole, computed = (
            {name: median(each[part] for each in all_) for name, all_ in took.items()}
            for part in (0, 1)
        )
        return whole | {
            "checkout added": computed["checkout"] - computed["order alone"],
            "wake-up added": computed["checkout and wake-up"] - computed["order alone"],
        }

    def statements(self) -> dict[str, float]:
        """Those of ours, on a landing, on the same one again, and on an order."""
        request = self._landing_request()
        landing, response = _seen(lambda: self.landing_page(request))
        again = self.requests.get(request.get_full_path())
        again.COOKIES = {name: it.value for name, it in response.cookies.items()}
        second, _ = _seen(lambda: self.landing_page(again))
        self._customer()  # lands
        checkout, _ = _seen(lambda: self.checkout(broker=False))
        inserts = [sql for sql in landing if sql.startswith("INSERT")]
        return {
            "landing INSERTs": len(inserts),
            "landing others": len(landing) - len(inserts),
            "again writes": len(
                [sql for sql in second if not sql.startswith("SELECT")]
            ),
            "checkout statements": len(checkout),
        }

    def landing(self) -> Times:
        """A new visitor's landing, through the middleware; the session is saved."""
        request = self._landing_request()
        return _timed(lambda: self.landing_page(request))

    def landing_by_hand(self) -> Times:
        request = self._landing_request()
        return _timed(lambda: self.page_by_hand(request))

    def landing_in_memory(self) -> Times:
        """Without a database: what is left is our own, and setting a cookie."""
        from django.http import HttpResponse

        capture: Any = sys.modules["connectly_tracking.attribution.capture"]
        request: Any = self._landing_request()
        request.session = _session_in_memory()
        store, capture.store_click = capture.store_click, lambda _: None
        try:
            took = _timed(lambda: self.our_page(request))
        finally:
            capture.store_click = store
        response = HttpResponse()
        cookie = "1" * 45
        set_cookie = _timed(lambda: response.set_cookie("c", cookie, httponly=True))
        return took[0] - set_cookie[0], took[1] - set_cookie[1]

    def order(self, then: Callable[[Any, Any], object]) -> Times:
        """A shop's own order, and something else in its transaction."""
        from django.db import transaction

        from example_project.shop.models import Order

        number, request = f"PAID-{next(self.numbers)}", self._customer()

        def pay() -> None:
            with transaction.atomic():
                order = Order.objects.create(
                    number=number, total=Decimal("99.97"), currency="USD"
                )
                then(order, request)

        return _timed(pay)

    def checkout(self, *, broker: bool) -> Times:
        from connectly_tracking.signals import order_completed
        from example_project.shop.models import Order

        def complete(order: Any, request: Any) -> None:
            order_completed.send(
                sender=Order, purchase=_purchase(order), request=request
            )

        with _broker(broker):
            return self.order(complete)

    def _landing_request(self) -> Any:
        number = next(self.numbers)
        return self.requests.get(f"/shoes/?{TAG.format(number)}")

    def _customer(self) -> Any:
        """The request of a customer who has landed; its session is read."""
        if not hasattr(self, "cookies"):
            response: Any = self.landing_page(self._landing_request())
            self.cookies = {
                key: morsel.value for key, morsel in response.cookies.items()
            }
        request: Any = self.requests.post("/checkout/")
        request.COOKIES = {**self.cookies}
        self.open_session(request)
        request.session.get("cart")
        return request

    def _view_by_hand(self, request: Any) -> Any:
        """What a shop would write: the five values, in the session and as a row."""
        from django.http import HttpResponse

        from connectly_tracking.models import Attribution

        values = {
            name: request.GET[name]
            for name in ("cnct_tracking_id", "sendout_id", "ctwa_clid", "ad_id")
        }
        request.session["click"] = values
        Attribution.objects.create(
            **values, attribution_source="meta_ctwa", reportable=True
        )
        return HttpResponse()

    def insert_by_hand(self, order: Any, request: Any) -> None:
        """The INSERT that a shop would write: it knows the click and checks nothing."""
        from django.utils import timezone

        from connectly_tracking.models import Conversion

        now = timezone.now()
        click = request.session["connectly_tracking"]
        Conversion.objects.create(
            event_name="Purchase",
            key=f"{order.number:>64}",
            order_id=order.number,
            event_time=order.placed_at,
            value=order.total,
            currency=order.currency,
            state="pending",
            attribution_id=click["id"],
            body=json.dumps({"click": click["values"], "order_id": order.number}),
            recorded_at=now,
            due_at=now,
        )

    def delay_by_hand(self, order: Any, request: Any) -> None:
        from django.db import transaction

        from connectly_tracking.tasks import deliver_due

        self.insert_by_hand(order, request)
        transaction.on_commit(lambda: deliver_due.delay())

    def forget(self) -> None:
        """So that each round meets small tables."""
        from django.contrib.sessions.models import Session

        from connectly_tracking.models import Attribution, Conversion
        from example_project import celery_app
        from example_project.shop.models import Order

        for model in (Attribution, Conversion, Order, Session):
            model.objects.all().delete()
        with celery_app.connection_for_write() as connection:
            channel: Any = connection.default_channel
            channel.client.flushdb()
        del self.cookies


def _seen(page: Callable[[], Any]) -> tuple[list[str], Any]:
    """The statements that are not the shop's own, and what the page returned."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    theirs = ("BEGIN", "COMMIT", "django_session", "shop_order")
    with CaptureQueriesContext(connection) as queries:
        returned = page()
    seen = [query["sql"] for query in queries]
    return [sql for sql in seen if not any(its in sql for its in theirs)], returned


def _purchase(order: Any) -> Any:
    from connectly_tracking.events import Item, Purchase

    return Purchase(
        order_id=order.number,
        value=order.total,
        currency=order.currency,
        event_time=order.placed_at,
        contents=[
            Item(id="sku-1", quantity=1, item_price=Decimal("49.99")),
            Item(id="sku-2", quantity=1, item_price=Decimal("49.98")),
        ],
    )


def _session_in_memory() -> Any:
    from django.contrib.sessions.backends.base import SessionBase

    class Memory(SessionBase):
        def load(self) -> dict[str, Any]:
            return {}

    return Memory()


@contextmanager
def _broker(is_there: bool) -> Iterator[None]:
    from connectly_tracking import wakeup

    publisher = wakeup.publisher
    publisher._silent_until = 0.0 if is_there else float("inf")
    try:
        yield
    finally:
        publisher._silent_until = 0.0


def _timed(page: Callable[[], object]) -> Times:
    computing = time.process_time_ns()
    began = time.perf_counter_ns()
    page()
    took = time.perf_counter_ns() - began
    return took / 1000, (time.process_time_ns() - computing) / 1000


if __name__ == "__main__":
    command("checkout")
