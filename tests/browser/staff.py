"""Who works in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf.global_settings import PASSWORD_HASHERS
from django.contrib.auth.models import User

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from .servers import Shop


def make_ada(settings: Any) -> None:
    # The shop's process does not know the quick hashes of the tests.
    settings.PASSWORD_HASHERS = PASSWORD_HASHERS
    User.objects.create_superuser("ada", password="pass")


def log_in(page: Page, shop: Shop) -> Page:
    enter(page, shop)
    page.get_by_role("link", name="Conversions").first.wait_for()
    return page


def enter(page: Page, shop: Shop) -> None:
    """Log in on the page of Django or of a theme."""
    page.goto(f"{shop.url}/admin/")
    page.locator("[name=username]").fill("ada")
    page.locator("[name=password]").fill("pass")
    with page.expect_navigation():
        page.keyboard.press("Enter")
