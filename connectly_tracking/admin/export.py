"""Tables as CSV files that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.http import StreamingHttpResponse
from django.utils import timezone

from ..api.values import amount_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: A spreadsheet evaluates a cell that begins like this.
_FORMULA: Final = re.compile(r"[\s\0]*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001
#: The same after what separates cells where a comma is a decimal sign, or ends a line.
_LATER_FORMULA: Final = re.compile(r"([;\t\r\n][\s\0\"']*)(?=[=+\-@＝＋－＠])")  # noqa: RUF001
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


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
