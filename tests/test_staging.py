"""A database copied or restored while orders waited: docs/operator/staging.md."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command

from connectly_tracking import outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.claim import claim
from connectly_tracking.delivery.run import Run
from connectly_tracking.models import Conversion, DbNow, State

from .conftest import make_click, make_purchase
from .doctor import assert_says, codes

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
PAGE = (Path(__file__).parent.parent / "docs/operator/staging.md").read_text()
DAY = 86_400


@pytest.fixture
def end_waiting() -> Callable[[], None]:
    """The page's own code."""
    names: dict[str, Any] = {}
    code = re.search(r"recipe: end_waiting -->\n```python\n(.*?)```", PAGE, re.S)
    assert code
    exec(code[1], names)  # noqa: S102 - our own documentation
    function: Callable[[], None] = names["end_waiting"]
    return function


@pytest.fixture
def backup() -> list[str]:
    """Five orders as a backup may contain them: four wait, and a worker had one."""
    click = make_click()
    names = [f"ORD-{number}" for number in range(5)]
    for name in names:
        outbox.record(make_purchase(name), attribution=click)
    assert claim(Run.begin(), "default", 1) is not None
    Conversion.objects.exclude(due_at=None).update(
        due_at=DbNow(-3 * DAY), recorded_at=DbNow(-3 * DAY)
    )
    return names


def replay(*options: str) -> None:
    call_command("connectly_replay", *options, "--yes", stdout=io.StringIO())


def test_the_page_begins_with_what_switches_sending_off() -> None:
    first = re.search(r"```python\n(.*?)\n```", PAGE, re.S)
    assert first
    assert first[1] == 'CONNECTLY_TRACKING["SEND"] = False'
    assert PAGE.index(first[1]) < 100


def test_a_copy_with_sending_off_sends_nothing(
    backup: list[str], sandbox: Sandbox, configure: Any
) -> None:
    configure(SEND=False)
    assert not deliver()
    assert sandbox.received_count == 0


def test_what_was_ended_in_a_copy_is_not_sent_if_sending_is_switched_on(
    backup: list[str], sandbox: Sandbox, end_waiting: Callable[[], None]
) -> None:
    end_waiting()
    deliver()
    assert sandbox.received_count == 0
    assert set(Conversion.objects.values_list("state", flat=True)) == {State.SKIPPED}


def test_the_steps_after_a_restore_send_what_was_chosen(
    backup: list[str],
    sandbox: Sandbox,
    configure: Any,
    end_waiting: Callable[[], None],
) -> None:
    configure(SEND=False)
    outbox.record(make_purchase("NEW"), attribution=make_click())
    end_waiting()
    configure(SEND=True)
    deliver()
    replay("--reason", "sending_off")
    replay("--order", backup[2])
    deliver()
    assert {it.order_id for it in sandbox.requests} == {"NEW", backup[2]}
    replay("--reason", "cancelled")
    deliver()
    assert {it.order_id for it in sandbox.requests} == {"NEW", *backup}
    assert sandbox.received_count == 6


def test_the_doctor_asks_whether_it_is_a_copy(backup: list[str]) -> None:
    found = codes()["database_may_be_copied"]
    assert_says(found, "warning", "SEND to False", "docs/operator/staging.md")


@pytest.mark.parametrize("change", ["a new order", "sending off", "nothing waits"])
def test_the_doctor_does_not_ask_without_cause(
    backup: list[str],
    configure: Any,
    end_waiting: Callable[[], None],
    sandbox: Sandbox,
    change: str,
) -> None:
    if change == "a new order":
        outbox.record(make_purchase("NEW"))
    elif change == "sending off":
        configure(SEND=False)
    else:
        end_waiting()
        deliver()
    assert "database_may_be_copied" not in codes()
