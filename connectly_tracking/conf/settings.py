"""Each setting by its name.

A property reads ``CONNECTLY_TRACKING`` on access, so that an override in a test
holds at once, and raises ImproperlyConfigured with the words that `checks` shows.
"""

from __future__ import annotations

import re
from copy import copy
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from .credentials import (
    VALIDATORS,
    Business,
    api_key_of,
    base_url_of,
    business_id_of,
)
from .given import Given, fault, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.http import HttpRequest

    from ..api.secret import Secret
    from ..events import Purchase

DEFAULT_BUSINESS: Final = "default"
TOUCHES: Final = ("last", "first")

#: What a delivery reads only after it has claimed rows.
DELIVERY_SETTINGS: Final = (
    "BATCH",
    "LEASE",
    "MAX_EVENT_AGE",
    "PROBE_SCHEDULE",
    "RETRY_SCHEDULE",
    "THREADS",
)

_ALIAS: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Conf(Given):
    """Typed access to ``CONNECTLY_TRACKING``. Clocks are seconds."""

    #: What a contrib app brings along, for a shop that names no ORDER_ADAPTER.
    default_adapter: Callable[[Any], Purchase] | None = None

    @property
    def BUSINESSES(self) -> Mapping[str, Mapping[str, object]]:
        """Every business by its alias, the default one included where it is named."""
        named = self._get("BUSINESSES", {})
        if not isinstance(named, dict) or not all(
            isinstance(alias, str)
            and _ALIAS.fullmatch(alias)
            and isinstance(entry, dict)
            for alias, entry in named.items()
        ):
            raise fault("BUSINESSES", 'must look like {"br": {"BUSINESS_ID": …, …}}')
        if DEFAULT_BUSINESS in named:
            raise fault("BUSINESSES", "must not name 'default'; use the keys above it")
        own = {key: self._get(key, None) for key in ("BUSINESS_ID", "API_KEY")}
        default = {DEFAULT_BUSINESS: own} if any(own.values()) or not named else {}
        return default | named

    @property
    def BUSINESS_ID(self) -> str:
        """The default business's id at Connectly, a UUID."""
        return business_id_of("BUSINESS_ID", self._get("BUSINESS_ID", None))

    @property
    def API_KEY(self) -> Secret:
        """The default business's key."""
        return api_key_of("API_KEY", self._get("API_KEY", None))

    @property
    def BUSINESS_RESOLVER(self) -> Callable[[HttpRequest | None, Any], str] | None:
        """Says which business a request or an order belongs to."""
        return self._callable("BUSINESS_RESOLVER")

    @property
    def BASE_URL(self) -> str:
        """Where the API is: https, or http on loopback; without a trailing slash."""
        return base_url_of(self._get("BASE_URL", "https://api.connectly.ai"))

    @property
    def SEND(self) -> bool:
        """False: capture and record, send nothing."""
        return self._flag("SEND", default=True)

    @property
    def ORDER_ADAPTER(self) -> Callable[[Any], Purchase] | None:
        """Makes a Purchase of the shop's own order."""
        return self._callable("ORDER_ADAPTER") or self.default_adapter

    @property
    def ATTRIBUTION_WINDOW(self) -> timedelta | None:
        """How old a click may be when its order is placed; None: any age."""
        window = self._get("ATTRIBUTION_WINDOW", timedelta(days=28))
        seconds = None if window is None else seconds_of("ATTRIBUTION_WINDOW", window)
        return None if seconds is None else timedelta(seconds=seconds)

    @property
    def ATTRIBUTION_TOUCH(self) -> str:
        """Which of a customer's clicks is credited: ``"last"`` or ``"first"``."""
        touch = self._get("ATTRIBUTION_TOUCH", "last")
        if touch not in TOUCHES:
            raise fault("ATTRIBUTION_TOUCH", 'must be "last" or "first"')
        return str(touch)

    @property
    def CONSENT(self) -> Callable[[HttpRequest], bool | None] | None:
        """Says whether a visitor agreed; None: not asked yet."""
        return self._callable("CONSENT")

    @property
    def HOLD(self) -> float:
        """How long a purchase waits before it may go, so that it can be cancelled."""
        return seconds_of("HOLD", self._get("HOLD", 0), least=0)

    @property
    def MAX_EVENT_AGE(self) -> timedelta | None:
        """How old an event may be when it is sent; None: as old as it may get."""
        age = self._get("MAX_EVENT_AGE", timedelta(days=7))
        seconds = None if age is None else seconds_of("MAX_EVENT_AGE", age)
        return None if seconds is None else timedelta(seconds=seconds)

    @property
    def RECORD_UNATTRIBUTED(self) -> bool:
        """Whether an order without a click leaves a small row."""
        return self._flag("RECORD_UNATTRIBUTED", default=True)

    @property
    def STRICT(self) -> bool:
        """Whether bad input to a signal raises instead of being recorded as refused."""
        return self._flag("STRICT", default=settings.DEBUG)

    @property
    def LEASE(self) -> float:
        """How long a claimed row belongs to its worker."""
        return self._clock("LEASE", 120)

    @property
    def DEADLINE(self) -> float:
        """How long one POST may take in all."""
        return self._clock("DEADLINE", 20)

    @property
    def CONNECT_TIMEOUT(self) -> float:
        """How long a connection may take to come up."""
        return self._clock("CONNECT_TIMEOUT", 3.05)

    @property
    def READ_TIMEOUT(self) -> float:
        """How long the API may be silent."""
        return self._clock("READ_TIMEOUT", 10)

    @property
    def RETRY_SCHEDULE(self) -> tuple[float, ...]:
        """The waits between tries; the last repeats, each is varied by 20 %."""
        return self._schedule(
            "RETRY_SCHEDULE", (30, 60, 300, 900, 3600, 3 * 3600, 6 * 3600)
        )

    @property
    def PROBE_SCHEDULE(self) -> tuple[float, ...]:
        """The waits between two tries of a paused business; the last repeats."""
        return self._schedule("PROBE_SCHEDULE", (30, 60, 120, 300))

    @property
    def BATCH(self) -> int:
        """Rows in one claim."""
        return self._count("BATCH", 64, most=1000)

    @property
    def THREADS(self) -> int:
        """POSTs in flight in one process."""
        return self._count("THREADS", 16, most=128)

    @property
    def PROXIES(self) -> dict[str, str] | None:
        """Proxies by scheme; None: the environment's; {}: none."""
        proxies = self._get("PROXIES", None)
        if proxies is None:
            return None
        if not isinstance(proxies, dict) or not all(
            isinstance(text, str) for pair in proxies.items() for text in pair
        ):
            raise fault("PROXIES", 'must look like {"https": "http://proxy:3128"}')
        return dict(proxies)

    @property
    def CA_BUNDLE(self) -> str | None:
        """A file of certificates to trust; None: the environment's or certifi's."""
        bundle = self._get("CA_BUNDLE", None)
        if bundle is None:
            return None
        if not isinstance(bundle, (str, Path)) or not Path(bundle).exists():
            raise fault("CA_BUNDLE", "must be the path of an existing file")
        return str(bundle)

    @property
    def RETENTION(self) -> timedelta:
        """What ``prune`` keeps."""
        kept = self._get("RETENTION", timedelta(days=90))
        return timedelta(seconds=seconds_of("RETENTION", kept))

    @property
    def QUEUE(self) -> str | None:
        """The Celery queue of our tasks; None: the project's default."""
        queue = self._get("QUEUE", None)
        if queue is not None and not (isinstance(queue, str) and queue.strip()):
            raise fault("QUEUE", "must be the name of a queue")
        return queue

    @property
    def OSCAR_PURCHASE_STATUS(self) -> str | None:
        """The status at which Oscar's orders are reported; None: when placed."""
        status = self._get("OSCAR_PURCHASE_STATUS", None)
        if status is not None and not _is_status(status):
            raise fault("OSCAR_PURCHASE_STATUS", "must be the name of a status")
        return status  # type: ignore[no-any-return]

    @property
    def OSCAR_CANCEL_STATUSES(self) -> tuple[str, ...]:
        """The statuses that cancel an order of Oscar's."""
        statuses = self._get("OSCAR_CANCEL_STATUSES", ("Cancelled",))
        if not isinstance(statuses, (list, tuple)) or not all(
            map(_is_status, statuses)
        ):
            raise fault("OSCAR_CANCEL_STATUSES", 'must look like ["Cancelled", …]')
        return tuple(statuses)

    def is_strict(self) -> bool:
        """STRICT; not where it is set wrongly, which must cost no page."""
        try:
            return self.STRICT
        except ImproperlyConfigured:
            return False

    def snapshot(self) -> Self:
        """Return the settings as they are now, read once, for the whole of a run."""
        fixed = copy(self)
        fixed._fixed = MappingProxyType({**self.given})
        return fixed

    def validate_for_delivery(self) -> None:
        """Raise ImproperlyConfigured if a setting that every delivery needs is wrong.

        The credentials are not read: they belong to one business each.
        """
        for name in DELIVERY_SETTINGS:
            getattr(self, name)

    def credentials_problem(self, alias: str) -> str:
        """Return why nothing can be sent for a business, or an empty string.

        A callable ``API_KEY`` counts as a key and is never called, so that a page does
        not wait for a vault.
        """
        try:
            prefix, entry = self._entry(alias)
            for name, validate in VALIDATORS.items():
                if not (name == "API_KEY" and callable(entry.get(name))):
                    validate(f"{prefix}{name}", entry.get(name))
        except ImproperlyConfigured as exc:
            return str(exc)
        return ""

    def business(self, alias: str) -> Business:
        """One business's credentials. Raises ImproperlyConfigured without the key."""
        prefix, entry = self._entry(alias)
        return Business(
            alias=alias,
            business_id=self.business_id(alias),
            api_key=api_key_of(f"{prefix}API_KEY", entry.get("API_KEY")),
        )

    def business_id(self, alias: str) -> str:
        """For what needs no key. Raises ImproperlyConfigured without it."""
        prefix, entry = self._entry(alias)
        return business_id_of(f"{prefix}BUSINESS_ID", entry.get("BUSINESS_ID"))

    def _entry(self, alias: str) -> tuple[str, Mapping[str, Any]]:
        """What stands before the names in an error's words, and the settings."""
        entry = self.BUSINESSES.get(alias)
        if entry is None:
            raise fault("BUSINESSES", f"has no business {alias!r}")
        return "" if alias == DEFAULT_BUSINESS else f"BUSINESSES.{alias}.", entry


conf = Conf()

#: Every setting's name.
NAMES: Final = tuple(name for name in vars(Conf) if name.isupper())


def _is_status(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
