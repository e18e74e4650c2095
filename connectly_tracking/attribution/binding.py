"""Notes which click an order owes, before it is paid."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import connections, router
from django.utils import timezone

from ..api.values import id_text, safe_id
from ..conf import conf
from ..exceptions import InvalidEvent
from ..models import Conversion, OrderAttribution, key_of
from .capture import click_of
from .mending import mend
from .rows import savepoint

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest

logger = logging.getLogger(__name__)


def bind_order(
    request: HttpRequest, order_id: str | int | UUID
) -> OrderAttribution | None:
    """Bind an order to the visitor's click, where it is placed.

    Whoever completes it later, a webhook, a task, a command, needs no request then. An
    order that was completed already, and had no click, gets this one.

    Returns the binding, or None where the visitor has no click. Like the signals it
    raises nothing but InvalidEvent under STRICT, for an id that is none.
    """
    try:
        with savepoint():
            return _bind(request, order_id)
    except Exception as exc:
        if isinstance(exc, InvalidEvent) and conf.is_strict():
            raise
        error = type(exc).__name__
        logger.error("order_not_bound order_id=%s error=%s", safe_id(order_id), error)
        return None


def binding_of(order_id: str, business: str | None) -> OrderAttribution | None:
    """What an order was bound to last; the click may have no row (yet)."""
    bindings = OrderAttribution.objects.using(router.db_for_write(OrderAttribution))
    # Joined from the left: a click that waits for consent has no row yet.
    bindings = bindings.filter(key=key_of(order_id)).select_related("attribution")
    if business is not None:
        bindings = bindings.filter(business=business)
    return bindings.order_by("-bound_at").first()


def _bind(request: HttpRequest, order_id: object) -> OrderAttribution | None:
    text = id_text(order_id)
    if not text or len(text) > 128:
        raise InvalidEvent("order_id", "is no order's id; pass what Purchase is given")
    click = click_of(request, at=timezone.now())
    if click is None:
        return None
    using = router.db_for_write(OrderAttribution)
    by_target = connections[using].features.supports_update_conflicts_with_target
    binding = OrderAttribution(
        business=click.business,
        key=key_of(text),
        order_id=safe_id(text),
        attribution=click,
        bound_at=timezone.now(),
    )
    OrderAttribution.objects.using(using).bulk_create(
        [binding],
        update_conflicts=True,
        unique_fields=["key", "business"] if by_target else None,
        update_fields=["attribution", "bound_at"],
    )
    if not click._state.adding:  # not one that waits for consent
        mend(Conversion.objects.all().of_order(text), click)
    return binding
