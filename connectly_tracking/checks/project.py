"""The project around us: its middleware and its databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connections, router
from django.utils.module_loading import import_string

from ..middleware import AttributionMiddleware
from ..models import Attribution, Conversion
from .message import error, warning

if TYPE_CHECKING:
    from django.core.checks import CheckMessage


def check_middleware(**_: Any) -> list[CheckMessage]:
    """Ours must run, and must find the session."""
    ours = _position(AttributionMiddleware)
    if ours is None:
        return [
            warning(
                "W003",
                "AttributionMiddleware is not in MIDDLEWARE: no landing is captured.",
                "Add 'connectly_tracking.middleware.AttributionMiddleware' after "
                "SessionMiddleware, or call attribution.capture() yourself.",
            )
        ]
    session = _position(_class("django.contrib.sessions.middleware.SessionMiddleware"))
    if session is None or session > ours:
        return [
            error(
                "E031",
                "AttributionMiddleware must come after SessionMiddleware.",
                "Put it below SessionMiddleware in MIDDLEWARE. Without a session an "
                "order is matched to its click by user alone.",
            )
        ]
    return []


def check_databases(**_: Any) -> list[CheckMessage]:
    """Our rows must commit with the order, also on SQLite."""
    found: list[CheckMessage] = []
    using = router.db_for_write(Conversion)
    if using != "default":
        found.append(
            warning(
                "W005",
                f"Conversions are written to the database {using!r}.",
                "They must be where the orders are, or an order could be "
                "committed without its conversion. Silence this check if they are.",
            )
        )
    for alias in sorted({using, router.db_for_write(Attribution)} & set(connections)):
        connection = connections[alias]
        options = connection.settings_dict.get("OPTIONS", {})
        mode = options.get("transaction_mode") or "DEFERRED"
        if connection.vendor == "sqlite" and mode.upper() == "DEFERRED":
            found.append(
                warning(
                    "W004",
                    f"The SQLite database {alias!r} begins transactions as readers.",
                    "Set OPTIONS['transaction_mode'] = 'IMMEDIATE', or orders "
                    "placed at the same time fail with 'database is locked'.",
                )
            )
    return found


def _position(middleware: type | None) -> int | None:
    for index, path in enumerate(settings.MIDDLEWARE):
        candidate = _class(path)
        if (
            middleware
            and isinstance(candidate, type)
            and issubclass(candidate, middleware)
        ):
            return index
    return None


def _class(path: str) -> Any:
    try:
        return import_string(path)
    except ImportError:
        return None  # Django says so itself
