"""More to sell, and a picture of each; whoever has bought so far has paid."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from django.db import migrations
from django.db.models import F
from django.utils.translation import gettext_noop as _

if TYPE_CHECKING:
    from django.apps.registry import Apps
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor

PICTURED = (
    (
        "coffee-250",
        _(
            "Our everyday roast: cocoa, toasted almond, a little orange."
            " Whole beans, 250 g."
        ),
    ),
    (
        "mug-white",
        _("Thrown in stoneware, glazed inside, raw outside. Keeps its warmth. 300 ml."),
    ),
    (
        "grinder-01",
        _(
            "Hardened conical burrs and a walnut handle: 30 g in under a minute,"
            " from espresso to cold brew."
        ),
    ),
)
NEW = (
    (
        "kettle-goose",
        _("Gooseneck kettle"),
        _(
            "A thin spout and a heavy base, for a pour that goes where you look."
            " 900 ml."
        ),
        Decimal("79.00"),
    ),
    (
        "dripper-02",
        _("Cone dripper"),
        _("Spiral ribs in glazed ceramic, for one to four cups."),
        Decimal("24.50"),
    ),
    (
        "server-600",
        _("Glass server"),
        _("Thin borosilicate with a cork collar. Holds two mugs and a refill. 600 ml."),
        Decimal("32.00"),
    ),
    (
        "filters-100",
        _("Paper filters"),
        _("Unbleached, cone-shaped, and gone into the compost by noon. 100 sheets."),
        Decimal("7.50"),
    ),
    (
        "scale-01",
        _("Brew scale"),
        _("Grams and seconds side by side, to a tenth of each."),
        Decimal("44.00"),
    ),
)


def add(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    using = schema_editor.connection.alias
    products = apps.get_model("shop", "Product").objects.using(using)
    for sku, description in PICTURED:
        products.filter(sku=sku).update(
            description=description, picture=f"shop/pictures/{sku}.svg"
        )
    for sku, name, description, price in NEW:
        values = {
            "name": name,
            "description": description,
            "price": price,
            "currency": "USD",
            "picture": f"shop/pictures/{sku}.svg",
        }
        products.get_or_create(sku=sku, defaults=values)
    orders = apps.get_model("shop", "Order").objects.using(using)
    orders.filter(paid_at=None).update(paid_at=F("placed_at"))


def remove(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    products = apps.get_model("shop", "Product").objects
    products.using(schema_editor.connection.alias).filter(
        sku__in=[sku for sku, *_ in NEW]
    ).delete()


class Migration(migrations.Migration):
    dependencies = [("shop", "0003_paid_later")]
    operations = [migrations.RunPython(add, remove)]
