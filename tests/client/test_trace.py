"""The ids by which a support desk finds a request are kept with its answer."""

from __future__ import annotations

import pytest

from connectly_tracking.api.client import MAX_TRACE_ID, MAX_TRACE_IDS
from connectly_tracking.api.verdicts import Outcome

from .post import KEY, post_to
from .server import CONFIRMS


def answer(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize(
    "header",
    [
        "x-fb-trace-id: Bx1",
        "X-Request-Id: 7f-1",
        "traceparent: 00-4bf92f-00f067-01",
        "X-Amzn-Trace-Id: Root=1-67",
        "x-correlation-id: c",
        "cntTraceId: t",
        "X-B3-TraceId: 80f1",
    ],
)
@pytest.mark.parametrize(
    ("status", "body"), [(200, CONFIRMS), (400, b"no"), (503, b"")]
)
def test_a_trace_id_is_kept_after_the_body(
    header: str, status: int, body: bytes
) -> None:
    verdict = post_to(answer(status, body, "Server: x", header, "X-Powered-By: y"))
    said = "" if status == 200 else body.decode()
    assert verdict.detail == "\n".join(part for part in (said, header) if part)


def test_the_answer_of_a_success_is_kept_if_it_says_more() -> None:
    assert post_to(answer(200, CONFIRMS)).detail == ""
    body = b'{"events_received": 1, "fbtrace_id": "Abc"}'
    verdict = post_to(answer(200, body))
    assert (verdict.outcome, verdict.detail) == (Outcome.CONFIRMED, body.decode())


def test_they_are_few_short_and_without_the_key() -> None:
    headers = [f"X-Part-{number}-Id: {KEY}{'a' * 999}" for number in range(50)]
    detail = post_to(answer(400, b"", *headers)).detail
    assert len(detail.splitlines()) == MAX_TRACE_IDS
    assert max(map(len, detail.splitlines())) < MAX_TRACE_ID + 40
    assert KEY not in detail


def test_a_code_is_not_read_out_of_a_header() -> None:
    verdict = post_to(answer(400, b"no", "X-Request-Id: error_code: 190"))
    assert verdict.outcome is Outcome.REFUSED
