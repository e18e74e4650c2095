"""The doorman: takes the shop's signals in, and keeps every trouble from the shop."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router

from . import attribution, outbox
from .api.values import safe_id
from .conf import conf
from .exceptions import InvalidEvent
from .models import Conversion, Reason
from .signals import content_viewed, order_cancelled, order_completed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.http import HttpRequest

    from .events import Purchase, ViewContent

logger = logging.getLogger(__name__)


def connect() -> None:
    order_completed.connect(on_order_completed, dispatch_uid=f"{__name__}.order")
    order_cancelled.connect(on_order_cancelled, dispatch_uid=f"{__name__}.cancelled")
    content_viewed.connect(on_content_viewed, dispatch_uid=f"{__name__}.viewed")
    user_logged_in.connect(on_user_logged_in, dispatch_uid=f"{__name__}.login")


def on_user_logged_in(
    *, user: Any, request: HttpRequest | None = None, **_: Any
) -> None:
    if request is not None:
        attribution.attach(request, user)


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
    """Record the order.

    Raises under STRICT, and where the database has ended the order's own transaction
    (a deadlock): to swallow that would let the shop believe that the order exists.
    """
    source = outbox.Source(
        attribution=attribution,
        token=token,
        request=request,
        user=user,
        business=business,
        order=purchase if order is None else order,
    )
    event: Any = purchase

    def make() -> Any:
        nonlocal event
        if event is None and order is not None:
            event = _adapted(order)
        return event

    def name() -> str:
        return safe_id(getattr(event, "order_id", None)) or f"pk:{_pk(order)}"

    with _kept_from_the_shop("order_not_recorded", name, using):
        fault = _fault(order, purchase, unknown)
        row = outbox.record_made(make, source, using=using, fault=fault)
        if row.reason == Reason.INVALID and not row.order_id:
            # Nobody would find it by its number.
            logger.error("order_without_id order_id=%s row=%s", name(), row.pk)


def on_order_cancelled(
    sender: object,
    *,
    order_id: Any = None,
    business: str | None = None,
    using: str | None = None,
    signal: object = None,
    **unknown: object,
) -> None:
    """Stop what has not been sent. Raises as `on_order_completed` does."""
    with _kept_from_the_shop("order_not_cancelled", lambda: safe_id(order_id), using):
        if unknown:
            names = ", ".join(sorted(unknown))
            raise InvalidEvent("order_cancelled", f"has no argument {names}")
        outbox.cancel(order_id, business=business, using=using)


def on_content_viewed(
    sender: object,
    *,
    request: HttpRequest | None = None,
    view: ViewContent | None = None,
    signal: object = None,
    **unknown: object,
) -> None:
    """Record the view of an attributed visitor. Raises only under STRICT."""
    with _kept_from_the_shop("view_not_recorded", lambda: "", None):
        if unknown:
            names = ", ".join(sorted(unknown))
            raise InvalidEvent("content_viewed", f"has no argument {names}")
        if request is None or view is None:
            raise InvalidEvent("content_viewed", "needs request= and view=")
        if _may_have_landed(request):
            outbox.record_view(view, outbox.Source(request=request))


def _may_have_landed(request: HttpRequest) -> bool:
    """A stranger has no cookie, and his page must not come to vary by it; nor has who
    landed on this very page, but there the session has just been written.
    """
    is_written = getattr(getattr(request, "session", None), "modified", False)
    if is_written and not attribution.is_prefetch(request):
        return True
    return settings.SESSION_COOKIE_NAME in request.COOKIES


@contextmanager
def _kept_from_the_shop(
    what: str, name: Callable[[], str], using: str | None
) -> Iterator[None]:
    """Every trouble is ours to keep, but for the two that the receivers speak of."""
    was_whole = not _is_doomed(using)
    try:
        yield
    except Exception as exc:
        if conf.is_strict() and not isinstance(exc, DatabaseError):
            raise
        if was_whole and _is_doomed(using):
            raise  # the database has ended the order's transaction: nothing was kept
        # The order stands; what is said here is what a backfill needs. Not the error's
        # own words, since a database may quote values in them; a setting's may stand.
        error = type(exc).__name__
        if isinstance(exc, ImproperlyConfigured):
            error = f"{error}: {exc}"
        logger.error("%s order_id=%s error=%s", what, name(), error)
        logger.debug("%s order_id=%s", what, name(), exc_info=True)


def _fault(
    order: object, purchase: object, unknown: dict[str, object]
) -> InvalidEvent | None:
    if unknown:
        names = ", ".join(sorted(unknown))
        return InvalidEvent("order_completed", f"has no argument {names}")
    if (order is None) == (purchase is None):
        return InvalidEvent("order_completed", "needs either order= or purchase=")
    return None


def _adapted(order: object) -> object:
    adapter = conf.ORDER_ADAPTER
    if adapter is None:
        raise ImproperlyConfigured(
            "CONNECTLY_TRACKING['ORDER_ADAPTER'] is missing; name a function that "
            "makes a Purchase of an order, or send purchase= instead of order=."
        )
    return adapter(order)


def _is_doomed(using: str | None) -> bool:
    """Whether the transaction we were called in can only be rolled back."""
    alias = using or router.db_for_write(Conversion)
    if alias not in connections:
        return False
    connection = connections[alias]
    return connection.in_atomic_block and connection.needs_rollback


def _pk(order: object) -> str:
    return safe_id(getattr(order, "pk", None)) or "none"
