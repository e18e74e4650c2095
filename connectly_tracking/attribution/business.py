"""Which business a request or an order belongs to."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..conf import DEFAULT_BUSINESS, conf
from ..exceptions import InvalidEvent

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = logging.getLogger(__name__)


def business_of(request: HttpRequest | None, order: Any = None) -> str:
    """The alias that the project's resolver names. Raises what that raises."""
    resolver = conf.BUSINESS_RESOLVER
    return (resolver(request, order) if resolver else None) or DEFAULT_BUSINESS


def known_business(alias: object) -> str:
    """The alias, if the settings have it. Raises InvalidEvent."""
    if isinstance(alias, str) and alias in conf.BUSINESSES:
        return alias
    names = ", ".join(conf.BUSINESSES)
    raise InvalidEvent("business", f"is none of those in the settings: {names}")


def landing_business(request: HttpRequest) -> str:
    """As `business_of`, where the shop's own code must not cost the click."""
    try:
        return business_of(request)
    except Exception as exc:  # noqa: BLE001 - whatever it was
        logger.error("resolver_failed error=%s", type(exc).__name__)
        return DEFAULT_BUSINESS
