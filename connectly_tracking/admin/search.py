"""The search by the ids of a click, at any size of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db.models import Q

from ..models import IsText

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..models import Attribution, Conversion

CAMPAIGN_IDS: Final = ("sendout_id", "ad_id")
CLICK_IDS: Final = ("ctwa_clid", "cnct_tracking_id")


def ids(term: str, names: Sequence[str]) -> Iterator[Q]:
    return (Q(IsText(name, term)) for name in names)


def any_of(model: type[Attribution | Conversion], *conditions: Q) -> Q | None:
    """Return the condition that any of these holds, or None if none does for any row.

    Those that hold for no row are left out, and that is looked up one by one: each has
    its index, but for all of them in one statement a database reads the whole table.
    """
    rows = model._default_manager
    held = [it for it in conditions if rows.filter(it).exists()]
    return Q(*held, _connector=Q.OR) if held else None
