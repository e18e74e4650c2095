"""Whether the visitor agreed, and what follows for a click that waited for it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import router, transaction
from django.db.models import Q

from ..conf import conf
from ..guard import guarded, refuse_async, savepoint, tolerated
from ..models import Conversion, OrderAttribution, Reason, State
from .clicks import attach_late_click, store_click, stored_clicks
from .cookie import note_cookie, read_cookie
from .session import (
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

    from ..api.landing import Landing
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
        note_erased({click.id})  # for its tokens
    return None


def consent_changed(request: HttpRequest) -> None:
    """Apply the visitor's answer; call this when it is given. Never raises.

    Yes: a click that waited is stored, and orders that waited for it are sent. No: the
    visitor's clicks are deleted, and orders that were not sent yet are stopped. If the
    customer is logged in, that applies to every device.
    """
    guarded("consent_not_applied", lambda: _consent_changed(request))


def forget(request: HttpRequest) -> None:
    """Forget this visitor's clicks, as if consent had been withdrawn. Never raises."""
    guarded("click_not_forgotten", lambda: _forget(request))


class _Held(NamedTuple):
    """What the session and the cookie have: clicks' ids, and the session's values."""

    ids: set[UUID]
    landing: Landing | None

    @classmethod
    def by(cls, request: HttpRequest) -> _Held:
        click, in_cookie = read_click(request), read_cookie(request)
        ids = {found for found in (in_cookie, click and click.id) if found}
        ids.update(click.later if click else ())
        return cls(ids, click.landing if click else None)


def _consent_changed(request: HttpRequest) -> None:
    refuse_async("consent_changed()", "await sync_to_async(consent_changed)(...)")
    held = _Held.by(request)
    apply_consent(request)
    if ask_consent(request) is False:
        _withdraw(request, held)


def _forget(request: HttpRequest) -> None:
    refuse_async("forget()", "await sync_to_async(forget)(...)")
    _withdraw(request, _Held.by(request))


def _withdraw(request: HttpRequest, held: _Held) -> None:
    drop_held(request)
    user_id = visitor_id_of(request)
    gone = _clicks_of_visitor(held, user_id)
    if not gone and user_id is None:
        return
    using = router.db_for_write(Conversion)
    with transaction.atomic(using=using):
        # One after the other, so that MySQL locks only what an index finds.
        of_account = [] if user_id is None else [_of_user(user_id)]
        for ours in (Q(attribution_id__in=gone), *of_account):
            rows = Conversion.objects.using(using).filter(ours)
            rows.mark_withdrawn()
            # So that no person can send them again; a worker has its own copy.
            rows.exclude(state=State.DELIVERED).update(body="")
        _unbind(gone)
        note_erased(gone)  # for the sessions of other devices
        stored_clicks().filter(pk__in=gone).delete()


def _clicks_of_visitor(held: _Held, user_id: Any) -> set[UUID]:
    """Return the ids of the clicks that a "no" is for.

    Connectly gives one tracking id to each customer. A person who opened a forwarded
    link has the same, so a click of another account stays.
    """
    orders = Conversion.objects.using(router.db_for_write(Conversion))
    ordered_by = orders.filter(_of_user(user_id), attribution_id__isnull=False)
    known = held.ids.union(ordered_by.values_list("attribution_id", flat=True))
    columns = stored_clicks().values_list("pk", "user_id", "cnct_tracking_id")
    found = [*columns.filter(_of_user(user_id) | Q(pk__in=known))]
    in_browser = [click for click in found if click[0] in held.ids]
    tracking_ids = {tracking_id for *_, tracking_id in in_browser}
    if held.landing is not None:
        tracking_ids.add(held.landing.cnct_tracking_id)
    # Compared once more, since a collation may ignore case.
    alike = columns.filter(cnct_tracking_id__in=tracking_ids)
    found += [click for click in alike if click[2] in tracking_ids]
    owners = {None, user_id}
    if user_id is None:  # logged out
        owners.update(owner for _pk, owner, _id in in_browser)
    return held.ids | {pk for pk, owner, _id in found if owner in owners}


def _of_user(user_id: Any) -> Q:
    return Q(pk=None) if user_id is None else Q(user_id=user_id)


def _unbind(clicks: Collection[UUID]) -> None:
    """Keep the bindings without their click: they say that the customer said no."""
    bindings = OrderAttribution.objects.using(router.db_for_write(OrderAttribution))
    bindings.filter(attribution_id__in=clicks).update(attribution=None)
