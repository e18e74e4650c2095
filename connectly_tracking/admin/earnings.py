"""The campaign report as the page and the CSV file show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Final

from django.utils.dateparse import parse_date
from django.utils.formats import date_format, number_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..api.values import amount_text
from ..models import UPSTREAM, Reason
from ..reports.campaigns import CampaignRow, total
from .display import ad_id, campaign_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from django_stubs_ext import StrOrPromise

    from .campaigns import Question

#: The currencies of ISO 4217 that have more than two places.
_MORE_PLACES: Final = {
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
#: The columns of the CSV file. The names stay the same in every language.
_REPORT_COLUMNS: Final = (
    "name",
    *UPSTREAM,
    "clicks",
    "buyers",
    "orders",
    "repeat_orders",
    "currency",
    "revenue",
    "average",
    "median_seconds_to_purchase",
    "confirmed",
    "waiting",
    "unreported",
    "unreported_value",
    "clicked_over_7_days_before",
)
#: Those that a table has room for; the CSV file has all.
SHOWN_UPSTREAM: Final = ("sent", "link_clicks")
_UPSTREAM_NAMES: Final[dict[str, StrOrPromise]] = {
    "sent": gettext_lazy("Messages sent"),
    "link_clicks": gettext_lazy("Link clicks"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """``values`` has one text for each currency, or only one. ``before`` are those of
    the period before, if they are known; ``url`` leads to exactly what it counts.
    """

    name: StrOrPromise
    values: list[str]
    before: list[str] | None = None
    url: str = ""
    note: StrOrPromise = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row of the table. ``url`` leads deeper, if there is anything."""

    name: StrOrPromise
    id: StrOrPromise
    url: str
    cells: list[Figure]


class Earnings:
    """All figures of a period, and those of the period before if they are given."""

    def __init__(
        self,
        rows: Sequence[CampaignRow],
        days: Mapping[str, CampaignRow] | None = None,
        *,
        clicks_before: int = 0,
        buyers: int | None = None,
    ) -> None:
        """``buyers``: of all rows, if a click may be counted in several of them."""
        self.rows = rows
        self.total = total(rows)
        if buyers is not None:
            self.total.buyers = buyers
        self._days = days or {}
        self._clicks_before = clicks_before

    def figures(self, question: Question) -> Iterator[Figure]:
        """The figures of the whole period, for the top of the page."""
        first = question.days.first.isoformat()
        before = total(row for day, row in self._days.items() if day < first)
        now, orders_url = self.total, question.orders_url
        yield Figure(
            name=_("Clicks"),
            values=[count(now.clicks)],
            before=[count(self._clicks_before)],
            url=question.clicks_url(),
        )
        yield Figure(
            name=_("Orders"),
            values=[count(now.orders)],
            before=[count(before.orders)],
            url=orders_url("orders"),
        )
        yield Figure(
            name=_("Revenue"),
            values=money_list(now.revenue),
            before=money_list(before.revenue),
            url=orders_url("orders"),
        )
        yield Figure(
            name=_("Average order"),
            values=money_list(averages(now)),
            before=money_list(averages(before)),
        )
        yield Figure(
            name=_("Conversion rate"),
            values=[percent(now.rate)],
            note=_("clicks that led to an order"),
        )
        yield Figure(
            name=_("Time to purchase"),
            values=[age(now.median)],
            note=_("median, from the click"),
        )
        yield Figure(
            name=_("Repeat purchases"),
            values=[count(now.repeats)],
            url=orders_url("repeats"),
            note=_("first purchases: %(count)s")
            % {"count": count(now.orders - now.repeats)},
        )
        yield Figure(
            name=_("Reported"),
            values=[count(now.confirmed)],
            before=[count(before.confirmed)],
            url=orders_url("confirmed"),
        )
        yield Figure(
            name=_("Waiting"), values=[count(now.waiting)], url=orders_url("waiting")
        )
        yield Figure(
            name=_("Not reported"),
            values=[count(unreported_count(now))],
            before=[count(unreported_count(before))],
            url=orders_url("unreported"),
        )
        yield Figure(
            name=_("Not in Ads Manager"),
            values=[count(now.too_late_for_meta)],
            url=orders_url("late"),
            note=_("clicked more than 7 days before the order"),
        )

    @property
    def columns(self) -> list[StrOrPromise]:
        """The heads of the table, after that of the group."""
        return [
            *(_UPSTREAM_NAMES[name] for name in self._known_upstream),
            _("Clicks"),
            _("Orders"),
            _("Conversion rate"),
            _("Revenue"),
            _("Time to purchase"),
            _("Reported"),
            _("Waiting"),
            _("Not reported"),
        ]

    @property
    def _known_upstream(self) -> list[str]:
        return [it for it in SHOWN_UPSTREAM if it in self.total.upstream]

    def lines(self, question: Question, rows: Sequence[CampaignRow]) -> list[Line]:
        return [self._line(question, row) for row in rows]

    def whole(self, question: Question) -> list[Figure]:
        """The cells of the last line, which has the sums."""
        return self._cells(question, self.total, {})

    def _line(self, question: Question, row: CampaignRow) -> Line:
        name: StrOrPromise = row.name or row.key or _("(unknown)")
        show_id = ad_id if question.by == "ad" else campaign_id
        url = ""
        if question.by == "day" and (day := parse_date(row.key)):
            name = date_format(day)
        elif question.by == "campaign":
            url = question.url(by="ad", campaign=row.key)
        return Line(
            name=name,
            id=show_id(row.key) if row.name else "",
            url=url,
            cells=self._cells(question, row, question.row_filter(row.key)),
        )

    def _cells(
        self, question: Question, row: CampaignRow, where: dict[str, str]
    ) -> list[Figure]:
        of_orders = {name: it for name, it in where.items() if name != "clicked"}
        of_clicks = {name: it for name, it in where.items() if name != "placed"}

        def orders(figure: str) -> str:
            return question.orders_url(figure, **of_orders)

        lost = [count(unreported_count(row))]
        values: list[tuple[list[str], str]] = [
            *(([count(row.upstream.get(name))], "") for name in self._known_upstream),
            ([count(row.clicks)], question.clicks_url(**of_clicks)),
            ([count(row.orders)], orders("orders")),
            ([percent(row.rate)], ""),
            (money_list(row.revenue), orders("orders")),
            ([age(row.median)], ""),
            ([count(row.confirmed)], orders("confirmed")),
            ([count(row.waiting)], orders("waiting")),
            (lost, orders("unreported")),
        ]
        return [
            Figure(name=name, values=texts, url="" if texts[0] in "0-" else url)
            for name, (texts, url) in zip(self.columns, values, strict=True)
        ]

    def lost(self, question: Question) -> Iterator[Figure]:
        """What was not reported, by reason, the most frequent first."""
        found = sorted(self.total.unreported.items(), key=lambda it: -it[1][0])
        for reason, (orders, money) in found:
            label = Reason(reason).label if reason in Reason else reason or "-"
            yield Figure(
                name=capfirst(label),
                values=[count(orders)],
                before=money_list(money),
                url=question.orders_url("unreported", reason=reason),
            )

    def table(self, by: str) -> tuple[list[str], Iterator[list[object]]]:
        """The head and the rows of the CSV file: one row for each currency."""
        return [by, *_REPORT_COLUMNS], self._table()

    def _table(self) -> Iterator[list[object]]:
        for row in self.rows:
            lost = dict[str, Decimal]()
            for _orders, money in row.unreported.values():
                for code, value in money.items():
                    lost[code] = lost.get(code, Decimal(0)) + value
            average, median = averages(row), row.median
            for code in sorted({*row.revenue, *lost}) or [""]:
                yield [
                    row.key,
                    row.name,
                    *(row.upstream.get(name) for name in UPSTREAM),
                    row.clicks,
                    row.buyers,
                    row.orders,
                    row.repeats,
                    code,
                    row.revenue.get(code),
                    average.get(code),
                    None if median is None else median // timedelta(seconds=1),
                    row.confirmed,
                    row.waiting,
                    unreported_count(row),
                    lost.get(code),
                    row.too_late_for_meta,
                ]


def unreported_count(row: CampaignRow) -> int:
    return sum(orders for orders, _money in row.unreported.values())


def averages(row: CampaignRow) -> dict[str, Decimal]:
    """The average order of each currency, with as many places as its amounts."""
    found = dict[str, Decimal]()
    for code, value in row.revenue.items():
        places = max(_places(value), _MORE_PLACES.get(code, 0))
        step = Decimal(1).scaleb(-places)
        found[code] = (value / row.paid[code]).quantize(step, ROUND_HALF_UP)
    return found


def count(number: int | None) -> str:
    return "-" if number is None else number_format(number, force_grouping=True)


def money_list(money: Mapping[str, Decimal]) -> list[str]:
    """Each currency by itself, as the language writes numbers."""
    return [money_text(money[code], code) for code in sorted(money)] or ["-"]


def money_text(value: Decimal, currency: str) -> str:
    amount = number_format(value, _places(value), force_grouping=True)
    return f"{amount}\N{NO-BREAK SPACE}{currency}"


def _places(value: Decimal) -> int:
    """How many places an amount has: two at least, without zeros that say nothing."""
    return len(amount_text(value).partition(".")[2])


def percent(share: float | None) -> str:
    if share is None:
        return "-"
    return f"{number_format(round(100 * share, 1), 1)}\N{NO-BREAK SPACE}%"


def age(span: timedelta | None) -> str:
    """Minutes, hours or days, as `CampaignRow.median` is rounded."""
    if span is None:
        return "-"
    if span >= timedelta(days=2):
        return ngettext("%(count)d day", "%(count)d days", span.days) % {
            "count": span.days
        }
    if span >= timedelta(hours=2):
        hours = span // timedelta(hours=1)
        return ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours}
    return _("%(count)d min") % {"count": span // timedelta(minutes=1)}
