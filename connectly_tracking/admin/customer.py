"""Forget a customer, or export what is stored: a form, a confirmation, a log entry.

The customer is named in the form's body only, so that no address or log has a name.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import (
    MultipleObjectsReturned,
    ObjectDoesNotExist,
    PermissionDenied,
    ValidationError,
)
from django.http import HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..attribution import erase, export
from ..models import Attribution

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.urls import URLPattern

    from ..attribution import Erased

EXPORT: Final = "connectly_tracking.export_customer"
FORGET: Final = "connectly_tracking.forget_customer"
#: Seconds for which a page searches the sessions; the command searches all of them.
SEARCH_SESSIONS_FOR: Final = 5.0

logger = logging.getLogger(__name__)


class CustomerForm(forms.Form):
    user = forms.CharField(
        label=_("User"),
        required=False,
        max_length=255,
        help_text=_("A user name, or the primary key of a user."),
    )
    order = forms.CharField(
        label=_("Order"),
        required=False,
        max_length=128,
        help_text=_("The exact order number."),
    )
    click = forms.CharField(
        label=_("Click"),
        required=False,
        max_length=1024,
        help_text=_(
            "The tracking id or click id of the click, or the UUID in the address of "
            "its page."
        ),
    )

    def clean_user(self) -> list[Any]:
        name = self.cleaned_data["user"]
        return [_user_named(name)] if name else []

    def clean(self) -> dict[str, Any]:
        if not self.errors and not any(self.cleaned_data.values()):
            raise ValidationError(_("Enter a user, an order or a click."))
        return self.cleaned_data

    @property
    def customer(self) -> dict[str, list[Any]]:
        """Return the arguments of `erase` and `export`."""
        found = self.cleaned_data
        return {
            "users": found["user"],
            "orders": [found["order"]] if found["order"] else [],
            "clicks": [found["click"]] if found["click"] else [],
        }


def _user_named(name: str) -> Any:
    """Return a primary key. That of a deleted user may still be in our tables."""
    users: Any = get_user_model()._default_manager
    try:
        return users.get_by_natural_key(name).pk
    except MultipleObjectsReturned:
        raise ValidationError(
            _("Several users have this name. Enter the primary key of one of them.")
        ) from None
    # The last two: the name cannot be one, such as letters for a number.
    except (ObjectDoesNotExist, ValueError, ValidationError):
        key = get_user_model()._meta.pk
        value = key.to_python(name)
        key.run_validators(value)
        return value


class CustomerPageMixin:
    """The page of a customer's data, beside the list of clicks."""

    admin_site: Any
    message_user: Any
    page_context: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.customer_view)
        ours = path("customer/", view, name="connectly_tracking_attribution_customer")
        return [ours, *super().get_urls()]  # type: ignore[misc]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"may_see_customer": _may(request, EXPORT) or _may(request, FORGET)}
        found: HttpResponse = super().changelist_view(  # type: ignore[misc]
            request, context | (extra_context or {})
        )
        return found

    def customer_view(self, request: HttpRequest) -> HttpResponse:
        may_export, may_forget = _may(request, EXPORT), _may(request, FORGET)
        if not (may_export or may_forget):
            raise PermissionDenied
        form = CustomerForm(request.POST or None)
        found = None
        if form.is_valid():
            step = request.POST.get("step")
            if step == "export" and may_export:
                return _exported(request, form.customer)
            if step == "forget" and may_forget:
                self._forget(request, form.customer)
                return HttpResponseRedirect(request.path)
            found = _erased(form.customer, dry_run=True)
        context = {
            **self.page_context(request, _("A customer's data")),
            "form": form,
            "found": found,
            "is_found": found is not None and any(found),
            "may_export": may_export,
            "may_forget": may_forget,
        }
        template = "admin/connectly_tracking/attribution/customer.html"
        return TemplateResponse(request, template, context)

    def _forget(self, request: HttpRequest, customer: dict[str, Any]) -> None:
        done = _erased(customer)
        events = done.stopped + done.emptied
        _log(request, f"Forgot a customer: {done.clicks} clicks, {events} events.")
        if not done.under_way:
            self.message_user(request, _("The customer was forgotten."))
            return
        left = ngettext(
            "%(count)d report was being sent and could not be cleared yet. Forget the "
            "customer again in a few minutes.",
            "%(count)d reports were being sent and could not be cleared yet. Forget "
            "the customer again in a few minutes.",
            done.under_way,
        )
        text = left % {"count": done.under_way}
        self.message_user(request, text, messages.WARNING)


def _erased(customer: dict[str, list[Any]], *, dry_run: bool = False) -> Erased:
    return erase(**customer, dry_run=dry_run, search_sessions_for=SEARCH_SESSIONS_FOR)


def _exported(request: HttpRequest, customer: dict[str, Any]) -> HttpResponse:
    text = json.dumps(export(**customer), indent=2, ensure_ascii=False)
    _log(request, "Exported the data of a customer.")
    response = HttpResponse(text, content_type="application/json")
    response["Content-Disposition"] = 'attachment; filename="customer.json"'
    response["Cache-Control"] = "no-store"
    return response


def _may(request: HttpRequest, permission: str) -> bool:
    return request.user.has_perm(permission)


def _log(request: HttpRequest, message: str) -> None:
    """Note who did it and when, and nothing by which the customer could be known."""
    LogEntry.objects.create(
        user_id=cast("int", request.user.pk),
        content_type=ContentType.objects.get_for_model(Attribution),
        object_repr=str(_("a customer")),
        action_flag=CHANGE,
        change_message=message,
    )
    logger.info("customer_data user_id=%s what=%r", request.user.pk, message)
