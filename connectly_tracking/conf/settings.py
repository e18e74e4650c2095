"""Each setting by its name.

A property reads ``CONNECTLY_TRACKING`` on access, so that a test's override holds at
once, and raises ImproperlyConfigured with the text that the system check shows.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeGuard
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from .businesses import BusinessSettings, valid_base_url
from .reader import improper

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django_stubs_ext import StrOrPromise

    from ..events import Purchase

#: A token of RFC 6265.
_COOKIE_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_COOKIES: Final = ("SESSION", "CSRF", "LANGUAGE")
_PROXIED: Final = ("https", "http", "all")
MAX_NAME: Final = 255  # characters; AMQP takes no longer name of a queue
TOUCHES: Final = ("last", "first")
MAIL_ADMINS: Final = "mail_admins"
#: The settings without which nothing is sent for any business, but the credentials.
DELIVERY_SETTINGS: Final = (
    "BASE_URL",
    "BATCH",
    "CA_BUNDLE",
    "CONNECT_TIMEOUT",
    "DEADLINE",
    "LEASE",
    "MAX_EVENT_AGE",
    "PROBE_SCHEDULE",
    "PROXIES",
    "READ_TIMEOUT",
    "RETRY_SCHEDULE",
    "THREADS",
)


class Conf(BusinessSettings):
    """Typed access to ``CONNECTLY_TRACKING``. A float is a number of seconds."""

    #: Used without an ORDER_ADAPTER; a contrib app sets it.
    default_adapter: Callable[[Any], Purchase] | None = None

    @property
    def BUSINESS_RESOLVER(self) -> Callable[[HttpRequest | None, Any], str] | None:
        """Returns the alias of the business that a request or an order belongs to."""
        return self._callable("BUSINESS_RESOLVER")

    @property
    def BASE_URL(self) -> str:
        """The API's address: https, or http on loopback; no trailing slash."""
        url = self.raw.get("BASE_URL", "https://api.connectly.ai")
        return valid_base_url("BASE_URL", url)

    @property
    def SEND(self) -> bool:
        """False: capture and record, but send nothing."""
        return self._bool("SEND", default=True)

    @property
    def ORDER_ADAPTER(self) -> Callable[[Any], Purchase] | None:
        """Makes a Purchase of the shop's own order."""
        return self._callable("ORDER_ADAPTER") or self.default_adapter

    @property
    def ATTRIBUTION_WINDOW(self) -> timedelta | None:
        """The greatest age of a click when its order is placed; None: no limit."""
        return self._optional_duration("ATTRIBUTION_WINDOW", default=timedelta(days=28))

    @property
    def ATTRIBUTION_TOUCH(self) -> str:
        """Which of a customer's clicks is credited: ``"last"`` or ``"first"``."""
        touch = self.raw.get("ATTRIBUTION_TOUCH", "last")
        if touch not in TOUCHES:
            raise improper("ATTRIBUTION_TOUCH", _('must be "last" or "first"'))
        return str(touch)

    @property
    def CLICK_COOKIE(self) -> str | None:
        """The name of the cookie that carries a stored click's id; None: no cookie."""
        name = self.raw.get("CLICK_COOKIE", "connectly_click")
        if name is not None and not (
            isinstance(name, str) and _COOKIE_NAME.fullmatch(name)
        ):
            raise improper(
                "CLICK_COOKIE", _('must be a cookie name ("my_click") or None')
            )
        if name in {getattr(settings, f"{whose}_COOKIE_NAME") for whose in _COOKIES}:
            raise improper(
                "CLICK_COOKIE", _("must not be the name of Django's own cookie")
            )
        if name is not None and (problem := _prefix_problem(name.lower())):
            raise improper("CLICK_COOKIE", problem)
        return name

    @property
    def CONSENT(self) -> Callable[[HttpRequest], bool | None] | None:
        """Returns whether a visitor agreed; None: not asked yet."""
        return self._callable("CONSENT")

    @property
    def HOLD(self) -> float:
        """How long a purchase waits before it is sent, so that it can be cancelled."""
        return self._seconds("HOLD", default=0, allow_zero=True)

    @property
    def MAX_EVENT_AGE(self) -> timedelta | None:
        """The greatest age of an event that is sent; None: however old."""
        return self._optional_duration("MAX_EVENT_AGE", default=timedelta(days=7))

    @property
    def RECORD_UNATTRIBUTED(self) -> bool:
        """Whether an order without a click leaves a small row."""
        return self._bool("RECORD_UNATTRIBUTED", default=True)

    @property
    def STRICT(self) -> bool:
        """Whether bad input to a signal raises instead of being recorded as invalid."""
        return self._bool("STRICT", default=bool(settings.DEBUG))

    @property
    def LEASE(self) -> float:
        """How long a claimed row belongs to its worker."""
        return self._clock("LEASE", default=120)

    @property
    def DEADLINE(self) -> float:
        """The longest time for one POST, from connecting to the answer's end."""
        return self._clock("DEADLINE", default=20)

    @property
    def CONNECT_TIMEOUT(self) -> float:
        """The longest time to connect to one address."""
        return self._clock("CONNECT_TIMEOUT", default=3.05)

    @property
    def READ_TIMEOUT(self) -> float:
        """The longest silence of the API."""
        return self._clock("READ_TIMEOUT", default=10)

    @property
    def RETRY_SCHEDULE(self) -> tuple[float, ...]:
        """The waits between attempts; the last repeats, each is varied by 20 %."""
        return self._schedule(
            "RETRY_SCHEDULE", default=(30, 60, 300, 900, 3600, 3 * 3600, 6 * 3600)
        )

    @property
    def PROBE_SCHEDULE(self) -> tuple[float, ...]:
        """The waits between two attempts of a paused business; the last repeats."""
        return self._schedule("PROBE_SCHEDULE", default=(30, 60, 120, 300))

    @property
    def BATCH(self) -> int:
        """Rows in one claim."""
        return self._int("BATCH", default=64, maximum=1000)

    @property
    def THREADS(self) -> int:
        """The greatest number of simultaneous POSTs in one process."""
        return self._int("THREADS", default=16, maximum=128)

    @property
    def PROXIES(self) -> dict[str, str] | None:
        """Proxies by scheme; None: the environment's; {}: none."""
        proxies = self.raw.get("PROXIES")
        if proxies is None:
            return None
        if not isinstance(proxies, dict) or not all(map(_is_proxy, proxies.items())):
            raise improper(
                "PROXIES", _('must look like {"https": "http://proxy:3128"}')
            )
        return dict(proxies)

    @property
    def CA_BUNDLE(self) -> str | None:
        """A file of certificates to trust; None: the environment's or certifi's."""
        bundle = self.raw.get("CA_BUNDLE")
        if bundle is None:
            return None
        if not isinstance(bundle, (str, Path)) or not _exists(bundle):
            raise improper("CA_BUNDLE", _("must be the path of an existing file"))
        return str(bundle)

    @property
    def ALERTS(self) -> Callable[[Any], None] | str | None:
        """Whom ``watch`` tells: ``"mail_admins"`` or a callable; None: nobody."""
        if self.raw.get("ALERTS") == MAIL_ADMINS:
            return MAIL_ADMINS
        return self._callable("ALERTS")

    @property
    def RETENTION(self) -> timedelta:
        """The age at which ``prune`` deletes rows."""
        return self._duration("RETENTION", default=timedelta(days=90))

    @property
    def QUEUE(self) -> str | None:
        """The Celery queue of this app's tasks; None: the project's default."""
        queue = self.raw.get("QUEUE")
        if queue is not None and not _is_name(queue):
            problem = _('must be the name of a queue, such as "connectly"')
            raise improper("QUEUE", problem)
        return queue

    @property
    def OSCAR_PURCHASE_STATUS(self) -> str | None:
        """The status at which Oscar's orders are reported; None: when placed."""
        status = self.raw.get("OSCAR_PURCHASE_STATUS")
        if status is not None and not _is_name(status):
            problem = _('must be the name of a status, such as "Paid"')
            raise improper("OSCAR_PURCHASE_STATUS", problem)
        return status

    @property
    def OSCAR_CANCEL_STATUSES(self) -> tuple[str, ...]:
        """The statuses that cancel an order of Oscar's."""
        statuses = self.raw.get("OSCAR_CANCEL_STATUSES", ("Cancelled",))
        if not isinstance(statuses, (list, tuple)) or not all(map(_is_name, statuses)):
            raise improper(
                "OSCAR_CANCEL_STATUSES", _('must look like ["Cancelled", …]')
            )
        return tuple(statuses)

    def is_strict(self) -> bool:
        """STRICT, but False if it is set wrongly: that must not break a page."""
        try:
            return self.STRICT
        except ImproperlyConfigured:
            return False

    def validate_for_delivery(self) -> None:
        """Raise ImproperlyConfigured if one of ``DELIVERY_SETTINGS`` is wrong."""
        for name in DELIVERY_SETTINGS:
            getattr(self, name)


conf = Conf()

#: Every setting's name.
NAMES: Final = tuple(
    name for base in reversed(Conf.__mro__) for name in vars(base) if name.isupper()
)


def _is_name(value: object) -> TypeGuard[str]:
    return (
        isinstance(value, str)
        and bool(value.strip())
        and value.isprintable()
        and len(value) <= MAX_NAME
    )


def _prefix_problem(name: str) -> StrOrPromise:
    """Return why browsers refuse a cookie with this prefix (RFC 6265bis), or ""."""
    is_secure = bool(settings.SESSION_COOKIE_SECURE)
    if name.startswith("__secure-") and not is_secure:
        return _(
            'begins with "__Secure-", which browsers accept only if '
            "SESSION_COOKIE_SECURE is True"
        )
    is_of_host = (
        is_secure
        and settings.SESSION_COOKIE_PATH == "/"
        and not settings.SESSION_COOKIE_DOMAIN
    )
    if name.startswith("__host-") and not is_of_host:
        return _(
            'begins with "__Host-", which browsers accept only if '
            'SESSION_COOKIE_SECURE is True, SESSION_COOKIE_PATH is "/" and '
            "SESSION_COOKIE_DOMAIN is not set"
        )
    return ""


def _exists(path: str | Path) -> bool:
    try:
        return bool(str(path)) and Path(path).exists()
    except OSError:  # such as a name that is too long
        return False


def _is_proxy(pair: tuple[object, object]) -> bool:
    """Return whether requests can read it; an empty URL means no proxy."""
    scheme, proxy = pair
    if not isinstance(scheme, str) or not isinstance(proxy, str):
        return False
    if scheme.partition("://")[0] not in _PROXIED or " " in proxy:
        return False
    try:
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        return not proxy or (
            not url.scheme.lower().startswith("socks")
            and proxy.isprintable()
            and bool(url.hostname)
            and url.port != 0
        )
    except ValueError:
        return False
