"""What each cause means and what to do about it. The admin and the doctor show these.

The meaning of a `Reason` and of a pause is its label; an answer's meaning is here. What
to do about one order is true for this order on this day.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .api.verdicts import (
    GATEWAY_CONFIGURATION,
    Cause,
    Outcome,
    code_of,
    is_from_meta,
)
from .models import (
    PAYLOAD_KEPT_FOR,
    WAITING,
    Circuit,
    Conversion,
    Reason,
    State,
    zoned_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from django_stubs_ext import StrOrPromise

_T = TypeVar("_T")

#: What to do about an order that has not been reported. The other reasons need nothing.
FOR_REASON: Final[Mapping[str, StrOrPromise]] = {
    Reason.NOT_ATTRIBUTED: _("Nothing to do if the customer did not come from an ad."),
    Reason.INCOMPLETE_CLICK: _(
        "Find out what removes parameters from the link: a redirect, a link shortener "
        "or a CDN."
    ),
    Reason.OTHER_SOURCE: _(
        "Nothing to do. Connectly credits only clicks from the source meta_ctwa."
    ),
    Reason.OUTSIDE_WINDOW: _(
        "Nothing to do. To credit older clicks in future, raise ATTRIBUTION_WINDOW."
    ),
    Reason.CLICK_AFTER_ORDER: _(
        "Nothing to do if the customer clicked after ordering. Otherwise the shop "
        "passes the wrong time for its orders."
    ),
    Reason.CONSENT_PENDING: _(
        "A developer can check that the shop passes the customer's answer on."
    ),
    Reason.INVALID: _(
        "Ask a developer to correct the named field in the shop's code, and to record "
        "the order again."
    ),
    Reason.SENDING_OFF: _("Nothing to do if sending was switched off on purpose."),
    Reason.EXPIRED: _(
        "The timeline on the order's page, and the list of pauses, show why it waited."
    ),
    Reason.REFUSED: _(
        "Read the message of Connectly or Meta on the order's page. An order that "
        "Meta refused counts in Connectly's analytics, but not in Ads Manager."
    ),
    Reason.UNCONFIRMED: _(
        "Ask a developer to check BASE_URL and the proxy: something other than "
        "Connectly may be answering."
    ),
    Reason.INTERNAL: _(
        "Ask a developer to find the error in the worker's log, then send the order "
        "again."
    ),
}
#: How a report ends that is not delivered.
ENDS: Final[Mapping[str, StrOrPromise]] = {
    State.REJECTED: _("Rejected"),
    State.EXPIRED: _("Expired"),
    State.SKIPPED: _("Skipped"),
}
TOO_OLD_FOR_META: Final = _(
    "The order is more than 7 days old, so Meta refuses it: if it is sent, it counts "
    "in Connectly's analytics, but not in Ads Manager."
)
IN_ADS_MANAGER: Final = _("Ads Manager shows it within hours.")
NOT_IN_ADS_MANAGER: Final = _(
    "It counts in Connectly's analytics. Ads Manager will probably not show it, since "
    "the ad was clicked more than 7 days before the order."
)

#: What to do while sending is paused.
FOR_PAUSE: Final[Mapping[str, StrOrPromise]] = {
    Circuit.Reason.CONFIGURATION: _(
        "Correct API_KEY, BUSINESS_ID or BASE_URL. If the answer names something else, "
        "such as a proxy or a channel in Connectly, correct that. Sending resumes by "
        "itself within minutes, or at once when one of these settings changes."
    ),
    Circuit.Reason.META_LINK: _(
        "Connect Meta again in Connectly, with all permissions. One order at a time "
        "is sent until Meta accepts one; then all are sent."
    ),
    Circuit.Reason.REFUSALS: _(
        "Read the messages on the rejected orders, and ask a developer to correct "
        "the data that the shop passes: they probably have one cause. One order at a "
        "time is sent until one is accepted; then all are sent."
    ),
    Circuit.Reason.UNAVAILABLE: _(
        "Nothing to do. One order at a time is sent until the API answers; then all "
        "are sent."
    ),
    Circuit.Reason.THROTTLED: _(
        "Nothing to do. Sending resumes when the wait that the API asked for is over."
    ),
    Circuit.Reason.BY_HAND: _(
        'To resume sending, open Pauses in the admin and choose "Pause or resume by '
        'hand".'
    ),
}

NO_WORKER: Final = _("Orders are due, but no worker is sending them.")
FOR_NO_WORKER: Final = _(
    "Check that a worker is running, that it reads the queue, and that beat is "
    "running. To send the orders now, run connectly_deliver."
)
#: A warning before something is sent again.
MAY_HAVE_COUNTED: Final = _(
    "Connectly may already have counted this order, even though it refused it or did "
    "not answer."
)

_CORRECT_URL: Final = _(
    "Remove BASE_URL from the settings, or set it to https://api.connectly.ai."
)
#: What to do about an answer of the API, by the code of the doctor's finding.
FOR_ANSWER: Final[Mapping[str, StrOrPromise]] = {
    "api_key_refused": _(
        "Copy API_KEY from Connectly again (Settings, General, API Key), or create a "
        "new key there."
    ),
    "api_business_unknown": _(
        "Compare BUSINESS_ID with the one in Connectly. The business needs a WhatsApp "
        "Cloud channel, and the key must belong to the business."
    ),
    "api_address_wrong": _CORRECT_URL,
    "api_redirects": _CORRECT_URL,
    "api_not_connectly": _CORRECT_URL,
    "api_event_refused": _("Read the message, which is Connectly's or Meta's."),
    "api_meta_link": _("Connect Meta again in Connectly, with all permissions."),
    "api_throttles": _("Wait as long as the API asks, then try again."),
    "api_unavailable": _("Nothing to do. Orders wait and are tried again."),
    "api_unknown_host": _("Check BASE_URL and this machine's name server."),
    "api_tls": _(
        "If a proxy inspects TLS, set CA_BUNDLE to its certificate. Otherwise check "
        "this machine's clock and certificates."
    ),
    "api_refused": _("Check BASE_URL, PROXIES and the firewall."),
    "api_proxy": _(
        "Check PROXIES, HTTPS_PROXY and NO_PROXY, and what the proxy or gateway allows."
    ),
    "api_mute": _(
        "Try again. If it happens again, a firewall may drop the packets: open port "
        "443 to the API, or set PROXIES."
    ),
    "api_failed": _("Try again. The message says what failed."),
}

_BY_STATUS: Final = {
    401: ("api_key_refused", _("The API key is missing or wrong.")),
    403: (
        "api_key_refused",
        _("The API key is not allowed to do this, or a firewall refuses the request."),
    ),
    404: (
        "api_business_unknown",
        _("The business is unknown to Connectly, or has no WhatsApp Cloud channel."),
    ),
}
_REDIRECT: Final = (
    "api_redirects",
    _("BASE_URL redirects to another address. Redirects are never followed."),
)
_GATEWAY: Final = ("api_proxy", _("A proxy or gateway refuses the request."))
_BY_OUTCOME: Final[Mapping[str, tuple[str, StrOrPromise]]] = {
    Outcome.UNCONFIRMED: (
        "api_not_connectly",
        _(
            "Something other than Connectly answered: a captive portal, a proxy or a "
            "maintenance page."
        ),
    ),
    Outcome.CONFIGURATION: (
        "api_address_wrong",
        _("BASE_URL is not the address of Connectly's API."),
    ),
    Outcome.THROTTLED: ("api_throttles", _("The API told us to wait.")),
    Outcome.UNAVAILABLE: ("api_unavailable", _("The API reports a problem.")),
    Outcome.UNKNOWN: ("api_mute", _("No complete answer was received.")),
    Outcome.INTERNAL: ("api_failed", _("There was an internal error in this app.")),
}
#: Why a request was not sent: the first pattern that is found in the error.
_NOT_SENT: Final = (
    (
        r"^(ProxyError: )?\w*(SSL|Certificate)",
        ("api_tls", _("The TLS connection failed.")),
    ),
    (
        r"^ProxyError: (gaierror|NameResolutionError)\b",
        ("api_proxy", _("The proxy's host name cannot be resolved.")),
    ),
    (r"^ProxyError: \w*timeout", ("api_proxy", _("The proxy does not answer."))),
    (r"tunnel|proxy", ("api_proxy", _("The proxy refuses the connection."))),
    (
        r"^(gaierror|NameResolutionError)\b",
        ("api_unknown_host", _("The API's host name cannot be resolved.")),
    ),
    (
        r"^ConnectionRefusedError\b",
        ("api_refused", _("The API's address refuses the connection.")),
    ),
    (r"^\w*timeout", ("api_mute", _("The API's address does not answer."))),
    (r"", ("api_failed", _("There is no connection to the API."))),
)
#: What a refusal is about.
FOR_CAUSE: Final[Mapping[str, StrOrPromise]] = {
    Cause.CLICK_UNKNOWN: _(
        "Meta does not know the click ID: it is not a real one, it has expired, or it "
        "was changed on the way from the ad to the shop. Compare it with the ad's "
        "link."
    ),
    Cause.EVENT_TYPE: _(
        "Connectly or Meta does not accept events with this name. Ask Connectly's "
        "support."
    ),
    Cause.CURRENCY: _("The currency is missing, or Meta does not know it."),
    Cause.NO_PAGE: _(
        "The dataset in Meta has no Facebook page. Connect one, or ask Connectly's "
        "support; then send the order again."
    ),
    Cause.NO_INSTAGRAM: _(
        "The dataset in Meta has no Instagram account. Connect one, or ask Connectly's "
        "support; then send the order again."
    ),
    Cause.CHANNEL: _(
        "Connectly did not tell Meta the messaging channel. Ask Connectly's support."
    ),
    Cause.ARGUMENT: _(
        "The event has a field that Meta does not accept in messaging events. Ask "
        "Connectly's support."
    ),
    Cause.DATASET: _(
        "Meta does not allow Connectly to report for this WhatsApp account. "
        "Connect its dataset again in Connectly, or ask Connectly's support."
    ),
    Cause.TOKEN: _(
        "Connectly's access token for Meta has expired or is not valid. Every order is "
        "refused until Meta is connected again in Connectly."
    ),
    Cause.PERMISSION: _(
        "Connectly does not have a permission that it needs at Meta. Every order is "
        "refused until Meta is connected again in Connectly, with all permissions."
    ),
    Cause.BLOCKED: _("Meta has temporarily blocked the sender for violating a policy."),
    Cause.TRANSIENT: _("Meta could not process the order at that moment."),
    Cause.TOO_OLD: _(
        "Meta refuses events that are more than seven days old or in the future."
    ),
    Cause.VALUE: _("The amount is missing, or Meta does not accept it."),
    Cause.OTHER: _("Connectly or Meta refused it, but may have counted it."),
}
_ONLY_ANALYTICS: Final = _(
    "It counts in Connectly's analytics, but not in Ads Manager."
)
_EFFECTS: Final[Mapping[str, StrOrPromise]] = {
    Outcome.TRANSIENT: _(
        "Connectly may already have counted it. Exactly the same data is sent again, "
        "three times at most."
    ),
    Outcome.THROTTLED: _("All workers wait."),
    Outcome.NOT_SENT: _("Nothing was sent, so Connectly cannot have counted it."),
    Outcome.UNKNOWN: _(
        "Connectly may already have counted it, so exactly the same data is sent again."
    ),
    Outcome.INTERNAL: _("The worker's log says more."),
}

#: Meta refuses older events, and shows no purchase that came later after the click.
META_LIMIT: Final = timedelta(days=7)


class Diagnosis(NamedTuple):
    """What an answer of the API means, or why there was none.

    ``code`` is that of the doctor's finding. ``effect`` is what follows for the order.
    """

    code: str
    meaning: StrOrPromise
    effect: StrOrPromise

    def explain(self) -> str:
        """Return the meaning and the effect in the current language."""
        return f"{self.meaning} {self.effect}".rstrip()


def pause_banner(circuit: Circuit) -> str:
    """Return what the admin's pages say while a business is paused: why, and what to
    do.
    """
    text = gettext("Sending is paused for %(business)s: %(why)s.") % {
        "business": circuit.pk,
        "why": circuit.get_reason_display(),
    }
    return f"{text} {FOR_PAUSE.get(circuit.reason, '')}".rstrip()


def diagnose(outcome: str, status: int | None, message: str) -> Diagnosis | None:
    """Return what an attempt's answer means, or None if it confirmed the event."""
    match outcome:
        case Outcome.CONFIRMED:
            return None
        case Outcome.REFUSED | Outcome.TRANSIENT:
            code, meaning = "api_event_refused", FOR_CAUSE[code_of(message).cause]
        case Outcome.NOT_SENT:
            code, meaning = _first(_NOT_SENT, message)
        case Outcome.CONFIGURATION if status == 400:
            code, meaning = "api_meta_link", FOR_CAUSE[code_of(message).cause]
        case Outcome.CONFIGURATION if status is not None and 300 <= status < 400:
            code, meaning = _REDIRECT
        case Outcome.CONFIGURATION if status in GATEWAY_CONFIGURATION:
            code, meaning = _GATEWAY
        case _:
            code, meaning = _BY_STATUS.get(status or 0) or _BY_OUTCOME[outcome]
    effect = _EFFECTS.get(outcome, "")
    if outcome == Outcome.REFUSED and is_from_meta(message):
        effect = _ONLY_ANALYTICS
    return Diagnosis(code, meaning, effect)


def _first(table: tuple[tuple[str, _T], ...], message: str) -> _T:
    """Return the entry of the first pattern that is found in the message."""
    return next(it for pattern, it in table if re.search(pattern, message, re.I))


def advice_for(row: Conversion) -> str:
    """Return what to do about an order, or an empty string."""
    return " ".join(str(sentence) for sentence in _advice(row))


def is_too_old_for_meta(row: Conversion) -> bool:
    return row.event_time is not None and row.event_time < timezone.now() - META_LIMIT


def _advice(row: Conversion) -> Iterator[object]:
    if row.state == State.DELIVERED:
        if row.event_time is not None and row.clicked_at is not None:
            is_late = row.event_time - row.clicked_at > META_LIMIT
            yield NOT_IN_ADS_MANAGER if is_late else IN_ADS_MANAGER
        return
    if row.state in WAITING:
        if is_too_old_for_meta(row):
            yield TOO_OLD_FOR_META
        return
    yield FOR_REASON.get(row.reason, "")
    if row.reason in (Reason.NOT_ATTRIBUTED, Reason.CONSENT_PENDING):
        yield from _if_a_click_comes(row)
    elif row.reason == Reason.INVALID or (row.body and row.reason in FOR_REASON):
        yield from _if_it_is_sent(row)


def _if_a_click_comes(row: Conversion) -> Iterator[str]:
    until = _awaits_click_until(row)
    if row.reason == Reason.NOT_ATTRIBUTED and until is not None:
        yield gettext("If a click is found by %(time)s, the order is still sent.") % {
            "time": zoned_text(until)
        }
    if row.reason == Reason.CONSENT_PENDING:
        if until is None:
            yield gettext(
                "Even if the customer consents now, it is too late to send this order."
            )
        else:
            yield gettext(
                "If the customer consents by %(time)s, the order is sent."
            ) % {"time": zoned_text(until)}


def _awaits_click_until(row: Conversion) -> datetime | None:
    """Return when the order is no longer sent, click or not; None if it is over."""
    if not row.payload or row.cancelled_at is not None:
        return None
    try:
        too_old_at = row.expires_at
    except ImproperlyConfigured:
        return None  # the delivery page shows the error
    if too_old_at is None:
        return None
    until: datetime = min(row.recorded_at + PAYLOAD_KEPT_FOR, too_old_at)
    return until if until > timezone.now() else None


def _if_it_is_sent(row: Conversion) -> Iterator[object]:
    if is_too_old_for_meta(row):
        yield TOO_OLD_FOR_META
    elif row.event_time is not None and row.body:
        until = {"time": zoned_text(row.event_time + META_LIMIT)}
        yield (
            gettext("You can send it again until %(time)s; later, Meta refuses it.")
            % until
        )
