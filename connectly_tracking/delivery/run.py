"""One run: its database and settings, looked up once, and whom it can send for.

Also what a process remembers from one run to the next.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router
from django.utils.crypto import salted_hmac

from ..api.client import Client
from ..conf import Business, Conf, conf
from ..models import (
    Circuit,
    Conversion,
    ConversionQuerySet,
    DeliveryAttempt,
    read_committed,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import AbstractContextManager
    from datetime import datetime

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import QuerySet

    from ..models.pause import CircuitQuerySet

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A business's account with Connectly. ``fingerprint`` changes with the address,
    the business id and the key, and reveals nothing about them.
    """

    alias: str
    client: Client
    fingerprint: str

    @classmethod
    def of(cls, business: Business, settings: Conf) -> Self:
        """Raises ImproperlyConfigured if a setting is wrong."""
        client = make_client(business, settings)
        parts = (settings.BASE_URL, business.business_id, business.api_key.reveal())
        salt = "connectly_tracking.delivery.pause"
        digest = salted_hmac(salt, "\n".join(parts), algorithm="sha256").hexdigest()
        return cls(alias=business.alias, client=client, fingerprint=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """``using``: the alias of the database. ``settings``: as they were at the start."""

    using: str
    settings: Conf

    @classmethod
    def begin(cls) -> Self:
        return cls(using=router.db_for_write(Conversion), settings=conf.snapshot())

    @property
    def conversions(self) -> ConversionQuerySet:
        return Conversion.objects.using(self.using)

    @property
    def attempts(self) -> QuerySet[DeliveryAttempt]:
        return DeliveryAttempt.objects.using(self.using)

    @property
    def circuits(self) -> CircuitQuerySet:
        return Circuit.objects.using(self.using)

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return connections[self.using]

    def atomic(self) -> AbstractContextManager[None]:
        return read_committed(self.using)

    def drop_lost_connection(self) -> None:
        """Let the next statement open a new one, unless a transaction is open."""
        if not self.connection.in_atomic_block:
            self.connection.close_if_unusable_or_obsolete()

    def is_any_due(self, businesses: Collection[str]) -> bool:
        """The idle poll: one statement, which reads the start of an index."""
        return bool(self.conversions.due(businesses).values_list("pk")[:1])

    @property
    def claim_is_cheap(self) -> bool:
        """Whether a claim that finds nothing costs no more than a poll: not on SQLite,
        where it begins with a write.
        """
        return self.connection.features.has_select_for_update

    @property
    def reads_circuit_with_rows(self) -> bool:
        """Whether a claim may read the circuit beside the rows that it locks. With
        ``innodb_snapshot_isolation``, MariaDB then refuses a row that has changed since
        the statement began.
        """
        return self.connection.vendor != "mysql"

    def accounts(self) -> dict[str, Account]:
        """The businesses that can be sent for, by alias. A wrong setting is logged
        here, before any row is claimed.
        """
        settings, accounts = self.settings, dict[str, Account]()
        try:
            settings.validate_for_delivery()
            aliases = list(settings.BUSINESSES)
        except ImproperlyConfigured as exc:
            logger.error("nothing_sent problem=%s", exc)
            return {}
        for alias in aliases:
            try:
                accounts[alias] = Account.of(settings.business(alias), settings)
            except ImproperlyConfigured as exc:
                logger.warning("nothing_sent business=%s problem=%s", alias, exc)
        return accounts


def make_client(business: Business, settings: Conf) -> Client:
    """A client for a business. Raises ImproperlyConfigured if a setting is wrong."""
    return Client(
        base_url=settings.BASE_URL,
        business_id=business.business_id,
        key=business.api_key,
        connect_timeout=settings.CONNECT_TIMEOUT,
        read_timeout=settings.READ_TIMEOUT,
        deadline=settings.DEADLINE,
        proxies=settings.PROXIES,
        ca_bundle=settings.CA_BUNDLE,
    )


class Windows:
    """How many requests each business may have under way: from 1 to THREADS."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._pauses: dict[str, datetime | None] = {}

    def size(self, business: str) -> int:
        return self._sizes.get(business, 1)

    def grow(self, business: str, limit: int) -> None:
        self._sizes[business] = min(self.size(business) + 1, limit)

    def shrink(self, business: str) -> None:
        self._sizes.pop(business, None)

    def note_pause(self, business: str, changed_at: datetime | None) -> None:
        """Begin with 1 again after any pause, even one that only other workers saw."""
        if self._pauses.get(business) != changed_at:
            self.shrink(business)
        self._pauses[business] = changed_at

    def reset(self) -> None:
        self._sizes.clear()
        self._pauses.clear()


class LastTimes:
    """When something last happened, by a key of strings."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, ...], float] = {}

    def note(self, *key: str) -> None:
        self._times[key] = time.monotonic()

    def is_within(self, seconds: float, *key: str) -> bool:
        """Whether it happened so few seconds ago."""
        at = self._times.get(key)
        return at is not None and time.monotonic() < at + seconds

    def reset(self) -> None:
        self._times.clear()


windows: Final = Windows()
#: When Connectly refused our settings, by business and fingerprint.
settings_refused: Final = LastTimes()
#: When a paused business had no row that was too old, by business.
fruitless_expiries: Final = LastTimes()


def reset_memory() -> None:
    """Forget everything, as a new process would."""
    windows.reset()
    settings_refused.reset()
    fruitless_expiries.reset()
