"""Findings on the API, which is asked once. Nothing is recorded, and nothing paused."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from django.utils.translation import gettext as _

from ..api.landing import Landing
from ..api.payload import PurchasePayload, body_json, encode, payload_json
from ..api.verdicts import Outcome, parse_date
from ..conf import conf
from ..delivery import make_client
from ..events import Item, Purchase
from ..findings import Subject, found, one_line
from ..remedies import diagnose
from .check import found_skew, run_check, with_timeout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..api.verdicts import Verdict
    from ..conf import Business
    from ..findings import Finding

PROBE_DEADLINE: Final = 10.0  # seconds for the whole exchange
PROBE_LIMIT: Final = 15.0  # seconds, including a name server that does not answer
PROBE_NAME: Final = "connectly-doctor"
MADE_UP_CLICK: Final = Landing(
    cnct_tracking_id=PROBE_NAME,
    sendout_id=PROBE_NAME,
    ctwa_clid=PROBE_NAME,
    ad_id=PROBE_NAME,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRequest:
    """One POST to one business, which is recorded nowhere."""

    business: Business
    body: str
    must_be_refused: bool

    @classmethod
    def invalid(cls, business: Business) -> Self:
        """Break three documented rules at once: an unknown event, no click, no payload.

        So it cannot be credited to a campaign.
        """
        body = encode({"event_name": PROBE_NAME})
        return cls(business=business, body=body, must_be_refused=True)

    @classmethod
    def purchase(cls, business: Business, click: Landing | None = None) -> Self:
        """Report an order of 1.00 USD, placed now, with an order id of its own."""
        now = int(time.time())
        purchase = Purchase(
            order_id=f"{PROBE_NAME}-{now}",
            value=Decimal("1.00"),
            currency="USD",
            event_time=now,
            contents=[Item(id=PROBE_NAME, quantity=1, item_price=Decimal("1.00"))],
        )
        at = datetime.fromtimestamp(now, UTC)
        payload = PurchasePayload.from_purchase(purchase, now=at, zone=UTC)
        body = body_json("Purchase", payload_json(payload), click or MADE_UP_CLICK)
        return cls(business=business, body=body, must_be_refused=False)


def probe(request: ProbeRequest) -> list[Finding]:
    """Send the request, and say what the answer means."""
    business = request.business
    check = partial(_probe, request)
    findings = run_check(Subject.API, check, business=business.alias)
    return [finding.masked([business.api_key]) for finding in findings]


def _probe(request: ProbeRequest) -> Iterator[Finding]:
    client = make_client(request.business, conf)
    client = replace(client, deadline=min(client.deadline, PROBE_DEADLINE))
    alias = request.business.alias
    try:
        verdict = with_timeout(PROBE_LIMIT, partial(client.post, request.body))
    except TimeoutError as exc:
        yield found(Subject.API, "api_mute", f"{alias}: {exc}.", business=alias)
        return
    code, meaning = _meaning(verdict, request.must_be_refused)
    said = ": ".join(
        str(it) for it in (verdict.status_code, one_line(verdict.detail)) if it
    )
    words = f" ({said})" if said else ""
    text = f"{alias}: {meaning.rstrip('.')}{words}."
    yield found(Subject.API, code, text, business=alias)
    yield from _skew(verdict.date)


def _meaning(verdict: Verdict, must_be_refused: bool) -> tuple[str, str]:
    """Return the finding's code, and a sentence."""
    if must_be_refused and verdict.outcome == Outcome.CONFIRMED:
        return "api_accepts_anything", _("The API confirmed an invalid event.")
    is_refused = verdict.outcome == Outcome.REFUSED and verdict.status_code == 400
    if must_be_refused and is_refused:
        return (
            "api_ok",
            _(
                "The key and the business are right: only the invalid event was "
                "refused."
            ),
        )
    diagnosis = diagnose(verdict.outcome, verdict.status_code, verdict.detail)
    if diagnosis is None:
        return "api_test_ok", _("The test purchase was confirmed.")
    return diagnosis.code, str(diagnosis.meaning)


def _skew(date: str | None) -> list[Finding]:
    """Compare the answer's Date, which has whole seconds, with this machine's clock."""
    if (at := parse_date(date)) is None:
        return []
    return found_skew(Subject.API, (at - datetime.now(UTC)).total_seconds())
