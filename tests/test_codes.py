"""Meta's codes: in whatever form Connectly forwards them, and what follows."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from django.utils.functional import Promise

from connectly_tracking import outbox
from connectly_tracking.api.verdicts import (
    CODES,
    OTHER,
    Cause,
    Consequence,
    Outcome,
    code_of,
    is_from_meta,
    verdict_of,
)
from connectly_tracking.delivery import deliver
from connectly_tracking.models import (
    Circuit,
    Conversion,
    DbNow,
    DeliveryAttempt,
    Reason,
    State,
)
from connectly_tracking.outbox import replay
from connectly_tracking.remedies import FOR_CAUSE, diagnose

from .client.server import Server, answer
from .conftest import cpu_time_below, make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectly_tracking.sandbox import Sandbox


def meta(code: int, subcode: int | None = None, **more: Any) -> dict[str, Any]:
    """An error as Meta's Graph API documents it."""
    error: dict[str, Any] = {"message": "Invalid parameter", "code": code, **more}
    if subcode is not None:
        error["error_subcode"] = subcode
    return {"error": {**error, "type": "OAuthException", "fbtrace_id": "Abc123"}}


FORMS: dict[str, Callable[[dict[str, Any]], str]] = {
    "as it is": json.dumps,
    "within": lambda error: json.dumps(
        {"code": "INVALID_ARGUMENT", "details": [error]}
    ),
    "in a string": lambda error: json.dumps({"message": json.dumps(error)}),
    "in a sentence": lambda error: json.dumps(
        {"code": 3, "message": f"meta: 400 Bad Request: {json.dumps(error)}"}
    ),
    "twice in a string": lambda error: json.dumps(
        {"message": json.dumps({"cause": json.dumps(error)})}
    ),
    "in Python": lambda error: f"Meta said {error!r}",
    "cut": lambda error: json.dumps(error)[:-1],
}

BY_NUMBER = [
    (100, 2804087, Cause.CLICK_UNKNOWN, Outcome.REFUSED),
    (100, 2804066, Cause.EVENT_TYPE, Outcome.REFUSED),
    (100, 2804081, Cause.CURRENCY, Outcome.REFUSED),
    (100, 2804131, Cause.NO_PAGE, Outcome.REFUSED),
    (100, 2804133, Cause.NO_INSTAGRAM, Outcome.REFUSED),
    (100, 2804063, Cause.CHANNEL, Outcome.REFUSED),
    (100, 2804064, Cause.ARGUMENT, Outcome.REFUSED),
    (100, 33, Cause.DATASET, Outcome.REFUSED),
    (100, None, Cause.OTHER, Outcome.REFUSED),
    (190, None, Cause.TOKEN, Outcome.CONFIGURATION),
    (190, 463, Cause.TOKEN, Outcome.CONFIGURATION),
    (102, None, Cause.TOKEN, Outcome.CONFIGURATION),
    (3, None, Cause.PERMISSION, Outcome.CONFIGURATION),
    (10, None, Cause.PERMISSION, Outcome.CONFIGURATION),
    (200, None, Cause.PERMISSION, Outcome.CONFIGURATION),
    (294, None, Cause.PERMISSION, Outcome.CONFIGURATION),
    (299, None, Cause.PERMISSION, Outcome.CONFIGURATION),
    (368, None, Cause.BLOCKED, Outcome.TRANSIENT),
    (1, None, Cause.TRANSIENT, Outcome.TRANSIENT),
    (2, None, Cause.TRANSIENT, Outcome.TRANSIENT),
    (4, None, Cause.TRANSIENT, Outcome.TRANSIENT),
    (17, None, Cause.TRANSIENT, Outcome.TRANSIENT),
    (341, None, Cause.TRANSIENT, Outcome.TRANSIENT),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("code", "subcode", "cause", "outcome"), BY_NUMBER)
def test_a_number_is_found_in_any_form(
    code: int, subcode: int | None, cause: Cause, outcome: Outcome, form: str
) -> None:
    answer = FORMS[form](meta(code, subcode))
    assert code_of(answer).cause is cause
    assert is_from_meta(answer)
    verdict = verdict_of(400, answer.encode())
    assert (verdict.outcome, verdict.detail) == (outcome, answer)


@pytest.mark.parametrize("form", FORMS)
def test_meta_may_call_any_error_transient(form: str) -> None:
    passing = FORMS[form](meta(2500, is_transient=True))
    assert code_of(passing).cause is Cause.TRANSIENT
    assert code_of(FORMS[form](meta(2500, is_transient=False))) is OTHER


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("(#100) Messaging Event Invalid Ctwa Clid", Cause.CLICK_UNKNOWN),
        ("Messaging Event Invalid Event Type", Cause.EVENT_TYPE),
        ("No Page Associated To Dataset", Cause.NO_PAGE),
        ("No IG Account Associated To Dataset", Cause.NO_INSTAGRAM),
        ("Missing Messaging Channel", Cause.CHANNEL),
        ("Messaging Event Invalid Argument", Cause.ARGUMENT),
        (
            "Unsupported post request. Object with ID '9' does not exist, cannot be "
            "loaded due to missing permissions, or does not support this operation",
            Cause.DATASET,
        ),
        ("(#190) This session is over", Cause.TOKEN),
        ("Error validating access token: the session has expired", Cause.TOKEN),
        ("Invalid OAuth access token", Cause.TOKEN),
        ("Invalid OAuth 2.0 Access Token", Cause.TOKEN),
        ("Cannot parse access token", Cause.TOKEN),
        ("The access token could not be decrypted", Cause.TOKEN),
        ("Your access token is no longer valid", Cause.TOKEN),
        ("The access_token has been invalidated", Cause.TOKEN),
        ("Access token has expired", Cause.TOKEN),
        ("An access token is required to request this resource.", Cause.TOKEN),
        ("An active access token must be used to query information", Cause.TOKEN),
        ("Session has expired on Monday, 02-Nov-26 09:30:00 PST", Cause.TOKEN),
        ("The session has been invalidated: the password was changed", Cause.TOKEN),
        ("The access token is valid, but sendout_id is not", Cause.OTHER),
        ("Without an access token: no such ctwa_clid", Cause.CLICK_UNKNOWN),
        (
            "Application does not have permission for this action",
            Cause.PERMISSION,
        ),
        (
            "Application does not have the capability to make this API call",
            Cause.PERMISSION,
        ),
        ("Missing permission for the dataset", Cause.DATASET),
        ("(#200) Requires business_management permission", Cause.PERMISSION),
        ("(#10) Application does not have permission", Cause.PERMISSION),
        ("You are temporarily blocked for policies violations", Cause.BLOCKED),
        ("(#2) Service temporarily unavailable", Cause.TRANSIENT),
        ("(#4) Application request limit reached", Cause.TRANSIENT),
        ("An unknown error occurred", Cause.TRANSIENT),
        ("error code 17", Cause.TRANSIENT),
        ("Event Timestamp Too Old", Cause.TOO_OLD),
        ("payload.currency is required for a Purchase", Cause.CURRENCY),
        ("payload.value must be a number", Cause.VALUE),
        ("invalid value for string field sendout_id", Cause.OTHER),
    ],
)
def test_words_are_found_without_a_number(message: str, cause: Cause) -> None:
    answer = json.dumps({"code": "INVALID_ARGUMENT", "message": message, "details": []})
    assert code_of(answer).cause is cause


@pytest.mark.parametrize(
    "answer",
    [
        '{"code": 3, "message": "sendout_id is required", "details": []}',  # gRPC's
        '{"code": "INVALID_ARGUMENT", "message": "no"}',
        '{"code": 400, "message": "no"}',
        '{"code": "190_DAYS"}',
        '{"code": 1900}',
        '{"zip_code": 190, "countryCode": 2}',
        '{"code": 99999999999999999999}',
        "Order 190 of 2, see page 102",
        "",
        "\x00" * 9,
        '{"code":' * 9_000,
    ],
)
def test_any_other_refusal_is_final_and_nobodys_in_particular(answer: str) -> None:
    assert code_of(answer) is OTHER
    assert verdict_of(400, answer.encode()).outcome is Outcome.REFUSED
    assert not is_from_meta(answer)


#: Meta speaks, but of its codes none is in the answer, or one without a consequence.
META_WITHOUT_A_CODE: list[dict[str, Any]] = [
    {"type": "OAuthException", "fbtrace_id": "A1"},
    {"error_subcode": 2804999, "error_user_title": "No"},
    {"error": {"code": 100, "message": "Invalid parameter", "fbtrace_id": "A1"}},
]
GRPC_FORMS: dict[str, Callable[[int, dict[str, Any]], str]] = {
    "details": lambda code, error: json.dumps(
        {"code": code, "message": "Invalid parameter", "details": [error]}
    ),
    "details first": lambda code, error: json.dumps(
        {"details": [error], "message": "Invalid parameter", "code": code}
    ),
    "a string": lambda code, error: json.dumps(
        {"code": code, "message": f"meta: {json.dumps(error)}"}
    ),
    "cut": lambda code, error: json.dumps({"code": code, "details": [error]})[:-1],
    "kept": lambda code, error: (
        json.dumps({"code": code, "details": [error]}) + "\nx-fb-trace-id: A1"
    ),
    "Google's": lambda code, error: json.dumps(
        {"error": {"code": code, "status": "INVALID_ARGUMENT", "details": [error]}}
    ),
}


GRPCS_OWN = (1, 2, 3, 4, 9, 10)


@pytest.mark.parametrize("error", META_WITHOUT_A_CODE, ids=lambda it: next(iter(it)))
@pytest.mark.parametrize("form", GRPC_FORMS)
def test_grpcs_code_around_metas_answer_is_not_metas(
    form: str, error: dict[str, Any]
) -> None:
    for code in GRPCS_OWN:
        answer = GRPC_FORMS[form](code, error)
        assert code_of(answer) is OTHER, code
        assert verdict_of(400, answer.encode()).outcome is Outcome.REFUSED, code
        assert is_from_meta(answer), code


@pytest.mark.parametrize("form", GRPC_FORMS)
def test_metas_code_counts_within_any_of_grpcs(form: str) -> None:
    for outer, (code, subcode, cause, outcome) in product(GRPCS_OWN, BY_NUMBER):
        answer = GRPC_FORMS[form](outer, meta(code, subcode))
        assert code_of(answer).cause is cause, (outer, code, subcode)
        assert verdict_of(400, answer.encode()).outcome is outcome, (outer, code)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        # gRPC's own 1, 2, 4 and 10 are answered with 499, 500, 504 and 409, not 400.
        ({"code": 1, "message": "no"}, Cause.TRANSIENT),
        ({"code": 2, "message": "no", "details": []}, Cause.TRANSIENT),
        ({"code": 4, "message": "no"}, Cause.TRANSIENT),
        ({"code": 10, "message": "no"}, Cause.PERMISSION),
        (
            {"code": 17, "message": "no", "details": [{"fbtrace_id": 1}]},
            Cause.TRANSIENT,
        ),
        ({"code": 190, "message": "no", "details": [{"fbtrace_id": 1}]}, Cause.TOKEN),
        ({"code": 2, "type": "OAuthException", "fbtrace_id": "A1"}, Cause.TRANSIENT),
        ({"code": 3, "message": "no", "fbtrace_id": "A1"}, Cause.OTHER),
        ({"code": 3, "message": "(#3) no"}, Cause.PERMISSION),
        ({"code": 3, "message": "OAuthException, error code 3"}, Cause.PERMISSION),
        ({"error": {"code": 3, "fbtrace_id": "A1"}}, Cause.PERMISSION),
        ({"error": {"code": 3, "message": "OAuthException"}}, Cause.PERMISSION),
    ],
)
def test_an_outermost_code_that_grpc_has_too(
    answer: dict[str, Any], cause: Cause
) -> None:
    assert code_of(json.dumps(answer)).cause is cause


EVENT = {
    "event_name": "Purchase",
    "attribution": {"meta_ctwa": {"ctwa_clid": "c", "ad_id": "a"}},
    "payload": {"currency": "USD", "value": 9.99, "event_time": 1746480000},
}
REPEATS: dict[str, Callable[[str], str]] = {
    "beside the message": lambda said: json.dumps({"message": said, "request": EVENT}),
    "in the details": lambda said: json.dumps({"message": said, "details": [EVENT]}),
    "as a string": lambda said: json.dumps({"message": said, "input": str(EVENT)}),
    "in the message": lambda said: json.dumps({"message": f"{said}: {EVENT}"}),
    "in the message, as JSON": lambda said: json.dumps(
        {"error": {"message": f"{said}: {json.dumps(EVENT)}."}}
    ),
    "in a sentence": lambda said: f"{said} {json.dumps(EVENT)}",
    "cut": lambda said: json.dumps({"request": EVENT, "message": said})[:-1],
    "with trace ids": lambda said: (
        json.dumps({"message": said, "request": EVENT}) + "\ntraceparent: 00-1"
    ),
}


def test_an_answer_that_is_cut_within_a_string_is_read_at_once() -> None:
    answer = '{"error":"' + '{\\"a\\":\\"bcdefgh\\",' * 4000
    with cpu_time_below(2):
        assert code_of(answer) is OTHER


@pytest.mark.parametrize("form", REPEATS)
def test_an_answer_that_repeats_the_event_is_not_about_its_fields(form: str) -> None:
    assert code_of(REPEATS[form]("sendout_id is required")) is OTHER


@pytest.mark.parametrize("form", REPEATS)
@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("sendout_id is required", Cause.OTHER),
        ("(#190) Error", Cause.TOKEN),
        ("No Page Associated To Dataset", Cause.NO_PAGE),
    ],
)
def test_a_number_of_a_repeated_event_is_not_metas(
    said: str, cause: Cause, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = {"order_id": "2804087", "value": 2804131, "contents": ["SKU 2804066"]}
    monkeypatch.setitem(EVENT, "payload", payload)
    answer = REPEATS[form](said)
    assert code_of(answer).cause is cause
    assert is_from_meta(answer) == said.startswith("(#190)")


@pytest.mark.parametrize("form", [*FORMS][:-2])
@pytest.mark.parametrize(
    "error",
    [
        {"message": "Meta said 100/2804087"},
        {"code": 2804087},
        {"error": {"error_code": "2804087"}},
        {"details": ["error 2804087"]},
    ],
    ids=str,
)
def test_metas_number_is_found_without_its_name(
    error: dict[str, Any], form: str
) -> None:
    answer = FORMS[form](error)
    assert code_of(answer).cause is Cause.CLICK_UNKNOWN
    assert is_from_meta(answer)


@pytest.mark.parametrize("form", [*REPEATS][:-2])
@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("event too old", Cause.TOO_OLD),
        ("no such click id", Cause.CLICK_UNKNOWN),
        ("payload.value must be a number", Cause.VALUE),
    ],
)
def test_beside_a_repeated_event_the_message_counts(
    message: str, cause: Cause, form: str
) -> None:
    assert code_of(REPEATS[form](message)).cause is cause


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ("event_time is in the future", Cause.TOO_OLD),
        ('"event_time is in the future"', Cause.TOO_OLD),
        ("[ERROR] event_time is in the future", Cause.TOO_OLD),
        ('Sent {"n": 1}: the event is too old', Cause.TOO_OLD),
        ('["event_time is in the future"]', Cause.TOO_OLD),
        ('{"detail": "event_time is in the future"}', Cause.TOO_OLD),
        ('{"errors": [{"msg": "event_time is wrong"}]}', Cause.TOO_OLD),
        ('{"error": {"error_user_title": "Event Too Old"}}', Cause.TOO_OLD),
        ('{"userMessage": "Unknown currency"}', Cause.CURRENCY),
        ('{"details": [{"field": "payload.currency"}]}', Cause.CURRENCY),
        ('{"details": [{"field": "value", "description": "no"}]}', Cause.VALUE),
        ('{"message": "{\\"error\\": {\\"message\\": \\"too old\\"}}"}', Cause.TOO_OLD),
        ("Missing field 'value'", Cause.VALUE),
        ("A Purchase requires a value.", Cause.VALUE),
        ("The parameter value is required.", Cause.VALUE),
        ("invalid value for string field sendout_id", Cause.OTHER),
        ("sendout_id: value is required", Cause.OTHER),
        ("sendout_id requires a value", Cause.OTHER),
        ("missing value for sendout_id", Cause.OTHER),
        ("sendout_id: value length must be at least 1 bytes", Cause.OTHER),
        ('{"details": [{"field": "sendout_id", "reason": "no value"}]}', Cause.OTHER),
        ('{"type": "value_error", "message": "no"}', Cause.OTHER),
    ],
)
def test_the_words_of_a_refusal_are_read_in_its_sentences(
    answer: str, cause: Cause
) -> None:
    assert code_of(answer).cause is cause


@pytest.mark.parametrize("status", [401, 422, 503])
def test_a_code_counts_in_a_400_only(status: int) -> None:
    answers = (json.dumps(meta(code)).encode() for code in (190, 2, 100))
    assert len({verdict_of(status, answer).outcome for answer in answers}) == 1


def test_each_cause_has_its_sentence_and_a_row_that_leads_to_it() -> None:
    assert {code.cause for code in CODES} | {Cause.OTHER} == set(Cause) == {*FOR_CAUSE}
    assert all(isinstance(sentence, Promise) for sentence in FOR_CAUSE.values())
    assert {code.consequence for code in CODES} == {*Consequence}


@pytest.mark.parametrize(("code", "subcode", "cause", "outcome"), BY_NUMBER)
def test_the_sentence_of_the_code_is_said(
    code: int, subcode: int | None, cause: Cause, outcome: Outcome
) -> None:
    diagnosis = diagnose(outcome, 400, json.dumps(meta(code, subcode)))
    assert diagnosis is not None
    assert diagnosis.meaning == FOR_CAUSE[cause]
    is_paused = outcome is Outcome.CONFIGURATION
    assert diagnosis.code == ("api_meta_link" if is_paused else "api_event_refused")


def record(order_id: str = "ORD-7821") -> Conversion:
    return outbox.record(make_purchase(order_id), attribution=make_click())


def send_until_quiet(most: int = 12) -> None:
    for _ in range(most):
        Conversion.objects.filter(state=State.PENDING).update(due_at=DbNow(-1))
        Circuit.objects.exclude(paused_until=None).update(paused_until=DbNow(-1))
        deliver()


@pytest.mark.django_db
@pytest.mark.parametrize("code", [190, 102, 10, 3, 230])
def test_a_lapsed_link_to_meta_pauses_the_business_and_loses_no_order(
    sandbox: Sandbox, code: int
) -> None:
    rows = [record(f"ORD-{number}") for number in range(3)]
    sandbox.behave(f"400:(#{code}) refused", times=1)
    deliver()
    assert len(sandbox.requests) == 1
    circuit = Circuit.objects.get()
    assert circuit.paused_until is not None
    assert circuit.reason == Circuit.Reason.META_LINK
    assert f"(#{code})" in circuit.detail
    Circuit.objects.update(paused_until=DbNow(-1))
    deliver()
    states = Conversion.objects.values_list("state", flat=True)
    assert [*states] == [State.DELIVERED] * len(rows)


@pytest.mark.django_db
@pytest.mark.parametrize("code", [1, 2, 4, 17, 341, 368])
def test_what_may_pass_is_tried_three_times_more_and_is_then_final(
    sandbox: Sandbox, code: int
) -> None:
    row = record()
    sandbox.behave(f"400:(#{code}) not now")
    deliver()
    row.refresh_from_db()
    assert (row.state, row.attempts) == (State.PENDING, 1)
    assert row.due_at is not None
    assert row.due_at > timezone.now()
    send_until_quiet()
    row.refresh_from_db()
    assert (row.state, row.reason, row.attempts) == (
        State.REJECTED,
        Reason.REFUSED,
        4,
    )
    assert len({request.body for request in sandbox.requests}) == 1
    assert len(sandbox.requests) == 4
    outcomes = {it.outcome for it in DeliveryAttempt.objects.all()}
    assert outcomes == {DeliveryAttempt.Outcome.TRANSIENT}


@pytest.mark.django_db
def test_what_passed_is_delivered(sandbox: Sandbox) -> None:
    row = record()
    sandbox.behave("400:(#2) not now", times=3)
    send_until_quiet()
    row.refresh_from_db()
    assert (row.state, row.attempts) == (State.DELIVERED, 4)


@pytest.mark.django_db
def test_other_troubles_in_between_do_not_use_up_the_three(sandbox: Sandbox) -> None:
    row = record()
    passing, outage = "400:(#2) not now", "503"
    sandbox.behave([passing, outage, passing, outage, passing, "ok"])
    send_until_quiet()
    row.refresh_from_db()
    assert (row.state, row.attempts) == (State.DELIVERED, 6)


@pytest.mark.django_db
def test_after_a_replay_it_has_three_tries_anew(sandbox: Sandbox) -> None:
    row = record()
    sandbox.behave("400:(#4) not now")
    send_until_quiet()
    replay(Conversion.objects.all())
    send_until_quiet()
    row.refresh_from_db()
    assert (row.state, len(sandbox.requests)) == (State.REJECTED, 8)


@pytest.mark.django_db
def test_an_order_that_meta_refuses_for_good_is_rejected_at_once(
    sandbox: Sandbox,
) -> None:
    row = record()
    sandbox.behave("400:(#100) Messaging Event Invalid Ctwa Clid", times=1)
    deliver()
    row.refresh_from_db()
    assert (row.state, row.attempts) == (State.REJECTED, 1)


@pytest.mark.django_db
@pytest.mark.parametrize("code", [1, 2, 3, 4, 10])
def test_grpcs_code_around_a_refusal_sends_no_order_again(
    sandbox: Sandbox, configure: Any, code: int
) -> None:
    row = record()
    refusal = GRPC_FORMS["details"](code, META_WITHOUT_A_CODE[0])
    with Server(*[answer(refusal.encode(), status=400)] * 3) as server:
        configure(BASE_URL=server.url)
        send_until_quiet()
    row.refresh_from_db()
    assert (row.state, row.attempts) == (State.REJECTED, 1)
    assert not Circuit.objects.exclude(paused_until=None).exists()
    assert len(server.asked) == 1
