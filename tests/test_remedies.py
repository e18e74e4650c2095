"""Each cause has a meaning and a remedy."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils.functional import Promise

from connectly_tracking.models import Circuit, DeliveryAttempt, Reason
from connectly_tracking.remedies import (
    FOR_ANSWER,
    FOR_PAUSE,
    FOR_REASON,
    diagnose,
)

Outcome = DeliveryAttempt.Outcome


def test_every_reason_has_its_advice_or_needs_none() -> None:
    speaks_for_itself = {
        Reason.CONSENT_REFUSED,
        Reason.CONSENT_WITHDRAWN,
        Reason.CANCELLED,
    }
    assert set(FOR_REASON) == set(Reason) - speaks_for_itself


def test_every_pause_has_its_advice() -> None:
    assert set(FOR_PAUSE) == set(Circuit.Reason)


def test_the_advice_is_translated_when_it_is_shown() -> None:
    for table in (FOR_REASON, FOR_PAUSE, FOR_ANSWER):
        assert all(isinstance(sentence, Promise) for sentence in table.values())


def test_a_confirmation_needs_no_explanation() -> None:
    assert diagnose(Outcome.CONFIRMED, 200, "") is None


@pytest.mark.parametrize("outcome", set(Outcome) - {Outcome.CONFIRMED})
def test_every_other_outcome_has_a_meaning_and_a_remedy(outcome: str) -> None:
    diagnosis = diagnose(outcome, None, "")
    assert diagnosis is not None
    assert diagnosis.code in FOR_ANSWER
    assert diagnosis.explain()


@pytest.mark.parametrize(
    ("outcome", "status", "message", "code", "words"),
    [
        (Outcome.REFUSED, 400, "event_time is older than 7 days", "", "seven days"),
        (Outcome.REFUSED, 400, "Missing currency", "", "The currency is missing"),
        (Outcome.REFUSED, 400, "no permission on dataset", "", "Connect its dataset"),
        (Outcome.REFUSED, 400, "something else", "", "may have counted it"),
        (Outcome.REFUSED, 422, "", "api_event_refused", "refused it"),
        (Outcome.CONFIGURATION, 401, "", "api_key_refused", "key is missing or wrong"),
        (Outcome.CONFIGURATION, 403, "", "api_key_refused", "not allowed to do this"),
        (Outcome.CONFIGURATION, 404, "", "api_business_unknown", "WhatsApp Cloud"),
        (Outcome.CONFIGURATION, 302, "", "api_redirects", "never followed"),
        (Outcome.CONFIGURATION, 405, "", "api_address_wrong", "is not the address"),
        (Outcome.THROTTLED, 429, "", "api_throttles", "told us to wait. All workers"),
        (Outcome.UNAVAILABLE, 500, "", "api_unavailable", "reports a problem"),
        (Outcome.UNCONFIRMED, 200, "<html>", "api_not_connectly", "captive portal"),
        (Outcome.UNKNOWN, None, "", "api_mute", "the same data is sent again"),
        (Outcome.INTERNAL, None, "KeyError", "api_failed", "internal error"),
        (Outcome.NOT_SENT, None, "", "api_failed", "cannot have counted it"),
        (Outcome.NOT_SENT, None, "gaierror: x", "api_unknown_host", "be resolved"),
        (Outcome.NOT_SENT, None, "SSLError: x", "api_tls", "TLS"),
        (Outcome.NOT_SENT, None, "OSError: Tunnel 403", "api_proxy", "proxy refuses"),
        (Outcome.NOT_SENT, None, "ConnectionRefusedError: x", "api_refused", "refuses"),
        (Outcome.NOT_SENT, None, "TimeoutError: x", "api_mute", "does not answer"),
    ],
)
def test_each_answer_is_put_plainly(
    outcome: Any, status: int | None, message: str, code: str, words: str
) -> None:
    diagnosis = diagnose(outcome, status, message)
    assert diagnosis is not None
    assert code in diagnosis.code
    assert words in diagnosis.explain()


@pytest.mark.parametrize("status", [402, 407, 426, 431, 494, 495, 496, 497])
def test_what_a_gateway_says_of_itself_is_not_the_addresss_fault(status: int) -> None:
    diagnosis = diagnose(Outcome.CONFIGURATION, status, "")
    assert diagnosis is not None
    assert diagnosis.code == "api_proxy"
    assert "A proxy or gateway" in diagnosis.explain()


def test_a_pause_for_wrong_settings_ends_by_itself_if_they_were_right() -> None:
    advice = str(FOR_PAUSE[Circuit.Reason.CONFIGURATION])
    assert "resumes by itself within minutes" in advice
    assert "a proxy or a channel in Connectly" in advice


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ("ConnectionRefusedError: x", "api_proxy", "The proxy refuses the connection"),
        ("gaierror: x", "api_proxy", "The proxy's host name cannot be resolved"),
        ("TimeoutError: timed out", "api_proxy", "The proxy does not answer"),
        ("OSError: Tunnel connection failed: 407", "api_proxy", "The proxy refuses"),
        ("SSLError: x", "api_tls", "TLS"),
    ],
)
def test_an_error_on_the_way_to_the_proxy_is_the_proxys(
    message: str, code: str, words: str
) -> None:
    diagnosis = diagnose(Outcome.NOT_SENT, None, f"ProxyError: {message}")
    assert diagnosis is not None
    assert diagnosis.code == code
    assert words in diagnosis.explain()
