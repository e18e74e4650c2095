"""How a click reaches an order that is completed without the visitor's request.

`bind_order` notes the click under the order's id. `make_token` returns the click as a
text that a payment provider carries and gives back.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Final

from asgiref.sync import sync_to_async
from django.db import connections, router
from django.utils import timezone

from ..api.values import id_text, plain_id, safe_id
from ..exceptions import InvalidEvent
from ..guard import guarded, refuse_async
from ..models import Attribution, Conversion, OrderAttribution, key_of, row_of
from .capture import current_click
from .clicks import attach_late_click
from .cookie import read_id, sign_id
from .session import erased_key

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest

# A token is 45 characters of [A-Za-z0-9_-], which fit any provider's metadata.
_SALT: Final = "connectly_tracking.attribution.token"


def bind_order(
    request: HttpRequest, order_id: str | int | UUID
) -> OrderAttribution | None:
    """Bind an order to the visitor's click. Call this where the order is placed.

    The webhook, task or command that completes the order then needs no request. An
    order that is completed already, without a click, gets this one. Do not call it if
    an employee orders for a customer: it would bind the employee's click.

    Returns the binding, or None if the visitor has no click. Never raises, except under
    STRICT: InvalidEvent for a wrong ``order_id``, and SynchronousOnlyOperation in async
    code.
    """
    return guarded(
        "order_not_bound",
        lambda: _bind(request, order_id),
        name=lambda: plain_id(order_id),
    )


async def abind_order(
    request: HttpRequest, order_id: str | int | UUID
) -> OrderAttribution | None:
    """As `bind_order`, for async code."""
    return await sync_to_async(bind_order)(request, order_id)


def binding_of(
    order_id: str, business: str | None, held: UUID | None
) -> tuple[OrderAttribution | None, bool]:
    """Return the order's last binding, and whether the ``held`` click was erased.

    One query. The binding's click may have no row, or no row yet.
    """
    its_erased_key = erased_key(held) if held else None
    keys = [key_of(order_id), *([its_erased_key] if its_erased_key else [])]
    using = router.db_for_write(OrderAttribution)
    with connections[using].cursor() as cursor:
        cursor.execute(_select(using, len(keys)), keys)
        rows = cursor.fetchall()
    last, is_erased, end = None, False, len(OrderAttribution._meta.concrete_fields)
    for row in rows:
        binding = row_of(OrderAttribution, row[:end], using=using)
        if binding.key == its_erased_key:
            is_erased = True
        elif last is None and business in (None, binding.business):
            last, has_click = binding, row[end] is not None
            click = row_of(Attribution, row[end:], using=using) if has_click else None
            OrderAttribution.attribution.field.set_cached_value(last, click)
    return last, is_erased


def make_token(request: HttpRequest) -> str:
    """Return the visitor's click as a token, for an order that does not exist yet.

    Pass it to the payment provider, and what comes back to ``order_completed`` as
    ``token=``. It is ``""`` without a click. Never raises.
    """
    return guarded("token_not_made", lambda: _make_token(request)) or ""


async def amake_token(request: HttpRequest) -> str:
    """As `make_token`, for async code."""
    return await sync_to_async(make_token)(request)


def write_token(click_id: UUID) -> str:
    """Return the token of a click: 45 characters of ``[A-Za-z0-9_-]``."""
    return sign_id(click_id, salt=_SALT)


def read_token(token: object) -> UUID | None:
    """Return the click's id; None for ``""``. Raises InvalidEvent for a bad token."""
    if not isinstance(token, str):
        raise InvalidEvent("token", "must be a string that make_token() returned")
    if not token:
        return None
    with suppress(ValueError):  # not ASCII, or not base64: of another version
        return read_id(token, salt=_SALT)
    raise InvalidEvent(
        "token",
        "was changed, cut or signed with another SECRET_KEY; pass it exactly as "
        "make_token() returned it",
    )


@cache
def _select(using: str, keys: int) -> str:
    """The SQL that reads the bindings of so many keys, the last first."""
    found = OrderAttribution.with_erased.using(using).filter(key__in=range(keys))
    # An outer join: a click that waits for consent has no row yet.
    query = found.select_related("attribution").order_by("-bound_at").query
    sql: str = query.get_compiler(using).as_sql()[0]
    return sql


def _make_token(request: HttpRequest) -> str:
    refuse_async("make_token()", "await amake_token(...)")
    click = current_click(request, at=timezone.now())
    return "" if click is None else write_token(click.pk)


def _bind(request: HttpRequest, order_id: object) -> OrderAttribution | None:
    refuse_async("bind_order()", "await abind_order(...)")
    text = id_text(order_id)
    if not text or len(text) > 128:
        raise InvalidEvent("order_id", "must be an order id, as passed to Purchase")
    click = current_click(request, at=timezone.now())
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
    attach_late_click(Conversion.objects.all().of_order(text), click)
    return binding
