"""Whether the visitor agreed, and what follows for a click that waited for it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from django.db import router, transaction

from ..conf import conf
from ..guard import guarded, refuse_async, savepoint, tolerated
from ..models import Conversion, OrderAttribution, Reason, State
from .clicks import attach_late_click, store_click, stored_clicks
from .cookie import note_cookie, note_no_cookie
from .session import (
    drop_click,
    drop_held,
    drop_if_erased,
    held_click,
    load_attribution,
    note_erased,
    note_stored,
    read_click,
    visitor_id_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from django.http import HttpRequest

    from .session import SessionClick

logger = logging.getLogger(__name__)


def ask_consent(request: HttpRequest) -> bool | None:
    """Return what CONSENT says of this visitor; None: not asked yet. Never raises."""
    answer = None
    with tolerated("consent_not_known"):
        ask = conf.CONSENT
        answer = True if ask is None else ask(request)
    if answer is None or isinstance(answer, bool):
        return answer
    logger.error("consent_not_known answer_type=%s", type(answer).__name__)
    return None


def awaits_consent(request: HttpRequest) -> bool:
    """Whether the session's click waits for the visitor's answer."""
    if not conf.raw.get("CONSENT"):
        return False
    click = read_click(request)
    return click is not None and click.awaits_consent


def apply_consent(request: HttpRequest) -> SessionClick | None:
    """Return the browser's click, and first act on an answer that it waited for.

    Yes: it is stored, and orders that waited for it get it. No: it is dropped. Raises
    database errors.
    """
    click = held_click(request)
    if click is None or not click.awaits_consent:
        return click
    agreed = ask_consent(request)
    attribution = load_attribution(request, click)
    if agreed is None or attribution is None:
        return click
    orders = Conversion.objects.filter(attribution_id=click.id)
    if agreed:
        if drop_if_erased(request, click):
            return None
        with savepoint():
            store_click(attribution)
            attach_late_click(orders, attribution)
        accepted = replace(click, has_row=True, awaits_consent=False)
        note_cookie(request, click.id)
        note_stored(request, accepted)
        return accepted
    drop_held(request)
    with savepoint():
        orders.awaiting_click().update(payload="", reason=Reason.CONSENT_REFUSED)
        _unbind({click.id})
    return None


def consent_changed(request: HttpRequest) -> None:
    """Call this when the visitor has answered. Never raises.

    Yes: a click that waited is stored, and orders that waited for it are sent. No: the
    click is deleted, and orders that were not sent yet are stopped. If the customer is
    logged in, that applies to all their clicks, from every device.
    """
    guarded("consent_not_applied", lambda: _consent_changed(request))


def forget(request: HttpRequest) -> None:
    """Forget this visitor's clicks, as if consent had been withdrawn. Never raises."""
    guarded("click_not_forgotten", lambda: _forget(request))


def _consent_changed(request: HttpRequest) -> None:
    refuse_async("consent_changed()", "await sync_to_async(consent_changed)(...)")
    click = apply_consent(request)
    if ask_consent(request) is False:
        _withdraw(request, click)


def _forget(request: HttpRequest) -> None:
    refuse_async("forget()", "await sync_to_async(forget)(...)")
    _withdraw(request, held_click(request))


def _withdraw(request: HttpRequest, click: SessionClick | None) -> None:
    note_no_cookie(request)
    gone: set[UUID] = set()
    user_id = visitor_id_of(request)
    if user_id is not None:
        gone.update(
            stored_clicks().filter(user_id=user_id).values_list("pk", flat=True)
        )
    if click is not None:
        gone.add(click.id)
        drop_click(request)
    if not gone:
        return
    using = router.db_for_write(Conversion)
    with transaction.atomic(using=using):
        rows = Conversion.objects.using(using).filter(attribution_id__in=gone)
        rows.mark_withdrawn()
        # So that no person can send them again; a worker has its own copy.
        rows.exclude(state=State.DELIVERED).update(body="")
        _unbind(gone)
        note_erased(gone)  # for the sessions of other devices
        stored_clicks().filter(pk__in=gone).delete()


def _unbind(clicks: Collection[UUID]) -> None:
    """Keep the bindings without their click: they say that the customer said no."""
    bindings = OrderAttribution.objects.using(router.db_for_write(OrderAttribution))
    bindings.filter(attribution_id__in=clicks).update(attribution=None)
