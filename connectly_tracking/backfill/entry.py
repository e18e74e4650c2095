"""One order on its way to its row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.utils import timezone

from ..api.values import legible, text_of, unix_time
from ..attribution import ClickSource
from ..attribution.clicks import resolve_business
from ..events import Purchase
from ..exceptions import InvalidEvent
from ..models import Conversion, key_of
from ..outbox import PaidOrder
from .line import Line

if TYPE_CHECKING:
    from ..models import Attribution


class Entry(PaidOrder):
    """An order, or a line of a file. ``before``: its rows' states until now.

    ``fault`` is what the order cannot be reported for, whatever else it says;
    ``failure`` why it cannot even be recorded.
    """

    def __init__(self, order: Any, using: str) -> None:
        super().__init__(order, order if isinstance(order, Purchase) else None)
        self.before: dict[int, str] = {}
        self.failure: Exception | None = None
        self.line = order if isinstance(order, Line) else None
        self.fault: InvalidEvent | None = self.line.fault if self.line else None
        self._using = using
        try:
            self._read()
        except Exception as exc:  # noqa: BLE001 - told in its turn
            self.failure = exc

    @property
    def name(self) -> str:
        """The order's id; where there is none to be had, its primary key."""
        order_id = legible(getattr(self.purchase, "order_id", None))
        if self.line is not None:
            return f"{order_id} (line {self.line.number})".strip()
        return order_id or f"pk:{legible(getattr(self.order, 'pk', None)) or 'none'}"

    @property
    def ids(self) -> tuple[str, str]:
        """The key of the order's row, and its id as the table shows it."""
        given = getattr(self.purchase, "order_id", None)
        return key_of(text_of(given) or ""), legible(given)

    @property
    def placed_at(self) -> float:
        """Unix seconds; 0 for what is no time, since recording says so in words."""
        try:
            return unix_time(
                getattr(self.purchase, "event_time", None),
                now=datetime.now(UTC),
                zone=timezone.get_current_timezone(),
            )
        except InvalidEvent:
            return 0

    def source(self, business: str | None) -> ClickSource:
        """Where its click is looked for."""
        if self.line is None:
            user = _user_of(self.order)
            return ClickSource(order=self.order, user=user, business=business)
        return ClickSource(
            attribution=self._click(business),
            order=self.purchase,
            user=self.line.customer,
            business=business,
        )

    def make(self) -> Any:
        """Called inside the savepoint, after the write lock of SQLite."""
        rows = Conversion.objects.using(self._using).filter(order_id=self.ids[1])
        self.before = dict(rows.values_list("pk", "state"))
        return self.purchase

    def _read(self) -> None:
        if self.line is not None:
            self.purchase = self.line.purchase
            if self.line.failure:
                raise self.line.failure
        elif self.purchase is None:
            # The shop's code may query and fail, and may count on a transaction.
            with transaction.atomic(using=self._using):
                super().make()
        if not self.ids[1]:
            # Each run would make another row of it.
            raise InvalidEvent("order_id", "is missing")

    def _click(self, business: str | None) -> Attribution | None:
        if self.line is None or self.line.click is None:
            return None
        alias = business or resolve_business(None, self.purchase)
        return self.line.click.attribution(alias, self.placed_at)


def _user_of(order: Any) -> Any:
    """The customer, where the order has one under that name."""
    try:
        user = getattr(order, "user", None)
    except ObjectDoesNotExist:
        return None
    return user if hasattr(user, "is_authenticated") else None
