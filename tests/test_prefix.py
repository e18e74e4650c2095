"""Long texts are found by an index, and only the whole text counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone

from connectly_tracking.api.landing import MAX_VALUE
from connectly_tracking.models import Attribution, Conversion, EventName, IsText, State

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


@pytest.fixture
def many() -> None:
    """So many rows that an index is worth it."""
    names = ("cnct_tracking_id", "sendout_id", "ctwa_clid", "ad_id")
    ids = [{name: f"{name}-{number}" for name in names} for number in range(1000)]
    Attribution.objects.bulk_create(
        Attribution(**it, attribution_source="meta_ctwa", reportable=True) for it in ids
    )
    Conversion.objects.bulk_create(
        Conversion(
            event_name=EventName.PURCHASE,
            key=f"{number:064d}",
            state=State.DELIVERED,
            recorded_at=timezone.now(),
            sendout_id=it["sendout_id"],
            ad_id=it["ad_id"],
        )
        for number, it in enumerate(ids)
    )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for model in (Attribution, Conversion):
                cursor.execute(f"ANALYZE {model._meta.db_table}")


@pytest.mark.usefixtures("many")
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
    assert names[field] in rows.filter(IsText(field, "x" * length)).explain()
