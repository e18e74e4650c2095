"""One order of a CSV file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from ..api.landing import PARAMETERS
from ..events import Purchase
from .click import LANDED_AT, LineClick, click_of
from .values import LineFault, amount_of, json_of, text_of, time_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CUSTOMER: Final = "customer_id"
REQUIRED: Final = ("order_id", "value", "currency", "event_time")

_READERS: Final[Mapping[str, Callable[[str, str], Any]]] = {
    "value": amount_of,
    "currency": text_of,
    "event_time": time_of,
    "contents": json_of,
    "content_type": text_of,
    "content_ids": json_of,
    "num_items": amount_of,
}
COLUMNS: Final = ("order_id", *_READERS, CUSTOMER, *PARAMETERS, LANDED_AT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A user of the shop, of whom only the primary key is known."""

    pk: Any
    is_authenticated: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An order as its line says. ``number`` counts from 1, the header included.

    ``end``: where it ends in the file, in bytes. ``fault``: what it cannot be reported
    for; ``failure``: why it cannot be read at all.
    """

    number: int
    end: int
    purchase: Purchase | None = None
    click: LineClick | None = None
    customer: Customer | None = None
    fault: LineFault | None = None
    failure: LineFault | None = None


def line_of(cells: Mapping[str, str], *, number: int, end: int) -> Line:
    """Read a line; the first value that is wrong is its fault."""
    fields: dict[str, Any] = dict.fromkeys(REQUIRED)
    fields["order_id"] = cells["order_id"]
    faults = list[LineFault]()
    for name, read in _READERS.items():
        text = cells.get(name, "").strip()
        try:
            if text:
                fields[name] = read(name, text)
            elif name in REQUIRED:
                raise LineFault(name, "is empty")
        except LineFault as exc:
            faults.append(exc)
    click = customer = None
    try:
        click, customer = click_of(cells), _customer_of(cells)
    except LineFault as exc:
        faults.append(exc)
    return Line(
        number=number,
        end=end,
        purchase=Purchase(**fields),
        click=click,
        customer=customer,
        fault=faults[0] if faults else None,
    )


def _customer_of(cells: Mapping[str, str]) -> Customer | None:
    text = cells.get(CUSTOMER, "").strip()
    if not text:
        return None
    try:
        return Customer(pk=get_user_model()._meta.pk.to_python(text))
    except ValidationError:
        raise LineFault(CUSTOMER, "is no primary key of a user") from None
