"""The click that a line of a file brings along."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..api.landing import PARAMETERS, parse_params
from ..models import Attribution, moment
from .values import LineFault, time_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..api.landing import Landing

#: When the link was opened.
LANDED_AT: Final = "landed_at"

_IDS: Final = PARAMETERS[:-1]
_NAMESPACE: Final = uuid.UUID("5b0c6a8e-6f5d-4f39-8d0b-3f6f2b1d9c57")
_WORDS: Final = {
    "too_long": "is too long",
    "not_printable_ascii": "has characters that no link carries",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LineClick:
    """A landing, verbatim. ``landed_at``: Unix seconds; None: as old as its order."""

    landing: Landing
    landed_at: float | None

    def attribution(self, business: str, ordered_at: float) -> Attribution:
        """Not yet stored. Of the same values it is always the same row."""
        at = ordered_at if self.landed_at is None else self.landed_at
        text = "\n".join([business, str(at), *self.landing.values])
        return Attribution.from_landing(
            self.landing,
            id=uuid.uuid5(_NAMESPACE, text),
            business=business,
            captured_at=moment(at),
        )


def click_of(cells: Mapping[str, str]) -> LineClick | None:
    """The line's click; None where all its ids are empty or placeholders."""
    given = {name: cells[name] for name in PARAMETERS if cells.get(name)}
    landing, refused = parse_params(given)
    for refusal in refused:
        if refusal.reason != "placeholder" and not refusal.is_repair:
            raise LineFault(refusal.name, _WORDS.get(refusal.reason, refusal.reason))
    unusable = {refusal.name for refusal in refused}
    if not any(name in given and name not in unusable for name in _IDS):
        return None
    if landing is None:
        raise LineFault("cnct_tracking_id", "is empty, though there are other ids")
    text = cells.get(LANDED_AT, "").strip()
    return LineClick(
        landing=landing, landed_at=time_of(LANDED_AT, text) if text else None
    )
