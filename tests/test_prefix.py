"""Long texts are found by an index, and only the whole text counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from connectly_tracking.api.landing import MAX_VALUE
from connectly_tracking.models import Attribution, Conversion, IsText

from .conftest import LANDING

if TYPE_CHECKING:
    from django.db.models import Model

pytestmark = pytest.mark.django_db


def click(tracking: str) -> Attribution:
    found = Attribution.from_landing(LANDING)
    found.cnct_tracking_id = tracking
    found.save()
    return found


@pytest.mark.parametrize(
    "text",
    [
        "track-1",
        "",
        "x" * 63,
        "x" * 64,
        "x" * 65,
        "\N{GRINNING FACE}" * MAX_VALUE,
        "100%_{0}'\"",
    ],
    ids=lambda it: f"{it[:7]} {len(it)}",
)
def test_only_the_whole_text_is_found(text: str) -> None:
    wanted = click(text)
    for other in (f"{text}x", f"{text[:-1]}y", text.ljust(64, "x") + "z"):
        click(other[-MAX_VALUE:])
    found = Attribution.objects.filter(IsText("cnct_tracking_id", text))
    assert list(found) == [wanted]


@pytest.mark.parametrize("length", [8, 200])
@pytest.mark.parametrize(
    ("model", "field"),
    [
        (Attribution, "cnct_tracking_id"),
        (Attribution, "ctwa_clid"),
        (Attribution, "sendout_id"),
        (Attribution, "ad_id"),
        (Conversion, "sendout_id"),
        (Conversion, "ad_id"),
    ],
    ids=lambda it: it if isinstance(it, str) else it.__name__,
)
def test_it_is_found_by_its_index(model: type[Model], field: str, length: int) -> None:
    names = {
        index.fields[0]: index.name
        for index in model._meta.indexes
        if type(index).__name__ == "PrefixIndex"
    }
    rows: Any = model._default_manager
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # it would read an empty table
            cursor.execute("SET LOCAL enable_seqscan = off")
    assert names[field] in rows.filter(IsText(field, "x" * length)).explain()
