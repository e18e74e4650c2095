"""One order on its way to its row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.db import transaction
from django.utils import timezone

from ..api.values import id_text, safe_id, unix_time
from ..attribution import business_of
from ..conf import conf
from ..events import Purchase
from ..exceptions import InvalidEvent
from ..models import Conversion, key_of
from ..outbox import Source
from .line import Line

if TYPE_CHECKING:
    from ..models import Attribution


class Entry:
    """An order, or a line of a file. ``before``: its rows' states until now.

    ``fault`` is what the order cannot be reported for, whatever else it says;
    ``failure`` why it cannot even be recorded.
    """

    def __init__(self, order: Any, using: str) -> None:
        self.order = order
        self.before: dict[int, str] = {}
        self.failure: Exception | None = None
        self.line = order if isinstance(order, Line) else None
        self.fault: InvalidEvent | None = self.line.fault if self.line else None
        self._event: Any = order if isinstance(order, Purchase) else None
        self._using = using
        try:
            self._read()
        except Exception as exc:  # noqa: BLE001 - told in its turn
            self.failure = exc

    @property
    def name(self) -> str:
        """The order's id; where there is none to be had, its primary key."""
        order_id = safe_id(getattr(self._event, "order_id", None))
        if self.line is not None:
            return f"{order_id} (line {self.line.number})".strip()
        return order_id or f"pk:{safe_id(getattr(self.order, 'pk', None)) or 'none'}"

    @property
    def ids(self) -> tuple[str, str]:
        """The key of the order's row, and its id as the table shows it."""
        given = getattr(self._event, "order_id", None)
        return key_of(id_text(given) or ""), safe_id(given)

    @property
    def placed_at(self) -> float:
        """Unix seconds; 0 for what is no time, since recording says so in words."""
        try:
            return unix_time(
                getattr(self._event, "event_time", None),
                now=datetime.now(UTC),
                zone=timezone.get_current_timezone(),
            )
        except InvalidEvent:
            return 0

    def source(self, business: str | None) -> Source:
        """Where its click is looked for."""
        if self.line is None:
            user = _user_of(self.order)
            return Source(order=self.order, user=user, business=business, quiet=True)
        return Source(
            attribution=self._click(business),
            order=self._event,
            user=self.line.customer,
            business=business,
            quiet=True,
        )

    def make(self) -> Any:
        """Called inside the savepoint, after the write lock of SQLite."""
        rows = Conversion.objects.using(self._using).filter(order_id=self.ids[1])
        self.before = dict(rows.values_list("pk", "state"))
        return self._event

    def _read(self) -> None:
        if self.line is not None:
            self._event = self.line.purchase
            if self.line.failure:
                raise self.line.failure
        elif self._event is None:
            # The shop's code may query and fail, and may count on a transaction.
            with transaction.atomic(using=self._using):
                self._event = _adapted(self.order)
        if not self.ids[1]:
            # Each run would make another row of it.
            raise InvalidEvent("order_id", "is missing")

    def _click(self, business: str | None) -> Attribution | None:
        if self.line is None or self.line.click is None:
            return None
        alias = business or business_of(None, self._event)
        return self.line.click.attribution(alias, self.placed_at)


def _user_of(order: Any) -> Any:
    """The customer, where the order has one under that name."""
    try:
        user = getattr(order, "user", None)
    except ObjectDoesNotExist:
        return None
    return user if hasattr(user, "is_authenticated") else None


def _adapted(order: object) -> object:
    adapter = conf.ORDER_ADAPTER
    if adapter is None:
        raise ImproperlyConfigured(
            "CONNECTLY_TRACKING['ORDER_ADAPTER'] is missing; name a function that "
            "makes a Purchase of an order, or yield Purchase objects."
        )
    return adapter(order)
