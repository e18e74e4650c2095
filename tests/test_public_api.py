"""No public name changes unnoticed."""

from __future__ import annotations

import inspect
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from connectly_tracking import alerts, outbox, receivers, signals
from connectly_tracking.delivery import deliver
from connectly_tracking.models import Alert, Circuit

from .conftest import TAGGED, make_click, make_purchase
from .public_api import STORED, arguments_of_signals, public_api
from .test_docs import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from connectly_tracking.sandbox import Sandbox

#: Those that a shop sends, with who receives them.
SENT_TO_US: dict[str, Callable[..., Any]] = {
    "order_completed": receivers.on_order_completed,
    "order_cancelled": receivers.on_order_cancelled,
    "content_viewed": receivers.on_content_viewed,
}


def test_it_is_what_is_stored() -> None:
    """After a deliberate change: ``python -m tests.public_api --write``."""
    stored = STORED.read_text().splitlines()
    assert list(dict.fromkeys(public_api())) == stored


def test_the_page_of_what_stays_says_what_each_kind_is() -> None:
    page = (ROOT / "docs/stability.md").read_text()
    kinds = re.findall(r"^\| (`.*?`) \|", page, re.M)
    explained = set(re.findall(r"`(\w+)`", " ".join(kinds)))
    assert explained == {line.split()[0] for line in STORED.read_text().splitlines()}


def test_a_name_that_the_documentation_imports_or_calls_is_public() -> None:
    listed = STORED.read_text()
    public = set(re.findall(r"^(?:class|function|signal) ([\w.]+)", listed, re.M))
    public |= {f"models.{it}" for it in re.findall(r"^field (\w+)", listed, re.M)}
    modules = {name.rpartition(".")[0] for name in public}
    named = set()
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text()
        for module, names in re.findall(
            r"^from connectly_tracking\.([\w.]+) import (.*)$", text, re.M
        ):
            named |= {f"{module}.{it.strip()}" for it in names.split(",")}
        for name in re.findall(r"`(?:connectly_tracking\.)?((?:\w+\.)+\w+)\(", text):
            if name.rpartition(".")[0] in modules:
                named.add(name)
    assert len(named) > 20
    # Oscar's adapter is imported by a shop that has Oscar only.
    found = {name for name in named if not name.startswith("contrib.oscar")}
    assert sorted(found - public) == []


@pytest.mark.parametrize("name", SENT_TO_US)
def test_the_arguments_of_a_shops_signals_are_those_that_are_received(
    name: str,
) -> None:
    parameters = inspect.signature(SENT_TO_US[name]).parameters.values()
    taken = {it.name for it in parameters if it.kind is it.KEYWORD_ONLY}
    assert taken - {"signal"} == set(arguments_of_signals()[name])


@pytest.mark.django_db
def test_the_arguments_of_our_signals_are_those_that_are_sent(
    client: Client, sandbox: Sandbox, request: pytest.FixtureRequest
) -> None:
    sent: dict[str, list[str]] = {}
    for name in arguments_of_signals().keys() - SENT_TO_US.keys():

        def receive(sender: object, signal: object, name: str = name, **words: Any):
            sent[name] = sorted(words)

        signal = getattr(signals, name)
        signal.connect(receive, weak=False)
        request.addfinalizer(partial(signal.disconnect, receive))
    client.get(TAGGED)
    click = make_click()
    sandbox.behave("400", order_id="ORD-2")
    outbox.record(make_purchase("ORD-1"), attribution=click)
    outbox.record(make_purchase("ORD-2"), attribution=click)
    deliver()
    outbox.pause("default", detail="stocktaking")
    alerts.watch()
    outbox.resume("default", by="ada")
    assert Alert.objects.exists()
    assert not Circuit.objects.paused().exists()
    assert sent == {
        name: sorted(arguments)
        for name, arguments in arguments_of_signals().items()
        if name not in SENT_TO_US
    }
