"""Lands and orders, with us and without: prints microseconds, as JSON: how long each
took, and how much of it this process was computing.

`checkout` runs this file with a checkout as working directory and ``PYTHONPATH``. Each
line of its input is a number of times, and each line of its output a round.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import sys
import time
from contextlib import contextmanager
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Times = tuple[float, float]

TAG: Final = (
    "cnct_tracking_id=b1f6f3f0-7c1d-4a38-8b1a-{0:012d}"
    "&sendout_id=0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
    "&ctwa_clid=ARAkLkA8rmlFeiCktEJQ-QTwRiyYHAFDLMNDBH0CD3qpjd0HR4irJ6LEkR7JwLF4XvnO2E4"
    "&ad_id=120214839204810563&attribution_source=meta_ctwa"
)
ENVIRON: Final = {
    "DJANGO_SETTINGS_MODULE": "example_project.settings",
    "DEBUG": "false",
    "CONNECTLY_BUSINESS_ID": "3f2b8c1e-5d4a-4b6f-9a7e-0c1d2e3f4a5b",
    "CONNECTLY_API_KEY": "key-for-benchmarks-only",
}


def main() -> None:
    os.environ |= ENVIRON
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    pages = Pages()
    for line in sys.stdin:
        print(json.dumps(pages.round(int(line))), flush=True)


class Pages:
    """The pages of one shop, which is always the same."""

    def __init__(self) -> None:
        from django.contrib.sessions.middleware import SessionMiddleware
        from django.http import HttpResponse
        from django.test import RequestFactory

        from connectly_tracking.attribution import bounds
        from connectly_tracking.middleware import AttributionMiddleware

        bounds.BURST = bounds.RATE = 10**9  # type: ignore[misc]  # as many landings
        bounds.landing_rows.reset()
        self.numbers = itertools.count()
        self.requests = RequestFactory()
        self.landing_page = SessionMiddleware(
            AttributionMiddleware(lambda _: HttpResponse())
        )
        self.our_page = AttributionMiddleware(lambda _: HttpResponse())
        self.page_by_hand = SessionMiddleware(self._view_by_hand)
        self.open_session = SessionMiddleware(lambda _: HttpResponse()).process_request

    def round(self, times: int) -> dict[str, Times]:
        """The median of each page, all in turn, so that a slow moment hits all."""
        pages: dict[str, Callable[[], Times]] = {
            "landing by hand": self.landing_by_hand,
            "P2 landing": self.landing,
            "P2 our Python": self.landing_in_memory,
            "order alone": lambda: self.order(lambda *_: None),
            "order and INSERT by hand": lambda: self.order(self._insert_by_hand),
            "P4 checkout without the wake-up": lambda: self.checkout(broker=False),
            "P5 checkout with the wake-up": lambda: self.checkout(broker=True),
            "order, INSERT and delay()": lambda: self.order(self._delay_by_hand),
        }
        took: dict[str, list[Times]] = {name: [] for name in pages}
        gc.collect()
        gc.disable()
        for _ in range(times):
            for name, page in pages.items():
                took[name].append(page())
        gc.enable()
        self._forget()
        return {
            name: (median(whole), median(computing))
            for name, each in took.items()
            for whole, computing in [zip(*each, strict=True)]
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

        number, request = f"ORD-{next(self.numbers)}", self._customer()

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

    def _insert_by_hand(self, order: Any, request: Any) -> None:
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

    def _delay_by_hand(self, order: Any, request: Any) -> None:
        from django.db import transaction

        from connectly_tracking.tasks import deliver_due

        self._insert_by_hand(order, request)
        transaction.on_commit(lambda: deliver_due.delay())

    def _forget(self) -> None:
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
    began = time.perf_counter_ns(), time.process_time_ns()
    page()
    computing = time.process_time_ns() - began[1]
    return (time.perf_counter_ns() - began[0]) / 1000, computing / 1000


if __name__ == "__main__":
    main()
