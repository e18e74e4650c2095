"""Erases the data of a person who asked for it."""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.conf import settings
from django.contrib.auth import SESSION_KEY as AUTH_SESSION_KEY
from django.db import router, transaction
from django.db.models import Q
from django.utils import timezone

from ..models import Conversion, EventName, State, read_committed
from .held import note_erased
from .session import KEY
from .traces import Person, Traces, stored

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID


#: What the admin's log says instead of an order's number.
ERASED: Final = "(erased)"
_EMPTY: Final[dict[str, Any]] = {
    "body": "",
    "payload": "",
    "detail": "",
    "attribution": None,
    "user": None,
}


class Erased(NamedTuple):
    """How many clicks were deleted, how many events were stopped before they were sent,
    and how many finished events were emptied. A worker is sending those ``under_way``:
    erase again when it has finished.

    ``answers`` are the API's answers about these events, ``log_entries`` the admin's.
    ``sessions`` lost their copy of a click; if the search was cut short, others lose it
    at their next use.
    """

    clicks: int
    stopped: int
    emptied: int
    under_way: int
    answers: int = 0
    log_entries: int = 0
    sessions: int = 0


def erase(
    *,
    users: Collection[object] = (),
    orders: Collection[str] = (),
    clicks: Collection[str | UUID] = (),
    dry_run: bool = False,
    search_sessions_for: float = float("inf"),
) -> Erased:
    """Erase a customer, named by users (primary keys), orders and clicks (ids).

    Events that wait are not sent. The orders keep their id, time, value, campaign and
    ad, as the shop's own books do; content views are deleted. Nothing else is kept,
    except that the clicks' ids are noted, unreadable, so that no session or cookie goes
    on with them. Connectly keeps the events it received, and has no way to take them
    back.

    Sessions in the database are searched for as long as given, in seconds. A session
    that cannot be searched loses the click when it is next used.
    """
    found = Traces.of(Person(users=users, orders=orders, clicks=clicks))
    using = router.db_for_write(Conversion)
    with read_committed(using):
        erased = _erase_rows(found)
        if dry_run:
            transaction.set_rollback(True, using=using)
    sessions = _clear_sessions(found, search_sessions_for, dry_run)
    return erased._replace(sessions=sessions)


def _erase_rows(found: Traces) -> Erased:
    rows = found.conversions
    list(rows.order_by("pk").locked(skip=False).values_list("pk"))
    answers = _clear_answers(found)
    log_entries = _clear_log(found)
    awaiting = list(rows.awaiting_click().values_list("pk", flat=True))
    is_view, is_empty = Q(event_name=EventName.VIEW_CONTENT), Q(**_EMPTY)
    emptied = rows.filter(due_at=None).exclude(pk__in=awaiting)
    emptied_count = emptied.filter(is_view | ~is_empty).count()
    stopped = rows.mark_withdrawn()
    under_way = rows.filter(state=State.SENDING)
    # Their clicks stay: the next erasure finds these events by them.
    in_use = [*under_way.values_list("attribution_id", flat=True)]
    gone = found.clicks.exclude(pk__in=[pk for pk in in_use if pk is not None])
    clicks = gone.count()
    note_erased(found.click_ids)
    found.bindings.delete()
    gone.delete()
    rows.filter(is_view, due_at=None).delete()
    rows.filter(due_at=None).update(**_EMPTY)
    return Erased(
        clicks=clicks,
        stopped=stopped,
        emptied=emptied_count,
        under_way=len(in_use),
        answers=answers,
        log_entries=log_entries,
    )


def _clear_answers(found: Traces) -> int:
    """Delete what the API answered: it may repeat the event."""
    pauses = list(found.answers())
    for row in pauses:
        stored(type(row)).filter(pk=row.pk).update(detail="")
    finished = found.attempts.exclude(finished_at=None).exclude(detail="")
    return len(pauses) + finished.update(detail="")


def _clear_log(found: Traces) -> int:
    """An entry still says who did what and when, but no longer to which order."""
    entries = list(found.log_entries() or ())
    named = [entry for entry in entries if entry.object_repr != ERASED]
    copies = found.copies()
    for entry in named:
        entry.object_repr = ERASED
        if copies.search(entry.change_message):
            entry.change_message = ""
        entry.save(update_fields=["object_repr", "change_message"])
    return len(named)


def can_search_sessions() -> bool:
    """Whether the sessions are in the database, not in a cache, files or cookies."""
    return hasattr(_session_store(), "get_model_class")


def _session_store() -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore


def _clear_sessions(found: Traces, seconds: float, dry_run: bool) -> int:
    """Take the customer's clicks out of the sessions that the database has."""
    if not can_search_sessions():
        return 0
    store: Any = _session_store()
    until, cleared = time.monotonic() + seconds, 0
    ids = {click_id.hex for click_id in found.click_ids}
    users = {str(user) for user in found.person.users}
    sessions = stored(store.get_model_class()).filter(expire_date__gt=timezone.now())
    for row in sessions.order_by("-expire_date").iterator():
        if time.monotonic() > until:
            break
        data = row.get_decoded()
        entry = data.get(KEY)
        if not isinstance(entry, dict):
            continue
        values = entry.get("values") or [None]
        if (
            entry.get("id") in ids
            or values[0] in found.tracking_ids
            or data.get(AUTH_SESSION_KEY) in users
        ):
            cleared += 1
            session = store(row.session_key)
            if not dry_run and session.pop(KEY, None) and session.session_key:
                session.save()
    return cleared
