"""A customer's data: who may see and delete it, what is asked, what is logged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from connectly_tracking import outbox
from connectly_tracking.delivery.claim import claim
from connectly_tracking.delivery.run import Run
from connectly_tracking.models import Attribution, Conversion

from ..conftest import TAGGED, make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable

    Staff = Callable[..., Client]

pytestmark = pytest.mark.django_db
PAGE = reverse("admin:connectly_tracking_attribution_customer")
LIST = reverse("admin:connectly_tracking_attribution_changelist")
FORGET, EXPORT, VIEW = "forget_customer", "export_customer", "view_attribution"


@pytest.fixture(autouse=True)
def ada() -> User:
    user = User.objects.create(username="ada")
    outbox.record(make_purchase(), attribution=make_click(user=user))
    return user


@pytest.mark.parametrize("step", ["", "forget", "export"])
def test_without_a_permission_of_its_own_there_is_no_page(
    staff: Staff, step: str
) -> None:
    client = staff(VIEW, "view_conversion")
    assert client.post(PAGE, {"user": "ada", "step": step}).status_code == 403
    assert PAGE not in client.get(LIST).content.decode()


def test_the_list_of_clicks_leads_there(staff: Staff) -> None:
    assert PAGE in staff(VIEW, FORGET).get(LIST).content.decode()


@pytest.mark.parametrize(
    "named",
    [{"user": "ada"}, {"order": "ORD-7821"}, {"click": "track-1"}, {"click": "clid-1"}],
    ids=str,
)
def test_it_counts_asks_forgets_and_logs_without_the_customers_data(
    staff: Staff, ada: User, named: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = staff(FORGET)
    page = client.post(PAGE, named).content.decode()
    assert "Yes, forget this customer" in page
    assert "cannot be undone" in page
    assert "Export as JSON" not in page
    assert Attribution.objects.exists()
    done = client.post(PAGE, {**named, "step": "forget"}, follow=True)
    assert "The customer was forgotten." in done.content.decode()
    assert not Attribution.objects.exists()
    assert Conversion.objects.get().body == ""
    entry = LogEntry.objects.get()
    assert entry.change_message == "Forgot a customer: 1 clicks, 1 events."
    logged = f"{entry.object_id} {entry.object_repr} {entry.change_message}"
    for value in [*named.values(), "track-1", "clid-1", "ORD-7821"]:
        assert value not in logged + caplog.text
    assert "Nothing is stored" in client.post(PAGE, {"order": "x"}).content.decode()


def test_a_click_that_only_a_session_has_can_be_forgotten(staff: Staff) -> None:
    visitor = Client(headers={"Sec-Purpose": "prefetch"})
    visitor.get(TAGGED.replace("track-1", "track-2"))
    assert Attribution.objects.count() == 1
    client = staff(FORGET)
    page = client.post(PAGE, {"click": "track-2"}).content.decode()
    assert "Sessions to remove the click from</dt><dd>1<" in page
    assert "Yes, forget this customer" in page
    client.post(PAGE, {"click": "track-2", "step": "forget"})
    assert "connectly_tracking" not in visitor.session
    page = client.post(PAGE, {"click": "track-2"}).content.decode()
    assert "Nothing is stored about this customer." in page
    assert "only if they are in the database" in page


def test_it_exports_and_deletes_nothing(staff: Staff) -> None:
    client = staff(EXPORT)
    assert "Yes, forget" not in client.post(PAGE, {"user": "ada"}).content.decode()
    answer = client.post(PAGE, {"user": "ada", "step": "export"})
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.content)["clicks"][0]["tracking id"] == "track-1"
    client.post(PAGE, {"user": "ada", "step": "forget"})
    assert Attribution.objects.exists()
    entry = LogEntry.objects.get()
    assert entry.change_message == "Exported the data of a customer."


def test_it_says_when_to_come_again(staff: Staff) -> None:
    claim(Run.begin(), "default", 1)
    client = staff(FORGET)
    done = client.post(PAGE, {"user": "ada", "step": "forget"}, follow=True)
    assert "1 report was being sent" in done.content.decode()


def test_a_name_that_several_users_have_is_a_sentence(
    staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = staff(FORGET)
    monkeypatch.setattr(User, "USERNAME_FIELD", "first_name")
    User.objects.update(first_name="Ada")
    page = client.post(PAGE, {"user": "Ada"}).content.decode()
    assert "Several users have this name." in page
    assert "Yes, forget" not in page


@pytest.mark.parametrize(
    ("field", "name", "words"),
    [
        ("id", "ana", "must be an integer"),
        ("id", "9" * 30, "less than or equal"),
        ("last_login", "ana", "must be an integer"),
    ],
)
def test_a_name_that_none_can_be_is_a_sentence(
    staff: Staff, monkeypatch: pytest.MonkeyPatch, field: str, name: str, words: str
) -> None:
    client = staff(FORGET)
    monkeypatch.setattr(User, "USERNAME_FIELD", field)
    assert words in client.post(PAGE, {"user": name}).content.decode()


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"order": " "}, "Enter a user, an order or a click."),
        ({"user": "nobody"}, "must be an integer"),
        ({"user": "9" * 30}, "less than or equal"),
        ({"order": "a\0b"}, "Null characters"),
        ({"click": "x" * 2000}, "at most 1024"),
    ],
    ids=["empty", "no user", "number", "NUL", "long"],
)
def test_nonsense_is_a_sentence(
    staff: Staff, named: dict[str, str], words: str
) -> None:
    assert words in staff(FORGET).post(PAGE, named).content.decode()
