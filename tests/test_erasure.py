"""A person asks to be forgotten."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.attribution import Erased, bind_order, erase, land
from connectly_tracking.delivery import deliver
from connectly_tracking.delivery.claim import claim
from connectly_tracking.delivery.run import Run
from connectly_tracking.models import (
    Attribution,
    Conversion,
    DbNow,
    OrderAttribution,
    Reason,
    State,
)

from .conftest import LANDING, TAGGED, make_click, make_purchase

if TYPE_CHECKING:
    from django.test import RequestFactory

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return User.objects.create(username="ada")


def fresh(row: Conversion) -> Conversion:
    return Conversion.objects.get(pk=row.pk)


def rows_of(**customer: Any) -> tuple[int, ...]:
    """Erase, and return how many clicks and events were found."""
    return erase(**customer)[:4]


def say(*arguments: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("connectly_forget", *arguments, stdout=out, **options)
    return out.getvalue()


def test_a_customers_clicks_go_and_what_waits_is_not_sent(
    ada: User, sandbox: Sandbox
) -> None:
    sent = outbox.record(make_purchase("ORD-1"), attribution=make_click(user=ada))
    deliver()
    waits = outbox.record(make_purchase("ORD-2"), attribution=make_click(user=ada))
    stranger = replace(LANDING, cnct_tracking_id="track-2")
    others = outbox.record(make_purchase("ORD-3"), attribution=make_click(stranger))
    found = Erased(clicks=2, stopped=1, emptied=1, under_way=0)
    assert erase(users=[ada.pk], dry_run=True) == found
    assert Attribution.objects.count() == 3
    assert erase(users=[ada.pk]) == found
    assert Attribution.objects.get() == others.attribution
    assert (fresh(sent).state, fresh(sent).body) == (State.DELIVERED, "")
    assert fresh(sent).value == sent.value  # the shop's own books say it, too
    assert (fresh(waits).reason, fresh(waits).body) == (Reason.CONSENT_WITHDRAWN, "")
    assert deliver() == {State.DELIVERED: 1}
    assert not any(erase(users=[ada.pk]))


def test_by_an_orders_id_everything_of_that_click_goes(rf: RequestFactory) -> None:
    request = rf.get(TAGGED)
    request.session = {}  # type: ignore[assignment]
    land(request)
    bind_order(request, "ORD-1")
    click = Attribution.objects.get()
    for number in (1, 2):
        outbox.record(make_purchase(f"ORD-{number}"), attribution=click)
    assert rows_of(orders=["ORD-2"]) == (1, 2, 0, 0)
    assert not Attribution.objects.exists()
    assert not OrderAttribution.objects.exists()


def test_an_order_that_still_waits_for_its_click_gets_none() -> None:
    row = outbox.record(make_purchase())
    assert row.payload
    assert erase(orders=[row.order_id]).stopped == 1
    assert outbox.record(make_purchase(), attribution=make_click()).body == ""
    assert (fresh(row).payload, fresh(row).reason) == ("", Reason.CONSENT_WITHDRAWN)


def test_an_order_that_was_cancelled_without_a_click_loses_its_basket() -> None:
    outbox.record(make_purchase())
    outbox.cancel("ORD-7821")
    assert rows_of(orders=["ORD-7821"]) == (0, 0, 1, 0)
    assert Conversion.objects.get().payload == ""


def test_what_is_under_way_is_not_tried_again_and_emptied_later(
    sandbox: Sandbox,
) -> None:
    row = outbox.record(make_purchase(), attribution=make_click())
    claim(Run.begin(), "default", 1)
    assert erase(orders=[row.order_id]).under_way == 1
    assert fresh(row).body
    Conversion.objects.update(due_at=DbNow(-1))
    assert deliver() == {State.SKIPPED: 1}
    assert sandbox.received_count == 0
    assert erase(orders=[row.order_id]).emptied == 1
    assert fresh(row).body == ""


def test_by_the_user_it_is_finished_at_the_second_time(
    ada: User, sandbox: Sandbox
) -> None:
    row = outbox.record(make_purchase(), attribution=make_click(user=ada))
    claim(Run.begin(), "default", 1)
    assert rows_of(users=[ada.pk]) == (0, 0, 0, 1)
    Conversion.objects.update(due_at=DbNow(-1))
    deliver()
    assert rows_of(users=[ada.pk]) == (1, 0, 1, 0)
    assert fresh(row).body == ""
    assert not Attribution.objects.exists()


def test_the_command_says_what_goes_and_asks(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.record(make_purchase(), attribution=make_click(user=ada))
    said = say("--user", "ada", dry_run=True)
    assert said.splitlines() == [
        "      1 clicks to delete",
        "      1 waiting reports that will not be sent",
        "      0 ended reports to clear",
        "      0 reports being sent now: run this command again in a few minutes",
        "      0 answers of the API to delete",
        "      0 entries of the admin's log to clear",
        "      0 sessions to remove the click from",
        "Nothing was changed.",
    ]
    monkeypatch.setattr("builtins.input", lambda _: "n")
    with pytest.raises(CommandError, match=r"Nothing was changed\."):
        say("--user", "ada")
    assert Attribution.objects.exists()
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert "Forgotten." in say("--user", "ada")
    assert not Attribution.objects.exists()
    assert say("--user", "ada").endswith("Nothing was changed.\n")


def test_where_nobody_can_answer_nobody_is_forgotten(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_click(user=ada)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(CommandError, match="--yes"):
        say("--user", "ada")
    assert Attribution.objects.exists()


def test_the_command_forgets_a_user_who_is_deleted(ada: User) -> None:
    key = str(ada.pk)
    click = make_click(user=ada)
    User.objects.all().delete()
    # A shop that deletes by SQL, or whose users are elsewhere, leaves the number.
    Attribution.objects.filter(pk=click.pk).update(user_id=key)
    assert "Forgotten." in say("--user-id", key, yes=True)
    assert not Attribution.objects.exists()


def test_the_command_says_when_to_come_again(sandbox: Sandbox) -> None:
    row = outbox.record(make_purchase(), attribution=make_click())
    Conversion.objects.update(state=State.SENDING, due_at=timezone.now())
    with pytest.raises(CommandError, match=r"1 reports were being sent"):
        say("--order", row.order_id, yes=True)


def test_a_name_that_several_users_have_is_refused(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.create(username="ana")
    User.objects.update(first_name="Ada")
    monkeypatch.setattr(User, "USERNAME_FIELD", "first_name")
    with pytest.raises(CommandError, match="Several users have the name 'Ada'"):
        say("--user", "Ada")


@pytest.mark.parametrize("field", ["id", "last_login"])
def test_a_name_that_none_can_be_is_refused(
    ada: User, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    monkeypatch.setattr(User, "USERNAME_FIELD", field)
    with pytest.raises(CommandError, match="There is no user 'ana'"):
        say("--user", "ana")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Specify a customer with --user, --user-id, --order or --click."),
        (["--user", "nobody"], "There is no user 'nobody'."),
        (["--user-id", "x"], "'x' is not the primary key of a user."),
    ],
)
def test_the_command_refuses_nonsense(arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        say(*arguments)
