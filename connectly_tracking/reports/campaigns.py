"""What each campaign earned: clicks, orders, money, and what was not reported."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from django.db import connections
from django.db.models import Count, Exists, F, OuterRef, Q, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThan
from django.utils import timezone

from ..models import (
    AWAITING_CLICK,
    WAITING,
    Attribution,
    CampaignName,
    Conversion,
    EventName,
    Reason,
    State,
    moment,
)
from .expressions import (
    Delay,
    ExactSum,
    LocalDay,
    SecondsBetween,
    Unindexed,
    clicks_by_id,
    not_compiled,
    sum_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

    from ..models import ConversionQuerySet

    Money = dict[str, Decimal]

By = Literal["campaign", "ad", "day", "page", "business"]
#: For these the order has a click, but the click earns nothing.
NOT_CREDITED: Final = (
    *AWAITING_CLICK,
    Reason.CONSENT_REFUSED,
    Reason.CONSENT_WITHDRAWN,
    Reason.INVALID,
)
#: Meta shows a purchase in Ads Manager up to so long after the click.
SHOWN_FOR: Final = timedelta(days=7)

#: The figures of the report that are orders, as conditions on the orders with a click.
FIGURES: Final[dict[str, Q]] = {
    "orders": Q(cancelled_at=None) & ~Q(reason__in=NOT_CREDITED),
    "confirmed": Q(state=State.DELIVERED),
    "waiting": Q(state__in=WAITING),
    "unreported": Q(state__in=(State.REJECTED, State.EXPIRED, State.SKIPPED)),
}

_BUYERS: Final = Count("attribution_id", distinct=True)

COUNTED: Final = (
    "clicks",
    "orders",
    "confirmed",
    "waiting",
    "buyers",
    "repeats",
    "too_late_for_meta",
)


@dataclass(slots=True, kw_only=True)
class CampaignRow:
    """A line of the report.

    ``key`` is the campaign's or ad's id, the day in ISO form, the path of the landing
    page or the business; it is empty if the link lacked the id, or the page is not
    known. ``name`` is that of the campaign or ad, empty if it has none.

    ``clicks`` are those of the period, ``orders`` those placed in it whose click counts
    and that were not cancelled; ``revenue`` is theirs by currency. ``unreported`` has
    the orders by the code of the reason, also those whose click does not count.
    """

    key: str
    name: str = ""
    clicks: int = 0
    orders: int = 0
    revenue: Money = field(default_factory=dict)
    confirmed: int = 0
    waiting: int = 0
    unreported: dict[str, tuple[int, Money]] = field(default_factory=dict)
    #: What Connectly counted before the click: sent, delivered, read, link_clicks.
    upstream: dict[str, int] = field(default_factory=dict)
    #: How many of the orders are in each currency, for the average.
    paid: Counter[str] = field(default_factory=Counter)
    # The others are only for the page.
    #: Clicks that brought at least one of the orders.
    buyers: int = 0
    #: Orders of a customer who had bought before.
    repeats: int = 0
    #: Orders whose click was more than 7 days old: Ads Manager will not show them.
    too_late_for_meta: int = 0
    #: How many orders came how many seconds after their click, rounded down.
    delays: Counter[int] = field(default_factory=Counter)

    @property
    def rate(self) -> float | None:
        """The share of the clicks that brought an order."""
        return self.buyers / self.clicks if self.clicks else None

    @property
    def median(self) -> timedelta | None:
        """The median time from the click to the order: minutes, hours or days."""
        half, seen = (self.orders + 1) // 2, 0
        for seconds in sorted(self.delays):
            seen += self.delays[seconds]
            if seen >= half:
                return timedelta(seconds=seconds)
        return None

    def add(self, found: dict[str, Any]) -> None:
        """Count orders that the database has grouped."""
        count, currency = found["count"], found["currency"]
        amount = sum_of(found["amount"]) if found["amount"] is not None else None
        money = {} if amount is None or not currency else {currency: amount}
        is_credited = found["reason"] not in NOT_CREDITED
        if is_credited and not found["is_cancelled"]:
            self.orders += count
            self.revenue = added(self.revenue, money)
            self.paid.update(dict.fromkeys(money, count))
            if "delay" in found:
                self.repeats += count if found["is_repeat"] else 0
                self.delays[max(found["delay"], 0)] += count
                self.too_late_for_meta += count if found["is_late"] else 0
        if found["state"] == State.DELIVERED:
            self.confirmed += count
        elif found["state"] in WAITING:
            self.waiting += count
        else:
            before, earlier = self.unreported.get(found["reason"], (0, {}))
            self.unreported[found["reason"]] = before + count, added(earlier, money)


def total(rows: Iterable[CampaignRow]) -> CampaignRow:
    """Return one row that has the sums of these."""
    whole = CampaignRow(key="")
    for row in rows:
        for name in COUNTED:
            setattr(whole, name, getattr(whole, name) + getattr(row, name))
        whole.revenue = added(whole.revenue, row.revenue)
        whole.delays += row.delays
        whole.paid += row.paid
        for reason, (count, money) in row.unreported.items():
            before, earlier = whole.unreported.get(reason, (0, {}))
            whole.unreported[reason] = before + count, added(earlier, money)
        for name, count in row.upstream.items():
            whole.upstream[name] = whole.upstream.get(name, 0) + count
    return whole


def added(money: Money, more: Money) -> Money:
    """Return the sum of each currency; amounts of two currencies are never added."""
    return money | {code: money.get(code, Decimal(0)) + more[code] for code in more}


def campaigns(
    since: datetime,
    until: datetime,
    *,
    by: By = "campaign",
    business: str | None = None,
) -> list[CampaignRow]:
    """Return what the clicks of a period brought, a row for each campaign.

    The period begins at ``since`` and ends before ``until``. A click counts when it was
    made, an order when it was placed. ``by`` may be campaign, ad, day, page (on which
    the customer landed) or business; days are those of the default time zone, and come
    in order, all others by the number of orders. ``business`` chooses one business.

    An order counts for the campaign of the click that it is credited to. Raises
    ValueError for a period or a ``by`` that is not valid.
    """
    return CampaignReport(since, until, business=business).rows(by)


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """The orders and clicks of a period, perhaps of one business or one campaign."""

    since: datetime
    until: datetime
    business: str | None = None
    campaign: str | None = None

    def __post_init__(self) -> None:
        for name, at in (("since", self.since), ("until", self.until)):
            if not isinstance(at, datetime):
                raise ValueError(f"{name} must be a datetime, not {type(at).__name__}")
            if timezone.is_naive(at):
                raise ValueError(f"{name} must be an aware datetime, with a time zone")
        if self.until < self.since:
            raise ValueError("until must not be earlier than since")

    @property
    def before(self) -> CampaignReport:
        """The period that is as long and ends where this one begins."""
        length = self.until - self.since
        return CampaignReport(
            self.since - length, self.since, self.business, self.campaign
        )

    def rows(
        self, by: str = "campaign", *, detailed: bool = False
    ) -> list[CampaignRow]:
        """As `campaigns`: three statements, or four with all figures of the rows."""
        if by not in get_args(By):
            raise ValueError(f"by must be one of {', '.join(get_args(By))}, not {by!r}")
        rows = dict[str, CampaignRow]()
        for key, clicks in self._clicks(by):
            _row(rows, str(key)).clicks = clicks
        orders = self.orders()
        groups = grouped(orders, by=self._key(by, "event_time"), detailed=detailed)
        with not_compiled(orders.db) if detailed else nullcontext():
            for found in groups:
                _row(rows, str(found["group"])).add(found)
        for key, buyers in self._buyers(by, orders) if detailed else ():
            _row(rows, str(key)).buyers = buyers
        if by in CampaignName.Kind:
            for known in CampaignName.objects.filter(kind=by):
                if row := rows.get(known.pk):
                    row.name, row.upstream = known.name, known.upstream
        if by == "day":
            return sorted(rows.values(), key=lambda row: row.key)
        return sorted(
            rows.values(), key=lambda row: (-row.orders, -row.clicks, row.key)
        )

    def days(self) -> dict[str, CampaignRow]:
        """Return the orders of each day, also of the period before. One statement."""
        both = CampaignReport(
            self.before.since, self.until, self.business, self.campaign
        )
        rows = dict[str, CampaignRow]()
        for found in grouped(both.orders(), by=both._key("day", "event_time")):
            _row(rows, str(found["group"])).add(found)
        return rows

    def clicks(self) -> QuerySet[Attribution]:
        clicks = Attribution.objects.filter(**self._within("captured_at"))
        return clicks.filter(**self._choice).order_by()

    def buyers(self) -> int:
        """Count the clicks that brought at least one of the orders."""
        buyers = self.orders().filter(FIGURES["orders"])
        count: int = buyers.aggregate(count=_BUYERS)["count"]
        return count

    def orders(self) -> ConversionQuerySet:
        orders = Conversion.objects.filter(**self._within("event_time"))
        return with_click(orders.filter(**self._choice))

    def _within(self, column: str) -> dict[str, datetime]:
        begins, ends = self._moments
        return {f"{column}__gte": begins, f"{column}__lt": ends}

    @property
    def _moments(self) -> tuple[datetime, datetime]:
        """As the database has them."""
        return moment(self.since.timestamp()), moment(self.until.timestamp())

    @property
    def _choice(self) -> dict[str, str]:
        chosen = {"business": self.business, "sendout_id": self.campaign}
        return {name: value for name, value in chosen.items() if value is not None}

    def _key(self, by: str, column: str) -> Any:
        match by:
            case "campaign":
                return F("sendout_id")
            case "ad":
                return F("ad_id")
            case "business":
                return F("business")
            case "page" if column == "captured_at":
                return F("page")
            case "page":
                # A click that was deleted took its page along.
                return Coalesce(F("attribution__page"), Value(""))
        zone = timezone.get_default_timezone()
        return LocalDay(column, zone, self.since, self.until)

    def _clicks(self, by: str) -> Iterable[tuple[str, int]]:
        clicks = self.clicks()
        connection = connections[clicks.db]
        column = {"campaign": "sendout_id", "ad": "ad_id"}.get(by)
        if connection.vendor == "sqlite" and column and not self._choice:
            return clicks_by_id(connection, column, *self._moments)
        grouped = clicks.values(group=self._key(by, "captured_at"))
        return grouped.annotate(count=Count("*")).values_list("group", "count")

    def _buyers(self, by: str, orders: ConversionQuerySet) -> Iterable[tuple[str, int]]:
        buyers = orders.filter(FIGURES["orders"]).values(
            group=self._key(by, "event_time")
        )
        return buyers.annotate(count=_BUYERS).values_list("group", "count")


def with_click(rows: ConversionQuerySet) -> ConversionQuerySet:
    """The purchases whose click is known, whether or not it counts."""
    return rows.filter(
        event_name=EventName.PURCHASE, clicked_at__isnull=False
    ).order_by()


def clicked_late(rows: ConversionQuerySet) -> ConversionQuerySet:
    """Those that were placed more than 7 days after their click."""
    seconds = SecondsBetween("clicked_at", "event_time")
    limit = SHOWN_FOR // timedelta(seconds=1)
    return rows.alias(seconds=seconds).filter(seconds__gt=limit)


def repeated(rows: ConversionQuerySet) -> ConversionQuerySet:
    """Those of customers who had bought before."""
    return rows.filter(_has_bought_before())


def grouped(
    orders: ConversionQuerySet, *, by: Any, detailed: bool = False
) -> QuerySet[Conversion, dict[str, Any]]:
    """Count and add up orders by what `CampaignRow.add` tells apart."""
    parts: dict[str, Any] = {"is_cancelled": Q(cancelled_at__isnull=False)}
    sums: dict[str, Any] = {"count": Count("pk"), "amount": ExactSum("value")}
    if detailed:
        seconds = SecondsBetween("clicked_at", "event_time")
        parts["is_late"] = GreaterThan(seconds, SHOWN_FOR.total_seconds())
        parts["delay"] = Delay("clicked_at", "event_time")
        # A part, not a filtered sum: SQLite would look back once it has sorted the
        # orders, and no two of them would be close to each other.
        parts["is_repeat"] = _has_bought_before()
    found: Any = orders.values("state", "reason", "currency", group=by, **parts)
    groups: QuerySet[Conversion, dict[str, Any]] = found.annotate(**sums)
    return groups


def _has_bought_before() -> Q:
    """By the same click, or by another of the same user.

    Nested, since a join would make some databases read all clicks.
    """
    purchases = Conversion.objects.annotate(
        placed=Unindexed("event_time"), name=Unindexed("event_name")
    ).filter(name=EventName.PURCHASE, cancelled_at=None)
    same_click = purchases.filter(
        placed__lt=OuterRef("event_time"), attribution=OuterRef("attribution")
    )
    other_click = purchases.filter(
        placed__lt=OuterRef(OuterRef(OuterRef("event_time"))),
        attribution=OuterRef("pk"),
    )
    others = Attribution.objects.filter(Exists(other_click), user=OuterRef("user"))
    own = Attribution.objects.filter(pk=OuterRef("attribution"))
    return Q(Exists(same_click)) | Q(
        Exists(own.filter(Exists(others), user__isnull=False))
    )


def _row(rows: dict[str, CampaignRow], key: str) -> CampaignRow:
    if (row := rows.get(key)) is None:
        row = rows[key] = CampaignRow(key=key)
    return row
