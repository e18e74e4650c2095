"""What an answer to a trial says of key, business, address and the way there."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from ..api.verdicts import Outcome
from .clock import skew_code, skew_words
from .finding import Subject, found, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..api.verdicts import Verdict
    from .finding import Finding

_BY_STATUS: Final = {
    401: ("api_key_refused", "the API does not accept the key"),
    403: ("api_key_refused", "the key may not do this"),
    404: (
        "api_business_unknown",
        "the API accepts the key and knows no such business, or no channel of it",
    ),
}
_BY_OUTCOME: Final = {
    Outcome.UNCONFIRMED: ("api_not_connectly", "what answers is not Connectly's API"),
    Outcome.CONFIGURATION: ("api_address_wrong", "there is no such endpoint"),
    Outcome.THROTTLED: ("api_throttles", "the API asks to wait"),
    Outcome.UNAVAILABLE: ("api_unavailable", "the API is in trouble"),
    Outcome.UNKNOWN: ("api_mute", "the request left, and no whole answer came"),
    Outcome.INTERNAL: ("api_failed", "our own code failed with it"),
}
#: The error's kind, which a verdict's words begin with.
_BY_KIND: Final = {
    "gaierror": ("api_unknown_host", "the API's name has no address"),
    "NameResolutionError": ("api_unknown_host", "the API's name has no address"),
    "ConnectionRefusedError": ("api_refused", "nobody listens at the address"),
    "ProxyError": ("api_proxy", "the proxy fails"),
    "TimeoutError": ("api_mute", "the address says nothing"),
    "timeout": ("api_mute", "the address says nothing"),
    "ConnectTimeoutError": ("api_mute", "the address says nothing"),
}


def findings_of(
    verdict: Verdict, *, alias: str, must_be_refused: bool, has_proxy: bool
) -> Iterator[Finding]:
    code, words = _meaning(verdict, must_be_refused, has_proxy)
    said = ": ".join(
        str(it) for it in (verdict.status_code, one_line(verdict.detail)) if it
    )
    text = f"{alias}: {words} ({said})." if said else f"{alias}: {words}."
    yield found(Subject.API, code, text)
    skew = _skew(verdict.date)
    if skew is not None and (code := skew_code("api", skew) or ""):
        yield found(Subject.API, code, skew_words("The API's", skew))


def _meaning(
    verdict: Verdict, must_be_refused: bool, has_proxy: bool
) -> tuple[str, str]:
    status, outcome = verdict.status_code or 0, verdict.outcome
    if outcome == Outcome.NOT_SENT:
        return _no_way(verdict.detail, has_proxy)
    if outcome == Outcome.CONFIRMED:
        if must_be_refused:
            return "api_accepts_anything", "it confirms an event that has nothing in it"
        return "api_test_ok", "the test purchase is confirmed"
    if outcome == Outcome.REFUSED and status == 400 and must_be_refused:
        return (
            "api_ok",
            "reached, and key and business are right; it refuses as it must",
        )
    if outcome == Outcome.REFUSED:
        return "api_event_refused", "it refuses the event"
    if outcome == Outcome.CONFIGURATION and 300 <= status < 400:
        return "api_redirects", "what answers sends us elsewhere"
    return _BY_STATUS.get(status) or _BY_OUTCOME[outcome]


def _no_way(detail: str, has_proxy: bool) -> tuple[str, str]:
    kind = detail.partition(":")[0]
    if "SSL" in kind or "Certificate" in kind:
        return "api_tls", "TLS with the API fails"
    if "tunnel" in detail.lower() or "proxy" in detail.lower():
        return "api_proxy", "the proxy fails"
    if has_proxy and kind == "ConnectionRefusedError":
        return "api_proxy", "the proxy refuses the connection"
    return _BY_KIND.get(kind, ("api_failed", "there is no way to the API"))


def _skew(date: str | None) -> float | None:
    """How far the API's clock is ahead, to a second or so."""
    try:
        at = parsedate_to_datetime(date or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (aware - datetime.now(UTC)).total_seconds()
