"""What docs/developer/oscar.md says is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from oscar.apps.catalogue.signals import product_viewed

from connectly_tracking.models import Conversion

if TYPE_CHECKING:
    from .customer import Customer

PAGE = Path(__file__, "../../../docs/developer/oscar.md").resolve()


def example(words: str) -> dict[str, Any]:
    """The names that one of the page's examples defines."""
    (code,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
        if words in block
    )
    names: dict[str, Any] = {}
    exec(compile(code, PAGE.name, "exec"), names)  # noqa: S102
    return names


@pytest.mark.django_db
def test_an_adapter_that_starts_from_ours_and_its_views_are_as_written(
    customer: Customer, tee: Any, configure: Any
) -> None:
    configure(ORDER_ADAPTER=example("def purchase")["purchase"])
    report = example("def report")["report"]  # is heard from here on
    try:
        customer.follow_the_ad()
        customer.client.get(tee.get_absolute_url())
    finally:
        product_viewed.disconnect(report)
    customer.take(tee)
    customer.check_out()
    rows = {row.event_name: row for row in Conversion.objects.all()}
    assert rows["Purchase"].amount == "16.66 GBP"
    assert "sku-tee" in rows["ViewContent"].body
