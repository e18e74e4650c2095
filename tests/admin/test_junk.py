"""Whatever stands in the address of a page, or is posted to it, is never a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectly_tracking import outbox
from connectly_tracking.models import Conversion

from ..conftest import make_click, make_purchase
from .pages import APP, change_lists, make_rows, model_admins, pages

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db
LIST: Final = reverse("admin:connectly_tracking_conversion_changelist")
#: Databases differ in what they take of these.
OF_DATABASES: Final = [
    "%00",
    "a%00b",
    "99999999999",
    "9" * 5000,
    "1e400",
    "%ED%A0%80",
    "%ff%fe",
    "%F0%9F%92%A9",
    "2026-02-30",
]
JUNK: Final = [
    *OF_DATABASES,
    "",
    "-1",
    "0",
    "nan",
    "abc",
    "null",
    "[]",
    "%0d%0aSet-Cookie:%20a=b",
    "%27%22%3E%3Cscript%3E",
    "%25s%7B0%7D",
    "..%2F..%2Fetc",
]
#: Django's own, and those of other apps.
PARAMETERS: Final = [
    *("p", "o", "q", "e", "all", "_popup", "_to_field", "_facets", "when"),
    *("_changelist_filters", "utm_source", "p__p", "__", ""),
]


def parameters_of(model_admin: Any) -> list[str]:
    """Those that the list reads."""
    names: list[Any] = [*PARAMETERS]
    for it in model_admin.list_filter:
        name = it[0] if isinstance(it, (list, tuple)) else it
        name = getattr(name, "parameter_name", name)
        names += [name, f"{name}__exact", f"{name}__isnull"]
    return names


@pytest.fixture
def two_businesses(configure: Any, settings: Any) -> None:
    """With one only, no list can be filtered by it."""
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own})


@pytest.fixture
def viewer(staff: Callable[..., Client]) -> Client:
    """A staff user who may view everything of ours."""
    codenames = Permission.objects.filter(
        content_type__app_label=APP, codename__startswith="view_"
    ).values_list("codename", flat=True)
    return staff(*codenames)


def is_answered(client: Client, url: str) -> bool:
    """Whether junk is an empty list, a redirect or a 400; raises if a view crashes."""
    return client.get(url).status_code in {200, 302, 400, 403, 404}


@pytest.mark.parametrize("model", [it.opts.model_name for it in model_admins()])
def test_no_value_in_the_address_of_a_list_crashes_it(
    admin_client: Client, two_businesses: None, model: str
) -> None:
    make_rows()
    (found,) = (
        it
        for name, it in pages().items()
        if name.endswith("_changelist") and it[0].opts.model_name == model
    )
    model_admin, url = found
    # Each name has half of them on SQLite; the others on a server, and its own.
    is_server = connection.vendor != "sqlite"
    for number, name in enumerate(parameters_of(model_admin), is_server):
        others = OF_DATABASES if is_server else []
        for junk in {*JUNK[number % 2 :: 2], *others}:
            assert is_answered(admin_client, f"{url}?{name}={junk}")
    both = "&".join(f"{name}={junk}" for name in PARAMETERS for junk in JUNK[:3])
    assert is_answered(admin_client, f"{url}?{both}")


def test_no_value_in_the_address_of_another_page_crashes_it(
    admin_client: Client,
) -> None:
    make_rows()
    others = ("_popup", "p", "since", "until", "by", "business", "confirmed")
    for name, (_, url) in pages().items():
        if name.endswith("_changelist"):
            continue
        for junk in JUNK:
            query = "&".join(f"{parameter}={junk}" for parameter in others)
            assert is_answered(admin_client, f"{url}?{query}"), url
        for junk in JUNK[:3]:
            assert is_answered(admin_client, f"{url}?_to_field={junk}"), url


@pytest.mark.parametrize(
    "key", ["abc", "0", "-1", "9" * 30, "9" * 5000, "_00", "%00", "a_00b", "_ED_A0_80"]
)
def test_no_key_in_the_address_of_a_page_crashes_it(
    admin_client: Client, key: str
) -> None:
    for model_admin in model_admins():
        base = reverse(f"admin:{APP}_{model_admin.opts.model_name}_changelist")
        for page in ("", "change/", "history/", "delete/", "send-again/", "cancel/"):
            url = f"{base}{key}/{page}"
            assert is_answered(admin_client, url), url
            assert admin_client.post(url).status_code < 500, url


@pytest.mark.parametrize(
    "term", ["%00", "a%00b", "%ED%A0%80", "x" * 3000, "%27", "-1", "9" * 400]
)
@pytest.mark.parametrize(
    ("model", "field"),
    [("conversion", "attribution"), ("deliveryattempt", "conversion")],
)
def test_no_term_crashes_the_search_of_a_select_box(
    admin_client: Client, model: str, field: str, term: str
) -> None:
    make_rows()
    where = urlencode({"app_label": APP, "model_name": model, "field_name": field})
    url = f"{reverse('admin:autocomplete')}?{where}&term={term}"
    assert admin_client.get(url).status_code == 200


@pytest.mark.parametrize(
    "chosen", ["abc", "", "-1", "1.5", "9" * 19, "9" * 30, "9" * 5000, "\0", "1\0", "Ⅷ"]
)
@pytest.mark.parametrize("action", ["send_again", "cancel", "no_such_action", "\0", ""])
def test_a_row_that_cannot_exist_is_not_chosen(
    admin_client: Client, chosen: str, action: str
) -> None:
    make_rows()
    data = {"action": action, "index": "x", ACTION_CHECKBOX_NAME: chosen}
    for more in ({}, {"confirmed": "yes"}, {"select_across": "\0"}, {"index": "-9"}):
        answer = admin_client.post(LIST, data | more)
        assert answer.status_code in {200, 302, 400}
    assert not Conversion.objects.exclude(cancelled_at=None).exists()


@pytest.mark.parametrize(
    "lookup",
    [
        "payload__contains=x",
        "payload__startswith=x",
        "payload=x",
        "body__regex=(a%2B)%2B%24",
        "body__icontains=x",
        "lease_token=5f0c6f0e-2f3c-4b5e-9a53-0d5b1c9f8a11",
        "lease_token__isnull=0",
        "detail__contains=x",
        "order_id__startswith=ORD",
        "key__gt=0",
        "value__gte=10",
        "recorded_at__year=-1",
        "recorded_at__year=2026",
        "recorded_at__gte=x",
        "state__in=pending,sending",
        "state__regex=.",
        "sendout_id__regex=.",
        "sendout_id__lt=x",
        "attribution=1",
        "attribution__isnull=1",
        "attribution__user__password__startswith=p",
        "attribution__ctwa_clid__startswith=c",
        "delivery_attempts__detail__contains=x",
        "user__password__startswith=p",
        "user=1",
        "user__id=1",
        "ctwa_clid=x",
        "ctwa_clid__regex=.",
        "page__contains=token",
        "conversions__body__contains=x",
        "bindings__order_id=x",
        "id=1",
        "pk__gt=1",
        "paused_until__gt=2026-01-01",
        "detail__regex=.",
        "business__exact__in=default",
        "reason__exact__exact=x",
    ],
)
def test_a_lookup_that_no_page_offers_is_refused(viewer: Client, lookup: str) -> None:
    make_rows()
    for _, url in change_lists():
        # Where the field is of another model, it is refused as unknown.
        assert viewer.get(f"{url}?{lookup}").status_code == 400, url


def test_every_field_of_every_list_is_refused_but_its_filters(viewer: Client) -> None:
    make_rows()
    for model_admin, url in change_lists():
        offered = set(parameters_of(model_admin))
        for field in model_admin.opts.get_fields():
            for lookup in ("", "__contains", "__regex", "__lt", "__range", "__in"):
                name = f"{field.name}{lookup}"
                if name not in offered:
                    answer = viewer.get(f"{url}?{name}=x")
                    assert answer.status_code == 400, f"{url}?{name}"


@pytest.mark.parametrize("field", ["payload", "body", "lease_token", "key", "user"])
def test_a_field_is_not_referenced_from_a_popup(viewer: Client, field: str) -> None:
    make_rows()
    for _, url in change_lists():
        answer = viewer.get(f"{url}?_popup=1&_to_field={field}")
        assert answer.status_code == 400


def test_the_filters_and_links_of_the_lists_are_allowed(viewer: Client) -> None:
    make_rows()
    for query in (
        "state__exact=pending",
        "event_name__exact=Purchase",
        "reason=refused",
        "when=today",
        "business=default",
        "sendout_id=send-1",
        "ad_id=120210",
        "state__exact=pending&when=7&q=ORD-7821&p=1",
    ):
        assert viewer.get(f"{LIST}?{query}").status_code == 200, query
    clicks = reverse("admin:connectly_tracking_attribution_changelist")
    for query in ("reportable__exact=1", "reportable__exact=0", "when=yesterday"):
        assert viewer.get(f"{clicks}?{query}").status_code == 200, query


def test_a_list_without_sortable_columns_is_not_sorted(admin_client: Client) -> None:
    for number in (2, 1, 3):
        user = User.objects.create(username=f"user-{number}")
        outbox.record(make_purchase(number), attribution=make_click(user=user))
    for model_admin, url in change_lists():
        if model_admin.sortable_by == ():
            plain = shown(admin_client, url)
            for column in range(-1, 8):
                for order in (column, f"-{column}", f"{column}.1"):
                    assert shown(admin_client, f"{url}?o={order}") == plain


def shown(client: Client, url: str) -> list[Any]:
    return [row.pk for row in client.get(url).context["cl"].result_list]


def requests() -> st.SearchStrategy[tuple[str, str]]:
    names = st.sampled_from(
        sorted({name for it in model_admins() for name in parameters_of(it)})
    )
    values = st.one_of(st.text(max_size=20), st.integers().map(str)).map(
        lambda text: quote(text.encode("utf-8", "surrogatepass"))
    )
    pairs = st.lists(st.tuples(names, values), max_size=4)
    query = pairs.map(lambda found: "&".join(map("=".join, found)))
    return st.tuples(
        st.sampled_from([str(it.opts.model_name) for it in model_admins()]), query
    )


@given(requests())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_crashes_a_list(admin_client: Client, request: Any) -> None:
    model, query = request
    url = reverse(f"admin:{APP}_{model}_changelist")
    assert is_answered(admin_client, f"{url}?{query}")


@pytest.mark.parametrize("name", ["\0", "default\0", "x" * 5000, "other"])
def test_no_name_of_a_business_crashes_what_resumes_it(
    admin_client: Client, name: str
) -> None:
    page = reverse("admin:connectly_tracking_pause_by_hand")
    assert admin_client.post(page, {"resume": name}).status_code == 302
