"""Receivers of Oscar's signals.

==================== ======================= =======================================
Oscar's signal       customer's request      receiver
==================== ======================= =======================================
pre_payment          that of the view        binds the order's number to the click: a
                                             payment webhook may place the order
order_placed         that of the basket      records the order, or only binds it if
                                             it is reported at a later status
post_checkout        an argument             does so if the basket had no request
order_status_changed none                    records or cancels the order
product_viewed       an argument             records the view
==================== ======================= =======================================
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.db.models import Model
from oscar.apps.catalogue.signals import product_viewed
from oscar.apps.checkout.signals import post_checkout, pre_payment
from oscar.apps.order.signals import order_placed, order_status_changed

from connectly_tracking.api.values import plain_id
from connectly_tracking.attribution import bind_order, recall
from connectly_tracking.conf import conf
from connectly_tracking.guard import guarded
from connectly_tracking.signals import content_viewed, order_cancelled, order_completed

from . import adapter

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    Action = Callable[[], object]


def connect() -> None:
    for signal, receiver in (
        (pre_payment, on_pre_payment),
        (order_placed, on_order_placed),
        (post_checkout, on_post_checkout),
        (order_status_changed, on_order_status_changed),
        (product_viewed, on_product_viewed),
    ):
        signal.connect(receiver, dispatch_uid=f"{__name__}.{receiver.__name__}")


def on_pre_payment(sender: object, *, view: Any, **_: Any) -> None:
    def decide() -> Action:
        number = view.checkout_session.get_order_number()
        return partial(bind_order, view.request, number)

    _act("order_not_bound", decide)


def on_order_placed(sender: object, *, order: Any, **_: Any) -> None:
    _act("order_not_recorded", lambda: _place(order, _customers_request(order)), order)


def on_post_checkout(
    sender: object, *, order: Any, request: HttpRequest, **_: Any
) -> None:
    def decide() -> Action | None:
        is_placed = _customers_request(order) is not None
        return None if is_placed else _place(order, request)

    _act("order_not_recorded", decide, order)


def on_order_status_changed(
    sender: object, *, order: Any, new_status: str, **_: Any
) -> None:
    def complete() -> Action | None:
        is_reported = new_status == conf.OSCAR_PURCHASE_STATUS
        return _completion(order, _customers_request(order)) if is_reported else None

    def cancel() -> Action | None:
        if new_status not in conf.OSCAR_CANCEL_STATUSES:
            return None
        order_id = _order_id(order, "order_not_cancelled")
        return partial(order_cancelled.send, type(order), order_id=order_id)

    if not _act("order_not_recorded", complete, order):
        _act("order_not_cancelled", cancel, order)


def on_product_viewed(
    sender: object, *, product: Any, request: HttpRequest, **_: Any
) -> None:
    """Not if the shop has its own adapter, which may use other ids."""

    def decide() -> Action | None:
        if (
            request.method != "GET"
            or conf.ORDER_ADAPTER is not adapter.purchase
            or (recall(request) is None and not request.user.is_authenticated)
        ):
            return None
        view = adapter.view(product, request)
        return partial(content_viewed.send, type(product), request=request, view=view)

    _act("view_not_recorded", decide)


def _act(event: str, decide: Callable[[], Action | None], order: Any = None) -> bool:
    """Do what is decided, and return whether that is anything.

    Only the decision is guarded here: the action is one of our own guarded calls.
    """
    name = None if order is None else partial(_number, order)
    action = guarded(event, decide, name=name)
    if action is not None:
        action()
    return action is not None


def _place(order: Any, request: HttpRequest | None) -> Action | None:
    chosen = conf.OSCAR_PURCHASE_STATUS
    if chosen is None or order.status == chosen:
        return _completion(order, request)
    if request is None:
        return None
    return partial(bind_order, request, _order_id(order, "order_not_bound"))


def _completion(order: Any, request: HttpRequest | None) -> Action:
    # Not the signal's user, who may belong to the shop's staff.
    return partial(
        order_completed.send,
        type(order),
        order=order,
        request=request,
        user=order.user,
    )


def _customers_request(order: Any) -> HttpRequest | None:
    """Return the request for which the basket was priced, while it is being placed.

    None if the order was read from the database, or was placed without a request.
    """
    basket = order._meta.get_field("basket").get_cached_value(order, default=None)
    has_strategy = getattr(basket, "has_strategy", False)
    request: HttpRequest | None = (
        getattr(basket.strategy, "request", None) if has_strategy else None
    )
    return request


def _order_id(order: Any, event: str) -> Any:
    """Return the id under which it is reported: an adapter may prefix the number."""

    def adapted() -> Any:
        make = conf.ORDER_ADAPTER
        if make is None or make is adapter.purchase:
            return order.number
        return make(order).order_id

    return guarded(event, adapted, name=lambda: _number(order)) or order.number


def _number(order: Any) -> str:
    """Return the number for a log line, without running code of the shop."""
    fields = order.__dict__ if issubclass(type(order), Model) else {}
    return plain_id(fields.get("number"))
