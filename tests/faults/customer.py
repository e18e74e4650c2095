"""Somebody with a browser, who comes from an ad and buys something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import requests

from example_project.demo.customer import tagged

if TYPE_CHECKING:
    from requests import Response

TIMEOUT: Final = 30.0  # seconds
SKU: Final = "tee"
CHECKOUT: Final = "/checkout/"


class Customer:
    """Of the shop at ``url``, with cookies as a browser keeps them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy leads to this machine

    def close(self) -> None:
        self.session.close()

    def land(self, path: str = "") -> Response:
        """Follow the ad's link, or another one."""
        url = self.url + path if path else tagged(self.url)
        response = self.session.get(url, timeout=TIMEOUT)
        response.raise_for_status()
        return response

    def post(self, path: str = CHECKOUT, **form: object) -> Response:
        """Send the checkout's form, as the product's page has it; follow nothing."""
        if "csrftoken" not in self.session.cookies:
            self.land(f"/product/{SKU}/")
        token = self.session.cookies["csrftoken"]
        cart = {"csrfmiddlewaretoken": token, "sku": SKU, "quantity": 1}
        return self.session.post(
            self.url + path, data=cart | form, timeout=TIMEOUT, allow_redirects=False
        )

    def buy(self, path: str = CHECKOUT, **form: object) -> str:
        """Returns the order's number."""
        response = self.post(path, **form)
        assert response.status_code == 302, (response.status_code, response.text[:500])
        return response.headers["Location"].strip("/").rpartition("/")[2]
