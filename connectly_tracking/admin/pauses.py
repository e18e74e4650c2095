"""The pauses that are on and those that were, and pausing by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .. import outbox
from ..conf import conf
from ..models import Circuit, Conversion, Pause
from ..remedies import FOR_PAUSE, pause_banner
from .readonly import ReadOnlyAdmin

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django_stubs_ext import StrOrPromise

PERMISSION = "connectly_tracking.pause_business"


class _PauseForm(forms.Form):
    business = forms.ChoiceField(label=_("Business"))
    why = forms.CharField(
        label=_("Reason"),
        max_length=200,
        help_text=_("For your colleagues, and for the history."),
    )


@admin.register(Pause)
class PauseAdmin(ReadOnlyAdmin):
    list_display = ["business", "began", "ended", "reason", "held_now", "ended_how"]
    list_filter = ["reason"]
    fields = [
        "business",
        "began",
        "ended",
        "reason",
        "remedy",
        "detail",
        "held_now",
        "ended_how",
    ]
    empty_message = _(
        "Sending has never been paused. If Connectly refuses the API key, cannot be "
        "reached or tells us to wait, the pause appears here, with its reason and "
        "what to do."
    )

    @admin.display(description=_("what to do"))
    def remedy(self, pause: Pause) -> StrOrPromise:
        return FOR_PAUSE.get(pause.reason, "-") if pause.ended is None else "-"

    @admin.display(description=_("orders waiting"))
    def held_now(self, pause: Pause) -> int:
        if pause.ended is not None:
            return pause.held
        waiting = Conversion.objects.waiting()
        return waiting.filter(business=pause.business).count()

    @admin.display(description=_("ended by"))
    def ended_how(self, pause: Pause) -> StrOrPromise:
        # One by hand is only ended by a user, whose name may be "probe", too.
        is_by_hand = pause.reason == Circuit.Reason.BY_HAND
        by_itself = pause.ended_by == "probe" and not is_by_hand
        return _("an answered order") if by_itself else pause.ended_by or "-"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        name = "connectly_tracking_pause"
        return [
            path("by-hand/", view(self.by_hand_view), name=f"{name}_by_hand"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        may = request.user.has_perm(PERMISSION)
        return super().changelist_view(
            request, {"may_pause": may, **(extra_context or {})}
        )

    def by_hand_view(self, request: HttpRequest) -> HttpResponse:
        """Pause a business, or resume one that a person has paused."""
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        form = _PauseForm(request.POST if "pause" in request.POST else None)
        try:
            names = list(conf.BUSINESSES)
        except ImproperlyConfigured:
            names = []
        field: Any = form.fields["business"]
        field.choices = [(name, name) for name in names]
        here = reverse("admin:connectly_tracking_pause_by_hand")
        user = request.user.get_username()
        by_hand = Circuit.objects.filter(reason=Circuit.Reason.BY_HAND)
        if request.method == "POST" and (business := request.POST.get("resume")):
            # Only a known name is looked up: PostgreSQL takes no NUL in a text.
            is_paused = business in {circuit.business for circuit in by_hand}
            if is_paused and outbox.resume(business, by=user):
                self._log(request, gettext("Resumed %(business)s."), business)
            return HttpResponseRedirect(here)
        if request.method == "POST" and form.is_valid():
            business = form.cleaned_data["business"]
            words = f"{user}: {form.cleaned_data['why']}"
            if outbox.pause(business, detail=words):
                self._log(request, gettext("Paused %(business)s."), business)
            else:
                text = gettext("%(business)s is paused already.") % {
                    "business": business
                }
                self.message_user(request, text, messages.WARNING)
            return HttpResponseRedirect(here)
        context = {
            **self.page_context(request, gettext("Pause or resume by hand")),
            "form": form,
            "by_hand": by_hand,
        }
        template = "admin/connectly_tracking/pause/by_hand.html"
        return TemplateResponse(request, template, context)

    def _log(self, request: HttpRequest, text: str, business: str) -> None:
        words = text % {"business": business}
        user_id: Any = request.user.pk
        newest = Pause.objects.filter(business=business)[:1]
        LogEntry.objects.log_actions(user_id, newest, CHANGE, words)
        self.message_user(request, words)


def pauses_of(request: HttpRequest) -> dict[str, Circuit]:
    """Return the circuits of the paused businesses: one statement for a page."""
    known = vars(request)
    if "connectly_pauses" not in known:
        known["connectly_pauses"] = Circuit.objects.paused().in_bulk()
    found: dict[str, Circuit] = known["connectly_pauses"]
    return found


def warn_of_pauses(request: HttpRequest) -> None:
    """Show a message for each paused business, once on a page.

    Call it for a page that is shown, or the message would wait for the next one.
    """
    known = vars(request)
    if request.method != "GET" or "connectly_has_warned" in known:
        return
    known["connectly_has_warned"] = True
    for circuit in pauses_of(request).values():
        messages.warning(request, _banner(circuit))


def _banner(circuit: Circuit) -> str:
    """With a link, if our pages are there: a shop's own admin need not have them."""
    text = pause_banner(circuit)
    try:
        url = reverse("admin:connectly_tracking_conversion_status")
    except NoReverseMatch:
        return text
    link = '{} <a href="{}">{}</a>'
    return format_html(link, text, url, gettext("Delivery status"))


# Any theme's index is extended by ours, which shows the banner.
if admin.site.index_template is None:
    admin.site.index_template = "admin/connectly_tracking/index.html"
