"""Everything about a customer is found: to be erased, and to be shown to the customer.

The database, the sessions, the log and the answers are searched for each id.
"""

from __future__ import annotations

import io
import itertools
import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from django.utils import timezone

from connectly_tracking import attribution, outbox, retention
from connectly_tracking.api.landing import PARAMETERS, Landing
from connectly_tracking.attribution import erase, export
from connectly_tracking.attribution.binding import write_token
from connectly_tracking.delivery import deliver
from connectly_tracking.events import Item, ViewContent
from connectly_tracking.models import (
    Attribution,
    Circuit,
    Conversion,
    DeliveryAttempt,
    OrderAttribution,
    Reason,
    State,
)

from .conftest import LANDING, TAGGED, make_click, make_purchase

if TYPE_CHECKING:
    from pathlib import Path

    from connectly_tracking.sandbox import Sandbox

    from .conftest import Configure

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]

BASKET = "sku-of-ada"
NUMBERS = itertools.count(1)


def buy(request: HttpRequest) -> HttpResponse:
    order = make_purchase(request.GET["order"], contents=[Item(id=BASKET, quantity=1)])
    row = outbox.record(order, request=request)
    return HttpResponse(f"{row.state} {row.reason}".strip())


def bind(request: HttpRequest) -> HttpResponse:
    attribution.bind_order(request, request.GET["order"])
    return HttpResponse(attribution.make_token(request))


def look(request: HttpRequest) -> HttpResponse:
    outbox.record(ViewContent(content_ids=[BASKET]), request=request)
    return HttpResponse(str(attribution.recall(request)))


def home(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("home")


urlpatterns = [
    path("", home),
    path("buy/", buy),
    path("bind/", bind),
    path("look/", look),
]


def landing(name: str) -> Landing:
    return Landing(
        cnct_tracking_id=f"track-{name}",
        sendout_id="send-1",
        ctwa_clid=f"clid+{name}/==",
        ad_id="120210",
    )


def land(client: Client, name: str) -> Client:
    values = zip(PARAMETERS, landing(name).values, strict=True)
    client.get("/?" + "&".join(f"{key}={value}" for key, value in values))
    return client


def bought(client: Client, order: str) -> str:
    return client.get("/buy/", {"order": order}).content.decode()


@pytest.fixture
def ada() -> User:
    return User.objects.create(username="ada")


def dump() -> str:
    """All rows of all tables, and the sessions as they are read."""
    with connection.cursor() as cursor:
        text = ""
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            text += repr([tuple(map(str, row)) for row in cursor.fetchall()])
    return text + repr([row.get_decoded() for row in Session.objects.all()])


def ids_of(*names: str) -> set[str]:
    """The ids of these visitors' clicks, in the spellings of the database."""
    found = {BASKET}
    for name in names:
        values = landing(name)
        found |= {values.cnct_tracking_id, values.ctwa_clid}
        rows = Attribution.objects.filter(cnct_tracking_id=values.cnct_tracking_id)
        found |= {spelt for row in rows for spelt in (str(row.pk), row.pk.hex)}
    return found


def found_in(text: str, ids: set[str]) -> set[str]:
    return {each for each in ids if each in text}


def refuse_with_an_echo(sandbox: Sandbox, count: int = 1) -> None:
    """Meta's answer repeats the event that was sent."""
    for _ in range(count):
        body = Conversion.objects.filter(state=State.PENDING).values_list("body")[0][0]
        sandbox.behave(f"400:Invalid event: {body}")
        deliver()


def make_lives(ada: User, sandbox: Sandbox) -> dict[str, Client]:
    """A customer with an account, on two devices, after every kind of order."""
    phone, laptop = Client(), Client()
    phone.force_login(ada)
    land(phone, "phone")
    land(laptop, "laptop")
    assert bought(phone, "ORD-delivered") == "pending"
    phone.get("/look/")
    deliver()
    assert bought(laptop, "ORD-guest") == "pending"
    deliver()
    for number in range(5):  # the fifth pauses the business
        assert bought(phone, f"ORD-refused-{number}") == "pending"
        refuse_with_an_echo(sandbox)
    assert bought(phone, "ORD-pending") == "pending"
    laptop.get("/bind/", {"order": "ORD-bound"})
    row = Conversion.objects.get(order_id="ORD-delivered")
    LogEntry.objects.log_actions(ada.pk, [row], CHANGE, "Sent again.")
    return {"phone": phone, "laptop": laptop}


def prune_clicks() -> None:
    Attribution.objects.update(captured_at=timezone.now() - timedelta(days=365))
    assert retention.prune().attributions


@pytest.mark.parametrize("is_pruned", [False, True], ids=["stored", "pruned"])
def test_of_an_erased_customer_nothing_is_found(
    ada: User,
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    is_pruned: bool,
) -> None:
    caplog.set_level("DEBUG", logger="connectly_tracking")
    devices = make_lives(ada, sandbox)
    ids = ids_of("phone", "laptop")
    assert len(found_in(dump(), ids)) >= 7  # a UUID has one of two spellings
    assert Circuit.objects.exclude(paused_until=None).get().detail
    if is_pruned:
        prune_clicks()
        # At the guest's device nothing says who it is but the order.
        assert Attribution.objects.count() == 0
    erase(users=[ada.pk], orders=["ORD-guest", "ORD-bound"])
    assert found_in(dump(), ids) == set()
    assert found_in(caplog.text, ids) == set()
    assert not Attribution.objects.exists()
    assert not OrderAttribution.objects.exists()
    assert not DeliveryAttempt.objects.exclude(detail="").exists()
    entry = LogEntry.objects.get()
    assert (entry.object_repr, entry.change_message) == ("(erased)", "Sent again.")
    # The books: order, time, amount, campaign.
    row = Conversion.objects.get(order_id="ORD-delivered")
    assert (row.state, row.sendout_id, row.currency) == ("delivered", "send-1", "USD")
    # Each device goes on, and what it does next is nobody's.
    for number, client in enumerate(devices.values()):
        assert bought(client, f"NEXT-{number}") == "skipped not_attributed"
        client.get("/look/")
        client.get("/bind/", {"order": f"NEXT-{number}"})
        assert client.cookies["connectly_click"].value == ""
    assert found_in(dump(), ids - {BASKET}) == set()
    assert not Conversion.objects.filter(event_name="ViewContent").exists()
    assert not any(erase(users=[ada.pk], orders=["ORD-guest"])[:1])


@pytest.mark.parametrize("engine", ["db", "cache", "cached_db", "file"])
@pytest.mark.parametrize("use", ["buy", "look", "bind", "login"])
def test_a_session_that_goes_on_never_brings_the_click_back(
    engine: str, use: str, settings: Any, tmp_path: Path
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    client = land(Client(), "phone")
    click = Attribution.objects.get()
    assert erase(clicks=[click.pk]).clicks == 1
    if use == "login":
        client.force_login(User.objects.create(username="eve"))
    client.get(f"/{'buy' if use == 'login' else use}/", {"order": "NEXT"})
    assert found_in(dump(), ids_of("phone") | {click.pk.hex, str(click.pk)}) <= {BASKET}
    assert not Attribution.objects.exists()
    assert not Conversion.objects.exclude(reason=Reason.NOT_ATTRIBUTED).exists()
    assert bought(land(client, "later"), "LATER") == "pending"


def test_a_click_that_only_a_session_has_is_found_by_its_order(
    settings: Any,
) -> None:
    """A prefetched landing has no row before its first use."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    client = Client(headers={"Sec-Purpose": "prefetch"})
    land(client, "phone")
    assert not Attribution.objects.exists()
    assert bought(client, "ORD-1") == "pending"
    ids = ids_of("phone")
    erase(orders=["ORD-1"])
    assert bought(client, "ORD-2") == "skipped not_attributed"
    assert found_in(dump(), ids - {BASKET}) == set()


@pytest.mark.parametrize("why", ["consent", "prefetch"])
@pytest.mark.parametrize("by", ["tracking id", "click id", "id", "user", "another"])
def test_a_click_that_only_a_session_has_is_found_by_its_ids(
    ada: User, configure: Configure, why: str, by: str
) -> None:
    answers: list[bool | None] = [None]
    if why == "consent":
        configure(CONSENT=lambda _request: answers[-1])
    client = Client(headers={"Sec-Purpose": "prefetch"})
    stranger = land(Client(headers={"Sec-Purpose": "prefetch"}), "stranger")
    client.force_login(ada)
    land(client, "phone")
    if why == "consent":
        client.get("/bind/", {"order": "ORD-2"})
        assert bought(client, "ORD-1") == "skipped consent_pending"
        Conversion.objects.update(user=None)
    assert not Attribution.objects.exists()
    click_id = client.session["connectly_tracking"]["id"]
    ids = {"track-phone", "clid+phone/==", click_id, str(UUID(click_id)), BASKET}
    if by == "another":  # a later session of the same customer, with another click
        later = Client(headers={"Sec-Purpose": "prefetch"})
        values = zip(PARAMETERS, landing("phone").values, strict=True)
        query = "&".join(f"{key}={value}" for key, value in values)
        later.get("/?" + query.replace("=clid", "=cl2"))
    named: dict[str, dict[str, Any]] = {
        "tracking id": {"clicks": ["track-phone"]},
        "click id": {"clicks": ["clid+phone/=="]},
        "id": {"clicks": [click_id]},
        "user": {"users": [ada.pk]},
        "another": {"clicks": ["cl2+phone/=="]},
    }
    counted = erase(**named[by], dry_run=True)
    assert found_in(dump(), ids)
    assert counted.sessions == (2 if by == "another" else 1)
    assert counted.stopped == (why == "consent")
    assert erase(**named[by]) == counted
    assert found_in(dump(), ids) == set()
    assert "connectly_tracking" in stranger.session
    answers.append(True)
    assert bought(client, "ORD-3") == "skipped not_attributed"
    assert not Attribution.objects.exists()


def test_a_session_keeps_its_end_and_one_that_ends_meanwhile_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = (land(Client(), "phone") for _ in range(2))
    ends = timezone.now() + timedelta(hours=1)
    Session.objects.update(expire_date=ends)
    gone = first.session.session_key
    save = SessionStore.save

    def end_before(store: SessionStore, must_create: bool = False) -> None:
        Session.objects.filter(session_key=gone).delete()
        save(store, must_create)

    monkeypatch.setattr(SessionStore, "save", end_before)
    # That of the first is read last, so that the other's is ended by nobody.
    Session.objects.filter(session_key=gone).update(expire_date=ends + timedelta(1))
    assert erase(clicks=["track-phone"]).sessions == 2
    kept = Session.objects.get()
    assert kept.session_key == second.session.session_key
    assert kept.expire_date == ends
    assert "connectly_tracking" not in kept.get_decoded()


def test_a_token_and_a_binding_of_an_erased_click_lead_to_nothing(
    configure: Configure,
) -> None:
    answers: list[bool | None] = [True]
    configure(CONSENT=lambda _request: answers[-1])
    click = make_click()
    token = write_token(click.pk)
    erase(clicks=[LANDING.cnct_tracking_id])
    row = outbox.record(make_purchase(), token=token)
    assert (row.reason, row.attribution_id) == (Reason.CONSENT_REFUSED, None)
    assert row.payload == ""


def test_a_yes_after_the_erasure_does_not_store_a_click_that_waited(
    configure: Configure,
) -> None:
    answers: list[bool | None] = [None]
    configure(CONSENT=lambda _request: answers[-1])
    client = land(Client(), "phone")
    assert bought(client, "ORD-1") == "skipped consent_pending"
    erase(orders=["ORD-1"])
    assert Conversion.objects.get().attribution_id is None
    answers.append(True)
    assert bought(client, "ORD-2") == "skipped not_attributed"
    assert not Attribution.objects.exists()


def test_a_login_does_not_store_a_click_that_was_erased(ada: User) -> None:
    prefetched = HttpRequest()
    prefetched.method, prefetched.session = "GET", SessionStore()
    prefetched.META |= {"HTTP_PURPOSE": "prefetch", "QUERY_STRING": TAGGED[2:]}
    attribution.land(prefetched)
    # This session is not saved, so that the erasure does not reach it.
    erase(clicks=[prefetched.session["connectly_tracking"]["id"]])
    attribution.attach_user(prefetched, ada)
    assert not Attribution.objects.exists()


def test_another_devices_session_ends_with_a_withdrawal_too(
    ada: User, configure: Configure, settings: Any
) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    phone, laptop = Client(), Client()
    for client, name in [(phone, "phone"), (laptop, "laptop")]:
        land(client, name)
        client.force_login(ada)
    assert set(Attribution.objects.values_list("user", flat=True)) == {ada.pk}
    request = HttpRequest()
    request.session = phone.session
    attribution.forget(request)
    assert bought(laptop, "ORD-1") == "skipped not_attributed"


@pytest.mark.parametrize(
    "by",
    ["users", "orders", "clicks", "tracking id", "click id"],
)
def test_by_whatever_the_customer_is_named_the_same_is_erased_and_nobody_else(
    ada: User, sandbox: Sandbox, by: str
) -> None:
    click = make_click(landing("phone"), user=ada)
    other = make_click(landing("phone-2"))
    outbox.record(make_purchase("ORD-1"), attribution=click)
    outbox.record(make_purchase("ORD-11"), attribution=other)
    deliver()
    named: dict[str, dict[str, Any]] = {
        "users": {"users": [ada.pk]},
        "orders": {"orders": ["ORD-1"]},
        "clicks": {"clicks": [click.pk]},
        "tracking id": {"clicks": ["track-phone"]},
        "click id": {"clicks": ["clid+phone/=="]},
    }
    assert erase(**named[by])[:4] == (1, 0, 1, 0)
    assert Attribution.objects.get() == other
    assert Conversion.objects.get(order_id="ORD-11").body
    assert not Conversion.objects.get(order_id="ORD-1").body


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a%_b", "<a>&b", "A"])
def test_a_pruned_click_is_found_by_its_copies_whatever_its_id_looks_like(
    sandbox: Sandbox, name: str
) -> None:
    kept = outbox.record(
        make_purchase("ORD-2"), attribution=make_click(landing(name.lower() + "z"))
    )
    for number in range(2):
        click = make_click(landing(name))
        outbox.record(make_purchase(f"ORD-1{number}"), attribution=click)
    deliver()
    prune_clicks()
    erase(orders=["ORD-10"])
    bodies = Conversion.objects.exclude(body="").values_list("order_id", flat=True)
    assert list(bodies) == [kept.order_id]


@pytest.mark.parametrize("name", ["track-phone", "clid+phone/=="])
def test_an_order_that_came_after_its_click_was_pruned_is_found_by_its_copies(
    configure: Configure, name: str
) -> None:
    configure(ATTRIBUTION_WINDOW=None)
    client = land(Client(), "phone")
    ids = ids_of("phone")
    Attribution.objects.all().delete()
    assert bought(client, "ORD-1") == "pending"
    Session.objects.all().delete()
    assert erase(clicks=[name]).stopped == 1
    assert found_in(dump(), ids) == set()


@pytest.mark.parametrize("how", ["session", "user=", "token user", "view"])
def test_by_the_user_an_order_is_found_even_if_its_click_was_pruned(
    ada: User, sandbox: Sandbox, how: str
) -> None:
    client = land(Client(), "phone")
    if how == "user=":
        row = outbox.record(make_purchase(), attribution=make_click(), user=ada)
    elif how == "token user":
        request = HttpRequest()
        request.user = ada
        click = make_click()
        row = outbox.record(make_purchase(), attribution=click, request=request)
    else:
        client.force_login(ada)
        client.get("/look/") if how == "view" else bought(client, "ORD-1")
        row = Conversion.objects.get()
    deliver()
    Attribution.objects.all().delete()
    assert row.body
    assert erase(users=[ada.pk]).emptied == 1
    assert not Conversion.objects.exclude(body="").exists()


@pytest.mark.parametrize("values", [5, "clid", ["track-phone"], [[], 1, {}], {"a": 1}])
def test_an_entry_that_another_app_wrote_is_passed_over(values: Any) -> None:
    client, other = (land(Client(), "phone") for _ in range(2))
    session = other.session
    session["connectly_tracking"] = {"id": None, "values": values}
    session.save()
    assert erase(clicks=["track-phone"]).sessions == 1
    assert "connectly_tracking" not in client.session
    assert "connectly_tracking" in other.session


def test_an_empty_id_names_nobody() -> None:
    make_click(replace(LANDING, ctwa_clid=""))
    assert not any(erase(clicks=[""], dry_run=True))


def test_a_pause_about_another_customer_keeps_its_answer(sandbox: Sandbox) -> None:
    make_click(landing("phone"))
    click = make_click(landing("other"))
    for number in range(5):
        outbox.record(make_purchase(f"ORD-{number}"), attribution=click)
        refuse_with_an_echo(sandbox)
    assert erase(clicks=["track-phone"]).answers == 0
    assert Circuit.objects.get().detail


def test_the_export_has_each_field_of_each_row_under_a_name_of_its_own(
    ada: User, sandbox: Sandbox
) -> None:
    make_lives(ada, sandbox)
    shown = export(users=[ada.pk], orders=["ORD-guest", "ORD-bound"])
    text = json.dumps(shown)
    spelt = {json.dumps(each)[1:-1] for each in ids_of("phone", "laptop")}
    assert found_in(text, spelt) >= {each for each in spelt if len(each) != 32}
    assert [len(rows) for rows in list(shown.values())[1:]] == [2, 1, 8, 1, 2, 1]
    for name, model in [("clicks", Attribution), ("orders", Conversion)]:
        fields = {str(each.verbose_name) for each in model._meta.concrete_fields}
        assert len(fields) == len(model._meta.concrete_fields)
        assert fields <= set(shown[name][0])
    order = next(row for row in shown["orders"] if row["order"] == "ORD-delivered")
    assert (order["state"], order["value"]) == ("delivered", "99.970000")
    assert order["delivery attempts"][0]["status"] == 200


def test_the_command_exports_and_changes_nothing(ada: User) -> None:
    click = make_click(landing("ñ".encode().hex()), user=ada)
    out = io.StringIO()
    call_command("connectly_forget", "--user", "ada", export=True, stdout=out)
    assert json.loads(out.getvalue())["clicks"][0]["id"] == str(click.pk)
    assert Attribution.objects.exists()


@pytest.mark.parametrize("engine", ["db", "cache"])
def test_the_command_says_what_it_could_not_reach(engine: str, settings: Any) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    land(Client(), "phone")
    out, err = io.StringIO(), io.StringIO()
    with suppress(CommandError):
        call_command(
            "connectly_forget", click=["track-phone"], yes=True, stdout=out, stderr=err
        )
    assert "Connectly has already received" in err.getvalue()
    assert f"{int(engine == 'db')} sessions to remove" in out.getvalue()
    assert ("were not searched" in out.getvalue()) == (engine == "cache")


@pytest.mark.parametrize("engine", ["db", "cache"])
def test_if_nothing_is_found_the_command_says_whether_it_searched_sessions(
    engine: str, settings: Any
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    out = io.StringIO()
    call_command("connectly_forget", click=["track-phone"], stdout=out)
    assert out.getvalue().endswith("Nothing was changed.\n")
    assert ("were not searched" in out.getvalue()) == (engine == "cache")


def test_a_note_of_an_erased_click_is_kept_as_long_as_a_session_could_go_on(
    configure: Configure,
) -> None:
    click = make_click()
    erase(clicks=[click.pk])
    notes = OrderAttribution.with_erased
    for days, window, kept in [(89, 28, 1), (399, None, 1), (401, None, 0)]:
        configure(ATTRIBUTION_WINDOW=window and timedelta(days=window))
        notes.update(bound_at=timezone.now() - timedelta(days=days))
        retention.prune()
        assert notes.count() == kept
