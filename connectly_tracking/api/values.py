"""Checks of an event's values. Each raises InvalidEvent with the field's name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from decimal import Context, Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from ..events import MAX_ITEMS
from ..exceptions import InvalidEvent

if TYPE_CHECKING:
    from ..events import Purchase

MAX_ID: Final = 128  # characters
MAX_AHEAD: Final = 5 * 60  # seconds; two clocks may differ by that much
MAX_DIGITS: Final = 18  # before the point
MAX_PLACES: Final = 6  # after it: more than any currency has
#: Exact for every number that is accepted, whatever the thread's own context is.
EXACT: Final = Context(prec=MAX_DIGITS + MAX_PLACES + 2)

_MAX_SECONDS: Final = 100_000_000_000  # some three thousand years
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_STEP: Final = Decimal(1).scaleb(-MAX_PLACES)
_CODES_IN_USE: Final = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN
BZD CAD CDF CHF CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP
GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES
KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU
MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON
RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND
TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR
ZMW ZWG
"""
_CODES_WITHDRAWN_SINCE_2020: Final = "ANG BGN CUC HRK SLL ZWL"

#: ISO 4217: the codes in use, and those that an old order may have.
CURRENCY_CODES: Final = frozenset(
    f"{_CODES_IN_USE} {_CODES_WITHDRAWN_SINCE_2020}".split()
)


def id_text(value: object) -> str | None:
    """Return an id as text, or None if the value cannot be an id or cannot be read."""
    try:
        return _id_text(value)
    except Exception:  # noqa: BLE001 - a lazy object runs code of the shop
        return None


def _id_text(value: object) -> str | None:
    if issubclass(type(value), str):
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if value.bit_length() <= 4 * MAX_ID else None
    # Django's lazy strings are promises; a lazy object says it is what it wraps.
    if isinstance(value, (str, UUID)) or _is_a(value.__class__, "Promise"):
        return str(value)
    return None


def _is_a(kind: type, *names: str) -> bool:
    """Whether a class is one of these names, or inherits one: we import no Django."""
    return any(base.__name__ in names for base in kind.__mro__)


@contextmanager
def reading(field: str) -> Iterator[None]:
    """Raise InvalidEvent for any error of the shop's own code, such as a lazy object's.

    An error of the database is passed on: it may have ended the shop's transaction.
    """
    try:
        yield
    except InvalidEvent:
        raise
    except Exception as exc:
        if _is_a(type(exc), "DatabaseError", "InterfaceError"):
            raise
        name = type(exc).__name__
        raise InvalidEvent(field, f"could not be read ({name})") from exc


def safe_id(value: object) -> str:
    """Return the part of an id that is safe to store and show, even if it is wrong."""
    return _CONTROL.sub("\ufffd", id_text(value) or "")[:MAX_ID].strip()


def plain_id(value: object) -> str:
    """As `safe_id`, but empty if reading the value would run code of the shop."""
    return safe_id(value) if is_plain(value) else ""


def is_plain(value: object) -> bool:
    """Whether an id can be read without running code of the shop."""
    return type(value) in (int, UUID) or issubclass(type(value), str)


def read_order_id(purchase: Purchase) -> None:
    """Replace a lazy id by its text: a row for an invalid order needs it, too."""
    if not is_plain(purchase.order_id):
        text = _id_text(purchase.order_id)
        if text is not None:
            object.__setattr__(purchase, "order_id", text)


def described(value: object) -> str:
    """Return what a message calls a wrong value: a string in quotes, else its type."""
    if value is None:
        return "None"
    if issubclass(type(value), str):
        text = str.__str__(value)
        return ascii(text if len(text) <= 40 else text[:40] + "…")
    return type(value).__name__


def checked_text(field: str, value: object) -> str:
    text = _id_text(value)
    if text is None:
        problem = f"must be a string, not {described(value)}"
    elif not text.strip():
        problem = "must not be empty"
    elif len(text) > MAX_ID:
        problem = f"must have at most {MAX_ID} characters, not {len(text)}"
    elif _CONTROL.search(text):
        problem = "must not contain control characters"
    elif text != text.strip():
        problem = "must not begin or end with white space"
    else:
        return text
    raise InvalidEvent(field, problem)


def unix_time(value: object, *, now: datetime, zone: tzinfo) -> int:
    """Return an order's time in whole Unix seconds, UTC.

    ``now`` is aware; a naive ``value`` is read in ``zone``. One in the hour that comes
    twice or never has two readings: if its own is in the future, the other counts.
    """
    seconds, problem = 0.0, ""
    latest = now.timestamp() + MAX_AHEAD
    if isinstance(value, datetime):
        try:
            is_aware = value.utcoffset() is not None
            aware = value if is_aware else value.replace(tzinfo=zone)
            seconds = (aware - _EPOCH).total_seconds()
            if not is_aware and seconds > latest:
                other = aware.replace(fold=1 - aware.fold)
                seconds = min(seconds, (other - _EPOCH).total_seconds())
        except OverflowError:
            problem = "is out of range"
    elif not isinstance(value, (int, float)) or isinstance(value, bool):
        problem = f"must be a datetime or Unix seconds, not {described(value)}"
    elif isinstance(value, float) and not math.isfinite(value):
        problem = "must be a finite number"
    elif not -_MAX_SECONDS < value < _MAX_SECONDS:
        problem = "must be in seconds, not in milliseconds"
    else:
        seconds = value
    if not problem and seconds <= 0:
        problem = "must be later than 1970-01-01"
    if seconds > latest:
        problem = "must not be in the future; pass the time when the order was placed"
    if problem:
        raise InvalidEvent("event_time", problem)
    return math.floor(seconds)


def checked_number(field: str, value: object) -> Decimal:
    number: Decimal | None = None
    if isinstance(value, bool):
        pass
    elif isinstance(value, Decimal):
        number = value
    elif isinstance(value, int):
        # A long int takes minutes to become a Decimal.
        is_long = value.bit_length() > 4 * MAX_DIGITS
        number = Decimal(f"1e{MAX_DIGITS}") if is_long else Decimal(value)
    elif isinstance(value, float):
        number = Decimal(repr(float(value)))
    elif isinstance(value, str) and len(value) <= 64 and _PLAIN_NUMBER.fullmatch(value):
        number = Decimal(value)
    if number is None:
        hint = "; pass its amount" if hasattr(value, "amount") else ""
        raise InvalidEvent(
            field, f"must be a number, such as 99.97, not {described(value)}{hint}"
        )
    if not number.is_finite():
        raise InvalidEvent(field, "must be a finite number")
    if number.adjusted() < MAX_DIGITS:
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and exponent < -MAX_PLACES:
            number = _rounded(number)
    if number and number.adjusted() >= MAX_DIGITS:
        raise InvalidEvent(
            field, f"must have at most {MAX_DIGITS} digits before the decimal point"
        )
    return number or Decimal(0)  # a minus before a zero says nothing


def _rounded(number: Decimal) -> Decimal:
    """Six places, without the zeros that a float's noise leaves behind."""
    text = format(EXACT.quantize(number, _STEP), "f")
    return Decimal(text.rstrip("0").rstrip("."))


def amount_text(value: Decimal) -> str:
    """Return an amount the same in every language: two places at least, and none that
    says nothing.
    """
    whole, _point, places = f"{value:f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"


def checked_amount(field: str, value: object) -> Decimal:
    number = checked_number(field, value)
    if number < 0:
        raise InvalidEvent(field, "must not be negative; a refund cannot be reported")
    return number


def checked_quantity(field: str, value: object) -> int | Decimal:
    number = checked_number(field, value)
    if number <= 0:
        raise InvalidEvent(field, "must be greater than zero")
    return int(number) if number == number.to_integral_value() else number


def checked_currency(value: object) -> str:
    wanted = "an ISO 4217 currency code (such as USD)"
    if not isinstance(value, str):
        raise InvalidEvent("currency", f"must be {wanted}, not {described(value)}")
    code = value.upper()
    if not value.isascii() or code not in CURRENCY_CODES:
        raise InvalidEvent("currency", f"{described(value)} is not {wanted}")
    return code


def checked_price(field: str, value: object) -> Decimal:
    number = checked_number(field, value)
    if number < 0:
        raise InvalidEvent(field, "must not be negative")
    return number


def is_unread_query(value: object) -> bool:
    """Whether reading the value would fetch model instances from the database."""
    return (
        _is_a(value.__class__, "QuerySet", "RawQuerySet")
        and getattr(value, "_result_cache", None) is None
        and getattr(value, "_fields", None) is None  # of values() and values_list()
    )


def checked_list(field: str, value: object) -> tuple[object, ...]:
    """Return a list's entries, of which at most ``MAX_ITEMS`` are allowed."""
    if isinstance(value, Exception):
        with reading(field):
            raise value
    if is_unread_query(value):
        raise InvalidEvent(field, "must be a list, not a QuerySet of model instances")
    if isinstance(value, Set):
        raise InvalidEvent(
            field, "must be a list; a set drops equal lines and their order"
        )
    if isinstance(value, (str, bytes, bytearray, Mapping)) or not isinstance(
        value, Iterable
    ):
        raise InvalidEvent(field, f"must be a list, not {described(value)}")
    rows: Any = value
    if _is_a(value.__class__, "QuerySet"):
        rows = rows[: MAX_ITEMS + 1]
    entries = tuple(islice(rows, MAX_ITEMS + 1))
    if len(entries) > MAX_ITEMS:
        raise InvalidEvent(field, f"must have at most {MAX_ITEMS} entries")
    return entries
