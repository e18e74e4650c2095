"""A customer who comes from an ad and buys something."""

from __future__ import annotations

import secrets
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

from django.core.management.base import CommandError
from django.urls import resolve, reverse

from example_project.shop.models import Product

from .browser import Browser

SKU = "grinder-01"
QUANTITY = 3


def tagged(shop: str) -> str:
    """The link of an ad, with the five parameters that Connectly adds."""
    parameters = {
        "cnct_tracking_id": _opaque(),
        "sendout_id": str(uuid4()),
        "ctwa_clid": f"ARA{_opaque()}",
        "ad_id": f"1202{secrets.randbelow(10**14):014}",
        "attribution_source": "meta_ctwa",
    }
    return f"{shop}/?{urlencode(parameters, quote_via=quote)}"


def buy(shop: str, landing_url: str) -> str:
    """Land, open a product, buy it. Returns the number of the order."""
    product = Product.objects.filter(sku=SKU).first()
    if product is None:
        raise CommandError(f"The shop does not sell {SKU}.")
    with Browser() as browser:
        browser.get(landing_url)
        browser.get(shop + product.get_absolute_url())
        cart = {
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            "sku": product.sku,
            "quantity": QUANTITY,
        }
        page = browser.post(shop + reverse("shop:checkout"), cart)
    number: str = resolve(urlsplit(page.url).path).kwargs["number"]
    return number


def _opaque() -> str:
    """An id like Meta's, with characters that careless URL parsing would change."""
    part = secrets.token_hex
    return f"{part(8)}-{part(8)}_{part(8)}+{part(4)}"
