"""The world around the workers: a clock, an API, a shop, its settings and people."""

from __future__ import annotations

from contextlib import contextmanager
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.test import override_settings

from connectly_tracking import outbox
from connectly_tracking.api.secret import Secret
from connectly_tracking.conf import Business, conf
from connectly_tracking.delivery.run import Account
from connectly_tracking.models import Attribution, Conversion, State
from tests.conftest import LANDING, make_purchase

from .actions import Cancel, Record, Replay
from .api import Api, Behaviour
from .clock import Clock
from .ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from .ledger import Row

BUSINESS_ID: Final = "3f2b8c1e-5d4a-4b6f-9a7e-0c1d2e3f4a5b"
ALIASES: Final = ("default", "br")
HOLD: Final = 60.0
DAY: Final = 86400.0
ORDERS: Final = 3  # at a time


class Kind(Enum):
    """How an order is completed."""

    PLAIN = "a click is known"
    HELD = "a click is known; it waits for a cancellation"
    WITHOUT_CLICK = "no click is known"
    INVALID = "its currency is none"
    SENDING_OFF = "a click is known; the shop sends nothing"

    @property
    def can_go(self) -> bool:
        return self in {Kind.PLAIN, Kind.HELD}


class World:
    def __init__(self) -> None:
        self.clock, self.api = Clock(), Api()
        self.ledger = Ledger(self.clock, self.api)
        self.curses: dict[str, Behaviour] = {}
        #: Another worker comes between the statements of a move, or they fail.
        self.is_disturbed = False
        #: How many statements of a move the database refuses.
        self.refusals = 0.0
        self._keys = dict.fromkeys(ALIASES, 0)
        self._clicks: dict[str, Attribution] = {}
        self._placed: dict[tuple[str, str], datetime] = {}

    def open_shop(self) -> None:
        """Call it once the database shows this clock's time."""
        for alias in ALIASES:
            click = Attribution.from_landing(
                LANDING, captured_at=self.clock.now(), business=alias
            )
            click.save()
            self._clicks[alias] = click

    @property
    def orders(self) -> list[tuple[str, str]]:
        return list(self._placed)

    @property
    def given_up(self) -> list[tuple[str, str]]:
        """The orders that a person may have sent again."""
        rows = self.ledger.rows.values()
        return [
            (row.business, row.order_id)
            for row in rows
            if row.body and not row.is_live and row.state != State.DELIVERED
        ]

    @property
    def without_click(self) -> list[tuple[str, str]]:
        """The orders that wait for a click."""
        rows = self.ledger.rows.values()
        return [(row.business, row.order_id) for row in rows if not row.body]

    @property
    def is_any_due(self) -> bool:
        now = self.clock.now()
        return any(row.due_at and row.due_at <= now for row in self.ledger.live())

    def accounts(self) -> list[Account]:
        """Return the accounts that the current settings describe."""
        return [_account(alias, number) for alias, number in self._keys.items()]

    def change_settings(self, alias: str) -> None:
        self._keys[alias] += 1

    def curse_of(self, order_id: str) -> Behaviour | None:
        """The behaviour that each request of that order meets."""
        return self.curses.get(order_id)

    def is_cursed(self, row: Row) -> bool:
        return row.order_id in self.curses

    def record(
        self, kind: Kind, alias: str = ALIASES[0], order_id: str | None = None
    ) -> None:
        order = (alias, order_id or f"ORD-{len(self._placed)}")
        placed = self._placed.setdefault(order, self.clock.now())
        fields: dict[str, Any] = {"event_time": placed}
        if kind is Kind.INVALID:
            fields["currency"] = "none"
        action = Record(
            ledger=self.ledger,
            order=order,
            can_go=kind.can_go,
            hold=HOLD if kind is Kind.HELD else 0,
        )
        with self.ledger.during(action), _settings_of(kind):
            outbox.record(
                make_purchase(order[1], **fields),
                attribution=None if kind is Kind.WITHOUT_CLICK else self._clicks[alias],
                business=alias,
            )
            self.ledger.orders.add(order)
        action.done()

    def cancel(self, order: tuple[str, str]) -> None:
        action = Cancel(ledger=self.ledger, order_id=order[1])
        with self.ledger.during(action):
            outbox.cancel(order[1])
        action.done()

    def replay(self, order: tuple[str, str]) -> None:
        row = self.ledger.row_of(order)
        assert row is not None
        self.clock.go_on(1)  # no two things happen in the same instant
        action = Replay(ledger=self.ledger, pks=[row.pk])
        with self.ledger.during(action):
            moved = outbox.replay(Conversion.objects.filter(pk=row.pk))
        action.done()
        assert moved == len(action.movable)
        self.clock.go_on(1)

    def be_silent(self, alias: str, wait: float | None) -> None:
        """Note that the API asked for a pause of so many seconds."""
        now, until = self.clock.now(), self.clock.later(wait or 0)
        _since, before = self.ledger.silences.get(alias, (now, now))
        self.ledger.silences[alias] = (now, max(before, until))

    def bring_work(self) -> None:
        """Make sure that a row is due."""
        if not self.ledger.live():
            for _ in range(ORDERS):
                self.record(Kind.PLAIN)
        if not self.is_any_due:
            self.wait_for_next()

    def wait_for_next(self) -> bool:
        """Jump to the next due time. Return False if there is none."""
        now = self.clock.now()
        times = [row.due_at for row in self.ledger.live()]
        times += [fuse.paused_until for fuse in self.ledger.fuses.values()]
        ahead = [at for at in times if at and at > now]
        if ahead:
            self.clock.go_on(self.clock.until(min(ahead)))
        return bool(ahead)


@cache
def _account(alias: str, number: int) -> Account:
    key = Secret(f"key-{number}")
    business = Business(alias=alias, business_id=BUSINESS_ID, api_key=key)
    return Account.of(business, conf)


@contextmanager
def _settings_of(kind: Kind) -> Iterator[None]:
    changes: dict[str, object] = {}
    if kind is Kind.HELD:
        changes = {"HOLD": HOLD}
    elif kind is Kind.SENDING_OFF:
        changes = {"SEND": False}
    if not changes:
        yield
        return
    ours = {**settings.CONNECTLY_TRACKING, **changes}
    with override_settings(CONNECTLY_TRACKING=ours):
        yield
