"""Checks of the project: its middleware and its databases."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core import checks
from django.db import connections, router
from django.utils.module_loading import import_string

from ..middleware import AttributionMiddleware
from ..models import Attribution, Conversion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.core.checks import CheckMessage


def check_middleware(**_: Any) -> list[CheckMessage]:
    """Check that AttributionMiddleware is installed, and what comes before it."""
    position = _position(AttributionMiddleware)
    if position is None:
        return [
            checks.Warning(
                "AttributionMiddleware is not in MIDDLEWARE: no click is captured.",
                hint="Add 'connectly_tracking.middleware.AttributionMiddleware' after "
                "SessionMiddleware, or call attribution.capture() yourself.",
                id="connectly_tracking.W003",
            )
        ]
    session = _position(SessionMiddleware)
    if session is None or session > position:
        return [
            checks.Error(
                "AttributionMiddleware must come after SessionMiddleware.",
                hint="Put it below SessionMiddleware in MIDDLEWARE. Without a session, "
                "an order is matched to its click only if the customer is logged in.",
                id="connectly_tracking.E031",
            )
        ]
    return [
        checks.Warning(
            f"A page cache comes before AttributionMiddleware: {path}.",
            hint="Put it below AttributionMiddleware, as the last one in MIDDLEWARE. "
            "UpdateCacheMiddleware may stay the first. Otherwise no click is captured "
            "on a page that is served from the cache.",
            id="connectly_tracking.W017",
        )
        for path, loaded in _loaded(settings.MIDDLEWARE[:position])
        # Other packages have given their own class Django's name.
        if any("FetchFromCache" in base.__name__ for base in loaded.__mro__)
    ]


def _position(middleware: type) -> int | None:
    for path, loaded in _loaded(settings.MIDDLEWARE):
        if issubclass(loaded, middleware):
            return settings.MIDDLEWARE.index(path)
    return None


def _loaded(middleware: Sequence[str]) -> Iterator[tuple[str, type]]:
    for path in middleware:
        with suppress(ImportError):  # Django reports it
            loaded = import_string(path)
            if isinstance(loaded, type):
                yield path, loaded


def check_databases(**_: Any) -> list[CheckMessage]:
    """Check that a conversion commits with its order, also on SQLite."""
    return list(_database_problems())


def _database_problems() -> Iterator[CheckMessage]:
    using = router.db_for_write(Conversion)
    if using != "default":
        yield checks.Warning(
            f"Conversions are written to the database {using!r}.",
            hint="Route them to the database of the orders, or an order may be "
            "committed without its conversion. Silence this check if they are there.",
            id="connectly_tracking.W005",
        )
    for alias in sorted({using, router.db_for_write(Attribution)} & set(connections)):
        connection = connections[alias]
        options = connection.settings_dict.get("OPTIONS", {})
        mode = options.get("transaction_mode") or "DEFERRED"
        if connection.vendor == "sqlite" and mode.upper() == "DEFERRED":
            yield checks.Warning(
                f"The SQLite database {alias!r} uses deferred transactions.",
                hint=f"Set DATABASES[{alias!r}]['OPTIONS']['transaction_mode'] to "
                "'IMMEDIATE', or orders that are placed at the same time fail with "
                "'database is locked'.",
                id="connectly_tracking.W004",
            )
