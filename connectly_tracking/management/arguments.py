"""What a person types after a command, read or refused with words."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.module_loading import import_string

from ..conf import conf
from ..models import moment


def time_of(text: str) -> datetime:
    """A date or a time of ISO 8601, aware; a date is its first moment.

    Without an offset it is read in the current time zone.
    """
    try:
        time = datetime.fromisoformat(text)
        return time if timezone.is_aware(time) else timezone.make_aware(time)
    except (ValueError, OverflowError):
        zone = timezone.get_current_timezone_name()
        raise ArgumentTypeError(
            f"{text!r} is no time: write 2026-11-01 or 2026-11-01T09:30, which is read "
            f"in {zone}, or add an offset such as +02:00."
        ) from None


def business_of(alias: str) -> str:
    """One of the settings' aliases."""
    if alias not in conf.BUSINESSES:
        names = ", ".join(conf.BUSINESSES)
        raise ArgumentTypeError(f"{alias!r} is none of those in the settings: {names}.")
    return alias


def orders_since(path: str, since: datetime) -> Iterable[Any]:
    """What a shop's callable returns for that time, given as the models hold times."""
    try:
        source = import_string(path)
    except ImportError as exc:
        raise CommandError(
            f"{exc}. Name a callable by its dotted path: shop.tracking.completed_since."
        ) from exc
    try:
        orders = source(moment(since.timestamp()))
    except Exception as exc:
        raise CommandError(
            f"{path} failed with {type(exc).__name__}. It is called with a datetime "
            "and must return or yield the orders that were completed since then."
        ) from exc
    if not isinstance(orders, Iterable):
        raise CommandError(
            f"{path} returned {type(orders).__name__}, not orders: let it yield them, "
            "or return a queryset."
        )
    return orders
