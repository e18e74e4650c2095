"""Signal receivers. An error of ours never reaches the shop."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import DatabaseError, connections, router

from . import outbox
from .api.values import safe_id
from .attribution import ClickSource, attach_user, is_prefetch, refuse_async
from .conf import conf
from .exceptions import InvalidEvent
from .models import Conversion, Reason
from .signals import content_viewed, order_cancelled, order_completed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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
    """Record the order.

    Raises under STRICT, and if the database has ended the order's own transaction (a
    deadlock): otherwise the shop would believe that the order exists.
    """
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
    with _errors_kept_from_shop("order_not_recorded", paid.log_name, using):
        refuse_async("order_completed.send()", "await order_completed.asend(...)")
        row = outbox.record_order(paid, source, using=using, problem=problem)
        if row.reason == Reason.INVALID and not row.order_id:
            # No search by its number would find the row.
            logger.error("order_without_id order_id=%s row=%s", paid.log_name(), row.pk)


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
    name = partial(safe_id, order_id)
    with _errors_kept_from_shop("order_not_cancelled", name, using):
        refuse_async("order_cancelled.send()", "await order_cancelled.asend(...)")
        if unknown:
            raise _unknown_argument("order_cancelled", unknown)
        outbox.cancel(order_id, business=business, using=using)


def on_content_viewed(
    sender: object,
    *,
    request: HttpRequest | None = None,
    view: ViewContent | None = None,
    signal: object = None,
    **unknown: object,
) -> None:
    """Record the view of a visitor with a click. Raises only under STRICT."""
    with _errors_kept_from_shop("view_not_recorded", str, None):
        refuse_async("content_viewed.send()", "await content_viewed.asend(...)")
        if unknown:
            raise _unknown_argument("content_viewed", unknown)
        if request is None or view is None:
            raise InvalidEvent("content_viewed", "needs request= and view=")
        if _may_have_landed(request):
            outbox.record_view(view, ClickSource(request=request))


def _unknown_argument(signal: str, unknown: Mapping[str, object]) -> InvalidEvent:
    return InvalidEvent(signal, f"has no argument {', '.join(sorted(unknown))}")


def _may_have_landed(request: HttpRequest) -> bool:
    """Whether the session may be read: the page of a visitor without one must not come
    to vary by cookie. On the landing page itself the session has just been written.
    """
    is_written = getattr(getattr(request, "session", None), "modified", False)
    if is_written and not is_prefetch(request):
        return True
    return settings.SESSION_COOKIE_NAME in request.COOKIES


@contextmanager
def _errors_kept_from_shop(
    event: str, name: Callable[[], str], using: str | None
) -> Iterator[None]:
    """Log any error instead of raising it, except in the two cases of
    `on_order_completed`. ``name`` is only called for the log line.
    """
    was_intact = not _must_roll_back(using)
    try:
        yield
    except Exception as exc:
        if conf.is_strict() and not isinstance(exc, DatabaseError):
            raise
        if was_intact and _must_roll_back(using):
            raise  # the database has ended the order's transaction: nothing was kept
        # A backfill needs this line. Not the message, in which a database may quote
        # values; that of a wrong setting or a call in async code is safe.
        error = type(exc).__name__
        if isinstance(exc, (ImproperlyConfigured, SynchronousOnlyOperation)):
            error = f"{error}: {exc}"
        logger.error("%s order_id=%s error=%s", event, name(), error)
        logger.debug("%s order_id=%s", event, name(), exc_info=True)


def _must_roll_back(using: str | None) -> bool:
    """Whether the caller's transaction can only be rolled back."""
    alias = using or router.db_for_write(Conversion)
    if alias not in connections:
        return False
    connection = connections[alias]
    return connection.in_atomic_block and connection.needs_rollback
