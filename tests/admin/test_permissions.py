"""Who may see and do what: every page and action, for every permission of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from connectly_tracking.models import Conversion, State
from connectly_tracking.signals import order_completed
from example_project.shop.models import Order

from ..conftest import make_click, make_product
from .pages import APP, EDITABLE, make_rows, model_admins, pages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client

    Rights = frozenset[str]

pytestmark = pytest.mark.django_db
LIST: Final = reverse("admin:connectly_tracking_conversion_changelist")
#: What an action needs in addition to seeing the row.
ACTIONS: Final = {
    "conversion_send-again": "send_again_conversion",
    "conversion_cancel": "cancel_conversion",
}
OPEN, REFUSED, LOGIN = "open", "403", "login"


def codenames() -> list[str]:
    found = Permission.objects.filter(content_type__app_label=APP)
    return sorted(found.values_list("codename", flat=True))


def rights() -> Iterator[Rights]:
    """None, each alone, each beside the right to see all, and all."""
    everything = codenames()
    views = [name for name in everything if name.startswith("view_")]
    yield frozenset()
    yield frozenset(everything)
    for name in everything:
        yield frozenset({name})
        yield frozenset({name, *views})


def expected(page: str, held: Rights) -> str | None:
    """What a page does; None if it is not in this table and some right is held."""
    model, _, kind = page.partition("_")
    may_see = bool(held & {f"view_{model}", f"change_{model}"})
    if kind in {"add", "delete"}:
        may_do = model in EDITABLE and f"{kind}_{model}" in held
        return OPEN if may_do else REFUSED
    if needed := ACTIONS.get(page):
        return OPEN if may_see and needed in held else REFUSED
    if kind in {"changelist", "change", "history", "status"}:
        return OPEN if may_see else REFUSED
    return None if held else REFUSED


def outcome(answer: Any) -> str:
    if answer.status_code == 302 and "/login/" in answer.url:
        return LOGIN
    return REFUSED if answer.status_code == 403 else OPEN


def log_in(client: Client, held: Rights, **fields: Any) -> None:
    user = User.objects.create_user(f"user-{User.objects.count()}", **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=held))
    client.force_login(user)


def test_each_page_is_open_to_those_who_may_see_it_only(client: Client) -> None:
    make_rows()
    found = pages()
    assert {"conversion_status", *ACTIONS} < found.keys()
    for held in set(rights()):
        log_in(client, held, is_staff=True)
        for page, (_, url) in found.items():
            wanted = expected(page, held)
            seen = outcome(client.get(url))
            assert wanted in {None, seen}, (page, sorted(held))


def test_nothing_is_changed_by_a_post_to_a_page_without_its_right(
    client: Client,
) -> None:
    make_rows()
    before = Conversion.objects.values().get()
    for held in set(rights()):
        log_in(client, held, is_staff=True)
        for page, (_, url) in pages().items():
            if expected(page, held) == REFUSED:
                answer = client.post(url, {"confirmed": "yes", "post": "yes"})
                assert outcome(answer) == REFUSED, (page, sorted(held))
    assert Conversion.objects.values().get() == before


@pytest.mark.parametrize("fields", [None, {}, {"is_staff": True, "is_active": False}])
def test_who_is_not_staff_is_sent_to_the_login(
    client: Client, fields: dict[str, bool] | None
) -> None:
    make_rows()
    if fields is not None:
        log_in(client, frozenset(codenames()), **fields)
    for page, (_, url) in pages().items():
        for answer in (client.get(url), client.post(url, {"confirmed": "yes"})):
            assert outcome(answer) == LOGIN, page


def test_a_superuser_adds_changes_and_deletes_nothing_by_hand(
    admin_client: Client,
) -> None:
    make_rows()
    for page, (_, url) in pages().items():
        if page.partition("_")[0] in EDITABLE:
            continue
        refused = page.endswith(("_add", "_delete"))
        assert outcome(admin_client.get(url)) == (REFUSED if refused else OPEN), page
        if refused or page.endswith("_change"):
            assert outcome(admin_client.post(url, {"post": "yes"})) == REFUSED, page


@pytest.mark.parametrize(
    ("action", "needed"),
    [("send_again", "send_again_conversion"), ("cancel", "cancel_conversion")],
)
@pytest.mark.parametrize("way", ["list", "page"])
def test_an_action_is_taken_with_its_right_and_the_right_to_see_only(
    client: Client, action: str, needed: str, way: str
) -> None:
    make_rows()
    row = Conversion.objects.get()
    before = {"state": State.REJECTED, "due_at": None, "cancelled_at": None}
    page = reverse(f"admin:{APP}_conversion_{action.replace('_', '-')}", args=[row.pk])
    data = {"action": action, ACTION_CHECKBOX_NAME: row.pk, "confirmed": "yes"}
    for held in set(rights()):
        Conversion.objects.update(**before)
        log_in(client, held, is_staff=True)
        client.post(LIST if way == "list" else page, data)
        after = Conversion.objects.values(*before).get()
        may_see = held & {"view_conversion", "change_conversion"}
        assert (after != before) == bool(needed in held and may_see), sorted(held)


def test_the_actions_of_a_list_are_offered_to_those_who_may_take_them(
    client: Client, rf: Any
) -> None:
    for held in set(rights()):
        log_in(client, held, is_staff=True)
        request = rf.get(LIST)
        request.user = User.objects.get(pk=client.session["_auth_user_id"])
        for model_admin in model_admins():
            if model_admin.opts.model_name in EDITABLE:
                continue
            for name in model_admin.get_actions(request):
                # Each asks for a right of its own, never for that to see alone.
                own = f"{name}_{model_admin.opts.model_name}"
                assert own in held, (name, sorted(held))


def test_what_became_of_an_order_is_shown_in_the_shop_to_those_who_may_see_it(
    client: Client,
) -> None:
    order = Order.objects.place(make_product(), quantity=1)
    order_completed.send(sender=Order, order=order, attribution=make_click())
    urls = [
        reverse("admin:shop_order_change", args=[order.pk]),
        reverse("admin:shop_order_changelist"),
    ]
    for held in set(rights()):
        log_in(client, held, is_staff=True)
        user = User.objects.get(pk=client.session["_auth_user_id"])
        user.user_permissions.add(Permission.objects.get(codename="view_order"))
        may_see = bool(held & {"view_conversion", "change_conversion"})
        for url in urls:
            html = client.get(url).content.decode()
            assert ("connectly-pending" in html) == may_see, (url, sorted(held))
