"""Signal receivers. An error of ours never reaches the shop."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.contrib.auth.signals import user_logged_in

from . import outbox
from .api.values import plain_id
from .attribution import ClickSource, attach_user
from .attribution.capture import may_have_landed
from .exceptions import InvalidEvent
from .guard import guarded, refuse_async
from .models import Reason
from .signals import content_viewed, order_cancelled, order_completed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from .events import Purchase, ViewContent

logger = logging.getLogger(__name__)


def connect_receivers() -> None:
    order_completed.connect(on_order_completed, dispatch_uid=f"{__name__}.order")
    order_cancelled.connect(on_order_cancelled, dispatch_uid=f"{__name__}.cancelled")
    content_viewed.connect(on_content_viewed, dispatch_uid=f"{__name__}.viewed")
    user_logged_in.connect(on_user_logged_in, dispatch_uid=f"{__name__}.login")


def on_user_logged_in(
    *, user: Any, request: HttpRequest | None = None, **_: Any
) -> None:
    if request is not None:
        attach_user(request, user)


def on_order_completed(
    sender: object,
    *,
    order: Any = None,
    purchase: Purchase | None = None,
    using: str | None = None,
    signal: object = None,
    request: HttpRequest | None = None,
    user: Any = None,
    attribution: Any = None,
    token: str | None = None,
    business: str | None = None,
    **unknown: object,
) -> None:
    """Record the order. Raises under STRICT, and as every guarded call does."""
    problem = None
    if unknown:
        problem = _unknown_argument("order_completed", unknown)
    elif (order is None) == (purchase is None):
        problem = InvalidEvent("order_completed", "needs either order= or purchase=")
    source = ClickSource(
        attribution=attribution,
        token=token,
        request=request,
        user=user,
        business=business,
        order=purchase if order is None else order,
    )
    paid = outbox.PaidOrder(order, purchase)

    def record() -> None:
        refuse_async("order_completed.send()", "await order_completed.asend(...)")
        row = outbox.record_order(paid, source, using=using, problem=problem)
        if row.reason == Reason.INVALID and not row.order_id:
            # No search by its number would find the row.
            logger.error("order_without_id order_id=%s row=%s", paid.log_name(), row.pk)

    guarded(
        "order_not_recorded",
        record,
        name=paid.log_name,
        savepoint="inside",
        using=using,
        strict=Exception,
    )


def on_order_cancelled(
    sender: object,
    *,
    order_id: Any = None,
    business: str | None = None,
    using: str | None = None,
    signal: object = None,
    **unknown: object,
) -> None:
    """Stop the order if it is not sent yet. Raises as `on_order_completed` does."""

    def cancel() -> None:
        refuse_async("order_cancelled.send()", "await order_cancelled.asend(...)")
        if unknown:
            raise _unknown_argument("order_cancelled", unknown)
        outbox.cancel(order_id, business=business, using=using)

    guarded(
        "order_not_cancelled",
        cancel,
        name=lambda: plain_id(order_id),
        savepoint="inside",
        using=using,
        strict=Exception,
    )


def on_content_viewed(
    sender: object,
    *,
    request: HttpRequest | None = None,
    view: ViewContent | None = None,
    signal: object = None,
    **unknown: object,
) -> None:
    """Record the view of a visitor with a click. Raises under STRICT, likewise."""

    def record() -> None:
        refuse_async("content_viewed.send()", "await content_viewed.asend(...)")
        if unknown:
            raise _unknown_argument("content_viewed", unknown)
        if request is None or view is None:
            raise InvalidEvent("content_viewed", "needs request= and view=")
        if may_have_landed(request):
            outbox.record_view(view, ClickSource(request=request))

    guarded("view_not_recorded", record, savepoint="inside", strict=Exception)


def _unknown_argument(signal: str, unknown: Mapping[str, object]) -> InvalidEvent:
    return InvalidEvent(signal, f"has no argument {', '.join(sorted(unknown))}")
