"""An order id that comes again. With the same content it is a retry; else it is noted.

A shop may use a number twice: for a cancelled order and for the next customer's.
"""

from __future__ import annotations

import json
import logging
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from ..api.values import amount_text

if TYPE_CHECKING:
    from ..models import Conversion, ConversionQuerySet
    from .draft import Draft

#: SQLite keeps so many digits of a decimal; a difference after them is no difference.
_STORED: Final = Context(prec=15)
_MAX_DETAIL: Final = 2000  # characters

logger = logging.getLogger(__name__)


class Amount(NamedTuple):
    value: Decimal
    currency: str

    def __str__(self) -> str:
        return f"{amount_text(self.value)} {self.currency}"  # it is stored

    def differs(self, other: Amount | None) -> bool:
        """Whether both are known, and not the same."""
        if other is None:
            return False
        values = _STORED.plus(self.value), _STORED.plus(other.value)
        return values[0] != values[1] or self.currency != other.currency


def note_repeat(rows: ConversionQuerySet, row: Conversion, draft: Draft) -> None:
    """Note and log that an order came again with another value or another click.

    ``rows`` finds the row, which stays as it is. The same note is not added twice.
    """
    notes, other = [], draft.row
    kept, came = _amount_of(row), _amount_of_draft(draft)
    if came is not None and came.differs(kept):
        notes.append(
            f"The shop sent this order id again with {came}; the first value is kept."
        )
    # A click that cannot be credited is that of a customer who came back.
    if other.body and row.attribution_id not in (None, other.attribution_id):
        notes.append(
            "The shop sent this order id again with another click (campaign "
            f"{other.sendout_id}), which is not credited."
        )
    notes = [note for note in notes if note not in row.detail]
    detail = " ".join([row.detail, *notes]).strip()
    if notes and len(detail) <= _MAX_DETAIL:
        row.detail = detail
        rows.filter(pk=row.pk).update(detail=detail)
        _log(row, kept, came, row.attribution_id, other.attribution_id)


def note_replaced(row: Conversion, draft: Draft) -> None:
    """As `note_repeat`, if the draft is about to replace the row."""
    kept, came = _amount_of(row), _amount_of_draft(draft)
    if came is not None and kept is not None and came.differs(kept):
        note = f"The shop first sent this order id with {kept}; the new value is used."
        draft.row.detail = f"{draft.row.detail} {note}".strip()
        _log(row, kept, came, row.attribution_id, draft.row.attribution_id)


def _amount_of(row: Conversion) -> Amount | None:
    """Return the amount of a row, which may still wait for its click; None: unknown."""
    if row.value is not None:
        return Amount(row.value, row.currency)
    if not row.payload:
        return None
    found = json.loads(row.payload, parse_float=Decimal, parse_int=Decimal)
    return Amount(found["value"], found["currency"])


def _amount_of_draft(draft: Draft) -> Amount | None:
    checked = draft.payload
    return None if checked is None else Amount(checked.value, checked.currency)


def _log(row: Conversion, kept: object, came: object, *clicks: object) -> None:
    logger.warning(
        "order_id_repeated order_id=%s row=%s value='%s' other_value='%s' click=%s "
        "other_click=%s",
        row.order_id,
        row.pk,
        *(amount or "unknown" for amount in (kept, came)),
        *(click or "none" for click in clicks),
    )
