"""The result of a run: as text for a person, as JSON for a program."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent
from typing import TYPE_CHECKING, Any

from connectly_tracking.models import State

from . import verbatim
from .stage import ADMIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from connectly_tracking.models import Conversion, DeliveryAttempt

    from .evidence import Exchange
    from .stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    landing_url: str
    exchange: Exchange | None
    conversion: Conversion
    stage: Stage

    @property
    def is_delivered(self) -> bool:
        return self.conversion.state == State.DELIVERED

    def as_json(self) -> str:
        """One line; the numbers of the request are as they were sent."""
        request = response = None
        if seen := self.exchange:
            request = {
                "method": seen.method,
                "path": seen.path,
                "headers": dict(seen.headers),
                "body": _read(seen.body),
            }
            response = {"status": seen.status, "body": _read(seen.answer)}
        past = {"history": self.stage.history} if self.stage.history else {}
        return verbatim.dumps(
            {
                "landing_url": self.landing_url,
                "request": request,
                "response": response,
                "conversion": {
                    "order_id": self.conversion.order_id,
                    "state": self.conversion.state,
                    "attempts": self.conversion.attempts,
                },
                "urls": self.stage.urls,
            }
            | past
        )

    def as_text(self, heading: Callable[[str], str], *, stays: bool) -> str:
        """``heading`` formats a heading."""
        where = "Where to look" if stays else "Where to look (if run without --once)"
        past = {"Thirty days before": self._past()} if self.stage.history else {}
        parts = past | {
            "The customer landed on": self.landing_url,
            "The sandbox received": self._request(),
            "It answered": self._answer(),
            f"The conversion of {self.conversion.order_id}": "\n".join(self._history()),
            where: self._places(),
        }
        return "\n\n".join(
            f"{heading(title)}\n{indent(text, '  ')}" for title, text in parts.items()
        )

    def _request(self) -> str:
        if self.exchange is None:
            return "nothing"
        headers = [f"{name}: {value}" for name, value in self.exchange.headers.items()]
        body = verbatim.dumps(_read(self.exchange.body), indent=2)
        line = f"{self.exchange.method} {self.exchange.path}"
        return "\n".join([line, *headers, "", body])

    def _answer(self) -> str:
        if self.exchange is None or self.exchange.status is None:
            return "nothing"
        return f"{self.exchange.status} {self.exchange.answer}"

    def _history(self) -> Iterator[str]:
        row = self.conversion
        if row.clicked_at:
            yield f"{_clock(row.clicked_at)}  clicked"
        yield f"{_clock(row.recorded_at)}  recorded with the order"
        for number, attempt in enumerate(row.delivery_attempts.all(), 1):
            yield f"{_clock(attempt.started_at)}  attempt {number}: {_outcome(attempt)}"
        if row.delivered_at:
            yield f"{_clock(row.delivered_at)}  {row.get_state_display()}"
        else:
            yield f"{row.get_state_display()}, {row.explanation}".rstrip(", ")

    def _past(self) -> str:
        counts = self.stage.history
        states = ", ".join(f"{count} {state}" for state, count in counts.items())
        return f"{sum(counts.values())} orders: {states}"

    def _places(self) -> str:
        urls = self.stage.urls
        return "\n".join(
            [
                f"shop     {urls['shop']}",
                f"admin    {urls['admin']}  ({ADMIN} / {self.stage.password})",
                f"sandbox  {urls['sandbox']}",
                f"logs     {self.stage.logs}",
            ]
        )


def _read(body: str) -> Any:
    try:
        return verbatim.loads(body)
    except ValueError:
        return body


def _outcome(attempt: DeliveryAttempt) -> str:
    words = [attempt.get_outcome_display()]
    if attempt.status_code:
        words.append(str(attempt.status_code))
    if attempt.finished_at:
        took = (attempt.finished_at - attempt.started_at).total_seconds() * 1000
        words.append(f"{took:.0f} ms")
    return ", ".join(words)


def _clock(moment: datetime) -> str:
    return moment.strftime("%H:%M:%S.%f")[:-3]
