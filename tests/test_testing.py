"""What a shop's own tests get from us; docs/developer/testing.md is run as it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from connectly_tracking import outbox, wakeup
from connectly_tracking.models import Conversion
from connectly_tracking.testing import plugin
from connectly_tracking.testing.scenario import tagged_link
from example_project.shop.models import Order

from .conftest import LANDING, TAGGED, broker_at, make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from connectly_tracking.models import Attribution
    from connectly_tracking.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/developer/testing.md").read_text()
FILES = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", TEXT, re.S))
MESSAGES = dict(re.findall(r"<!-- message: (\w+) -->\n```text\n(.*?)\n```", TEXT, re.S))
CART = {"sku": "grinder-01", "quantity": 2}
FAILING = """
from example_project.shop.models import Order

CART = {"sku": "grinder-01", "quantity": 2}


def test_another_total(
    client, connectly_landing, connectly_deliver, connectly_reported
):
    connectly_landing()
    client.post("/checkout/", CART)
    connectly_deliver()
    connectly_reported(Order.objects.get().number, value="89.98")


def test_without_a_click(client, connectly_deliver, connectly_reported):
    client.post("/checkout/", CART)
    connectly_deliver()
    connectly_reported(Order.objects.get().number, value="99.98")


def test_never_recorded(client, connectly_landing, connectly_reported):
    connectly_landing()
    client.post("/checkout/", CART)
    connectly_reported("ORD-7", value="99.98")
"""


def run_in(
    directory: Path, command: Sequence[str], files: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """A shop's own test run, without a secret, on a database in memory."""
    for name, text in files.items():
        (directory / name).write_text(text)
    hidden = ("CONNECTLY_", "DJANGO_", "PYTEST_", "REDIS_")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", *command],
        cwd=directory,
        env=environ
        | {
            "DATABASE_URL": "sqlite://:memory:",
            "DJANGO_SETTINGS_MODULE": "example_project.settings",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
    )


def pytest_in(
    directory: Path, *options: str, **files: str
) -> subprocess.CompletedProcess[str]:
    own = {f"{name}.py": text for name, text in files.items()}
    command = ["pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *options]
    return run_in(directory, command, {"conftest.py": FILES["conftest.py"], **own})


def error_in(shown: str) -> str:
    """What pytest marks as the error, without its margin."""
    return "\n".join(re.findall(r"^E {7}(.*)$", shown, re.M))


def test_the_documented_tests_pass(tmp_path: Path) -> None:
    done = pytest_in(tmp_path, test_reporting=FILES["test_reporting.py"])
    assert re.search(r"^4 passed in", done.stdout, re.M), done.stdout + done.stderr


def test_the_documented_case_passes_where_there_is_no_pytest(tmp_path: Path) -> None:
    absent = {"pytest.py": "raise ImportError('there is no pytest here')"}
    case = {"test_cases.py": FILES["test_cases.py"]}
    done = run_in(tmp_path, ["django", "test"], absent | case)
    assert "Ran 2 tests" in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_the_documented_messages_are_what_a_failing_test_says(tmp_path: Path) -> None:
    done = pytest_in(tmp_path, "--junitxml=report.xml", test_shop=FAILING)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    cases = ElementTree.parse(tmp_path / "report.xml").iter("testcase")  # noqa: S314 - pytest wrote it
    said = {
        case.attrib["name"].removeprefix("test_"): error_in(failure.text or "")
        for case in cases
        for failure in case.iter("failure")
    }
    assert said.keys() == MESSAGES.keys()
    for name, documented in MESSAGES.items():
        assert said[name].startswith(documented.removesuffix("…"))
    assert "assertions.py" not in done.stdout  # where the shop's own line is shown


def test_every_fixture_is_documented() -> None:
    fixtures = {name for name in vars(plugin) if name.startswith("connectly_")}
    assert fixtures == set(re.findall(r"^\| `(connectly_\w+)", TEXT, re.M))


def test_without_pytest_django_the_plugin_says_what_it_needs(tmp_path: Path) -> None:
    done = pytest_in(tmp_path, "-p", "no:django", test_nothing="")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "connectly_tracking.testing needs pytest-django" in done.stderr


def failing(check: Callable[..., object], *args: Any, **options: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        check(*args, **options)
    return str(caught.value)


def recorded(click: Attribution, order_id: str = "ORD-1", **fields: Any) -> Conversion:
    return outbox.record(make_purchase(order_id, **fields), attribution=click)


def test_a_landing_leaves_the_click_that_it_returns(connectly_landing: Any) -> None:
    click = connectly_landing("/?page=2", ad_id="a+b&c", sendout_id=None)
    assert (click.ad_id, click.sendout_id, click.ctwa_clid) == ("a+b&c", "", "clid-1")
    stored = type(click).objects.get()
    assert (stored.pk, stored.landing) == (click.pk, click.landing)


def test_another_client_is_another_customer(
    client: Client, connectly_landing: Any, connectly_not_reported: Any
) -> None:
    assert connectly_landing(client=Client(), follow=True)
    client.post("/checkout/", CART)
    connectly_not_reported(Order.objects.get().number, reason="not_attributed")


def test_the_link_is_the_documented_one() -> None:
    assert tagged_link("/") == TAGGED
    with pytest.raises(TypeError, match="unknown parameter: ad"):
        tagged_link("/", ad="7")


def test_a_landing_that_is_not_captured_says_what_to_look_at(
    connectly_landing: Any, settings: Any, configure: Any
) -> None:
    ours = "connectly_tracking.middleware.AttributionMiddleware"
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != ours]
    message = failing(connectly_landing, "/", client=Client())
    assert "returned 200 and no click was kept" in message
    assert ours in message
    configure(CONSENT=lambda request: False)
    assert connectly_landing("/", client=Client()) is None


def test_what_was_sent_is_returned(
    click: Attribution, connectly_deliver: Any, connectly_reported: Any
) -> None:
    order = make_purchase("ORD-1", event_time=int(click.captured_at.timestamp()))
    outbox.record(order, attribution=click)
    connectly_deliver()
    price = [
        {"id": "sku-1", "quantity": 1, "item_price": 49.99},
        {"id": "sku-2", "quantity": 1, "item_price": 49.98},
    ]
    document = connectly_reported(
        "ORD-1",
        value=99.97,
        click=click,
        currency="USD",
        event_time=click.captured_at,
        contents=price,
        content_ids=("sku-1", "sku-2"),
    )
    assert document["payload"]["value"] == Decimal("99.97")


def test_the_click_may_be_the_parameters_of_a_link(
    click: Attribution,
    connectly_deliver: Any,
    connectly_reported: Any,
    settings: Any,
) -> None:
    settings.TIME_ZONE = "America/Lima"
    ordered = datetime.now(ZoneInfo("America/Lima")).replace(tzinfo=None)
    outbox.record(make_purchase("ORD-1", event_time=ordered), attribution=click)
    connectly_deliver()
    link = {"ad_id": click.ad_id, "utm_source": "ad"}
    with timezone.override("Asia/Tokyo"):
        connectly_reported("ORD-1", click=link, event_time=ordered)
        message = failing(connectly_reported, "ORD-1", click={"ad_id": "7"})
    assert '  ad_id: sent "120210", expected "7"' in message


def test_each_difference_is_named(
    click: Attribution, connectly_deliver: Any, connectly_reported: Any
) -> None:
    recorded(click)
    connectly_deliver()
    other = make_click(replace(LANDING, ctwa_clid="clid-2"))
    message = failing(
        connectly_reported,
        "ORD-1",
        value="99.9",
        currency="BRL",
        coupon="SPRING",
        click=other,
    )
    assert message.splitlines()[:-1] == [
        "Order ORD-1 was reported, but not as expected:",
        "  value: sent 99.97, expected 99.9",
        '  currency: sent "USD", expected "BRL"',
        '  coupon: sent nothing, expected "SPRING"',
        '  ctwa_clid: sent "clid-1", expected "clid-2"',
    ]


def test_an_order_that_waits_says_how_it_is_sent(
    click: Attribution,
    connectly_deliver: Any,
    connectly_reported: Any,
    connectly_not_reported: Any,
) -> None:
    recorded(click)
    message = failing(connectly_reported, "ORD-1")
    assert "is waiting to be sent" in message
    assert "In a test nothing is sent by itself: deliver first." in message
    assert "is waiting to be sent" in failing(connectly_not_reported, "ORD-1")
    assert connectly_deliver()["delivered"] == 1
    assert "ORD-1 was reported" in failing(connectly_not_reported, "ORD-1")


def test_an_order_that_is_refused_says_what_the_answer_was(
    click: Attribution,
    sandbox: Sandbox,
    connectly_deliver: Any,
    connectly_reported: Any,
) -> None:
    sandbox.behave("400")
    recorded(click)
    connectly_deliver()
    message = failing(connectly_reported, "ORD-1")
    assert "was sent, but Connectly or Meta refused it" in message
    assert "Last answer: refused 400: " in message


def test_another_reason_than_the_expected_one_fails(
    db: None, connectly_not_reported: Any
) -> None:
    outbox.record(make_purchase("ORD-1"))
    message = failing(connectly_not_reported, "ORD-1", reason="cancelled")
    assert "  reason: found not_attributed, expected cancelled" in message
    message = failing(connectly_not_reported, "ORD-2", reason="cancelled")
    assert "found none, it was never recorded" in message
    with pytest.raises(ValueError, match="unknown reason 'no_click'; known: not_attr"):
        connectly_not_reported("ORD-1", reason="no_click")
    connectly_not_reported("ORD-2")


@pytest.mark.parametrize("slip", [Order(number="ORD-1"), None, ""])
def test_what_is_no_orders_id_does_not_pass_for_one_that_was_not_reported(
    db: None, connectly_reported: Any, connectly_not_reported: Any, slip: object
) -> None:
    for say in (connectly_reported, connectly_not_reported):
        with pytest.raises(TypeError, match="is not an order id"):
            say(slip)


def test_many_other_orders_are_not_all_named(db: None, connectly_reported: Any) -> None:
    for number in range(12):
        outbox.record(make_purchase(f"ORD-{number}"))
    message = failing(connectly_reported, "ORD-12")
    assert message.endswith("ORD-9 (skipped), ….")


def test_nothing_is_sent_elsewhere_than_to_the_sandbox(
    click: Attribution, settings: Any, connectly_deliver: Any
) -> None:
    recorded(click)
    settings.CONNECTLY_TRACKING = {"BASE_URL": "https://api.connectly.ai"}
    message = failing(connectly_deliver)
    assert message.startswith("A test must not send to https://api.connectly.ai")
    assert not Conversion.objects.get().attempts


def test_what_waits_or_is_paused_goes_out_later(
    click: Attribution, sandbox: Sandbox, configure: Any, connectly_deliver: Any
) -> None:
    sandbox.behave(["401", "ok"])
    configure(HOLD=3600)
    recorded(click)
    assert not connectly_deliver()
    assert connectly_deliver(later=True) == {"pending": 1}
    assert not connectly_deliver()
    assert connectly_deliver(later=True) == {"delivered": 1}


def test_no_broker_is_called_by_a_test_that_commits(
    transactional_db: None,
    connectly_deliver: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with broker_at("redis://127.0.0.1:1/0"):
        recorded(make_click())
        assert "wakeup_failed" not in caplog.text
        assert connectly_deliver()["delivered"] == 1
        wakeup.publisher.reset()
        wakeup.wake()
    assert "wakeup_failed" in caplog.text


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"BUSINESS_ID": "no uuid", "API_KEY": " spaced "},
        {"BUSINESSES": {"br": {"BUSINESS_ID": "", "API_KEY": ""}}},
        {"SEND": False, "HOLD": 3600, "BASE_URL": "https://api.connectly.ai"},
        {"API_KEY": lambda: pytest.fail("the vault was opened")},
    ],
)
def test_whatever_the_settings_say_the_sandbox_is_reached(
    given: dict[str, Any], db: None, settings: Any, request: pytest.FixtureRequest
) -> None:
    settings.CONNECTLY_TRACKING = given
    deliver = request.getfixturevalue("connectly_deliver")
    business = next(iter(given.get("BUSINESSES", ())), "default")
    recorded(make_click(business=business))
    assert deliver() == {"delivered": 1}
    request.getfixturevalue("connectly_reported")("ORD-1", value="99.97")


def test_a_default_business_without_its_values_is_reached_beside_others(
    db: None, settings: Any, request: pytest.FixtureRequest
) -> None:
    settings.CONNECTLY_TRACKING = {"API_KEY": None, "BUSINESSES": {"br": {}}}
    deliver = request.getfixturevalue("connectly_deliver")
    recorded(make_click())
    assert deliver() == {"delivered": 1}
