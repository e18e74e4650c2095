"""The two things that a person may do: send again, and cancel; each asks first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import ImproperlyConfigured
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..conf import conf
from ..models import Conversion, ConversionQuerySet, EventName
from ..outbox import cancel, replay
from .logbook import CRUMBS_ARE_LISTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django_stubs_ext import StrOrPromise

#: Fewer than the fields that Django takes of one form (1,000); more at a time is a
#: matter for `connectly_replay`.
MOST: Final = 900
SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """``possible`` are those of the chosen rows for which it can be done; ``make`` does
    it and says of how many.
    """

    name: str
    permission: str
    title: StrOrPromise
    warnings: tuple[StrOrPromise, ...]
    verb: StrOrPromise
    possible: Callable[[ConversionQuerySet], ConversionQuerySet]
    make: Callable[[ConversionQuerySet], int]
    log: str

    def is_allowed(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"connectly_tracking.{self.permission}")

    def is_possible(self, conversion: Conversion) -> bool:
        rows = Conversion._default_manager.filter(pk=conversion.pk)
        return self.possible(rows).exists()


def _replayable(rows: ConversionQuerySet) -> ConversionQuerySet:
    try:
        known = list(conf.BUSINESSES)
    except ImproperlyConfigured:
        known = []
    return rows.replayable().filter(business__in=known)


def _cancellable(rows: ConversionQuerySet) -> ConversionQuerySet:
    return rows.filter(event_name=EventName.PURCHASE, cancelled_at=None).exclude(
        order_id=""
    )


def _cancel(rows: ConversionQuerySet) -> int:
    return sum(
        bool(cancel(order_id, business=business))
        for order_id, business in rows.values_list("order_id", "business")
    )


SEND_AGAIN: Final = Change(
    name="send-again",
    permission="send_again_conversion",
    title=_("Send again"),
    warnings=(
        _(
            "Connectly may have counted what it refused, or never answered, all the "
            "same. It goes out with the same order number and the same bytes; whether "
            "it is then counted twice is up to Connectly and Meta."
        ),
        _("Meta refuses what is more than seven days old."),
    ),
    verb=_("Yes, send again"),
    possible=_replayable,
    make=replay,
    log="Sent again.",
)
CANCEL: Final = Change(
    name="cancel",
    permission="cancel_conversion",
    title=_("Cancel the report"),
    warnings=(
        _(
            "What waits is not sent. What has been sent cannot be taken back: "
            "Connectly has no event for that, and only the time is noted."
        ),
        _("The order itself is not touched, here or in the shop."),
    ),
    verb=_("Yes, cancel the report"),
    possible=_cancellable,
    make=_cancel,
    log="Cancelled.",
)


class Changing:
    """For the conversions' admin: the actions, and the page that asks."""

    changes: ClassVar = (SEND_AGAIN, CANCEL)
    admin_site: Any
    message_user: Any

    def has_send_again_permission(self, request: HttpRequest) -> bool:
        return SEND_AGAIN.is_allowed(request)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return CANCEL.is_allowed(request)

    @admin.action(description=_("Send again"), permissions=["send_again"])
    def send_again(self, request: HttpRequest, rows: ConversionQuerySet) -> Any:
        return self.ask(request, rows, SEND_AGAIN)

    @admin.action(description=_("Cancel the report"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, rows: ConversionQuerySet) -> Any:
        return self.ask(request, rows, CANCEL)

    def ask(
        self,
        request: HttpRequest,
        rows: ConversionQuerySet,
        change: Change,
        *,
        back: str = "",
    ) -> TemplateResponse | None:
        """The page that asks; None once it is done, or cannot be. ``back`` is where a
        no leads; else to the list as it was filtered.
        """
        chosen = list(rows.order_by().values_list("pk", flat=True)[: MOST + 1])
        if len(chosen) > MOST:
            words = _("Choose at most %(most)d at a time; connectly_replay takes more.")
            self.message_user(request, words % {"most": MOST}, messages.ERROR)
            return None
        possible = change.possible(Conversion.objects.filter(pk__in=chosen))
        if request.POST.get("confirmed"):
            self._make(request, possible, len(chosen), change)
            return None
        found = list(possible)
        context = {
            **self.admin_site.each_context(request),
            "title": change.title,
            "crumbs_are_listed": CRUMBS_ARE_LISTED,
            "opts": Conversion._meta,
            "change": change,
            "possible": found[:SHOWN],
            "more": max(len(found) - SHOWN, 0),
            "left_alone": len(chosen) - len(found),
            "chosen": chosen,
            "checkbox": ACTION_CHECKBOX_NAME,
            "action": request.POST.get("action", ""),
            "back": back or request.get_full_path(),
        }
        template = "admin/connectly_tracking/conversion/confirm.html"
        return TemplateResponse(request, template, context)

    def _make(
        self,
        request: HttpRequest,
        possible: ConversionQuerySet,
        chosen: int,
        change: Change,
    ) -> None:
        changed = list(possible.values_list("pk", flat=True))
        rows = Conversion.objects.filter(pk__in=changed)
        count = change.make(change.possible(rows))
        if count:
            LogEntry.objects.log_actions(
                user_id=cast("int", request.user.pk),
                queryset=rows,
                action_flag=CHANGE,
                change_message=change.log,
            )
        words = ngettext(
            "%(title)s: done for %(count)d.", "%(title)s: done for %(count)d.", count
        ) % {"title": change.title, "count": count}
        if chosen > count:
            words += " " + ngettext(
                "%(count)d was left alone.",
                "%(count)d were left alone.",
                chosen - count,
            ) % {"count": chosen - count}
        level = messages.SUCCESS if count else messages.WARNING
        self.message_user(request, words, level)
