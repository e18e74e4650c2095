"""A CSV file of orders, read line by line."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.utils import timezone

from ..api.landing import PARAMETERS, parse_params
from ..api.values import unix_time
from ..events import Purchase
from ..exceptions import ConnectlyTrackingError, InvalidEvent
from .order import BackfillOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from ..api.landing import Landing

MAX_LINE: Final = 1024 * 1024  # bytes; a file without line ends is one line
BOM: Final = "\ufeff"

_REQUIRED: Final = ("order_id", "value", "currency", "event_time")
#: What `bytes.decode` leaves of bytes that are not UTF-8.
_UNDECODED: Final = re.compile(r"[\udc80-\udcff]")
#: A shorter number is a date without its dashes rather than a time.
_SECONDS: Final = re.compile(r"\d{9,}(\.\d+)?", re.ASCII)
_NUMBER: Final = re.compile(r"-?\d{1,40}(\.\d{1,20})?", re.ASCII)
_REFUSED: Final = {
    "too_long": "is too long",
    "not_printable_ascii": "contains characters that a link cannot contain",
}


class InvalidFile(ConnectlyTrackingError):  # noqa: N818
    """The file as a whole cannot be read; nothing of it was recorded."""


class InvalidLine(InvalidEvent):
    """A line that cannot be reported. Its message quotes nothing of the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A user of the shop of whom only the primary key is known."""

    pk: Any
    is_authenticated: bool = True


class CsvFile:
    """The orders of a file that is open in binary mode; it is never read whole.

    The header is read at once. Raises InvalidFile if columns are missing or unknown,
    or if the header is not UTF-8.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offset = 0
        self._lines = enumerate(self._texts(), 1)
        self._columns = self._header()

    def __iter__(self) -> Iterator[BackfillOrder]:
        for line, text in self._lines:
            if text:
                yield self._order(text, line)

    def _order(self, text: str, line: int) -> BackfillOrder:
        if _UNDECODED.search(text):
            return self._unreadable(line, "encoding", "must be UTF-8")
        if "\0" in text:
            return self._unreadable(line, "encoding", "must be text without NUL")
        try:
            cells = _cells(text)
        except csv.Error as exc:
            is_long = "limit" in str(exc)
            problem = "a value is too long" if is_long else "are not valid on this line"
            return self._unreadable(line, "columns" if is_long else "quotes", problem)
        if len(cells) != len(self._columns):
            problem = f"the line has {len(cells)}, the header {len(self._columns)}"
            return self._unreadable(line, "columns", problem)
        named = dict(zip(self._columns, cells, strict=True))
        return _order(named, line=line, end=self._offset)

    def _unreadable(self, line: int, field: str, problem: str) -> BackfillOrder:
        failure = InvalidLine(field, problem)
        return BackfillOrder(line=line, end=self._offset, failure=failure)

    def _texts(self) -> Iterator[str]:
        while raw := self._file.readline(MAX_LINE + 1):
            if len(raw) > MAX_LINE:
                raise InvalidFile("a line is longer than 1 MiB; is this a CSV file?")
            text = raw.decode("utf-8", "surrogateescape")
            if self._offset == 0:
                text = text.removeprefix(BOM)
            self._offset += len(raw)
            yield from text.rstrip("\r\n").split("\r")

    def _header(self) -> list[str]:
        try:
            _line, text = next(self._lines)
            names = [name.strip() for name in _cells(text)]
        except StopIteration:
            raise InvalidFile(
                "the file is empty; its first line must name the columns"
            ) from None
        except csv.Error:
            raise InvalidFile("the first line is not valid CSV") from None
        if _UNDECODED.search("".join(names)) or "\0" in "".join(names):
            raise InvalidFile("the file is not UTF-8; save it as “CSV UTF-8”")
        if problems := [*_problems(names)]:
            raise InvalidFile("; ".join(problems))
        return names


def _cells(text: str) -> list[str]:
    """Read one line by itself, or a stray quote would swallow the lines after it."""
    return next(csv.reader([text], strict=True), [])


def _problems(names: Sequence[str]) -> Iterator[str]:
    if missing := [name for name in _REQUIRED if name not in names]:
        yield f"missing columns: {', '.join(missing)}"
    if unknown := [name for name in names if name not in COLUMNS]:
        yield f"unknown columns: {', '.join(map(_suggestion, unknown))}"
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        yield f"repeated columns: {', '.join(repeated)}"
    if missing or unknown:
        yield f"the known columns, separated by commas, are {', '.join(COLUMNS)}"


def _suggestion(name: str) -> str:
    near = get_close_matches(name, COLUMNS, 1)
    return f"{name[:64]!r}" + (f" (did you mean {near[0]}?)" if near else "")


def _order(cells: Mapping[str, str], *, line: int, end: int) -> BackfillOrder:
    """The order of a line; the first value that is invalid is its problem."""
    fields: dict[str, Any] = dict.fromkeys(_REQUIRED)
    fields["order_id"] = cells["order_id"]
    problems = list[InvalidLine]()
    for name, read in _READERS.items():
        text = cells.get(name, "").strip()
        try:
            if text:
                fields[name] = read(name, text)
            elif name in _REQUIRED:
                raise InvalidLine(name, "is empty")
        except InvalidLine as exc:
            problems.append(exc)
    click = clicked_at = user = None
    try:
        click, clicked_at = _click(cells)
        user = _user(cells)
    except InvalidLine as exc:
        problems.append(exc)
    return BackfillOrder(
        event=Purchase(**fields),
        user=user,
        click=click,
        clicked_at=clicked_at,
        line=line,
        end=end,
        problem=problems[0] if problems else None,
    )


def _click(cells: Mapping[str, str]) -> tuple[Landing | None, float | None]:
    """The click and its time; None if all ids are empty or placeholders."""
    values = {name: cells[name] for name in PARAMETERS if cells.get(name)}
    landing, refused = parse_params(values)
    for refusal in refused:
        name, _length, reason = refusal
        if refusal.is_repair:
            continue
        if reason != "placeholder":
            raise InvalidLine(name, _REFUSED.get(reason, reason))
        del values[name]
    if values.keys() <= {"attribution_source"}:
        return None, None
    if landing is None:
        raise InvalidLine("cnct_tracking_id", "is empty, but other ids are given")
    text = cells.get("landed_at", "").strip()
    return landing, _time("landed_at", text) if text else None


def _user(cells: Mapping[str, str]) -> Customer | None:
    text = cells.get("customer_id", "").strip()
    if not text:
        return None
    key = get_user_model()._meta.pk
    try:
        value = key.to_python(text)
        key.run_validators(value)
    except ValidationError:
        raise InvalidLine("customer_id", "must be the primary key of a user") from None
    return Customer(pk=value)


def _amount(field: str, text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise InvalidLine(field, "must be a number, such as 99.97")
    return Decimal(text)


def _text(field: str, text: str) -> str:
    return text


def _number(field: str, text: str) -> Decimal | str:
    """The text itself if it is not a number: recording leaves it out and says so."""
    return Decimal(text) if _NUMBER.fullmatch(text) else text


def _list(field: str, text: str) -> object:
    """The text itself if it is not a JSON list, as in `_number`."""
    try:
        value = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, list) else text


def _time(field: str, text: str) -> float:
    """Unix seconds. A time without an offset is in the default time zone."""
    value = float(text) if _SECONDS.fullmatch(text) else _iso_time(field, text)
    zone = timezone.get_default_timezone()
    try:
        return unix_time(value, now=datetime.now(UTC), zone=zone)
    except InvalidEvent as exc:
        problem = exc.problem
        if field == "landed_at":
            problem = problem.replace("the order was placed", "the link was opened")
        raise InvalidLine(field, problem) from exc


def _iso_time(field: str, text: str) -> datetime:
    example = "such as 2026-11-01T09:30:00+02:00, or Unix seconds"
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidLine(field, f"must be a time, {example}") from None
    try:
        date.fromisoformat(text)
    except ValueError:
        return time
    raise InvalidLine(field, f"is only a date; it must be a time, {example}")


_READERS: Final[Mapping[str, Callable[[str, str], Any]]] = {
    "value": _amount,
    "currency": _text,
    "event_time": _time,
    "contents": _list,
    "content_type": _text,
    "content_ids": _list,
    "num_items": _number,
}
COLUMNS: Final = ("order_id", *_READERS, "customer_id", *PARAMETERS, "landed_at")
