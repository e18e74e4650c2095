"""What is stored about a customer: shown, exported and erased."""

from __future__ import annotations

import html
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.contrib.auth import SESSION_KEY as AUTH_SESSION_KEY
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.base import UpdateError
from django.db import router, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from ..api.values import safe_id
from ..models import (
    Alert,
    Attribution,
    Circuit,
    Conversion,
    DeliveryAttempt,
    EventName,
    OrderAttribution,
    Pause,
    State,
    key_of,
    read_committed,
)
from .session import KEY, note_erased

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import datetime

    from django.db.models import Model, QuerySet

    from ..models import ConversionQuerySet

#: The models that keep an answer of the API beside the attempt's own.
WITH_ANSWERS: Final[tuple[type[Model], ...]] = (Circuit, Pause, Alert)

#: What the admin's log says instead of an order's number.
ERASED: Final = "(erased)"
_EMPTY: Final[dict[str, Any]] = {
    "body": "",
    "payload": "",
    "detail": "",
    "attribution": None,
    "user": None,
}


@dataclass(frozen=True, kw_only=True)
class Person:
    """A customer as the shop names one: by users, orders and clicks.

    ``users`` are primary keys, ``orders`` order ids. A click is given by its own id or
    by its tracking id or click id.
    """

    users: Collection[object] = ()
    orders: Collection[str] = ()
    clicks: Collection[str | UUID] = ()


@dataclass(frozen=True, kw_only=True)
class Traces:
    """The keys of a customer's rows, and the ids by which copies are recognised.

    ``click_ids`` may be of clicks that were pruned or never had a row. A tracking id is
    one customer's, says Connectly: whatever has the same one is found, too.
    """

    person: Person
    click_ids: set[UUID] = field(default_factory=set)
    tracking_ids: set[str] = field(default_factory=set)
    conversion_ids: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, person: Person) -> Traces:
        found = cls(person=person)
        found.complete()
        return found

    @property
    def size(self) -> int:
        return len(self.click_ids) + len(self.tracking_ids) + len(self.conversion_ids)

    def complete(self) -> None:
        """Find the rows to which those that are known lead."""
        size = -1
        while size < (size := self.size):
            self._find_clicks()
            self._find_conversions()

    def add_entry(self, entry: dict[str, Any], *, is_of_user: bool) -> bool:
        """Whether a session's entry is of this customer. Its ids are known from now."""
        later = entry.get("later")
        ids = [entry.get("id"), *(later if isinstance(later, list) else [])]
        click_ids = set(filter(None, (_uuid(str(each)) for each in ids)))
        tracking_id = ctwa_clid = ""
        match entry.get("values"):
            case [str(tracking_id), _, str(ctwa_clid), *_]:
                pass
        is_found = (
            is_of_user
            or not click_ids.isdisjoint(self.click_ids)
            or tracking_id in self.tracking_ids
            or not self._texts.isdisjoint((tracking_id, ctwa_clid))
        )
        if is_found:
            self.click_ids.update(click_ids)
            self.tracking_ids.update(filter(None, [tracking_id]))
        return is_found

    @property
    def clicks(self) -> QuerySet[Attribution]:
        return stored(Attribution).filter(pk__in=self.click_ids)

    @property
    def bindings(self) -> QuerySet[OrderAttribution]:
        keys = [key_of(order_id) for order_id in self.person.orders]
        of_click = Q(attribution_id__in=self.click_ids)
        return stored(OrderAttribution).filter(
            of_click | Q(key__in=keys, attribution_id__isnull=False)
        )

    @property
    def conversions(self) -> ConversionQuerySet:
        rows = Conversion.objects.using(router.db_for_write(Conversion))
        return rows.filter(pk__in=self.conversion_ids)

    @property
    def attempts(self) -> QuerySet[DeliveryAttempt]:
        return stored(DeliveryAttempt).filter(conversion_id__in=self.conversion_ids)

    def answers(self) -> Iterator[Model]:
        """Yield the pauses and alerts that quote an answer about these events."""
        texts = {
            text for text in self.attempts.values_list("detail", flat=True) if text
        }
        copies = self.copies()
        businesses = {*self.conversions.values_list("business", flat=True)}
        for model in WITH_ANSWERS:
            for row in stored(model).filter(business__in=businesses).exclude(detail=""):
                detail = str(getattr(row, "detail", ""))
                if copies.search(detail) or any(text in detail for text in texts):
                    yield row

    def log_entries(self) -> QuerySet[Any] | None:
        """Return the admin's log of these rows; None without the admin."""
        if not apps.is_installed("django.contrib.admin"):
            return None
        keys: dict[type[Model], Iterable[object]] = {
            Conversion: self.conversion_ids,
            Attribution: self.click_ids,
        }
        ours = Q(pk=None)
        for model, found in keys.items():
            kind = ContentType.objects.get_for_model(model)
            ours |= Q(content_type=kind, object_id__in=[str(key) for key in found])
        return stored(apps.get_model("admin", "LogEntry")).filter(ours)

    def copies(self) -> re.Pattern[str]:
        """Match the ids of these events in any spelling that an answer may have."""
        ids = {*self.person.orders, *self.tracking_ids}
        ids.update(str(key) for key in self.click_ids)
        ids.update(self.clicks.values_list("ctwa_clid", flat=True))
        for order_id, body in self.conversions.values_list("order_id", "body"):
            ids.update((order_id, *_ids_in(body)))
        spelt = {
            re.escape(spelling)
            for text in ids - {""}
            for spelling in (
                text,
                quote(text, safe=""),
                html.escape(text),
                json.dumps(text)[1:-1],
            )
        }
        return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(spelt)) or '(?!)'})(?!\w)")

    def _find_clicks(self) -> None:
        self.click_ids.update(filter(None, map(_uuid, self._texts)))
        bound = self.bindings.values_list("attribution_id", flat=True)
        self.click_ids.update(pk for pk in bound if pk is not None)
        sure = Q(pk__in=self.click_ids) | Q(user_id__in=self.person.users)
        wanted = self._texts | self.tracking_ids
        alike = Q(cnct_tracking_id__in=wanted) | Q(ctwa_clid__in=self._texts)
        columns = stored(Attribution).values_list("pk", "cnct_tracking_id", "ctwa_clid")
        found = [
            *columns.filter(sure),
            # Compared once more, since a collation may ignore case.
            *(row for row in columns.filter(alike) if not wanted.isdisjoint(row)),
        ]
        self.click_ids.update(pk for pk, *_ids in found)
        self.tracking_ids.update(tracking_id for _pk, tracking_id, _id in found)

    def _find_conversions(self) -> None:
        columns = stored(Conversion).values_list("pk", "attribution_id", "body")
        sure = (
            Q(attribution_id__in=self.click_ids)
            | Q(user_id__in=self.person.users)
            | _purchases(self.person.orders)
        )
        found = [*columns.filter(sure).order_by()]
        wanted = self._texts | self.tracking_ids
        click = stored(Attribution).filter(pk=OuterRef("attribution_id"))
        for text in wanted:
            # Of a pruned click only these copies are left; there is no index for them.
            alike = columns.filter(~Exists(click), body__contains=json.dumps(text))
            found += [
                row
                for row in alike.order_by()
                if not wanted.isdisjoint(_ids_in(row[2]))
            ]
        for pk, click_id, body in found:
            self.conversion_ids.add(pk)
            self.click_ids.update(filter(None, [click_id]))
            self.tracking_ids.update(filter(None, [_ids_in(body)[0]]))

    @property
    def _texts(self) -> set[str]:
        """The clicks as they were given, if a click's id can be like that."""
        given = {str(click) for click in self.person.clicks}
        return {
            text for text in given if text and text.isascii() and text.isprintable()
        }


def export(
    *,
    users: Collection[object] = (),
    orders: Collection[str] = (),
    clicks: Collection[str | UUID] = (),
) -> dict[str, Any]:
    """Return all that is stored about a customer, ready for JSON, under names that
    people can read. The arguments are those of `Person`.
    """
    found = Traces.of(Person(users=users, orders=orders, clicks=clicks))
    attempts: dict[int, list[Any]] = {}
    for attempt in found.attempts.order_by("started_at"):
        attempts.setdefault(attempt.conversion_id, []).append(_described(attempt))
    events: dict[str, list[Any]] = {name: [] for name in EventName.values}
    for row in found.conversions.order_by("pk"):
        tries = {"delivery attempts": attempts.get(row.pk, [])}
        events[row.event_name].append(_described(row) | tries)
    return {
        "exported at": timezone.now().isoformat(),
        "clicks": [_described(row) for row in found.clicks.order_by("captured_at")],
        "orders bound before payment": [_described(row) for row in found.bindings],
        "orders": events[EventName.PURCHASE],
        "content views": events[EventName.VIEW_CONTENT],
        "pauses that quote an answer": [_described(row) for row in found.answers()],
        "log of the admin": [_described(row) for row in found.log_entries() or ()],
    }


def stored(model: type[Any]) -> QuerySet[Any]:
    """Return all rows, not from a replica: it may lack those of a minute ago."""
    rows: QuerySet[Any] = model._default_manager.using(router.db_for_write(model))
    return rows


def _described(row: Model) -> dict[str, Any]:
    shown = {}
    for each in row._meta.concrete_fields:
        value = getattr(row, each.attname)
        if each.flatchoices and value != "":
            value = str(dict(each.flatchoices).get(value, value))
        elif hasattr(value, "isoformat"):
            value = value.isoformat()
        elif value is not None and not isinstance(value, bool | int):
            value = str(value)
        shown[str(each.verbose_name)] = value
    return shown


def _ids_in(body: str) -> tuple[str, str]:
    """Return the tracking id and the click id in a request's body, or empty strings."""
    if not body:
        return "", ""
    sent = json.loads(body)
    return sent["cnct_tracking_id"], sent["attribution"]["meta_ctwa"]["ctwa_clid"]


def _purchases(orders: Collection[str]) -> Q:
    names = [safe_id(order_id) for order_id in orders]
    keys = [key_of(order_id) for order_id in orders]
    return Q(event_name=EventName.PURCHASE, order_id__in=names, key__in=keys)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


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
    that cannot be searched loses the click when it is next used, unless the click is
    only there and no order or id leads to it.
    """
    found = Traces.of(Person(users=users, orders=orders, clicks=clicks))
    sessions = _search_sessions(found, search_sessions_for)
    using = router.db_for_write(Conversion)
    with read_committed(using):
        erased = _erase_rows(found)
        if dry_run:
            transaction.set_rollback(True, using=using)
    if not dry_run:
        for session_key, expires in sessions.items():
            _clear_session(session_key, expires)
    return erased._replace(sessions=len(sessions))


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


def _search_sessions(found: Traces, seconds: float) -> dict[str, datetime]:
    """Return the key and the end of each session that has a click of the customer.

    A click may be only there: then its ids lead to more rows, and to more sessions.
    """
    sessions: dict[str, datetime] = {}
    if not can_search_sessions():
        return sessions
    until, size = time.monotonic() + seconds, -1
    while size < (size := found.size):
        sessions.update(_sessions_of(found, until))
        if size < found.size:
            found.complete()
    return sessions


def _sessions_of(found: Traces, until: float) -> Iterator[tuple[str, datetime]]:
    users = {str(user) for user in found.person.users}
    sessions = stored(_session_store().get_model_class())
    unexpired = sessions.filter(expire_date__gt=timezone.now())
    for row in unexpired.order_by("-expire_date").iterator():
        if time.monotonic() > until:
            break
        data = row.get_decoded()
        entry, is_of_user = data.get(KEY), data.get(AUTH_SESSION_KEY) in users
        if isinstance(entry, dict) and found.add_entry(entry, is_of_user=is_of_user):
            yield row.session_key, row.expire_date


def _clear_session(session_key: str, expires: datetime) -> None:
    session: Any = _session_store()(session_key)
    # Nobody stays logged in for longer by this.
    session.get_expiry_date = lambda **_: expires
    session.get_expiry_age = lambda **_: int((expires - timezone.now()).total_seconds())
    with suppress(UpdateError):  # it has ended meanwhile
        if session.pop(KEY, None) and session.session_key:
            session.save()
