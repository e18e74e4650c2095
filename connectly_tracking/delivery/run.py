"""One run: its database and settings, looked up once, and whom it can send for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

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
    def claims_at_once(self) -> bool:
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
