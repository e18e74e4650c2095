"""What a person types after a command, read or refused with words."""

from __future__ import annotations

import math
import os
import stat
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.module_loading import import_string

from ..api.landing import Landing, parse_query
from ..backfill import Table, TableFault
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


def count_of(text: str) -> int:
    """A whole number, 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise ArgumentTypeError(f"{text!r} is no whole number of 0 or more.")
    return int(text)


def rate_of(text: str) -> float:
    """So many a second: more than 0."""
    try:
        rate = float(text)
    except ValueError:
        rate = 0
    if not 0 < rate < math.inf:
        raise ArgumentTypeError(f"{text!r} is no number of more than 0.")
    return rate


def business_of(alias: str) -> str:
    """One of the settings' aliases."""
    try:
        known = conf.BUSINESSES
    except ImproperlyConfigured as exc:
        raise ArgumentTypeError(str(exc)) from None
    if alias not in known:
        names = ", ".join(known)
        raise ArgumentTypeError(f"{alias!r} is none of those in the settings: {names}.")
    return alias


def click_of(text: str) -> Landing:
    """A tagged link, or its query alone, with all that Connectly needs."""
    landing, refused = parse_query(text.partition("?")[2] or text)
    if landing is None or not landing.is_reportable:
        lacks = ("cnct_tracking_id",) if landing is None else landing.missing
        names = [*lacks, *(refusal.name for refusal in refused)]
        raise ArgumentTypeError(
            "Nobody could be credited for this link: what it lacks, or what cannot be "
            f"used, is {', '.join(dict.fromkeys(names)) or 'attribution_source'}."
        )
    return landing


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


def confirm(question: str) -> None:
    """Ask a person; CommandError unless the answer is yes, or where nobody is there."""
    try:
        said = input(f"{question} [y/N] ")
    except EOFError:
        raise CommandError(
            "Nothing was changed: there is nobody to ask; say --yes."
        ) from None
    if said.strip().lower() != "y":
        raise CommandError("Nothing was changed.")


@contextmanager
def orders_in(name: str) -> Iterator[tuple[Table, int | None]]:
    """The orders of a CSV file, and its size in bytes, where it has one.

    ``-`` is standard input.
    """
    with _opened(name) as (file, size):
        try:
            table = Table(file)
        except TableFault as exc:
            raise CommandError(f"{name}: {exc}. Nothing was recorded.") from exc
        yield table, size


@contextmanager
def _opened(name: str) -> Iterator[tuple[BinaryIO, int | None]]:
    if name == "-":
        yield sys.stdin.buffer, None
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(name).open("rb"))
        except OSError as exc:
            raise CommandError(f"{name} cannot be read: {exc.strerror}.") from exc
        status = os.fstat(file.fileno())
        yield file, status.st_size if stat.S_ISREG(status.st_mode) else None
