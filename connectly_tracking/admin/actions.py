"""Send again and cancel: each asks for confirmation, and logs every row it changes."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, router, transaction
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop, ngettext, ngettext_lazy

from ..conf import conf
from ..guard import traceback_of
from ..models import Conversion, ConversionQuerySet, EventName
from ..outbox import cancel_rows, replay
from ..remedies import MAY_HAVE_COUNTED, is_too_old_for_meta

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django_stubs_ext import StrOrPromise

logger = logging.getLogger(__name__)

#: Django takes 1,000 fields of one form.
MAX_CHOSEN: Final = 900
#: Rows that the confirmation page lists.
MAX_LISTED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedAction:
    """``possible`` narrows the chosen rows to those that can be changed; ``rule`` says
    which these are. ``change`` is called in a transaction, with locked rows.
    ``caution`` says why a change has no effect yet; empty if it has.
    """

    name: str
    permission: str
    title: StrOrPromise
    warnings: tuple[StrOrPromise, ...]
    rule: StrOrPromise
    button: StrOrPromise
    done: StrOrPromise
    log_message: str
    possible: Callable[[ConversionQuerySet], ConversionQuerySet]
    change: Callable[[ConversionQuerySet], object]
    caution: Callable[[], StrOrPromise] = lambda: ""

    def is_allowed(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"connectly_tracking.{self.permission}")

    def is_possible(self, conversion: Conversion) -> bool:
        rows = Conversion._default_manager.filter(pk=conversion.pk)
        return self.possible(rows).exists()

    def apply(self, rows: ConversionQuerySet, user_id: int) -> int:
        """Change and log all of these rows that can be changed, or none of them.

        Returns how many. Raises DatabaseError if nothing was changed.
        """
        using = router.db_for_write(Conversion)
        with transaction.atomic(using=using):
            possible = self.possible(rows.using(using)).order_by("pk")
            found = [row.pk for row in possible.locked(skip=False).only("pk")]
            changed = Conversion.objects.using(using).filter(pk__in=found)
            if found:
                self.change(changed)
                LogEntry.objects.log_actions(user_id, changed, CHANGE, self.log_message)
        return len(found)


def _log_message(change: str) -> str:
    """Return what is stored, in the form that Django translates when it is shown."""
    return json.dumps([{"changed": {"fields": [change]}}])


def _replayable(rows: ConversionQuerySet) -> ConversionQuerySet:
    try:
        known = list(conf.BUSINESSES)
    except ImproperlyConfigured:
        known = []
    return rows.replayable().filter(business__in=known)


def _waits() -> StrOrPromise:
    try:
        sends = conf.SEND
    except ImproperlyConfigured:
        return ""  # the delivery page shows the error
    if sends:
        return ""
    return _(
        "Sending is switched off: SEND is False in the settings. Reports wait until it "
        "is True."
    )


def _cancellable(rows: ConversionQuerySet) -> ConversionQuerySet:
    purchases = rows.filter(event_name=EventName.PURCHASE, cancelled_at=None)
    return purchases.exclude(order_id="")


SEND_AGAIN: Final = ConfirmedAction(
    name="send-again",
    permission="send_again_conversion",
    title=_("Send again"),
    warnings=(
        MAY_HAVE_COUNTED,
        _(
            "The same order number and the same data are sent again. Connectly and "
            "Meta decide whether the order counts twice."
        ),
    ),
    rule=_(
        "A report can be sent again if it was rejected, expired or skipped, its click "
        "is known, and its business is in the settings."
    ),
    button=_("Yes, send again"),
    done=ngettext_lazy(
        "%(count)d report will be sent again.",
        "%(count)d reports will be sent again.",
        "count",
    ),
    log_message=_log_message(gettext_noop("report: sent again")),
    possible=_replayable,
    change=replay,
    caution=_waits,
)
CANCEL: Final = ConfirmedAction(
    name="cancel",
    permission="cancel_conversion",
    title=_("Cancel the report"),
    warnings=(
        _(
            "If it has not been sent, it will not be. If it has, it cannot be undone; "
            "only the time of the cancellation is recorded."
        ),
        _("This does not cancel the order in the shop."),
    ),
    rule=_(
        "A report can be cancelled if it is of a purchase and has not been cancelled "
        "yet."
    ),
    button=_("Yes, cancel the report"),
    done=ngettext_lazy(
        "%(count)d report was cancelled.", "%(count)d reports were cancelled.", "count"
    ),
    log_message=_log_message(gettext_noop("report: cancelled")),
    possible=_cancellable,
    change=cancel_rows,
)


class ConfirmedActionsMixin:
    """The actions of the conversions' admin, and the page that asks."""

    confirmed_actions: ClassVar = (SEND_AGAIN, CANCEL)
    message_user: Any
    page_context: Any

    def has_send_again_permission(self, request: HttpRequest) -> bool:
        return SEND_AGAIN.is_allowed(request)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return CANCEL.is_allowed(request)

    @admin.action(description=SEND_AGAIN.title, permissions=["send_again"])
    def send_again(self, request: HttpRequest, rows: ConversionQuerySet) -> Any:
        return self.confirm(request, rows, SEND_AGAIN)

    @admin.action(description=CANCEL.title, permissions=["cancel"])
    def cancel(self, request: HttpRequest, rows: ConversionQuerySet) -> Any:
        return self.confirm(request, rows, CANCEL)

    def confirm(
        self,
        request: HttpRequest,
        rows: ConversionQuerySet,
        action: ConfirmedAction,
        *,
        back: str = "",
    ) -> TemplateResponse | None:
        """Return the page that asks; None once the user confirmed, or if too many rows
        are chosen. ``back`` is the URL behind "no"; by default the list as filtered.
        """
        chosen = list(rows.order_by().values_list("pk", flat=True)[: MAX_CHOSEN + 1])
        if len(chosen) > MAX_CHOSEN:
            text = _("Choose at most %(most)d reports at a time.")
            self.message_user(request, text % {"most": MAX_CHOSEN}, messages.ERROR)
            return None
        rows = Conversion.objects.filter(pk__in=chosen)
        if request.POST.get("confirmed"):
            self._apply(request, rows, len(chosen), action)
            return None
        possible = list(action.possible(rows))
        context = {
            **self.page_context(request, action.title),
            "confirmed_action": action,
            "possible": possible[:MAX_LISTED],
            "more": max(len(possible) - MAX_LISTED, 0),
            "unchanged": len(chosen) - len(possible),
            "too_old": sum(map(is_too_old_for_meta, possible)),
            "chosen": chosen,
            "checkbox": ACTION_CHECKBOX_NAME,
            "action": request.POST.get("action", ""),
            "back": back or request.get_full_path(),
        }
        template = "admin/connectly_tracking/conversion/confirm.html"
        return TemplateResponse(request, template, context)

    def _apply(
        self,
        request: HttpRequest,
        rows: ConversionQuerySet,
        chosen: int,
        action: ConfirmedAction,
    ) -> None:
        try:
            count = action.apply(rows, cast("int", request.user.pk))
        except DatabaseError as exc:
            logger.error(
                "admin_action_failed action=%s\n%s", action.name, traceback_of(exc)
            )
            text = _("Nothing was changed: the database reported an error (%(error)s).")
            error = text % {"error": type(exc).__name__}
            self.message_user(request, error, messages.ERROR)
            return
        said, level = list[str](), messages.WARNING
        if count:
            caution = str(action.caution())
            said = [action.done % {"count": count}, *filter(None, [caution])]
            level = messages.WARNING if caution else messages.SUCCESS
        if chosen > count:
            unchanged = ngettext(
                "%(count)d report was not changed.",
                "%(count)d reports were not changed.",
                chosen - count,
            )
            said += [unchanged % {"count": chosen - count}, str(action.rule)]
        self.message_user(request, " ".join(said), level)
