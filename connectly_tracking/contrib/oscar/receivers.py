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

import logging
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from oscar.apps.catalogue.signals import product_viewed
from oscar.apps.checkout.signals import post_checkout, pre_payment
from oscar.apps.order.signals import order_placed, order_status_changed

from connectly_tracking.attribution import bind_order, recall
from connectly_tracking.conf import conf
from connectly_tracking.signals import content_viewed, order_cancelled, order_completed

from . import adapter

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = logging.getLogger(__name__)


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
    bind_order(view.request, view.checkout_session.get_order_number())


def on_order_placed(sender: object, *, order: Any, **_: Any) -> None:
    _place(order, _customers_request(order))


def on_post_checkout(
    sender: object, *, order: Any, request: HttpRequest, **_: Any
) -> None:
    if _customers_request(order) is None:
        _place(order, request)


def on_order_status_changed(
    sender: object, *, order: Any, new_status: str, **_: Any
) -> None:
    if _is_reported(order, new_status):
        _complete(order, _customers_request(order))
    elif _is_cancelled(order, new_status):
        order_id = _order_id(order, "order_not_cancelled")
        order_cancelled.send(type(order), order_id=order_id)


def on_product_viewed(
    sender: object, *, product: Any, request: HttpRequest, **_: Any
) -> None:
    """Not if the shop has its own adapter, which may use other ids."""
    try:
        if (
            request.method != "GET"
            or conf.ORDER_ADAPTER is not adapter.purchase
            or (recall(request) is None and not request.user.is_authenticated)
        ):
            return
        view = adapter.view(product, request)
    except Exception as exc:  # noqa: BLE001 - the page goes on, whatever it was
        logger.error("view_not_recorded error=%s", type(exc).__name__)
        return
    content_viewed.send(type(product), request=request, view=view)


def _place(order: Any, request: HttpRequest | None) -> None:
    if _is_reported(order, order.status, is_new=True):
        _complete(order, request)
    elif request is not None:
        bind_order(request, _order_id(order, "order_not_bound"))


def _complete(order: Any, request: HttpRequest | None) -> None:
    # Not the signal's user, who may belong to the shop's staff.
    order_completed.send(type(order), order=order, request=request, user=order.user)


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


def _order_id(order: Any, otherwise: str) -> Any:
    """Return the id under which it is reported: an adapter may prefix the number."""
    try:
        make = conf.ORDER_ADAPTER
        if make is None or make is adapter.purchase:
            return order.number
        with transaction.atomic(using=order._state.db):
            return make(order).order_id
    except Exception as exc:  # noqa: BLE001 - the order goes on, whatever it was
        error = type(exc).__name__
        logger.error("%s order_id=%s error=%s", otherwise, order.number, error)
        return order.number


def _is_reported(order: Any, status: str, *, is_new: bool = False) -> bool:
    try:
        chosen = conf.OSCAR_PURCHASE_STATUS
    except ImproperlyConfigured as exc:
        # The system check reports it. An order must not fail because of it.
        logger.error("order_not_recorded order_id=%s error=%s", order.number, exc)
        return False
    return is_new if chosen is None else status == chosen


def _is_cancelled(order: Any, status: str) -> bool:
    try:
        return status in conf.OSCAR_CANCEL_STATUSES
    except ImproperlyConfigured as exc:
        logger.error("order_not_cancelled order_id=%s error=%s", order.number, exc)
        return False
