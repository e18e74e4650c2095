"""Every call in the shop's request or transaction, in every kind of trouble."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject, lazy
from django.views.generic import View

from connectly_tracking import attribution
from connectly_tracking.attribution.session import KEY
from connectly_tracking.events import Item, Purchase, ViewContent
from connectly_tracking.middleware import AttributionMiddleware
from connectly_tracking.models import Attribution, Conversion, Reason, State
from connectly_tracking.receivers import on_user_logged_in
from connectly_tracking.signals import content_viewed, order_cancelled, order_completed
from connectly_tracking.views import ContentViewedMixin, capture_endpoint
from example_project.shop.models import Order

from .conftest import TAGGED, make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db

VALUES: Final = {
    "cnct_tracking_id": "track-2",
    "sendout_id": "send-2",
    "ctwa_clid": "clid-2",
    "ad_id": "120211",
}
VIEW: Final = ViewContent(content_ids=["tee"])


class Page(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("tee")


class Product(ContentViewedMixin, Page):  # type: ignore[misc]
    def get_view_content(self) -> ViewContent:
        return VIEW


def send_order(request: HttpRequest) -> None:
    order_completed.send(Order, purchase=make_purchase(), request=request)


def log_in(request: HttpRequest) -> None:
    on_user_logged_in(request=request, user=User(pk=7))


def land(request: HttpRequest) -> Any:
    request.META["QUERY_STRING"] = TAGGED.replace("track-1", "track-3").strip("/?")
    return AttributionMiddleware(lambda request: HttpResponse("page"))(request)


def post_landing(request: HttpRequest) -> Any:
    body = "&".join(f"{name}={value}" for name, value in VALUES.items())
    posted = RequestFactory().post("/", body, content_type="text/plain")
    posted.session, posted.COOKIES = request.session, request.COOKIES
    return capture_endpoint(posted)


#: Every public call that takes the visitor's request.
CALLS: Final[dict[str, Callable[[HttpRequest], Any]]] = {
    "order_completed": send_order,
    "content_viewed": lambda request: content_viewed.send(
        None, request=request, view=VIEW
    ),
    "user_logged_in": log_in,
    "bind_order": lambda request: attribution.bind_order(request, "ORD-7821"),
    "capture": lambda request: attribution.capture(request, VALUES),
    "recall": attribution.recall,
    "make_token": attribution.make_token,
    "forget": attribution.forget,
    "consent_changed": attribution.consent_changed,
    "middleware": land,
    "endpoint": post_landing,
    "mixin": Product.as_view(),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.fixture
def visit(rf: RequestFactory) -> HttpRequest:
    """A visitor who has clicked."""
    request = rf.get(TAGGED)
    request.session = SessionStore()
    request.session.create()
    key = str(request.session.session_key)
    request.COOKIES["sessionid"] = key
    attribution.land(request)
    request.session.save()
    assert KEY in request.session
    later = rf.get("/")
    later.session = SessionStore(key)
    later.COOKIES["sessionid"] = key
    return later


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what we have logged."""

    def logged() -> list[str]:
        return [
            record.getMessage()
            for record in caplog.records
            if record.name.startswith("connectly_tracking")
            and record.levelno >= logging.WARNING
        ]

    return logged


def place(number: str = "SHOP-1") -> Order:
    return Order.objects.create(number=number, total=1, currency="USD")


def is_placed(number: str = "SHOP-1") -> bool:
    return Order.objects.filter(number=number).exists()


@contextmanager
def statements(change: Callable[[Callable[[str], Any], str], Any]) -> Iterator[None]:
    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        return change(
            lambda text: execute(text, params if text is sql else (), many, context),
            sql,
        )

    with connection.execute_wrapper(wrap):
        yield


# The database


@every_call
def test_a_database_that_refuses_our_tables_costs_nothing_but_one_line(
    visit: HttpRequest, lines: Any, call: Any
) -> None:
    def refuse(execute: Any, sql: str) -> Any:
        if "connectly_tracking_" not in sql:
            return execute(sql)
        touched.append(sql)
        return execute("SELECT * FROM no_such_table")

    touched: list[str] = []
    with transaction.atomic():
        place()
        with statements(refuse):
            call(visit)
        assert is_placed()
    assert is_placed()
    assert len(lines()) == bool(touched), lines()


@every_call
def test_a_transaction_that_the_database_ends_during_our_statement_is_told(
    visit: HttpRequest, lines: Any, call: Any
) -> None:
    """As after a deadlock on MariaDB: no savepoint is left."""
    is_over = False

    def end(execute: Any, sql: str) -> Any:
        nonlocal is_over
        if is_over or "connectly_tracking_" in sql or "django_session" in sql:
            is_over = True
            raise OperationalError("Deadlock found when trying to get lock")
        return execute(sql)

    told = False
    try:
        with transaction.atomic():
            place()
            with statements(end):
                call(visit)
    except Error:
        told = True
    assert told == is_over
    assert is_placed() is not is_over
    assert len(lines()) == is_over


@every_call
@pytest.mark.postgres
def test_a_transaction_that_is_broken_when_we_are_called_is_told(
    visit: HttpRequest, lines: Any, call: Any
) -> None:
    """The shop has caught an error, and would commit nothing without noticing."""
    with pytest.raises(Error), transaction.atomic():
        place()
        with pytest.raises(Error), connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")
        call(visit)
        Conversion.objects.count()  # a call without a statement of ours
    assert not is_placed()
    assert len(lines()) <= 1


@every_call
def test_a_transaction_that_the_shop_gave_up_stays_given_up(
    visit: HttpRequest, lines: Any, call: Any
) -> None:
    with transaction.atomic():
        place()
        transaction.set_rollback(True)
        call(visit)
        assert transaction.get_rollback()
    assert not is_placed()
    assert len(lines()) <= 1


@every_call
def test_a_savepoint_that_fails_once_costs_one_line(
    visit: HttpRequest, lines: Any, call: Any
) -> None:
    failed: list[str] = []

    def fail(execute: Any, sql: str) -> Any:
        if sql.startswith("SAVEPOINT") and not failed:
            failed.append(sql)
            raise OperationalError("out of shared memory")
        return execute(sql)

    with transaction.atomic():
        place()
        with statements(fail):
            call(visit)
    assert is_placed()
    assert len(lines()) == len(failed)


@every_call
@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_an_ended_backend_is_told(visit: HttpRequest, lines: Any, call: Any) -> None:
    is_over = False

    def end(execute: Any, sql: str) -> Any:
        nonlocal is_over
        if "connectly_tracking_" in sql and not is_over:
            is_over = True
            # It answers with its own end.
            execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return execute(sql)

    told = False
    try:
        with transaction.atomic():
            place()
            with statements(end):
                call(visit)
    except Error:
        told = True
    connection.close()
    assert told == is_over
    assert is_placed() is not is_over
    assert len(lines()) == is_over


# The session


class Down(SessionStore):
    """Each of its methods raises, or one of them."""

    broken = ""

    def __getattribute__(self, name: str) -> Any:
        broken = object.__getattribute__(self, "broken")
        if name in broken.split():
            raise ConnectionError("the session store is down")
        return super().__getattribute__(name)


@every_call
@pytest.mark.parametrize(
    "broken",
    [
        "get",
        "load",
        "pop __setitem__",
        "save",
        "create",
        "session_key",
        "modified",
        "get load save create pop items session_key modified accessed",
    ],
)
def test_a_session_store_that_is_down_costs_one_line_at_most(
    visit: HttpRequest, lines: Any, call: Any, broken: str
) -> None:
    store = type("Store", (Down,), {"broken": broken})
    visit.session = store(visit.session.session_key)
    with transaction.atomic():
        place()
        call(visit)
    assert is_placed()
    assert len(lines()) <= 1, lines()


@every_call
def test_a_session_table_that_is_gone_costs_one_line(
    visit: HttpRequest, lines: Any, call: Any
) -> None:
    def refuse(execute: Any, sql: str) -> Any:
        is_session = "django_session" in sql
        return execute("SELECT * FROM no_such_table" if is_session else sql)

    with transaction.atomic():
        place()
        with statements(refuse):
            call(visit)
        assert is_placed()
    assert len(lines()) == 1, lines()


# The shop's callables


@every_call
@pytest.mark.parametrize("setting", ["CONSENT", "BUSINESS_RESOLVER"])
@pytest.mark.parametrize(
    "error", [ZeroDivisionError, ImproperlyConfigured, OperationalError, RecursionError]
)
def test_a_callable_that_fails_costs_one_line_at_most(
    visit: HttpRequest,
    lines: Any,
    configure: Any,
    call: Any,
    setting: str,
    error: type[Exception],
) -> None:
    def fail(*_: object) -> Any:
        raise error

    configure(**{setting: fail})
    with transaction.atomic():
        place()
        call(visit)
    assert is_placed()
    assert len(lines()) <= 1, lines()


@every_call
@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_not_an_exception_passes(
    visit: HttpRequest, configure: Any, call: Any, end: type[BaseException]
) -> None:
    asked = []
    asking = [CALLS[name] for name in CALLS if name not in {"user_logged_in", "forget"}]

    def fail(*_: object) -> Any:
        asked.append(1)
        raise end

    configure(CONSENT=fail)
    with transaction.atomic():
        with pytest.raises(end) if call in asking else nullcontext():
            call(visit)
        assert bool(asked) == (call in asking)
        assert not transaction.get_rollback()


def test_the_script_tag_costs_the_page_nothing(lines: Any, configure: Any) -> None:
    tag = "connectly_capture 'https://shop.example/capture/'"
    page = Template("{% load connectly_tracking %}page{% " + tag + " %}")
    for method in METHODS:
        assert page.render(Context({"csp_nonce": Raising([method])}))[:4] == "page"
    assert set(lines()) == {"script_not_rendered error=ZeroDivisionError"}
    configure(STRICT=True)
    with pytest.raises(ZeroDivisionError):
        page.render(Context({"csp_nonce": Raising(["__str__"])}))


def test_a_script_tag_without_its_url_is_left_out_and_said(lines: Any) -> None:
    page = Template("{% load connectly_tracking %}page{% connectly_capture %}")
    assert page.render(Context()) == "page"
    assert lines() == ["script_not_rendered error=NoReverseMatch"]


def test_view_content_that_fails_costs_one_line(rf: RequestFactory, lines: Any) -> None:
    class Odd(Product):
        def get_view_content(self) -> ViewContent:
            raise ZeroDivisionError

    assert Odd.as_view()(rf.get("/")).status_code == 200
    assert lines() == ["view_not_recorded error=ZeroDivisionError"]


# The shop's objects

METHODS: Final = (
    "__str__",
    "__eq__",
    "__bool__",
    "__iter__",
    "__hash__",
    "__repr__",
    "__class__",
    "pk",
)


def Raising(methods: Any, times: float = float("inf")) -> Any:  # noqa: N802
    """Return an object of which these raise, so many times."""
    raised: list[str] = []

    def raiser(name: str) -> Any:
        def method(self: object, *_: object) -> Any:
            if len(raised) < times:
                raised.append(name)
                raise ZeroDivisionError
            return {"__bool__": True, "__iter__": iter(()), "__hash__": 1}.get(
                name, name
            )

        return method

    space: dict[str, Any] = {"__hash__": object.__hash__, "raised": raised}
    for name in methods:
        is_field = name in ("__class__", "pk")
        space[name] = property(raiser(name)) if is_field else raiser(name)
    return type("Odd", (), space)()


def lazily(times: float, kind: Any) -> tuple[Any, list[str]]:
    raised: list[str] = []

    def find() -> Any:
        if len(raised) < times:
            raised.append("lazy")
            raise Order.DoesNotExist
        return "found"

    return kind(find), raised


def objects() -> Iterator[Any]:
    for method in METHODS:
        yield pytest.param([method], float("inf"), id=method)
    for times in (1, 2, float("inf")):
        yield pytest.param(METHODS, times, id=f"all-{times}")
        yield pytest.param(SimpleLazyObject, times, id=f"lazy-object-{times}")
        yield pytest.param(
            lambda find: lazy(find, str)(), times, id=f"lazy-text-{times}"
        )


def make(methods: Any, times: float) -> tuple[Any, list[str]]:
    if callable(methods):
        return lazily(times, methods)
    odd = Raising(methods, times)
    raised: list[str] = vars(type(odd))["raised"]
    return odd, raised


#: Every argument of the shop's own: each takes the odd object.
ARGUMENTS: Final[dict[str, Callable[[Any, HttpRequest], Any]]] = {
    "order": lambda odd, _: order_completed.send(None, order=odd),
    "purchase": lambda odd, _: order_completed.send(None, purchase=odd),
    **{
        field: lambda odd, _, field=field: order_completed.send(  # type: ignore[misc]
            None, purchase=make_purchase(**{field: odd})
        )
        for field in (*Purchase.__dataclass_fields__,)
    },
    "a line": lambda odd, _: order_completed.send(
        None, purchase=make_purchase(contents=[odd])
    ),
    "a line's id": lambda odd, _: order_completed.send(
        None, purchase=make_purchase(contents=[Item(id=odd)])
    ),
    "a line's price": lambda odd, _: order_completed.send(
        None, purchase=make_purchase(contents=[Item(id="a", item_price=odd)])
    ),
    **{
        name: lambda odd, request, name=name: order_completed.send(  # type: ignore[misc]
            None, purchase=make_purchase(), request=request, **{name: odd}
        )
        for name in ("user", "attribution", "token", "business", "using", "unknown")
    },
    "cancelled order_id": lambda odd, _: order_cancelled.send(None, order_id=odd),
    "cancelled business": lambda odd, _: order_cancelled.send(
        None, order_id="ORD-7821", business=odd
    ),
    "cancelled using": lambda odd, _: order_cancelled.send(
        None, order_id="ORD-7821", using=odd
    ),
    "bound order_id": lambda odd, request: attribution.bind_order(request, odd),
    "params": lambda odd, request: attribution.capture(request, odd),
    "a param": lambda odd, request: attribution.capture(
        request, {**VALUES, "ad_id": odd}
    ),
    "view": lambda odd, request: content_viewed.send(None, request=request, view=odd),
    "content_ids": lambda odd, request: content_viewed.send(
        None, request=request, view=ViewContent(content_ids=odd)
    ),
    "login": lambda odd, request: on_user_logged_in(request=request, user=odd),
}


@pytest.mark.parametrize(("methods", "times"), [*objects()])
@pytest.mark.parametrize("call", ARGUMENTS.values(), ids=ARGUMENTS)
def test_an_object_that_raises_is_told_once_and_read_once(
    visit: HttpRequest,
    configure: Any,
    lines: Any,
    call: Any,
    methods: Any,
    times: float,
) -> None:
    configure(ORDER_ADAPTER=lambda order: make_purchase(f"{order}"))
    odd, raised = make(methods, times)
    with transaction.atomic():
        place()
        call(odd, visit)
        assert is_placed()
    assert len(raised) <= 1
    assert len(lines()) <= 1, lines()
    refused = Conversion.objects.filter(reason=Reason.INVALID)
    noted = Conversion.objects.exclude(detail="")
    credited = Conversion.objects.filter(state=State.PENDING)  # by the session instead
    told = lines() or refused or noted or credited
    assert told or not raised


def test_a_request_is_odd_itself(lines: Any) -> None:
    for call in CALLS.values():
        if call in (land, post_landing, CALLS["mixin"]):
            continue
        for method in METHODS:
            call(Raising([method]))


def test_the_page_of_a_broken_lazy_order_is_recorded_by_its_key(lines: Any) -> None:
    order = SimpleLazyObject(lambda: Order.objects.get(number="gone"))
    order_completed.send(Order, order=order)
    assert lines() == ["order_not_recorded order_id=pk:none error=DoesNotExist"]


def test_an_order_that_was_loaded_lazily_is_logged_with_its_key(
    lines: Any, configure: Any
) -> None:
    configure(ORDER_ADAPTER=lambda order: 1 // (order.pk - order.pk))
    kept = place()
    order = SimpleLazyObject(lambda: Order.objects.get(pk=kept.pk))
    order_completed.send(Order, order=order)
    assert lines() == [
        f"order_not_recorded order_id=pk:{kept.pk} error=ZeroDivisionError"
    ]


def test_a_lazy_number_is_in_the_row_that_says_what_is_wrong() -> None:
    number = lazy(lambda: "ORD-9", str)()
    order_completed.send(Order, purchase=make_purchase(number, value=-1))
    row = Conversion.objects.get()
    assert (row.order_id, row.reason) == ("ORD-9", Reason.INVALID)


@pytest.mark.parametrize(
    "token",
    [
        "\ud800" * 45,
        "\0" * 45,
        "1" * 10_000_000,
        b"1" * 45,
        7,
        ["1"],
        "=" * 45,
        "é" * 45,
    ],
    ids=["surrogates", "nul", "huge", "bytes", "int", "list", "padding", "accents"],
)
def test_a_token_that_is_none_is_said_in_a_row(token: Any, lines: Any) -> None:
    order_completed.send(Order, purchase=make_purchase(), token=token)
    row = Conversion.objects.get()
    assert (row.state, row.reason) == (State.SKIPPED, Reason.INVALID)
    assert row.detail.startswith("token: ")
    assert not lines()


def test_a_resolver_is_asked_once_whatever_it_answers(configure: Any) -> None:
    asked = []

    def resolve(request: object, order: object) -> str:
        asked.append(order)
        return "no such alias"

    configure(BUSINESS_RESOLVER=resolve)
    order_completed.send(Order, purchase=make_purchase())
    assert len(asked) == 1
    assert Conversion.objects.get().reason == Reason.INVALID


@pytest.mark.server
@pytest.mark.skipif(connection.vendor != "mysql", reason="the others keep a savepoint")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["forget", "user_logged_in", "order_cancelled"])
def test_a_deadlock_that_ends_the_shops_transaction_is_told(
    visit: HttpRequest, lines: Any, name: str
) -> None:
    """The other transaction has changed more, so that it is the shop's that is ended.

    No number comes twice: the next key of a deleted one would be locked, too.
    """
    order_completed.send(None, purchase=make_purchase(), request=visit)
    cart = place(f"{name}-cart")
    has_locks, may_go_on = threading.Event(), threading.Event()

    def other() -> None:
        with transaction.atomic():
            Order.objects.bulk_create(
                Order(number=f"{name}-{number}", total=1, currency="USD")
                for number in range(300)
            )
            for model in (Attribution, Conversion):
                list(model.objects.select_for_update())
            has_locks.set()
            assert may_go_on.wait(10)
            Order.objects.filter(pk=cart.pk).update(total=2)
        connection.close()

    calls = {
        **CALLS,
        "order_cancelled": lambda _: order_cancelled.send(None, order_id="ORD-7821"),
    }
    thread = threading.Thread(target=other)
    thread.start()
    assert has_locks.wait(10)
    with pytest.raises(OperationalError, match="Deadlock"), transaction.atomic():
        place(f"{name}-own")
        Order.objects.select_for_update().get(pk=cart.pk)
        may_go_on.set()
        calls[name](visit)
    thread.join()
    assert not is_placed(f"{name}-own")
    assert len(lines()) == 1
