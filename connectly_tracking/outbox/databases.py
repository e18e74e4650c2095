"""The database of an order's row: it must be that of the order, to commit with it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router
from django.db.models import Model

from ..conf import conf
from ..models import Conversion

if TYPE_CHECKING:
    from collections.abc import Callable

_REMEDY: Final = (
    "In DATABASE_ROUTERS, route the app connectly_tracking to the database of the "
    "orders"
)
#: Two aliases with the same values are two connections to one database.
_IDENTITY: Final = ("ENGINE", "HOST", "PORT", "NAME")

logger = logging.getLogger(__name__)


def database_for(using: str | None) -> str:
    """Return the alias to write to: ``using``, unless no worker reads that database.

    Then the router's choice is returned and a line is logged, or ImproperlyConfigured
    is raised under STRICT.
    """
    ours = router.db_for_write(Conversion)
    if using is None or using not in connections or _is_same(using, ours):
        return using or ours  # Django says that an alias does not exist
    if conf.is_strict():
        raise ImproperlyConfigured(
            f"using={using!r} is not the database of the conversions, {ours!r}: the "
            f"workers would not find the row. {_REMEDY}, or leave out using."
        )
    logger.error(
        "using_ignored using=%s conversions=%s remedy='%s'", using, ours, _REMEDY
    )
    return ours


def check_database(order: Any, using: str, *, name: Callable[[], str]) -> None:
    """Log that the order and its row in ``using`` may not commit together.

    Raises ImproperlyConfigured instead, under STRICT. An ``order`` that is not a model
    instance, or is not saved yet, tells nothing. ``name`` is called for a message only.
    """
    if not isinstance(order, Model) or order._state.db is None:
        return
    # It may have been read from a replica.
    place = router.db_for_write(order.__class__, instance=order)
    # Or the shop has saved it by another alias of our database, and named that.
    is_named = using == order._state.db and using != router.db_for_write(Conversion)
    if place == using or is_named:
        return
    if conf.is_strict():
        raise ImproperlyConfigured(
            f"Order {name()} is in the database {place!r} and its conversion in "
            f"{using!r}, so that one may be committed without the other. {_REMEDY} "
            "(docs/developer/databases.md)."
        )
    logger.error(
        "order_in_other_database order_id=%s order_database=%s conversions=%s "
        "remedy='%s'",
        name(),
        place,
        using,
        _REMEDY,
    )


def _is_same(alias: str, other: str) -> bool:
    first, second = (connections[it].settings_dict for it in (alias, other))
    return all(first[key] == second[key] for key in _IDENTITY)
