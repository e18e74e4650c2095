"""What the app did in this visit, for the bar at the bottom of each page."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from asgiref.sync import sync_to_async
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from connectly_tracking.attribution import arecall, recall
from connectly_tracking.models import Conversion, EventName, State

from . import session
from .models import Order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest

    from connectly_tracking.models import Attribution

Tone = Literal["done", "waits", "none", "failed"]
WHOLE = 20  # characters; a longer id is shortened


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    text: str
    tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """``is_settled``: the state of the newest order will not change."""

    steps: tuple[Step, ...]
    is_settled: bool

    @classmethod
    def from_request(cls, request: HttpRequest) -> Visit:
        return cls._of(recall(request), session.orders(request))

    @classmethod
    async def afrom_request(cls, request: HttpRequest) -> Visit:
        """As `from_request`, for async views."""
        numbers = await sync_to_async(session.orders)(request)
        return await sync_to_async(cls._of)(await arecall(request), numbers)

    @classmethod
    def _of(cls, click: Attribution | None, numbers: list[str]) -> Visit:
        first = _click(click)
        order = Order.objects.filter(number__in=numbers[-1:]).first()
        if order is None:
            return cls(steps=(first,), is_settled=True)
        row = (
            Conversion.objects.filter(event_name=EventName.PURCHASE)
            .of_order(order.number)
            .order_by("-id")
            .first()
        )
        open_states = (State.PENDING, State.SENDING)
        return cls(
            steps=(first, *_steps(order, row)),
            is_settled=(
                order.cancelled_at is not None
                if row is None
                else row.state not in open_states
            ),
        )

    def as_json(self) -> dict[str, Any]:
        steps = [asdict(step) for step in self.steps]
        return {"steps": steps, "settled": self.is_settled}


def _click(click: Attribution | None) -> Step:
    if click is None:
        return Step(text=_("No campaign click in this visit"), tone="none")
    campaign, ad = _short(click.sendout_id), _short(click.ad_id)
    text = _("Click captured: campaign %(campaign)s, ad %(ad)s")
    return Step(text=text % {"campaign": campaign, "ad": ad}, tone="done")


def _steps(order: Order, row: Conversion | None) -> Iterator[Step]:
    if row is None:
        text = (
            _("Order %(number)s cancelled")
            if order.cancelled_at
            else _("Order %(number)s placed, not paid yet")
        )
        tone: Tone = "none" if order.cancelled_at else "waits"
        yield Step(text=text % {"number": order.number}, tone=tone)
        return
    text = _("Order %(number)s recorded") % {"number": order.number}
    yield Step(text=text, tone="done")
    yield _fate(row)


def _fate(row: Conversion) -> Step:
    why = str(row.explanation).rstrip(".")
    match row.state:
        case State.DELIVERED:
            at = timezone.localtime(row.delivered_at)
            return Step(
                text=_("Delivered %(time)s") % {"time": f"{at:%H:%M %Z}"}, tone="done"
            )
        case State.SENDING:
            return Step(text=_("Is being sent"), tone="waits")
        case State.PENDING:
            return Step(text=_("Waits to be sent"), tone="waits")
        case State.SKIPPED:
            return Step(text=_("Not reported: %(why)s") % {"why": why}, tone="none")
        case _:
            return Step(
                text=f"{capfirst(row.get_state_display())}: {why}", tone="failed"
            )


def _short(value: str) -> str:
    return value if len(value) <= WHOLE else f"{value[:8]}…"
