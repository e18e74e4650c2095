"""How the pages show a state, an id, a time and a request, and a CSV file its cells."""

from __future__ import annotations

import csv
import re
import shlex
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured
from django.http import StreamingHttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from ..api.payload import events_url
from ..api.values import amount_text
from ..conf import conf
from ..models import DeliveryAttempt, zoned_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from django.utils.safestring import SafeString
    from django_stubs_ext import StrOrPromise

    from ..models import Conversion

#: A spreadsheet evaluates a cell that begins like this.
_FORMULA: Final = re.compile(r"[\s\0]*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001
#: The same after what separates cells where a comma is a decimal sign, or ends a line.
_LATER_FORMULA: Final = re.compile(r"([;\t\r\n][\s\0\"']*)(?=[=+\-@＝＋－＠])")  # noqa: RUF001
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


@admin.display(description=_("state"))
def badge(conversion: Conversion) -> SafeString:
    """Return the state as a word on a colour; the word alone says it all."""
    return format_html(
        '<span class="connectly-badge connectly-{}">{}</span>',
        conversion.state,
        conversion.get_state_display(),
    )


@admin.display(description=_("value"))
def amount(conversion: Conversion) -> str:
    return conversion.amount or "-"


def campaign_id(value: str) -> StrOrPromise:
    return _shortened("connectly-id", value)


def ad_id(value: str) -> StrOrPromise:
    """Return an ad's id. Those of one account begin alike, so the end is shown."""
    return _shortened("connectly-id connectly-ad", value)


def _shortened(style: str, value: str) -> StrOrPromise:
    """Return the whole id, which the style sheet shortens on the screen."""
    if not value:
        return "-"
    found = '<span class="{}" title="{}"><bdi>{}</bdi></span>'
    return format_html(found, style, value, value)


def clock(at: datetime | None) -> StrOrPromise:
    """Return a time with its zone: the pages have no other format."""
    if at is None:
        return "-"
    exact = at if timezone.is_aware(at) else timezone.make_aware(at)
    found = '<time class="connectly-time" datetime="{}">{}</time>'
    return format_html(found, exact.isoformat(timespec="seconds"), zoned_text(at))


def curl(conversion: Conversion) -> str:
    """Return the request as a shell command; empty if it cannot be sent.

    The API key is a variable of the shell: it never reaches a page.
    """
    if not conversion.body:
        return ""
    try:
        url = events_url(conf.BASE_URL, conf.business_id(conversion.business))
    except ImproperlyConfigured:
        return ""
    return " \\\n  ".join(
        [
            f"curl -X POST {shlex.quote(url)}",
            '-H "X-API-KEY: $CONNECTLY_API_KEY"',
            "-H 'Content-Type: application/json'",
            f"--data-raw {shlex.quote(conversion.body)}",
        ]
    )


def for_support(conversion: Conversion) -> str:
    """Return what Connectly's support needs to find the last request: in English, and
    without the API key. Empty if there was no request.
    """
    written = conversion.delivery_attempts.order_by("-started_at")
    attempt = DeliveryAttempt.under_way(conversion) or written.first()
    if attempt is None or not conversion.body:
        return ""
    try:
        url = events_url(conf.BASE_URL, conf.business_id(conversion.business))
    except ImproperlyConfigured:
        return ""
    answered = attempt.finished_at
    return "\n".join(
        [
            f"Request: POST {url}",
            f"Sent: {_exact(attempt.started_at)}",
            f"Answered: {_exact(answered) if answered else 'no answer recorded'}",
            f"Attempts: {conversion.attempts}",
            f"Status: {attempt.status_code or '-'} ({attempt.outcome})",
            f"Body: {conversion.body}",
            f"Answer and trace ids: {attempt.detail or '-'}",
        ]
    )


def _exact(at: datetime) -> str:
    aware = at if timezone.is_aware(at) else timezone.make_aware(at)
    return aware.isoformat(timespec="milliseconds")


class _Echo:
    """A file that returns what is written to it."""

    def write(self, line: str) -> str:
        return line


def csv_response(
    name: str, header: Sequence[str], rows: Iterable[Sequence[object]]
) -> StreamingHttpResponse:
    """Return a download that is sent row by row, however many there are."""
    lines = csv_lines(header, rows)
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def csv_lines(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    writer: Any = csv.writer(_Echo())
    yield writer.writerow(header)
    for row in rows:
        yield writer.writerow([csv_cell(value) for value in row])


def csv_cell(value: object) -> str:
    """Return a value as text: a decimal point, and times with their offset.

    What a spreadsheet would evaluate gets an apostrophe before it: a text, and a part
    of it that would be a cell of its own for a spreadsheet that expects semicolons, as
    most do in Spanish and Portuguese. A negative number stays one.
    """
    match value:
        case None:
            return ""
        case Decimal():
            return amount_text(value)
        case datetime():
            zone = timezone.get_default_timezone()
            aware = value if timezone.is_aware(value) else value.replace(tzinfo=zone)
            return aware.astimezone(zone).isoformat()
    text = str(value)
    if _NUMBER.fullmatch(text):
        return text
    first = _FORMULA.match(text)
    end = first.end() if first else 0
    later = _LATER_FORMULA.sub(r"\1'", text[end:])
    return "'" * bool(first) + text[:end] + later
