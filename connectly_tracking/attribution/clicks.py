"""Clicks as rows: stored, judged for an order, and attached to one that waits.

Anybody can open a tagged link, and any number of times: past a bound a click lives in
the session alone, which has its values, and its row is written at its first use: an
order, a binding, a token or a login.
"""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.db.models import Case, Q, SmallIntegerField, When
from django.utils import timezone

from ..api.landing import META_CTWA
from ..api.payload import fitted_body
from ..api.values import reading
from ..conf import DEFAULT_BUSINESS, conf
from ..exceptions import InvalidEvent
from ..guard import savepoint
from ..models import (
    Attribution,
    AttributionQuerySet,
    Conversion,
    Reason,
    State,
    insert_row,
)
from ..wakeup import wake

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.http import HttpRequest

    from ..models import ConversionQuerySet

#: A click may come this long after its order: clocks differ, and pages open late.
GRACE: Final = timedelta(minutes=5)

#: Rows a second that the landings of one process may write all day: a campaign brings
#: fewer.
RATE: Final = 60
#: Rows at once, after a quiet time.
BURST: Final = 2 * RATE
#: Rows of one session: nobody clicks on so many ads.
MAX_OF_SESSION: Final = 50
_LOG_INTERVAL: Final = 10.0  # seconds: a flood of landings must not be one of lines

logger = logging.getLogger(__name__)


def stored_clicks() -> AttributionQuerySet:
    """Return all rows, not from a replica: it may lack those of a minute ago."""
    return Attribution.objects.using(router.db_for_write(Attribution))


def store_click(click: Attribution) -> None:
    """Write the row by one INSERT, which does nothing if the row exists."""
    using = router.db_for_write(Attribution)
    with savepoint(using):
        insert_row(click, using=using)


def resolve_business(request: HttpRequest | None, order: Any = None) -> str:
    """Return the alias that BUSINESS_RESOLVER returns, or else ``default``."""
    resolver = conf.BUSINESS_RESOLVER
    return (resolver(request, order) if resolver else None) or DEFAULT_BUSINESS


def known_business(alias: object) -> str:
    """Return the alias if the settings have it. Raises InvalidEvent."""
    names = [*conf.BUSINESSES]  # not their keys, which a debug page would show
    with reading("business"):
        if isinstance(alias, str) and alias in names:
            return str(alias)
    known = ", ".join(names)
    raise InvalidEvent("business", f"must be one of those in the settings: {known}")


def why_not_credited(click: Attribution, ordered_at: datetime) -> Reason | None:
    """Return why the click cannot be credited for an order placed then, or None."""
    if click.attribution_source != META_CTWA:
        return Reason.OTHER_SOURCE
    if not click.reportable:
        return Reason.INCOMPLETE_CLICK
    if click.captured_at > _latest_click(ordered_at):
        return Reason.CLICK_AFTER_ORDER
    window = conf.ATTRIBUTION_WINDOW
    if window is not None and ordered_at - click.captured_at > window:
        return Reason.OUTSIDE_WINDOW
    return None


def user_key(value: object) -> Any:
    """Return a user's primary key in its own type; None if it cannot be one.

    The user of a stateless JWT has what the token says, mostly a string.
    """
    try:
        return get_user_model()._meta.pk.to_python(value)
    except ValidationError:
        return None


def _latest_click(ordered_at: datetime) -> datetime:
    """Return how late a click of an order placed then may be.

    Without time zones nobody knows which of two equal hours is meant, when summer time
    ends. The later one keeps the click.
    """
    latest = ordered_at + GRACE
    if timezone.is_aware(ordered_at):
        return latest
    zone = timezone.get_default_timezone()
    first, second = (
        ordered_at.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)
    )
    return latest + max(second - first, timedelta())


def best_click_of_user(
    user_id: Any, ordered_at: datetime, business: str | None = None
) -> Attribution | None:
    """Return the user's click to credit: the newest in the window, or the first.

    Without one, return another, which shows why not. ``business`` limits the clicks.
    """
    user_id = user_key(user_id)
    if user_id is None:
        return None  # an unsaved or deleted user: not a visitor without a user
    clicks, window = stored_clicks(), conf.ATTRIBUTION_WINDOW
    if business is not None:
        clicks = clicks.filter(business=business)
    too_early = Q(captured_at__lt=ordered_at - window) if window else Q(pk=None)
    rank = Case(
        When(captured_at__gt=_latest_click(ordered_at), then=3),
        When(too_early, then=2),
        When(reportable=False, then=1),
        default=0,
        output_field=SmallIntegerField(),
    )
    newest_or_first = {"last": "-captured_at", "first": "captured_at"}
    return (
        clicks.filter(user_id=user_id)
        .annotate(_rank=rank)
        .order_by("_rank", newest_or_first[conf.ATTRIBUTION_TOUCH])
        .first()
    )


def attach_late_click(rows: ConversionQuerySet, click: Attribution) -> None:
    """Give the click to those of these orders that wait for one.

    They become pending, or say from now on why this click cannot be credited, or wait
    for the visitor's answer, without which a click has no row.
    """
    if click.business not in conf.BUSINESSES:
        return  # its orders could never be sent
    using, is_due = router.db_for_write(Conversion), False
    with transaction.atomic(using=using):
        for row in rows.using(using).awaiting_click().locked(skip=False):
            if row.event_time is not None and _may_join(row, click, using):
                if click._state.adding:
                    _await_answer(row, click)
                else:
                    _attach(row, click, row.event_time)
                row.save()
                is_due |= row.state == State.PENDING
        if is_due and not conf.HOLD:
            transaction.on_commit(wake, using=using)


def _may_join(row: Conversion, click: Attribution, using: str) -> bool:
    """Whether the order may become one of the click's business."""
    if row.business == click.business:
        return True
    # Behind another host it is the same order, unless the click's business has its own.
    own = Conversion.objects.using(using).filter(
        event_name=row.event_name, business=click.business, key=row.key
    )
    if own.exists():
        return False
    if row.business == DEFAULT_BUSINESS:
        return True
    # The shop may have named it: then that is another order of the same number.
    logger.warning(
        "late_click_not_attached order_id=%s row=%s business=%s click=%s "
        "click_business=%s",
        row.order_id,
        row.pk,
        row.business,
        click.pk,
        click.business,
    )
    return False


def _await_answer(row: Conversion, click: Attribution) -> None:
    """Nothing of the click is copied yet, and nothing of another one stays."""
    row.business, row.attribution_id = click.business, click.pk
    row.reason = Reason.CONSENT_PENDING
    row.sendout_id = row.ad_id = row.currency = ""
    row.clicked_at = row.attribution_window = row.value = None


def _attach(row: Conversion, click: Attribution, ordered_at: datetime) -> None:
    row.credit(click)
    row.business = click.business
    details = json.loads(row.payload, parse_float=Decimal, parse_int=Decimal)
    row.value, row.currency = details.get("value"), details.get("currency", "")
    if reason := why_not_credited(click, ordered_at):
        row.reason = reason
        return
    try:
        row.body, notes = fitted_body(row.event_name, row.payload, click.landing)
    except InvalidEvent as exc:
        row.reason, row.detail = Reason.INVALID, str(exc)
        return
    row.payload, row.detail = "", " ".join([row.detail, *notes]).strip()
    row.schedule()


class RowBound:
    """A token bucket. ``clock`` never goes back.

    Without a lock: two threads may take the same token, and one row more is no harm.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget all landings, as a new process would."""
        self._tokens, self._filled_at = float(BURST), self.clock()
        self._logged_at = float("-inf")

    def may_write(self, *, written: int) -> bool:
        """Whether a landing may write its row now; if so, it counts.

        ``written`` is the number of rows that landings of this session have written.
        """
        if written >= MAX_OF_SESSION:
            return self._refused("session")
        now = self.clock()
        gained = (now - self._filled_at) * RATE
        self._tokens, self._filled_at = min(self._tokens + gained, BURST), now
        if self._tokens < 1:
            return self._refused("process")
        self._tokens -= 1
        return True

    def _refused(self, bound: str) -> bool:
        now = self.clock()
        if now - self._logged_at >= _LOG_INTERVAL:
            self._logged_at = now
            logger.warning("landing_without_row bound=%s", bound)
        return False


landing_rows: Final = RowBound()
