"""What the commands share: arguments are read, questions asked, signals heeded."""

from __future__ import annotations

import math
import signal
import sys
import threading
from argparse import ArgumentTypeError
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO, Final, Self

from django.contrib.auth import get_user_model
from django.core.exceptions import (
    ImproperlyConfigured,
    MultipleObjectsReturned,
    ObjectDoesNotExist,
    ValidationError,
)
from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.module_loading import import_string

from ..api.landing import Landing, parse_query
from ..backfill import CsvFile, InvalidFile
from ..conf import conf
from ..models import moment

_MAX_DIGITS: Final = 18  # a longer number is more than a machine counts to
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def parse_time(text: str) -> datetime:
    """An ISO 8601 date or time, aware; a date is its first moment.

    Without an offset it is in the default time zone.
    """
    try:
        time = datetime.fromisoformat(text)
        if timezone.is_naive(time):
            time = timezone.make_aware(time, timezone.get_default_timezone())
        if not MINYEAR < time.astimezone(UTC).year < MAXYEAR:
            raise ValueError("it has no moment in some time zones")
        return time
    except (ValueError, OverflowError):
        zone = timezone.get_default_timezone_name()
        raise ArgumentTypeError(
            f"{text!r} is not a time: write 2026-11-01 or 2026-11-01T09:30, which is "
            f"in {zone}, or add an offset such as +02:00."
        ) from None


def parse_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise ArgumentTypeError("must be a whole number, 0 or greater.")
    return int(text)


def parse_rate(text: str) -> float:
    with suppress(ValueError):
        if 0 < (rate := float(text)) < math.inf:
            return rate
    raise ArgumentTypeError("must be a number greater than 0.")


def parse_business(alias: str) -> str:
    """One of the aliases in the settings."""
    try:
        known = conf.BUSINESSES
    except ImproperlyConfigured as exc:
        raise ArgumentTypeError(str(exc)) from None
    if alias not in known:
        raise ArgumentTypeError(
            f"{alias!r} is not in the settings, which have: {', '.join(known)}."
        )
    return alias


def parse_click(text: str) -> Landing:
    """A tagged link, or only its query string, with everything that Connectly needs."""
    landing, notes = parse_query(text.partition("?")[2] or text)
    if landing is None or not landing.is_reportable:
        missing = ("cnct_tracking_id",) if landing is None else landing.missing
        names = [*missing, *(note.name for note in notes if not note.is_repair)]
        raise ArgumentTypeError(
            "Connectly cannot credit this link. Missing or invalid: "
            f"{', '.join(dict.fromkeys(names)) or 'attribution_source'}."
        )
    return landing


def parse_order_id(text: str) -> str:
    if "\0" in text or text.encode(errors="replace").decode() != text:
        raise ArgumentTypeError(f"{text!a} cannot be an order id.")
    return text


def parse_user(name: str) -> Any:
    """The primary key of the user with this name."""
    manager: Any = get_user_model()._default_manager
    try:
        return manager.get_by_natural_key(name.replace("\0", "\ufffd")).pk
    except MultipleObjectsReturned:
        raise ArgumentTypeError(
            f"Several users have the name {name!r}. Give the --user-id of one of them."
        ) from None
    # The last two: the name cannot be one, such as letters for a number.
    except (ObjectDoesNotExist, ValueError, ValidationError):
        raise ArgumentTypeError(
            f"There is no user {name!r}. For a deleted user, give the --user-id."
        ) from None


def parse_user_id(text: str) -> Any:
    field = get_user_model()._meta.pk
    try:
        value = field.to_python(text)
        field.run_validators(value)
        return value
    except ValidationError:
        raise ArgumentTypeError(f"{text!r} is not the primary key of a user.") from None


def confirm(question: str) -> None:
    """Raise CommandError unless a person answers yes."""
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        raise CommandError(
            "Nothing was changed: confirmation needs a terminal. Add --yes to skip it."
        ) from None
    if answer.strip().lower() != "y":
        raise CommandError("Nothing was changed.")


@contextmanager
def open_orders(
    path: str | None, csv: str | None, since: datetime | None, until: datetime | None
) -> Iterator[tuple[Iterable[Any], int | None]]:
    """The orders of a shop's callable or of a CSV file, and the file's size in bytes.

    The size is None if it is not known. ``-`` is standard input.
    """
    if (path is None) == (csv is None):
        raise CommandError("Give either the dotted path of a callable, or --csv.")
    if since is not None and since > datetime.now(UTC):
        raise CommandError("--since is in the future: no order is missing yet.")
    if since is not None and until is not None and until <= since:
        raise CommandError("--until must be later than --since.")
    if csv is not None:
        with _open_csv(csv) as found:
            yield found
    elif path is not None:
        if since is None:
            raise CommandError("--since is missing: the callable needs it.")
        yield _load_orders(path, since), None


def _load_orders(path: str, since: datetime) -> Iterable[Any]:
    try:
        source = import_string(path)
    except Exception as exc:
        is_known = isinstance(exc, ImportError)
        problem = exc if is_known else f"{path!r} raised {type(exc).__name__}"
        raise CommandError(
            f"{problem}. Give the dotted path of a callable: "
            "shop.tracking.completed_since."
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


@contextmanager
def _open_csv(name: str) -> Iterator[tuple[CsvFile, int | None]]:
    with ExitStack() as stack:
        file: BinaryIO
        try:
            if name == "-":
                file = sys.stdin.buffer
            else:
                file = stack.enter_context(Path(name).open("rb"))
        except OSError as exc:
            raise CommandError(f"{name} cannot be read: {exc.strerror}.") from exc
        except ValueError as exc:
            raise CommandError(f"{name!r} is not the name of a file.") from exc
        try:
            orders = CsvFile(file)
        except InvalidFile as exc:
            raise CommandError(f"{name}: {exc}. Nothing was recorded.") from exc
        is_regular = Path(name).is_file()
        yield orders, Path(name).stat().st_size if is_regular else None


class GracefulStop:
    """Notes SIGTERM or Ctrl-C, so that a command can finish what it has begun.

    ``signal`` is what was received, or None. A second signal ends the process at once.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        # Not an Event: a handler that runs while its lock is held would wait for ever.
        self._received = SimpleQueue[None]()
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._handlers = {
                number: signal.signal(number, self._note) for number in SIGNALS
            }
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def is_requested(self) -> bool:
        return self.signal is not None

    def wait(self, seconds: float) -> None:
        """Sleep until a signal comes, or so long."""
        if not self.is_requested():
            with suppress(Empty):
                self._received.get(timeout=seconds)

    def _note(self, number: int, _frame: object) -> None:
        self.signal = signal.Signals(number)
        self._received.put(None)
        self.__exit__()
