"""What is known of a customer is in our tables, in the request to Connectly and on the
pages that show it; whatever goes wrong, it is not in a log, a message or a mail.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import django
import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.core import mail
from django.core.management import call_command
from django.db import DataError, IntegrityError
from django.db.models import Model, QuerySet
from django.http import HttpResponse
from django.urls import include, path

from connectly_tracking.alerts import watch
from connectly_tracking.attribution import bind_order, capture, forget, make_token
from connectly_tracking.delivery import deliver
from connectly_tracking.doctor import as_json, examine
from connectly_tracking.models import Conversion
from connectly_tracking.reports import health
from connectly_tracking.signals import order_cancelled, order_completed

from .client.server import Server, answer
from .conftest import make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.http import HttpRequest
    from django.test import Client, RequestFactory
    from redis import Redis

PERSONAL: Final = {
    "cnct_tracking_id": "sentinel-track",
    "sendout_id": "sentinel-send",
    "ctwa_clid": "sentinel-clid",
    "ad_id": "sentinel-ad",
    "attribution_source": "meta_ctwa",
}
NAME, MAIL, ADDRESS = "sentinel-ada", "sentinel@ada.example", "203.0.113.77"
AGENT: Final = "sentinel-agent/1.0"
WORDS: Final = ("sentinel", ADDRESS)


def refused(error: type[Exception]) -> Callable[..., Any]:
    """As a database says it, with the row."""

    def refuse(*_: object, **__: object) -> Any:
        raise error(
            f"it fails\nDETAIL: Failing row contains ({', '.join(PERSONAL.values())})"
        )

    return refuse


#: What is taken away from the shop while the customer passes through it.
TROUBLES: Final[dict[str, Callable[[], Any]]] = {
    "none": nullcontext,
    "rows are refused": lambda: patch.object(Model, "save", refused(IntegrityError)),
    "data is refused": lambda: patch.object(
        QuerySet, "bulk_create", refused(DataError)
    ),
    "nothing is found": lambda: patch.object(QuerySet, "get", refused(DataError)),
    "no session": lambda: patch.object(SessionBase, "save", refused(DataError)),
    "nobody can be asked": lambda: patch.object(
        QuerySet, "update", refused(IntegrityError)
    ),
}


@pytest.fixture
def customer() -> User:
    return User.objects.create_user(NAME, MAIL)


@pytest.fixture
def api(configure: Any) -> Iterator[Server]:
    echoed = ", ".join(PERSONAL.values()).encode()
    said = [answer(echoed, status=status) for status in (400, 500, 200, 418)]
    # What it says of a pause is meant for the operator, and is told as it is.
    said += [answer(b"no such key", status=401)]
    with Server(*said, keep=False) as server:
        configure(
            BASE_URL=server.url, STRICT=False, READ_TIMEOUT=0.5, ALERTS="mail_admins"
        )
        yield server


urlpatterns = [
    path("connectly/", include("connectly_tracking.urls")),
    path("", lambda request: HttpResponse()),
]


# Django 6.1 wants the setting MAILERS, which Django 5.2 does not know.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.urls(__name__)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_customer_is_in_no_log_message_or_mail(
    trouble: str,
    api: Server,
    celery_broker: Redis,
    client: Client,
    rf: RequestFactory,
    customer: User,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = "shop@example.com"
    settings.ADMINS = [address if django.VERSION >= (6, 0) else ("Shop", address)]
    caplog.set_level(logging.DEBUG)
    logging.getLogger("django.db.backends").setLevel(logging.INFO)  # every parameter
    client.force_login(customer)
    with TROUBLES[trouble]():
        request = pass_through(client, rf, customer)
    for _ in range(5):
        deliver()
        Conversion.objects.waiting().update(due_at="2020-01-01T00:00Z")
    watch()
    with TROUBLES[trouble]():
        leave(request, customer)
    assert mail.outbox or trouble != "none"
    texts = {
        "log": caplog.text + repr([it.__dict__ for it in caplog.records]),
        "mail": repr([(it.subject, it.body) for it in mail.outbox]),
        "health": repr(health()),
        "doctor": as_json(examine(None)[0]),
        "broker": repr([celery_broker.dump(name) for name in celery_broker.keys("*")]),
    }
    for where, text in texts.items():
        for word in WORDS:
            assert word not in text, (
                f"{where}: {text[max(0, text.find(word) - 300) :][:400]}"
            )


def pass_through(client: Client, rf: RequestFactory, customer: User) -> HttpRequest:
    """All that a customer can do, whatever is wrong with it."""
    seen: Any = {"REMOTE_ADDR": ADDRESS, "HTTP_USER_AGENT": AGENT}
    client.raise_request_exception = False
    client.get("/", PERSONAL, **seen)
    client.get("/", {**PERSONAL, "ctwa_clid": "sentinel" * 2000}, **seen)
    client.get("/", {"cnct_tracking_id": "sentinel"}, **seen)
    client.post("/connectly/capture/", PERSONAL, **seen)
    request: Any = rf.get("/", PERSONAL, **seen)
    request.session, request.user = client.session, customer
    goes_on(capture, request, PERSONAL)
    wrong: list[dict[str, Any]] = [
        {"value": NAME},
        {"currency": NAME},
        {"contents": NAME},
    ]
    for number, fields in enumerate([{}, {}, {}, {}, {}, *wrong]):
        order_id = f"ORD-{number}"
        purchase = make_purchase(order_id, **fields)
        goes_on(bind_order, request, order_id)
        goes_on(make_token, request)
        goes_on(order_completed.send, None, purchase=purchase, request=request)
    found: HttpRequest = request
    return found


def leave(request: HttpRequest, customer: User) -> None:
    goes_on(order_cancelled.send, None, order_id="ORD-0")
    goes_on(forget, request)
    goes_on(call_command, "connectly_forget", f"--user-id={customer.pk}", "--yes")


def goes_on(call: Callable[..., Any], *args: Any, **options: Any) -> None:
    """As a shop does that handles its database's errors."""
    with suppress(DataError, IntegrityError):
        call(*args, **options)
