"""Why an order is, or is not, in Ads Manager: the answer in words.

What is stored with an order is English, since `api` knows no translations, and who
reads it is not known when it is written. Here it gets the reader's language.
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext, ngettext_lazy

from ..api.values import id_text, safe_id
from ..conf import conf
from ..models import (
    WAITING,
    Circuit,
    Conversion,
    EventName,
    OrderAttribution,
    Reason,
    State,
    is_overdue,
    key_of,
    zoned_text,
)
from .similar import similar_orders

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

_Keyed = TypeVar("_Keyed", Conversion, OrderAttribution)

#: The units in which an age is given, the largest first.
_UNITS: Final = {
    timedelta(days=1): ngettext_lazy("%(count)d day", "%(count)d days", "count"),
    timedelta(hours=1): ngettext_lazy("%(count)d hour", "%(count)d hours", "count"),
    timedelta(minutes=1): ngettext_lazy(
        "%(count)d minute", "%(count)d minutes", "count"
    ),
}


def explain(order_id: str | int | UUID, *, business: str | None = None) -> str:
    """Return what became of an order, in words that a marketer understands.

    One line for each business that knows the order, or only for ``business``. Times are
    in the current time zone, words in the current language.
    """
    return "\n".join(explanations(order_id, business=business))


def explanations(
    order_id: str | int | UUID,
    *,
    business: str | None = None,
    similar: list[str] | None = None,
) -> list[str]:
    """As `explain`, but a list with one text for each business.

    At most two queries if the order is recorded, and four if it is not; two if the
    order numbers that may be meant are given (``similar``).
    """
    rows = _of(Conversion, order_id, business).filter(
        event_name=EventName.PURCHASE, order_id=safe_id(order_id)
    )
    found = list(rows.order_by("id"))
    if not found:
        return [_unrecorded(order_id, business, similar)]
    paused = _paused(found)
    several = len(found) > 1
    return [_recorded(row, paused.get(row.business), several) for row in found]


def explanation_of(row: Conversion) -> str:
    """As `explain`, for one row."""
    return _recorded(row, _paused([row]).get(row.business), False)


def _of(
    model: type[_Keyed], order_id: object, business: str | None
) -> QuerySet[_Keyed]:
    rows = model._default_manager.using(router.db_for_write(model))
    rows = rows.filter(key=key_of(id_text(order_id) or ""))
    return rows if business is None else rows.filter(business=business)


def _paused(rows: list[Conversion]) -> dict[str, Circuit]:
    """Return the pauses for which some of these rows wait."""
    waiting = {it.business for it in rows if it.state in WAITING}
    if not waiting:
        return {}
    circuits = Circuit.objects.using(router.db_for_write(Circuit))
    return circuits.exclude(paused_until=None).in_bulk(waiting)


def _recorded(row: Conversion, pause: Circuit | None, is_one_of_several: bool) -> str:
    said = [*_outcome(row, pause), *_click(row.clicked_at, row.sendout_id, row.ad_id)]
    if row.cancelled_at is not None:
        cancelled = _("The order was cancelled at %(time)s.")
        said.append(cancelled % {"time": _time(row.cancelled_at)})
    if is_one_of_several:
        said.append(_("Business: %(business)s.") % {"business": row.business})
    return " ".join(said)


def _outcome(row: Conversion, pause: Circuit | None) -> Iterator[str]:
    facts = {"order": row.order_id or "-"}
    if row.state == State.DELIVERED:
        facts["time"] = _time(row.delivered_at)
        yield _("Order %(order)s was reported to Connectly at %(time)s.") % facts
    elif row.state not in WAITING or (row.state == State.PENDING and row.reason):
        facts["why"] = _why(row)
        was_sent = row.reason in (Reason.REFUSED, Reason.UNCONFIRMED)
        not_sent = _("Order %(order)s was not reported: %(why)s.")
        sent = _("Order %(order)s was sent, but %(why)s.")
        yield (sent if was_sent else not_sent) % facts
    elif obstacle := _obstacle(row, pause):
        facts["why"], *advice = obstacle
        yield _("Order %(order)s is waiting because %(why)s.") % facts
        yield from advice
    elif row.state == State.SENDING:
        yield _("Order %(order)s is being sent now.") % facts
    else:
        facts["time"] = _time(row.due_at)
        yield (
            _("Order %(order)s is waiting to be sent; the next attempt is at %(time)s.")
            % facts
        )
    if detail := translate_detail(row.detail).rstrip("."):
        yield _("Details: %(details)s.") % {"details": detail}


def _obstacle(row: Conversion, pause: Circuit | None) -> tuple[str, ...]:
    """Return why the order is not sent, and perhaps what a developer can do."""
    late = is_overdue(row.due_at)
    try:
        if not conf.SEND:
            switch = _("A developer can switch it on with the setting SEND.")
            return _("sending is switched off"), switch
        problem = ""
        if late:  # only the workers may have the key and the certificates
            conf.validate_for_delivery()
            problem = conf.credentials_problem(row.business)
    except ImproperlyConfigured as exc:
        problem = str(exc)
    if problem:
        return _("a setting is wrong"), _for_a_developer(problem)
    if pause is not None:
        why = pause.get_reason_display()
        return (_("sending is paused: %(why)s") % {"why": why},)
    if late:
        since = {"time": _time(row.due_at)}
        return (_("no worker is sending it; it was due at %(time)s") % since,)
    return ()


def _why(row: Conversion) -> str:
    if row.reason == Reason.OUTSIDE_WINDOW and row.clicked_at and row.event_time:
        return _too_old(row.event_time - row.clicked_at, row.attribution_window)
    if row.reason == Reason.EXPIRED and row.event_time:
        # The age at which it was given up. A replayed order's counts from the replay.
        age = (row.ended_at or timezone.now()) - (row.replayed_at or row.event_time)
        limit = _limit("MAX_EVENT_AGE", age=age)
        if limit is not None:
            unit = next((it for it in _UNITS if not limit % it), min(_UNITS))
            late = _("it was more than %(limit)s old before it could be sent")
            return late % {"limit": _count(limit, unit)}
    return str(row.explanation or _("the reason is not known"))


def _too_old(age: timedelta, window: timedelta | None) -> str:
    """Say how old the click was, and the window of the day on which the order was
    recorded. If the row has none, today's may explain it, too.
    """
    window = window or _limit("ATTRIBUTION_WINDOW", age=age)
    if window is None:
        unit = next((it for it in _UNITS if age >= 2 * it), min(_UNITS))
        return _("the click was %(age)s old") % {"age": _count(age, unit)}
    # The largest unit in which the two differ.
    units = (it for it in _UNITS if not window % it and age // it > window // it)
    unit = next(units, min(_UNITS))
    old = _("the click was %(age)s old, but the attribution window was %(window)s")
    return old % {"age": _count(age, unit), "window": _count(window, unit)}


def _limit(setting: str, *, age: timedelta) -> timedelta | None:
    """Return the limit that the settings have today, if it is below that age."""
    try:
        limit: timedelta | None = getattr(conf, setting)
    except ImproperlyConfigured:
        return None  # the delivery page shows the error
    return limit if limit is not None and limit < age else None


def _count(span: timedelta, unit: timedelta) -> str:
    return str(_UNITS[unit] % {"count": span // unit})


def _unrecorded(
    order_id: object, business: str | None, similar: list[str] | None
) -> str:
    order = {"order": safe_id(order_id) or "-"}
    bindings = _of(OrderAttribution, order_id, business).select_related("attribution")
    # A binding has no click if the customer refused consent.
    bound = bindings.exclude(attribution=None).order_by("-bound_at").first()
    why = _(
        "The order may not be paid yet, or the shop could not record it; a developer "
        "can find the reason in the shop's log."
    )
    if bound is not None and (click := bound.attribution) is not None:
        linked = _(
            "Order %(order)s was linked to a click at %(time)s, but never recorded."
        )
        said = [linked % (order | {"time": _time(bound.bound_at)})]
        said += _click(click.captured_at, click.sendout_id, click.ad_id)
        return " ".join([*said, why])
    never = _("Order %(order)s was never recorded.")
    if similar is None:
        similar = similar_orders(order_id, business=business)
    if similar:
        question = _("Did you mean %(orders)s?") % {"orders": ", ".join(similar)}
        return f"{never % order} {question}"
    said = [never % order, _("Check the order number.")]
    try:
        if not conf.RECORD_UNATTRIBUTED:
            said.append(_("This shop does not record orders without a click."))
        days = max(conf.RETENTION.days, 1)
    except ImproperlyConfigured as exc:
        return " ".join([*said, _for_a_developer(str(exc))])
    kept = ngettext(
        "Records older than %(days)d day may have been deleted.",
        "Records older than %(days)d days may have been deleted.",
        days,
    )
    return " ".join([*said, why, kept % {"days": days}])


def _for_a_developer(problem: str) -> str:
    return _("For a developer: %(problem)s") % {"problem": problem}


def _click(at: datetime | None, sendout_id: str, ad_id: str) -> list[str]:
    facts = [] if at is None else [_time(at)]
    if sendout_id:
        facts.append(_("campaign %(campaign)s") % {"campaign": sendout_id})
    if ad_id:
        facts.append(_("ad %(ad)s") % {"ad": ad_id})
    return [_("Click: %(facts)s.") % {"facts": ", ".join(facts)}] if facts else []


def _time(at: datetime | None) -> str:
    return zoned_text(at) if at else "-"


_SENTENCES: Final = (
    gettext_noop(
        "%(names)s was left out: the request would be longer than %(most)s bytes."
    ),
    gettext_noop(
        "%(names)s were left out: the request would be longer than %(most)s bytes."
    ),
    gettext_noop("%(place)s was left out: it %(problem)s."),
    gettext_noop("%(place)s was left out: %(field)s %(problem)s."),
    gettext_noop(
        "content_type was replaced by 'product': the value passed %(problem)s."
    ),
    gettext_noop(
        "num_items was replaced by the sum of the quantities: the value passed "
        "%(problem)s."
    ),
    gettext_noop("And %(count)s more."),
    gettext_noop(
        "The shop sent this order id again with %(amount)s; the first value is kept."
    ),
    gettext_noop(
        "The shop first sent this order id with %(amount)s; the new value is used."
    ),
    gettext_noop(
        "The shop sent this order id again with another click (campaign %(id)s), which "
        "is not credited."
    ),
    gettext_noop("Every worker that tried to send it crashed."),
)
_PROBLEMS: Final = (
    gettext_noop("could not be read (%(error)s)"),
    gettext_noop("must be a string, not %(value)s"),
    gettext_noop("must not be empty"),
    gettext_noop("must have at most %(most)s characters, not %(count)s"),
    gettext_noop("must not contain control characters"),
    gettext_noop("must not begin or end with white space"),
    gettext_noop("is out of range"),
    gettext_noop("must be a datetime or Unix seconds, not %(value)s"),
    gettext_noop("must be a finite number"),
    gettext_noop("must be in seconds, not in milliseconds"),
    gettext_noop("must be later than 1970-01-01"),
    gettext_noop("must not be in the future; pass the time when the order was placed"),
    gettext_noop("must not be in the future; pass the time when the link was opened"),
    gettext_noop("must be a number, such as 99.97, not %(value)s; pass its amount"),
    gettext_noop("must be a number, such as 99.97, not %(value)s"),
    gettext_noop("must have at most %(most)s digits before the decimal point"),
    gettext_noop("must not be negative; a refund cannot be reported"),
    gettext_noop("must not be negative"),
    gettext_noop("must be greater than zero"),
    gettext_noop("must be an ISO 4217 currency code (such as USD), not %(value)s"),
    gettext_noop("%(value)s is not an ISO 4217 currency code (such as USD)"),
    gettext_noop("must be a list, not a QuerySet of model instances"),
    gettext_noop("must be a list; a set drops equal lines and their order"),
    gettext_noop("must be a list, not %(value)s"),
    gettext_noop("must have at most %(most)s entries"),
    gettext_noop(
        "is a QuerySet of model instances, and the id of each is its primary key; pass "
        "%(example)s"
    ),
    gettext_noop(
        "is a model instance (%(model)s) and its id is its primary key; pass "
        "%(example)s"
    ),
    gettext_noop("must be an Item or a mapping, not %(value)s"),
    gettext_noop("has unknown keys: %(keys)s; an item has %(known)s"),
    gettext_noop("must be a Purchase, not %(value)s"),
    gettext_noop("must be one of those in the settings: %(known)s"),
    gettext_noop("must be a string that make_token() returned"),
    gettext_noop(
        "was changed, cut or signed with another SECRET_KEY; pass it exactly as "
        "make_token() returned it"
    ),
    gettext_noop("must be a user object"),
    gettext_noop(
        "makes a request of %(size)s bytes, and at most %(most)s are allowed; pass "
        "fewer"
    ),
    gettext_noop("must be given together with currency"),
)
#: What is filled in, where it could run into the next sentence.
_VALUES: Final = {
    "place": r"\S+(?: \(id .+?\))?",
    "field": r"\S+",
    "names": r"\w+(?: and \w+)?",
}
_FIELD: Final = re.compile(r"([\w.\[\]]+): (.+)", re.S)


def translate_detail(detail: str) -> str:
    """Return the sentences of a stored detail in the current language."""
    found: list[str] = []
    rest = detail
    while rest:
        sentence, length = _first(_SENTENCES, r"(?:\s+|$)", rest)
        if not length:
            return " ".join([*found, _with_field(rest)])
        found.append(sentence)
        rest = rest[length:]
    return " ".join(found)


def _with_field(text: str) -> str:
    """Translate what is wrong with a field, as `InvalidEvent` says it."""
    if (match := _FIELD.fullmatch(text)) is None:
        return text
    return f"{match[1]}: {_first(_PROBLEMS, '$', match[2])[0]}"


def _first(texts: Iterable[str], end: str, text: str) -> tuple[str, int]:
    """Translate the first that the text begins with, and return its length."""
    for known in texts:
        if match := _pattern(known, end).match(text):
            values = match.groupdict()
            if problem := values.get("problem"):
                values["problem"] = _first(_PROBLEMS, "$", problem)[0]
            return _(known) % values, match.end()
    return text, 0


@cache
def _pattern(known: str, end: str) -> re.Pattern[str]:
    parts = re.split(r"%\((\w+)\)s", known)
    parts[::2] = map(re.escape, parts[::2])
    parts[1::2] = [f"(?P<{name}>{_VALUES.get(name, '.+?')})" for name in parts[1::2]]
    return re.compile("".join(parts) + end, re.S)
