"""The key is on no page that Django shows for an error under DEBUG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from django.test import RequestFactory
from django.views.debug import ExceptionReporter

from connectly_tracking.conf import conf
from connectly_tracking.signals import order_cancelled, order_completed

from .conftest import make_purchase

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

KEY: Final = "sentinel-key-4711"
ID: Final = "0f7a4c6e-7a61-4b9c-9f0e-3d1a2b4c5d6e"
ENTRY: Final = {"BUSINESS_ID": ID, "API_KEY": KEY}

WRONG: Final[dict[str, Any]] = {
    "an alias with a space": {"BUSINESSES": {"br zil": ENTRY}},
    "default among the others": {"BUSINESSES": {"default": ENTRY}},
    "a list of businesses": {"BUSINESSES": [ENTRY]},
    "a key in place of a business": {"BUSINESSES": {"br": KEY}},
    "a key in place of all": {"BUSINESSES": KEY},
    "white space": {"API_KEY": f" {KEY}"},
    "white space of another": {"BUSINESSES": {"br": {**ENTRY, "API_KEY": f"{KEY} "}}},
    "bytes": {"API_KEY": KEY.encode()},
    "a list": {"API_KEY": [KEY]},
    "not ASCII": {"API_KEY": f"{KEY}\u200b"},
    "from a vault": {"API_KEY": lambda: f"{KEY}\n"},
    "swapped": {"BUSINESS_ID": KEY, "API_KEY": ID},
    "a business without its id": {"BUSINESSES": {"br": {"API_KEY": KEY}}},
    "a window that is wrong": {"ATTRIBUTION_WINDOW": "28"},
    "no adapter": {"ORDER_ADAPTER": None},
}
CALLS: Final[dict[str, Callable[[], object]]] = {
    "the key": lambda: conf.API_KEY,
    "a business": lambda: conf.business("default"),
    "another business": lambda: conf.business("br"),
    "an unknown business": lambda: conf.business("mx"),
    "an order": lambda: order_completed.send(None, purchase=make_purchase()),
    "an order of a business": lambda: order_completed.send(
        None, purchase=make_purchase(), business="mx"
    ),
    "the shop's order": lambda: order_completed.send(None, order=object()),
    "a cancellation": lambda: order_cancelled.send(None, order_id="1", business="mx"),
}


def page_of(exc: BaseException) -> str:
    """Return the page without the test's own variables."""
    tb = exc.__traceback__ and exc.__traceback__.tb_next
    reporter = ExceptionReporter(
        RequestFactory().get("/checkout/"), type(exc), exc.with_traceback(tb), tb
    )
    return str(reporter.get_traceback_html())


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_the_key_is_not_on_the_page(
    settings: Any, wrong: dict[str, Any], call: Callable[[], object]
) -> None:
    settings.DEBUG = True
    settings.CONNECTLY_TRACKING = {**ENTRY, **wrong, "STRICT": True}
    try:
        call()
    except Exception as exc:  # noqa: BLE001 - whatever it is
        error = exc
    else:
        return
    assert KEY not in variables_on(page_of(error))


@pytest.mark.parametrize("wrong", [KEY, [KEY], (ENTRY,)])
def test_settings_that_are_no_dictionary_are_not_on_the_page(
    settings: Any, wrong: object
) -> None:
    settings.DEBUG = True
    settings.CONNECTLY_TRACKING = wrong
    with pytest.raises(Exception, match="must be a dictionary") as raised:
        conf.business("default")
    assert KEY not in variables_on(page_of(raised.value))


def test_django_hides_the_key_in_the_settings_on_the_page(settings: Any) -> None:
    settings.DEBUG = True
    settings.CONNECTLY_TRACKING = {**ENTRY, "BUSINESSES": {"br": ENTRY}}
    page = page_of(ZeroDivisionError())
    assert ID in page
    assert KEY not in page


def variables_on(page: str) -> str:
    """Return the page without the settings, which are the project's own to show."""
    assert 'id="settings-info"' in page
    return page.partition('id="settings-info"')[0]
