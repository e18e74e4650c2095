"""Collected only where the settings are the Oscar shop's: ``python -m tests oscar``."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as project

if TYPE_CHECKING:
    from .customer import Customer

IS_OSCAR = "connectly_tracking.contrib.oscar" in project.INSTALLED_APPS
collect_ignore_glob = [] if IS_OSCAR else ["test_*.py"]
#: How treebeard and factory_boy begin what they say to Oscar.
FOREIGN = (r"Using \w+\.\w+\(\) is deprecated", r"\w+\._after_postgeneration")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What Oscar asks of its own dependencies is not ours to mend."""
    if IS_OSCAR:
        for item in items:
            for words in FOREIGN:
                ignored = f"ignore:{words}:DeprecationWarning"
                item.add_marker(pytest.mark.filterwarnings(ignored))


@pytest.fixture
def shop(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ships to one country, for 3.99."""
    from oscar.apps.shipping.methods import FixedPrice
    from oscar.apps.shipping.repository import Repository
    from oscar.test.factories import CountryFactory

    CountryFactory(is_shipping_country=True)
    charge = Decimal("3.99")
    monkeypatch.setattr(Repository, "methods", (FixedPrice(charge, charge),))


@pytest.fixture
def tee(shop: None) -> Any:
    """A product for 16.66."""
    from oscar.test.factories import create_product

    return create_product(
        title="Tee",
        upc="upc-tee",
        partner_sku="sku-tee",
        partner_name="Loom",
        price=Decimal("16.66"),
        num_in_stock=100,
    )


@pytest.fixture
def customer(shop: None) -> Customer:
    """Somebody who has not been here before."""
    from .customer import Customer

    return Customer()
