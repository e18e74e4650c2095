"""The ways in which shops complete an order, at ``/checkouts/<name>/``.

Each answers as the example shop's own checkout does.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from django.db import connection, transaction
from django.http import Http404
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from connectly_tracking.events import Item, Purchase
from connectly_tracking.models import Attribution
from connectly_tracking.signals import order_completed
from example_project.shop.models import Order

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    Checkout = Callable[[HttpRequest], Order]


class DeclinedError(Exception):
    """The shop's own code ends its transaction."""


@require_POST
def checkout(request: HttpRequest, name: str) -> HttpResponse:
    if name not in CHECKOUTS:
        raise Http404(name)
    return redirect(CHECKOUTS[name](request))


def _rolls_back(request: HttpRequest) -> Order:
    with transaction.atomic():
        _complete(request, _place())
        raise DeclinedError


def _rolls_back_to_a_savepoint(request: HttpRequest) -> Order:
    """Of two orders the second is taken back; the first is answered."""
    with transaction.atomic():
        kept = _place()
        _complete(request, kept)
        with suppress(DeclinedError), transaction.atomic():
            _complete(request, _place())
            raise DeclinedError
    return kept


def _dies_before_its_commit(request: HttpRequest) -> Order:
    with transaction.atomic():
        _complete(request, _place())
        _die()
    raise AssertionError("alive")


def _dies_after_its_commit(request: HttpRequest) -> Order:
    with transaction.atomic():
        transaction.on_commit(_die)  # before our own hook, which wakes a worker
        _complete(request, _place())
    raise AssertionError("alive")


def _has_hooks_of_its_own(request: HttpRequest) -> Order:
    """They add a line to the order: one runs before our hook, one after it."""
    with transaction.atomic():
        order = _place()
        transaction.on_commit(lambda: _add_line(order, "before"))
        _complete(request, order)
        transaction.on_commit(lambda: _add_line(order, "after"))
    return order


def _has_no_transaction(request: HttpRequest) -> Order:
    order = _place()
    _complete(request, order)
    return order


def _signals_first(request: HttpRequest) -> Order:
    """Before the shop's own first write; so that ours begins the transaction."""
    purchase = Purchase(
        order_id=_number(),
        value=Decimal("49.99"),
        currency="USD",
        event_time=timezone.now(),
        contents=[Item(id="tee", quantity=1, item_price=Decimal("49.99"))],
    )
    with transaction.atomic():
        order_completed.send(sender=Order, purchase=purchase, request=request)
        return Order.objects.create(
            number=str(purchase.order_id), total=purchase.value, currency="USD"
        )


def _completes_again(request: HttpRequest) -> Order:
    """An order that is there, with a write of the request's own."""
    order = Order.objects.get(number=request.POST["number"])
    with transaction.atomic():
        order_completed.send(sender=Order, order=order, request=request)
        _add_line(order, request.POST["line"])
    return order


def _loses_its_click(request: HttpRequest) -> Order:
    """Somebody prunes the click between our INSERT and the order's COMMIT."""
    with transaction.atomic():
        order = _place()
        _complete(request, order)
        pruner = threading.Thread(target=_prune_clicks)
        pruner.start()
        pruner.join()
    return order


CHECKOUTS: Final[dict[str, Checkout]] = {
    function.__name__.strip("_").replace("_", "-"): function
    for function in (
        _rolls_back,
        _rolls_back_to_a_savepoint,
        _dies_before_its_commit,
        _dies_after_its_commit,
        _has_hooks_of_its_own,
        _has_no_transaction,
        _signals_first,
        _completes_again,
        _loses_its_click,
    )
}


def placed_since(since: datetime) -> QuerySet[Order]:
    """For the backfill."""
    return Order.objects.filter(placed_at__gte=since)


def _place() -> Order:
    order = Order.objects.create(number=_number(), total="49.99", currency="USD")
    _add_line(order, "tee")
    return order


def _complete(request: HttpRequest, order: Order) -> None:
    order_completed.send(sender=Order, order=order, request=request)


def _number() -> str:
    """Never used again, also where the order is rolled back."""
    return f"WEB-{uuid4().hex[:12]}"


def _add_line(order: Order, sku: str) -> None:
    order.lines.create(sku=sku, name=sku, quantity=1, price="49.99")


def _prune_clicks() -> None:
    try:
        Attribution.objects.all().delete()
    finally:
        connection.close()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
