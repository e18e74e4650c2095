"""The sandbox's own page, before somebody who watches a shop and breaks its way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings
from playwright.sync_api import expect

from connectly_tracking.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(1)</script>"


@pytest.fixture
def watched(page: Page, sandbox: Sandbox) -> Iterator[Page]:
    """The page, open; whatever the browser complains of fails the test."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("console", lambda said: complaints.append(said.text))
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(sandbox.url)
    expect(page.get_by_text("Live")).to_be_visible()
    yield page
    assert complaints == []


def event(order_id: str, **payload: Any) -> dict[str, Any]:
    return {
        "cnct_tracking_id": "track-1",
        "event_name": "Purchase",
        "sendout_id": "send-1",
        "attribution": {"meta_ctwa": {"ctwa_clid": "click-1", "ad_id": "ad-1"}},
        "payload": {
            "currency": "USD",
            "value": 99.5,
            "order_id": order_id,
            **payload,
        },
    }


def send(sandbox: Sandbox, document: dict[str, Any] | str) -> int:
    business = settings.CONNECTLY_TRACKING
    path = f"/external/v1/businesses/{business['BUSINESS_ID']}/conversion_events"
    body = document if isinstance(document, str) else json.dumps(document)
    headers = {"Content-Type": "application/json", "X-API-KEY": business["API_KEY"]}
    return requests.post(
        sandbox.url + path,
        data=body.encode(),
        headers=headers,
        timeout=10,
        allow_redirects=False,
    ).status_code


def cards(page: Page) -> Locator:
    return page.get_by_role("article")


def counted(page: Page) -> list[str]:
    """Received, confirmed, refused, without an answer, orders."""
    found: list[str] = page.locator(".counts dd").all_inner_texts()
    return found


def test_events_arrive_by_themselves_newest_first(
    watched: Page, sandbox: Sandbox
) -> None:
    expect(watched.get_by_text("No events yet")).to_be_visible()
    send(sandbox, event("A-1"))
    expect(cards(watched)).to_have_count(1)
    expect(watched.get_by_role("status")).to_have_text("Purchase A-1: confirmed")
    two_days_ago = int(sandbox.events[0].received_at.timestamp()) - 2 * 86_400
    body = json.dumps(event("A-2", event_time=two_days_ago, value="PRICE"))
    send(sandbox, body.replace('"PRICE"', "99.90"))
    expect(cards(watched)).to_have_count(2)
    newest = cards(watched).first
    expect(newest).to_contain_text("A-2")
    expect(newest).to_contain_text("99.90 USD")
    expect(newest.locator(".body pre")).to_contain_text('"value": 99.90,')
    expect(newest).to_contain_text("placed 2 days before it arrived")
    for words in ("200 confirmed", "send-1", "ad-1", "click-1"):
        expect(newest).to_contain_text(words)
    expect(watched.get_by_text("No events yet")).to_be_hidden()
    assert counted(watched) == ["2", "2", "0", "0", "2"]


def test_a_refused_event_says_what_is_wrong_field_by_field(
    watched: Page, sandbox: Sandbox
) -> None:
    assert send(sandbox, event("A-1", currency="usd", num_items="2")) == 400
    card = cards(watched)
    expect(card).to_contain_text("400 refused")
    wrong = card.get_by_role("listitem")
    expect(wrong).to_have_text(
        [
            "payload.currency must be an ISO 4217 code, three capital letters,"
            ' not "usd"',
            "payload.num_items must be a number, not a string",
        ]
    )
    expect(card.locator("mark")).to_have_text(
        ['"currency"', '"usd"', '"num_items"', '"2"']
    )
    expect(card.locator(".answer")).to_contain_text("INVALID_ARGUMENT")
    assert counted(watched) == ["1", "0", "1", "0", "1"]


def test_a_number_is_shown_as_it_came(watched: Page, sandbox: Sandbox) -> None:
    document = event("A-1")
    document["attribution"]["meta_ctwa"]["ad_id"] = 120_210_000_000_000_001
    send(sandbox, document)
    expect(cards(watched).locator(".facts")).to_contain_text("120210000000000001")
    expect(cards(watched).locator(".body")).to_contain_text("120210000000000001")


def test_json_without_end_does_not_stop_the_page(
    watched: Page, sandbox: Sandbox
) -> None:
    for brackets in (40, 900, 20_000):
        send(sandbox, "[" * brackets + "]" * brackets)
    send(sandbox, event("A-1", content_ids=["sku"] * 20_000))
    expect(cards(watched)).to_have_count(4)
    expect(cards(watched).first).to_contain_text("99.5 USD")


def test_an_order_that_comes_again_is_marked(watched: Page, sandbox: Sandbox) -> None:
    for value in (1, 1, 2):
        send(sandbox, event("A-1", value=value))
    expect(cards(watched)).to_have_count(3)
    expect(cards(watched).nth(1)).to_contain_text("sent 2 times, always the same bytes")
    expect(cards(watched).nth(0)).to_contain_text("sent 3 times, with different bytes!")
    expect(cards(watched).nth(2)).not_to_contain_text("times,")
    assert counted(watched)[4] == "1"


def test_a_button_makes_the_next_event_fail(watched: Page, sandbox: Sandbox) -> None:
    watched.get_by_role("button", name="500 server error").click()
    banner = watched.get_by_role("region", name="Simulating failures")
    expect(banner).to_contain_text("500 for the next event")
    assert [send(sandbox, event("A-1")), send(sandbox, event("A-1"))] == [500, 200]
    expect(cards(watched)).to_have_count(2)
    expect(cards(watched).last).to_contain_text("behaviour: 500")
    expect(cards(watched).last).to_contain_text("It is right to send it again")
    expect(banner).to_be_hidden()


def test_it_misbehaves_as_often_as_wanted_until_it_is_told_to_behave(
    watched: Page, sandbox: Sandbox
) -> None:
    watched.get_by_role("radio", name="Next 3").check()
    watched.get_by_label("How many").fill("2")
    watched.get_by_label("Seconds to wait").fill("7")
    watched.get_by_role("button", name="429").click()
    watched.get_by_role("radio", name="Until stopped").check()
    watched.get_by_label("Only for order").fill("A-9")
    watched.get_by_label("Meta\N{RIGHT SINGLE QUOTATION MARK}s message").fill(
        "(#100) No"
    )
    watched.get_by_role("button", name="400").click()
    expect(watched.locator("#pending li")).to_have_text(
        [
            "429:7 for the next 2 events",
            "400:(#100) No for all events of order A-9, until stopped",
        ]
    )
    assert send(sandbox, event("A-9")) == 400
    assert send(sandbox, event("A-1")) == 429
    expect(cards(watched)).to_have_count(2)
    expect(cards(watched).last).to_contain_text("Connectly has counted the event; Meta")
    watched.get_by_role("button", name="Stop simulating").click()
    expect(watched.locator("#banner")).to_be_hidden()
    assert sandbox.behaviours == []
    assert send(sandbox, event("A-9")) == 200


def test_any_behaviour_can_be_typed(page: Page, sandbox: Sandbox) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(sandbox.url)
    page.get_by_text("Simulate failures", exact=True).click()
    field = page.get_by_label("Another behaviour")
    field.fill("teapot")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("unknown behaviour 'teapot'")
    field.fill("418*2")
    field.press("Enter")
    expect(page.locator("#pending")).to_have_text("418 for the next 2 events")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_nothing_that_an_event_says_is_run(watched: Page, sandbox: Sandbox) -> None:
    document = event(HOSTILE, currency=HOSTILE, content_ids=[HOSTILE])
    document |= dict.fromkeys(("cnct_tracking_id", "sendout_id", HOSTILE), HOSTILE)
    document["attribution"] = {"meta_ctwa": {"ctwa_clid": HOSTILE, "ad_id": HOSTILE}}
    send(sandbox, document)
    send(sandbox, document | {"event_name": HOSTILE})
    send(sandbox, HOSTILE)
    sandbox.behave(f"body:{HOSTILE}")
    send(sandbox, event("A-1"))
    expect(cards(watched)).to_have_count(4)
    assert watched.locator("main img, main script").count() == 0


def test_clearing_leaves_an_example_that_works(watched: Page, sandbox: Sandbox) -> None:
    send(sandbox, event("A-1"))
    watched.get_by_role("button", name="Clear").click()
    expect(cards(watched)).to_have_count(0)
    example = watched.locator("#example").inner_text()
    assert example.startswith(f"curl {sandbox.url}/external/v1/businesses/")
    assert send(sandbox, example.partition("-d '")[2].removesuffix("'")) == 200
    expect(cards(watched)).to_contain_text("placed")


def test_a_sandbox_that_went_away_is_missed_and_found(
    page: Page, sandbox: Sandbox
) -> None:
    page.goto(sandbox.url)
    send(sandbox, event("A-1"))
    expect(cards(page)).to_have_count(1)
    sandbox.stop()
    expect(page.get_by_text("The sandbox does not answer")).to_be_visible()
    sandbox.start()
    expect(page.get_by_text("Live")).to_be_visible()
    expect(cards(page)).to_have_count(1)


def test_a_sandbox_that_takes_anothers_place_shows_all_its_events(
    page: Page, sandbox: Sandbox
) -> None:
    page.goto(sandbox.url)
    for order_id in ("A-1", "A-2"):
        send(sandbox, event(order_id))
    expect(cards(page)).to_have_count(2)
    sandbox.stop()
    ours: Any = settings.CONNECTLY_TRACKING
    with Sandbox(
        business_id=ours["BUSINESS_ID"],
        api_key=ours["API_KEY"],
        port=urlsplit(sandbox.url).port or 0,
    ) as another:
        for order_id in ("B-1", "B-2", "B-3"):
            send(another, event(order_id))
        expect(cards(page)).to_have_count(3)
        expect(cards(page).last).to_contain_text("B-1")
        assert counted(page)[0] == "3"


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        (
            "es-CO",
            [
                "En vivo",
                "Todavía no hay eventos",
                "rechazado",
                "payload.currency debe ser un código ISO 4217",
                "payload.num_items debe ser un número, no un texto",
                "cuerpo de la solicitud",
            ],
        ),
        (
            "pt-BR",
            [
                "Ao vivo",
                "Ainda não há eventos",
                "recusado",
                "payload.currency deve ser um código ISO 4217",
                "payload.num_items deve ser um número, não um texto",
                "corpo da requisição",
            ],
        ),
    ],
)
def test_it_speaks_the_browsers_language(
    chromium: Browser, sandbox: Sandbox, locale: str, words: list[str]
) -> None:
    page = chromium.new_context(locale=locale).new_page()
    page.goto(sandbox.url)
    live, empty, *of_the_card = words
    expect(page.get_by_text(live)).to_be_visible()
    expect(page.get_by_text(empty)).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == locale[:2] + (
        "-br" if locale == "pt-BR" else ""
    )
    send(sandbox, event("A-1", currency="usd", num_items="2"))
    for text in of_the_card:
        expect(cards(page)).to_contain_text(text, ignore_case=True)


def test_in_another_language_it_stays_in_english(
    chromium: Browser, sandbox: Sandbox
) -> None:
    page = chromium.new_context(locale="de-DE").new_page()
    page.goto(sandbox.url)
    expect(page.get_by_text("Live")).to_be_visible()
