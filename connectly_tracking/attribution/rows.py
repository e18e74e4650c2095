"""Writes a click's row, and harms nobody's transaction with it."""

from __future__ import annotations

from contextlib import nullcontext

from django.db import router, transaction

from ..models import Attribution, AttributionQuerySet


def store(click: Attribution) -> None:
    """One INSERT, and no harm where the row is there already."""
    using = router.db_for_write(Attribution)
    with savepoint():
        Attribution.objects.using(using).bulk_create([click], ignore_conflicts=True)
    click._state.adding = False


def stored() -> AttributionQuerySet:
    """Where they are written: a replica may not know the click of a minute ago."""
    return Attribution.objects.using(router.db_for_write(Attribution))


def savepoint(using: str | None = None) -> transaction.Atomic | nullcontext[None]:
    """Around statements of ours whose failure would fail somebody's transaction."""
    using = using or router.db_for_write(Attribution)
    in_atomic = transaction.get_connection(using).in_atomic_block
    return transaction.atomic(using) if in_atomic else nullcontext()
