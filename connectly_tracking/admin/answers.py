"""The API's usual words, put plainly; whatever else it says stands as it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

from ..models import DeliveryAttempt

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

Outcome = DeliveryAttempt.Outcome

#: What a refusal is about; the first that is found in its words.
_ABOUT: Final[tuple[tuple[str, StrOrPromise], ...]] = (
    (
        r"event_time|7 days|too old",
        _("Meta takes no event that is more than seven days old, or in the future."),
    ),
    (
        r"ctwa_clid|click.?id",
        _(
            "Meta does not know this click's id: it has expired, or something changed "
            "it on the way from the ad to the shop. Compare it with the ad's link."
        ),
    ),
    (
        r"dataset|permission|page_id|whatsapp_business",
        _(
            "Meta does not let Connectly report for this WhatsApp account. Connect its "
            "dataset again in Connectly, or ask their support."
        ),
    ),
    (r"currency", _("The currency is missing or not one that Meta knows.")),
    (r"\bvalue\b", _("The amount is missing or not one that Meta takes.")),
    (r"event_name", _("Connectly takes no event of this name.")),
)
_REFUSED: Final = _(
    "Connectly or Meta refused it; they may have counted it all the same."
)
_STATUS: Final[dict[int, StrOrPromise]] = {
    401: _("The API key is missing or wrong."),
    403: _("The API key may not do this, or a firewall stands in between."),
    404: _("The business is unknown there, or it has no WhatsApp Cloud channel."),
    405: _("The address (BASE_URL) is not that of Connectly's API."),
    410: _("The address (BASE_URL) is not that of Connectly's API any more."),
}
_OUTCOME: Final[dict[str, StrOrPromise]] = {
    Outcome.UNCONFIRMED: _(
        "Something answered, but not as Connectly does: a captive portal, a proxy or a "
        "maintenance page."
    ),
    Outcome.THROTTLED: _("The API asked to wait; all workers do."),
    Outcome.UNAVAILABLE: _("The API is in trouble and says so."),
    Outcome.NOT_SENT: _("It never left this machine: nothing can have been counted."),
    Outcome.UNKNOWN: _(
        "No answer came. It may have been counted, so the same bytes are sent again."
    ),
    Outcome.INTERNAL: _("It failed in our own code; the worker's log says where."),
}


def explained(attempt: DeliveryAttempt) -> StrOrPromise:
    """What an attempt's answer means, in a sentence; nothing for a plain success."""
    if attempt.outcome == Outcome.REFUSED:
        return _about(attempt.detail)
    if attempt.outcome == Outcome.CONFIGURATION:
        status = attempt.status_code or 0
        redirect = _("The address (BASE_URL) leads elsewhere; no redirect is followed.")
        return _STATUS.get(status, redirect if 300 <= status < 400 else "")
    return _OUTCOME.get(attempt.outcome, "")


def _about(words: str) -> StrOrPromise:
    for pattern, sentence in _ABOUT:
        if re.search(pattern, words, re.IGNORECASE):
            return sentence
    return _REFUSED
