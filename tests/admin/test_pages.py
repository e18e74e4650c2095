from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from connectly_tracking import attribution, outbox
from connectly_tracking.api.landing import Landing
from connectly_tracking.delivery import deliver
from connectly_tracking.models import (
    Attribution,
    Circuit,
    Conversion,
    DbNow,
    Pause,
    Reason,
    State,
)
from connectly_tracking.reports import explain

from ..conftest import TAGGED, make_click, make_purchase

if TYPE_CHECKING:
    from django.test import Client, RequestFactory

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
MODELS = ["attribution", "conversion", "pause"]
MARKUP = Landing(
    cnct_tracking_id="a<script>alert(1)</script>",
    sendout_id="<b>send</b>x",
    ctwa_clid="c&amp;",
    ad_id="'\"><img/src=x>",
)


def url(model: str, page: str, *args: object) -> str:
    return reverse(f"admin:connectly_tracking_{model}_{page}", args=args)


@pytest.fixture
def conversion(sandbox: Sandbox) -> Conversion:
    """One with markup in every id and in the answer's words."""
    row = outbox.record(make_purchase(), attribution=make_click(MARKUP))
    sandbox.behave("400:<script>alert('Meta')</script>")
    deliver()
    return Conversion.objects.get(pk=row.pk)


def test_the_list_shows_what_became_of_an_order(
    admin_client: Client, conversion: Conversion
) -> None:
    page = admin_client.get(url("conversion", "changelist")).content.decode()
    assert "ORD-7821" in page
    assert "rejected" in page
    assert "Connectly or Meta refused it" in page
    assert "<script>alert" not in page
    assert "<b>send" not in page


def test_the_detail_shows_the_attempts_and_the_words(
    admin_client: Client, conversion: Conversion
) -> None:
    response = admin_client.get(url("conversion", "change", conversion.pk))
    page = response.content.decode()
    assert "&lt;script&gt;alert(&#x27;Meta&#x27;)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "refused" in page
    assert "key-for-tests-only" not in page


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_is_shown_in_its_words_and_can_be_asked_for(
    admin_client: Client, click: Attribution, reason: Reason
) -> None:
    row = outbox.record(make_purchase("this-one"), attribution=click)
    outbox.record(make_purchase("that-one"), attribution=click)
    state = {
        Reason.EXPIRED: State.EXPIRED,
        Reason.REFUSED: State.REJECTED,
        Reason.UNCONFIRMED: State.REJECTED,
        Reason.INTERNAL: State.REJECTED,
    }.get(reason, State.SKIPPED)
    Conversion.objects.filter(pk=row.pk).update(state=state, reason=reason, due_at=None)
    listed = admin_client.get(
        url("conversion", "changelist"), {"reason": reason.value}
    ).content.decode()
    clause = str(escape(reason.label))
    rows = listed.partition('id="result_list"')[2].partition("</table>")[0]
    assert clause in rows
    assert "this-one" in listed
    assert "that-one" not in listed
    detail = admin_client.get(url("conversion", "change", row.pk)).content.decode()
    assert str(escape(explain("this-one"))) in detail


@pytest.mark.parametrize("state", State)
def test_each_state_can_be_asked_for(
    admin_client: Client, click: Attribution, state: State
) -> None:
    row = outbox.record(make_purchase("this-one"), attribution=click)
    waits = state in {State.PENDING, State.SENDING}
    Conversion.objects.filter(pk=row.pk).update(
        state=state, due_at=DbNow() if waits else None
    )
    listed = admin_client.get(
        url("conversion", "changelist"), {"state__exact": state.value}
    ).content.decode()
    assert f'connectly-{state.value}">{state.label}' in listed


def test_a_cancellation_that_came_too_late_is_said(
    admin_client: Client, conversion: Conversion
) -> None:
    Conversion.objects.filter(pk=conversion.pk).mark_delivered()
    outbox.cancel(conversion.order_id)
    page = admin_client.get(url("conversion", "changelist")).content.decode()
    assert "the order was cancelled while it was being sent" in page


def test_a_pause_is_shown_with_its_reason_and_the_words(admin_client: Client) -> None:
    Circuit.objects.pause(
        "default",
        reason=Circuit.Reason.UNAVAILABLE,
        detail="503: <b>down</b>",
        paused_until=DbNow(60),
        failures=5,
    )
    row = Pause.objects.get()
    listed = admin_client.get(url("pause", "changelist")).content.decode()
    assert "the API is unavailable" in listed
    detail = admin_client.get(url("pause", "change", row.pk)).content.decode()
    assert "503: &lt;b&gt;down&lt;/b&gt;" in detail


def test_the_click_is_shown_escaped(
    admin_client: Client, conversion: Conversion
) -> None:
    click = Attribution.objects.get()
    for page in ("changelist", "change"):
        args = [click.pk] if page == "change" else []
        html = admin_client.get(url("attribution", page, *args)).content.decode()
        assert "<script>alert" not in html
        assert "<img/src=x>" not in html


def test_a_conversion_whose_click_is_gone_can_be_read(
    admin_client: Client, conversion: Conversion
) -> None:
    Attribution.objects.all()._raw_delete("default")
    response = admin_client.get(url("conversion", "change", conversion.pk))
    assert response.status_code == 200


def test_a_pause_is_shown(admin_client: Client) -> None:
    Circuit.objects.pause("default", reason="configuration", paused_until=DbNow())
    page = admin_client.get(url("pause", "changelist")).content.decode()
    assert "the key, the business or the address is wrong" in page


@pytest.mark.parametrize(
    ("term", "hits"), [("ORD-7821", 1), ("#7821", 1), ("ord-7821", 1), ("ORD-782", 0)]
)
def test_an_order_is_found_by_its_number_as_people_write_it(
    admin_client: Client, conversion: Conversion, term: str, hits: int
) -> None:
    response = admin_client.get(url("conversion", "changelist"), {"q": term})
    assert len(response.context["cl"].result_list) == hits


def answers(client: Client, term: str, **filters: str) -> list[str]:
    """What the page says above the list, as the browser would show it."""
    response = client.get(url("conversion", "changelist"), {"q": term} | filters)
    _, _, below = response.content.decode().partition('id="connectly-explanation"')
    return [unescape(it) for it in re.findall(r"<p>(.*?)</p>", below, re.S)]


def test_a_search_is_answered_with_what_became_of_the_order(
    admin_client: Client, conversion: Conversion
) -> None:
    (answer,) = answers(admin_client, " ORD-7821 ")
    assert answer == explain("ORD-7821")
    assert answer.startswith(
        "Order ORD-7821 was sent, but Connectly or Meta refused it."
    )
    # Also where a filter hides the row.
    assert answers(admin_client, "ORD-7821", state__exact="pending") == [answer]


def test_a_search_for_an_order_without_a_row_says_so(
    admin_client: Client, conversion: Conversion
) -> None:
    for term in ("ORD-782", "O%"):
        (answer,) = answers(admin_client, term)
        assert answer.startswith(f"Order {term} was never recorded.")


def test_the_only_order_that_can_be_meant_is_explained_at_once(
    admin_client: Client, conversion: Conversion
) -> None:
    question, answer = answers(admin_client, "ord-7821")
    assert question.endswith("never recorded. Did you mean ORD-7821?")
    assert answer == explain("ORD-7821")
    # A filter that hides it leaves the question.
    assert answers(admin_client, "ord-7821", state__exact="pending") == [question]


def test_a_search_for_an_order_that_was_only_bound_names_its_click(
    admin_client: Client, rf: RequestFactory
) -> None:
    bind("ORD-7821", rf)
    (answer,) = answers(admin_client, "ORD-7821")
    assert answer.startswith("Order ORD-7821 was linked to a click at 20")
    assert "but never recorded. Click: 20" in answer
    assert "campaign send-1, ad 120210." in answer


def test_each_business_that_knows_the_order_has_a_sentence(
    admin_client: Client, configure: Any, settings: Any
) -> None:
    two_businesses(configure, settings)
    assert [it.rpartition(". ")[2] for it in answers(admin_client, "7821")] == [
        "Business: default.",
        "Business: br.",
    ]


def test_markup_that_is_searched_for_is_only_text(admin_client: Client) -> None:
    term = "<script>alert(1)</script>"
    (answer,) = answers(admin_client, term)
    assert answer.startswith(f"Order {term} was never recorded")
    page = admin_client.get(url("conversion", "changelist"), {"q": term})
    assert term not in page.content.decode()


def test_the_answer_costs_three_statements_and_nothing_where_nobody_asks(
    admin_client: Client, configure: Any, settings: Any
) -> None:
    two_businesses(configure, settings)

    def statements(term: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert bool(answers(admin_client, term)) == bool(term.strip())
        return len([q for q in queries if "connectly_tracking_" in q["sql"]])

    asked_nothing = statements("")
    assert statements(" ") == asked_nothing
    assert statements("7821") == asked_nothing + 3
    # Two more look for similar order numbers, and four for an id of a click, each by
    # its index. None is found, so that the list is neither counted nor read.
    assert statements("9999") <= asked_nothing + 3 + 2 + 4 - 2


def test_who_may_not_see_conversions_is_told_nothing(
    client: Client, conversion: Conversion
) -> None:
    client.force_login(User.objects.create(username="staff", is_staff=True))
    response = client.get(url("conversion", "changelist"), {"q": "ORD-7821"})
    assert response.status_code == 403
    assert "refused" not in response.content.decode()


def bind(order_id: str, rf: RequestFactory) -> None:
    request = rf.get(TAGGED)
    request.session = SessionStore()
    attribution.land(request)
    attribution.bind_order(request, order_id)


def two_businesses(configure: Any, settings: Any) -> None:
    """One order number, in both."""
    own = {key: settings.CONNECTLY_TRACKING[key] for key in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": own})
    for business in ("default", "br"):
        outbox.record(make_purchase("7821"), attribution=make_click(business=business))


@pytest.mark.parametrize("model", MODELS)
def test_nothing_can_be_added_changed_or_deleted(
    admin_client: Client, conversion: Conversion, model: str
) -> None:
    assert admin_client.get(url(model, "add")).status_code == 403
    if model == "pause":
        return
    pk: Any = conversion.pk if model == "conversion" else Attribution.objects.get().pk
    assert admin_client.get(url(model, "delete", pk)).status_code == 403
    assert admin_client.post(url(model, "change", pk), {}).status_code == 403
    assert Conversion.objects.get().state == conversion.state


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("viewer", "status"), [(True, 200), (False, 403)])
def test_staff_see_what_they_may(
    client: Client, conversion: Conversion, model: str, viewer: bool, status: int
) -> None:
    user = User.objects.create(username="staff", is_staff=True)
    if viewer:
        user.user_permissions.set(Permission.objects.filter(codename=f"view_{model}"))
    client.force_login(user)
    assert client.get(url(model, "changelist")).status_code == status


@pytest.mark.parametrize("model", MODELS)
def test_a_stranger_is_sent_to_the_login(client: Client, model: str) -> None:
    response = client.get(url(model, "changelist"))
    assert response.status_code == 302
    assert "/login/" in response.url  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", MODELS)
def test_a_list_costs_the_same_few_statements_however_long(
    admin_client: Client, model: str
) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(url(model, "changelist"))
        return len([q for q in queries if "connectly_tracking_" in q["sql"]])

    user = User.objects.create(username="ada")
    outbox.record(make_purchase("1"), attribution=make_click(user=user))
    few = statements()
    for number in range(20):
        user = User.objects.create(username=f"ada-{number}")
        outbox.record(make_purchase(number), attribution=make_click(user=user))
    assert statements() == few <= 3
