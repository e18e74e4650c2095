"""Collected only where the settings are this shop's: ``python -m tests payments``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.conf import settings as project

from example_project.shop.models import Product

if TYPE_CHECKING:
    from .customer import Customer

IS_PAID = "payments" in project.INSTALLED_APPS
collect_ignore_glob = [] if IS_PAID else ["test_*.py"]


@pytest.fixture
def customer(db: None) -> Customer:
    """Somebody who has not been here before, and can buy a tee for 49.99."""
    from .customer import Customer

    Product.objects.update_or_create(
        sku="tee", defaults={"name": "Tee", "price": "49.99", "currency": "USD"}
    )
    return Customer()
