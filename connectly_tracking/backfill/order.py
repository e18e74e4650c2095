"""One order of a backfill, from the shop or from a file, and the rows that exist."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ObjectDoesNotExist
from django.db import connections, transaction
from django.db.models import QuerySet
from django.db.models.query import ModelIterable
from django.utils import timezone

from ..api.values import id_text, safe_id, unix_time
from ..attribution import ClickSource
from ..attribution.clicks import resolve_business
from ..events import Purchase
from ..exceptions import InvalidEvent
from ..models import Attribution, key_of, moment
from ..outbox import PaidOrder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..api.landing import Landing

CHUNK: Final = 500  # orders that are read, and looked up, at once

_NAMESPACE: Final = uuid.UUID("5b0c6a8e-6f5d-4f39-8d0b-3f6f2b1d9c57")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillOrder:
    """An order to record; ``event`` is its Purchase.

    ``problem`` says why it cannot be reported, ``failure`` why it cannot even be
    recorded. ``user``, ``click`` and ``clicked_at`` (Unix seconds; None: when the order
    was placed) come from a file, as do ``line``, its number from 1, and ``end``, the
    position after it in bytes.
    """

    event: Any = None
    order: Any = None
    user: Any = None
    click: Landing | None = None
    clicked_at: float | None = None
    line: int | None = None
    end: int = 0
    problem: InvalidEvent | None = None
    failure: Exception | None = None

    @property
    def key(self) -> str:
        return key_of(id_text(getattr(self.event, "order_id", None)) or "")

    @property
    def order_id(self) -> str:
        """As the table shows it; empty if the order has none."""
        return safe_id(getattr(self.event, "order_id", None))

    @property
    def name(self) -> str:
        """The order's id with the number of its line, or else its primary key."""
        if self.line is not None:
            return f"{self.order_id} (line {self.line})".strip()
        pk = safe_id(getattr(self.order, "pk", None)) or "none"
        return self.order_id or f"pk:{pk}"

    @property
    def placed_at(self) -> float:
        """Unix seconds; 0 if it is not a valid time, which recording reports."""
        try:
            return unix_time(
                getattr(self.event, "event_time", None),
                now=datetime.now(UTC),
                zone=timezone.get_default_timezone(),
            )
        except InvalidEvent:
            return 0

    def source(self, business: str | None) -> ClickSource:
        """Where to look for its click and its business."""
        return ClickSource(
            attribution=self._attribution(business),
            order=self.event if self.order is None else self.order,
            user=self.user or _customer(self.order),
            business=business,
        )

    def _attribution(self, business: str | None) -> Attribution | None:
        """The file's click, not yet stored: always the same row for the same values."""
        if self.click is None:
            return None
        alias = business or resolve_business(None, self.event)
        at = self.placed_at if self.clicked_at is None else self.clicked_at
        text = "\n".join([alias, str(at), *self.click.values])
        return Attribution.from_landing(
            self.click,
            id=uuid.uuid5(_NAMESPACE, text),
            business=alias,
            captured_at=moment(at),
        )


def read_order(order: Any, using: str) -> BackfillOrder:
    """Take a shop's order through ``ORDER_ADAPTER``; a Purchase is taken as it is.

    Never raises: an order that cannot be read has a ``failure``.
    """
    found = order if isinstance(order, BackfillOrder) else _from_shop(order, using)
    if found.failure is None and not found.order_id:
        # Each run would record it anew.
        return replace(found, failure=InvalidEvent("order_id", "is missing"))
    return found


def read_in_chunks(orders: Iterable[Any]) -> Iterator[Any]:
    """Iterate over the orders, of a queryset at most 500 at a time in memory."""
    if not isinstance(orders, QuerySet):
        return iter(orders)
    # Only PostgreSQL streams. Elsewhere the driver keeps the whole result in memory,
    # and an open query on SQLite blocks every other writer.
    if connections[orders.db].vendor == "postgresql":
        return orders.iterator(chunk_size=CHUNK)
    query = orders.query
    is_whole = not (query.is_sliced or query.combinator or query.distinct_fields)
    if is_whole and orders._iterable_class is ModelIterable:
        return _pages(orders)
    return iter(orders)


def _pages(orders: QuerySet[Any]) -> Iterator[Any]:
    # Up to the newest of now, or a slow run would never catch up with a busy shop.
    newest = orders.order_by("-pk").values_list("pk", flat=True).first()
    if newest is None:
        return
    ordered = orders.order_by("pk").filter(pk__lte=newest)
    page = list(ordered[:CHUNK])
    while page:
        yield from page
        page = list(ordered.filter(pk__gt=page[-1].pk)[:CHUNK])


def _from_shop(order: Any, using: str) -> BackfillOrder:
    if isinstance(order, Purchase):
        return BackfillOrder(event=order)
    try:
        # The shop's code may query and fail, and may count on a transaction.
        with transaction.atomic(using=using):
            return BackfillOrder(order=order, event=PaidOrder(order).make())
    except Exception as exc:  # noqa: BLE001 - counted and reported in its turn
        return BackfillOrder(order=order, failure=exc)


def _customer(order: Any) -> Any:
    """The order's ``user``, if it has one."""
    try:
        user = getattr(order, "user", None)
    except ObjectDoesNotExist:
        return None
    return user if hasattr(user, "is_authenticated") else None
