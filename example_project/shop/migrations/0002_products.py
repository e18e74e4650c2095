"""Three products, so that a fresh database has something to sell."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from django.db import migrations
from django.utils.translation import gettext_noop as _

if TYPE_CHECKING:
    from django.apps.registry import Apps
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor

PRODUCTS = (
    ("coffee-250", _("House coffee"), _("Whole beans, 250 g."), Decimal("12.90")),
    ("mug-white", _("White mug"), _("Stoneware, 300 ml."), Decimal("18.35")),
    ("grinder-01", _("Hand grinder"), _("Steel burrs, 30 g."), Decimal("49.99")),
)


def add(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    products = apps.get_model("shop", "Product").objects
    for sku, name, description, price in PRODUCTS:
        products.using(schema_editor.connection.alias).create(
            sku=sku, name=name, description=description, price=price, currency="USD"
        )


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    products = apps.get_model("shop", "Product").objects
    products.using(schema_editor.connection.alias).filter(
        sku__in=[sku for sku, *_ in PRODUCTS]
    ).delete()


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.RunPython(add, remove)]
