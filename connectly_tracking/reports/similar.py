"""Order numbers as people write them: ``1497`` or ``#ord 1497`` for ``ORD-1497``.

How the shop numbers its orders is learnt from a few of them, so that all spellings can
be looked up by the index. The table is never searched through.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import chain, islice, product
from typing import TYPE_CHECKING, Final

from django.db import router

from ..api.values import MAX_ID, safe_id
from ..models import Conversion, EventName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.models import QuerySet

MAX_SIMILAR: Final = 3
#: Rows that are read; some are views.
SAMPLE: Final = 500
#: Spellings that are looked up. SQLite may take no more than 999 parameters.
MAX_SPELLINGS: Final = 600
_SEPARATORS: Final = ("-", "", "_", "/", ".", " ", "#")


def similar_orders(text: object, *, business: str | None = None) -> list[str]:
    """Return recorded order ids that may be meant by a text, the likeliest first."""
    written = unicodedata.normalize("NFKC", safe_id(text))
    words = re.findall(r"[^\W_]+", written)
    if not words:
        return []
    rows = Conversion.objects.using(router.db_for_write(Conversion))
    if business is not None:
        rows = rows.filter(business=business)
    spellings = dict.fromkeys(
        islice(
            chain(_respelled(words), _as_others(words, _sample(rows))), MAX_SPELLINGS
        )
    )
    found = rows.filter(event_name=EventName.PURCHASE, order_id__in=[*spellings])
    ids = set(found.order_by().values_list("order_id", flat=True)[:SAMPLE])
    letters = "".join(re.findall(r"[^\W\d_]+", written)).casefold()
    places = {spelling: place for place, spelling in enumerate(spellings)}
    likely = sorted(
        ids, key=lambda it: (letters not in it.casefold(), places.get(it, 0), it)
    )
    return likely[:MAX_SIMILAR]


def _sample(rows: QuerySet[Conversion]) -> Iterator[str]:
    """Yield the ids of the newest orders, from the end of the primary key's index."""
    newest = rows.filter(pk__gt=0).order_by("-pk")[:SAMPLE]
    return filter(None, newest.values_list("order_id", flat=True))


def _respelled(words: list[str]) -> Iterator[str]:
    """Yield the same letters and digits in other cases, and otherwise separated."""
    parts = [part for word in words for part in re.findall(r"\d+|[^\W\d]+", word)]
    short = [part.lstrip("0") or part for part in parts]
    for some in (words, parts, short):
        for separator in _SEPARATORS:
            joined = separator.join(some)
            for text in (joined, joined.upper(), joined.lower(), joined.title()):
                yield from (text, f"#{text}")


def _as_others(words: list[str], sample: Iterable[str]) -> Iterator[str]:
    """Yield the digits in the place of those of other orders."""
    runs = re.findall(r"\d+", " ".join(words))
    if not runs:
        return
    numbers = {(*runs,), ("".join(runs),), (runs[-1],)}
    seen = set[tuple[str, ...]]()
    for order_id in sample:
        # Every other part is a number: its length matters, its digits may not.
        parts = re.split(r"(\d+)", order_id)
        shape = tuple(
            str(len(part)) if place % 2 else part for place, part in enumerate(parts)
        )
        if shape in seen:
            continue
        seen.add(shape)
        for number in sorted(numbers, key=len, reverse=True):
            places = range(1, len(parts) - 2 * len(number) + 1, 2)
            for first in reversed(places):
                yield from _replaced(parts, first, number)


def _replaced(parts: list[str], first: int, number: tuple[str, ...]) -> Iterator[str]:
    """Yield an id with other numbers, as they are, without zeros, and filled up."""
    options = []
    for place, run in enumerate(number):
        bare = run.lstrip("0") or "0"
        width = len(parts[first + 2 * place])
        options.append(dict.fromkeys((bare.zfill(width), bare, run)))
    for chosen in product(*options):
        replaced = [*parts]
        replaced[first : first + 2 * len(number) : 2] = chosen
        text = "".join(replaced)
        if len(text) <= MAX_ID:
            yield text
