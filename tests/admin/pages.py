"""Every page of ours in the admin, found in its URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.urls import NoReverseMatch, URLPattern, reverse
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.models import Circuit

from ..conftest import make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Iterator

    ModelAdmin = admin.ModelAdmin[Any]

APP = "connectly_tracking"


def model_admins() -> list[ModelAdmin]:
    found = admin.site._registry.values()
    return [it for it in found if it.opts.app_label == APP]


def make_rows() -> None:
    """One of each model, so that each page has something to show."""
    outbox.record(make_purchase(), attribution=make_click())
    Circuit.objects.create(
        business="default",
        reason=Circuit.Reason.CONFIGURATION,
        paused_until=timezone.now(),
        changed_at=timezone.now(),
    )


def pages() -> dict[str, tuple[ModelAdmin, str]]:
    """Each page's name without the app's, with its admin and its URL."""
    return {
        pattern.name.removeprefix(f"{APP}_"): (
            model_admin,
            url_of(model_admin, pattern),
        )
        for model_admin in model_admins()
        for pattern in model_admin.get_urls()
        if isinstance(pattern, URLPattern)
        and pattern.name
        # Django redirects from the page of a row that is not there.
        and (
            not pattern.pattern.converters
            or model_admin.model._default_manager.exists()
        )
    }


def url_of(model_admin: ModelAdmin, pattern: URLPattern) -> str:
    """The page of the newest row, if the URL names one."""
    row = model_admin.model._default_manager.order_by("-pk").first()
    for value in (row.pk if row else "1", "1", "x"):
        names = dict.fromkeys(pattern.pattern.converters, value)
        try:
            return reverse(f"admin:{pattern.name}", kwargs=names)
        except NoReverseMatch:
            continue
    raise AssertionError(f"no URL for {pattern.name}")


def change_lists() -> Iterator[tuple[ModelAdmin, str]]:
    for name, (model_admin, url) in pages().items():
        if name.endswith("_changelist"):
            yield model_admin, url
