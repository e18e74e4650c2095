"""Whether all is well: what each state of the system says, everywhere the same."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import django
import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from connectly_tracking import alerts, outbox, reports, tasks, views
from connectly_tracking.delivery import deliver
from connectly_tracking.events import ViewContent
from connectly_tracking.findings import CATALOGUE, Level
from connectly_tracking.models import (
    Alert,
    Attribution,
    Circuit,
    Conversion,
    DbNow,
    DeliveryAttempt,
    State,
)
from connectly_tracking.reports.health import current_findings

from .conftest import LANDING, make_click, make_purchase
from .test_prometheus import samples, scrape

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client, RequestFactory

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db
KEYS = {
    "ok",
    "findings",
    "waiting",
    "due",
    "oldest_due_seconds",
    "seconds_to_expiry",
    "paused",
    "rejected_24h",
    "expired_24h",
    "last_click_at",
    "last_order_at",
    "last_delivered_at",
}


def record(count: int = 1, **fields: Any) -> None:
    for number in range(count):
        outbox.record(make_purchase(f"ORD-{number}"), attribution=make_click())
    if fields:
        Conversion.objects.update(**fields)


def overdue() -> None:
    record(due_at=DbNow(-600))


def failing() -> None:
    old = timezone.now() - timedelta(hours=3)
    record(7, attempts=4, recorded_at=old, due_at=DbNow(600))


def rejected() -> None:
    record(14)
    Conversion.objects.all().mark_rejected("refused")  # type: ignore[arg-type]


def expired() -> None:
    record(2)
    Conversion.objects.all().mark_expired()


def expiring() -> None:
    record(event_time=timezone.now() - timedelta(days=6, hours=12))


def paused() -> None:
    pausing("configuration")()


def paused_by_hand() -> None:
    record()
    outbox.pause("default", detail="ana: stocktaking")


def without_clicks() -> None:
    for day in range(1, 9):
        at = timezone.now() - timedelta(days=day, hours=1)
        Attribution.objects.filter(pk=make_click().pk).update(captured_at=at)


def without_orders() -> None:
    for day in range(1, 9):
        at = timezone.now() - timedelta(days=day, hours=1)
        row = outbox.record(make_purchase(f"D-{day}"))
        Conversion.objects.filter(pk=row.pk).update(recorded_at=at)


def without_a_parameter() -> None:
    for number in range(60):
        click = make_click(age=number + 1)
        if number >= 30:
            old = timezone.now() - timedelta(days=2)
            Attribution.objects.filter(pk=click.pk).update(captured_at=old)
        else:
            Attribution.objects.filter(pk=click.pk).update(ad_id="")


def attempted(outcome: str, **fields: Any) -> None:
    now = timezone.now()
    record(attempts=1, **fields)
    DeliveryAttempt.objects.create(
        id=uuid4(),
        conversion=Conversion.objects.get(),
        started_at=now,
        finished_at=now,
        outcome=outcome,
    )


def behind() -> None:
    attempted("confirmed", due_at=DbNow(-600))


def answered_badly() -> None:
    attempted("unavailable", due_at=DbNow(600))


def forgotten() -> None:
    record(due_at=DbNow(-600), business="gone")


def copied() -> None:
    record(due_at=DbNow(-600), recorded_at=timezone.now() - timedelta(days=2))


def pausing(reason: str) -> Callable[[], None]:
    def begin() -> None:
        record()
        Circuit.objects.pause("default", reason=reason, paused_until=DbNow(60))

    return begin


#: Wrong settings without which no request can be made.
OF_THE_CLIENT: list[dict[str, Any]] = [
    {"BASE_URL": "http://api.connectly.ai"},
    {"CA_BUNDLE": "/no/such/file"},
    {"CONNECT_TIMEOUT": 0},
    {"DEADLINE": "soon"},
    {"PROXIES": "http://proxy:3128"},
    {"READ_TIMEOUT": -1},
]
#: How it begins, the settings that are changed, and the finding.
STATES: list[tuple[Callable[[], None], dict[str, Any], str]] = [
    (overdue, {}, "nobody_looks"),
    (behind, {}, "behind"),
    (answered_badly, {}, "last_answer_bad"),
    (forgotten, {}, "business_forgotten"),
    (copied, {}, "database_may_be_copied"),
    (failing, {}, "failing"),
    (rejected, {}, "rejected_lately"),
    (expired, {}, "expired_lately"),
    (expiring, {}, "expiring_soon"),
    (paused_by_hand, {}, "paused_by_hand"),
    *(
        (pausing(reason), {}, f"paused_{reason}")
        for reason in Circuit.Reason.values
        if reason != Circuit.Reason.BY_HAND
    ),
    (without_clicks, {}, "clicks_stopped"),
    (without_orders, {}, "orders_stopped"),
    (without_a_parameter, {}, "parameter_missing"),
    (record, {"API_KEY": None}, "business_not_ready"),
    (record, {"BATCH": "many"}, "settings_wrong"),
    *((overdue, changes, "settings_wrong") for changes in OF_THE_CLIENT),
    (record, {"MAX_EVENT_AGE": "soon"}, "settings_wrong"),
    (record, {"RETENTION": -1}, "settings_wrong"),
    (record, {"HOLD": -1}, "settings_wrong"),
]
DOCS = (Path(__file__).parent.parent / "docs/operator/metrics.md").read_text()
#: By the finding: whether there is a banner, what the delivery page says, and whether
#: `watch` tells it, as documented.
DOCUMENTED = {
    code: (banner == "yes", words, told == "yes")
    for code, words, banner, told in re.findall(
        r"^\| `(\w+)` \| (.*?) \| (yes|no) \| (yes|no) \|$", DOCS, re.M
    )
}


@pytest.mark.parametrize(("begin", "changes", "code"), STATES)
def test_of_what_is_wrong_everything_says_the_same(
    begin: Callable[[], None],
    changes: dict[str, Any],
    code: str,
    admin_client: Client,
    configure: Any,
    rf: RequestFactory,
) -> None:
    begin()
    configure(**changes)
    banner, words, told = DOCUMENTED[code]
    report = reports.health()
    assert set(report) == KEYS
    assert report["ok"] is False
    assert code in report["findings"]
    assert views.monitor(rf.get("/")).status_code == 503
    problems = {it.code for it in current_findings() if it.is_problem}
    assert problems <= set(report["findings"])
    metrics = samples(scrape())
    assert metrics["connectly_ok"] == 0
    assert found_in(metrics) == problems
    page = text_of(admin_client, "connectly_tracking_conversion_status")
    assert words in page
    assert "All is well" not in page
    assert all(DOCUMENTED[it][1] in page for it in problems)
    index = text_of(admin_client, "index")
    assert ("Sending is paused" in index) is banner
    notices = {notice.code for notice in alerts.watch()}
    assert (code in notices) is told
    assert notices == problems - alerts.NEVER_TOLD
    assert alerts.watch() == []


def test_every_finding_that_can_be_is_tried_and_documented() -> None:
    source = Path(reports.__file__).parent
    text = "".join((source / name).read_text() for name in ("health.py", "delivery.py"))
    named = set(re.findall(r'"(\w+)"', text)) & CATALOGUE.keys()
    named |= {f"paused_{reason}" for reason in Circuit.Reason.values}
    named |= {"rejected_lately", "expired_lately"}
    problems = {it for it in named if CATALOGUE[it][0] in (Level.WARNING, Level.ERROR)}
    assert problems == DOCUMENTED.keys() == {code for *_, code in STATES}


@pytest.mark.parametrize(
    ("orders", "changes", "delivered", "words", "findings"),
    [
        (0, {}, False, "Nothing has been sent yet.", ["nothing_sent_yet"]),
        (1, {}, False, "Orders are being sent.", ["nothing_sent_yet"]),
        (1, {}, True, "All is well.", []),
        (1, {"SEND": False}, True, "Sending is switched off", ["sending_off"]),
    ],
)
def test_of_what_is_well_everything_says_the_same(
    sandbox: Sandbox,
    admin_client: Client,
    configure: Any,
    rf: RequestFactory,
    orders: int,
    changes: dict[str, Any],
    delivered: bool,
    words: str,
    findings: list[str],
) -> None:
    record(orders)
    if delivered:
        deliver()
    configure(**changes)
    report = reports.health()
    assert (report["ok"], report["findings"]) == (True, findings)
    assert (report["last_delivered_at"] is not None) is delivered
    assert views.monitor(rf.get("/")).status_code == 200
    metrics = samples(scrape())
    assert metrics["connectly_ok"] == 1
    assert found_in(metrics) == set()
    page = text_of(admin_client, "connectly_tracking_conversion_status")
    assert words in page
    assert ("All is well." in page) is (words == "All is well.")
    assert "Sending is paused" not in text_of(admin_client, "index")
    assert alerts.watch() == []


def text_of(client: Client, page: str) -> str:
    return unescape(client.get(reverse(f"admin:{page}")).content.decode())


def found_in(metrics: dict[str, float]) -> set[str]:
    lines = "\n".join(line for line, value in metrics.items() if value == 1)
    return set(re.findall(r"^connectly_finding .*?code=(\w+)", lines, re.M))


def test_a_content_view_is_no_order() -> None:
    without_orders()
    view = ViewContent(
        content_ids=["sku-1"], content_type="product", event_time=int(time.time())
    )
    row = outbox.record(view, attribution=make_click())
    assert row.recorded_at > timezone.now() - timedelta(hours=1)
    report = reports.health()
    assert "orders_stopped" in report["findings"]
    assert report["last_order_at"] < timezone.now() - timedelta(days=1)
    metric = samples(scrape())["connectly_last_order_timestamp_seconds"]
    assert metric == pytest.approx(report["last_order_at"].timestamp())


def test_without_a_greatest_age_an_order_has_thirty_days_from_its_record(
    configure: Any,
) -> None:
    configure(MAX_EVENT_AGE=None)
    record(event_time=timezone.now() - timedelta(days=400))
    Conversion.objects.update(recorded_at=timezone.now() - timedelta(days=28))
    report = reports.health()
    assert report["seconds_to_expiry"] == pytest.approx(2 * 86_400, abs=60)
    assert "expiring_soon" not in report["findings"]
    Conversion.objects.update(recorded_at=timezone.now() - timedelta(days=29.5))
    assert "expiring_soon" in reports.health()["findings"]


def test_a_replayed_order_fails_if_it_fails_for_an_hour_after_the_replay() -> None:
    failing()
    Conversion.objects.exclude(order_id="ORD-0").delete()
    Conversion.objects.mark_expired()
    Conversion.objects.all().mark_replayed()
    assert "failing" not in reports.health()["findings"]
    Conversion.objects.update(replayed_at=DbNow(-2 * 3600), due_at=DbNow())
    row = Conversion.objects.get()
    for hours, is_failing in ((3, False), (1.9, False), (1.8, True)):
        at = DbNow(-hours * 3600)
        DeliveryAttempt.objects.create(id=uuid4(), conversion=row, started_at=at)
        assert ("failing" in reports.health()["findings"]) is is_failing
    Conversion.objects.update(replayed_at=DbNow(-3000))
    DeliveryAttempt.objects.update(started_at=DbNow(-60))
    assert "failing" not in reports.health()["findings"]


def test_the_hour_after_which_an_order_fails_begins_after_hold(configure: Any) -> None:
    configure(HOLD=2 * 3600)
    record(attempts=2, recorded_at=timezone.now() - timedelta(hours=2.5))
    assert "failing" not in reports.health()["findings"]
    Conversion.objects.update(recorded_at=timezone.now() - timedelta(hours=3.1))
    assert "failing" in reports.health()["findings"]


def test_the_figures_are_those_of_the_table() -> None:
    record(3)
    Conversion.objects.filter(order_id="ORD-0").update(due_at=DbNow(-60))
    placed = timezone.now() - timedelta(days=5)
    Conversion.objects.filter(order_id="ORD-1").update(
        due_at=DbNow(600), event_time=placed
    )
    Conversion.objects.filter(order_id="ORD-2").mark_expired()
    report = reports.health()
    assert (report["waiting"], report["due"]) == (2, 1)
    assert 55 < report["oldest_due_seconds"] < 120
    assert report["seconds_to_expiry"] == pytest.approx(2 * 86_400, abs=60)
    assert (report["rejected_24h"], report["expired_24h"]) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"BATCH": "many"}, "settings_wrong"),
        ({"API_KEY": None}, "business_not_ready"),
        ({"SEND": False}, "sending_off"),
    ],
)
def test_a_setting_that_stops_all_is_found(
    configure: Any, changes: dict[str, Any], code: str
) -> None:
    configure(**changes)
    assert code in reports.health()["findings"]


@pytest.mark.parametrize("changes", OF_THE_CLIENT)
def test_a_wrong_setting_is_not_taken_for_a_worker_that_is_missing(
    configure: Any, changes: dict[str, Any]
) -> None:
    def vault() -> str:
        raise AssertionError("called")

    overdue()
    configure(API_KEY=vault, **changes)
    assert reports.health()["findings"] == ["settings_wrong"]
    assert str(*changes) in current_findings()[0].text
    assert str(*changes) in reports.explain("ORD-0")
    assert "no worker" not in reports.explain("ORD-0")


def test_a_monitor_gets_json_and_a_status(rf: RequestFactory) -> None:
    answer = views.monitor(rf.get("/"))
    assert answer.status_code == 200
    assert json.loads(answer.content)["ok"] is True
    overdue()
    answer = views.monitor(rf.get("/"))
    assert answer.status_code == 503
    assert "nobody_looks" in json.loads(answer.content)["findings"]
    assert answer.headers["Cache-Control"] == "no-store"


# Django 6.1 wants the setting MAILERS, which Django 5.2 does not know.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_the_beginning_and_the_end_are_told_once(
    configure: Any, mailoutbox: list[Any], settings: Any
) -> None:
    address = "ana@shop.example"
    settings.ADMINS = [address if django.VERSION >= (6, 0) else ("Ana", address)]
    configure(ALERTS="mail_admins")
    paused()
    alerts.watch()
    alerts.watch()
    (mail,) = mailoutbox
    assert mail.subject.startswith("[Django] [Connectly] default is paused")
    assert "API_KEY" in mail.body
    Circuit.objects.all().resume("default", by="probe")
    alerts.watch()
    alerts.watch()
    assert [mail.subject for mail in mailoutbox[1:]] == [
        mail.subject.replace("[Connectly]", "[Connectly] Resolved:")
    ]
    assert not Alert.objects.exists()


def test_what_could_not_be_told_is_told_by_the_next_run(configure: Any) -> None:
    heard: list[str] = []

    def listen(finding: Any) -> None:
        heard.append(finding.code)
        if heard.count(finding.code) == 1 and finding.code == "failing":
            raise OSError("no mail server")

    configure(ALERTS=listen)
    failing()
    paused_orders = Conversion.objects.all()[:1].values_list("pk", flat=True)
    Conversion.objects.filter(pk__in=list(paused_orders)).mark_expired()
    alerts.watch()
    assert sorted(heard) == ["expired_lately", "failing"]
    alerts.watch()
    assert sorted(heard) == ["expired_lately", "failing", "failing"]
    alerts.watch()
    assert len(heard) == 3


def test_of_two_runs_only_one_tells() -> None:
    paused()
    key = "paused_configuration:default"
    alerts.watch()
    Alert.objects.update(told_at=None)
    assert Alert.objects.untold().claim(key)
    assert not Alert.objects.untold().claim(key)
    assert alerts.watch() == []


def test_what_another_run_has_told_meanwhile_is_not_told_again(
    configure: Any,
) -> None:
    """Both have read what is untold; the other one is the quicker."""
    heard: list[str] = []

    def listen(finding: Any) -> None:
        heard.append(f"{finding.code} {finding.is_over}")
        if len(heard) == 1:
            alerts.watch()  # the other run, from the first finding's listener

    configure(ALERTS=listen)
    failing()
    Conversion.objects.filter(order_id="ORD-0").mark_expired()
    alerts.watch()
    assert sorted(heard) == ["expired_lately False", "failing False"]
    heard.clear()
    Conversion.objects.all().delete()
    alerts.watch()
    assert sorted(heard) == ["expired_lately True", "failing True"]


def told() -> list[str]:
    """What a run tells: each code, and whether it is over."""
    return sorted(f"{it.code} {it.is_over}" for it in alerts.watch())


def test_what_a_wrong_setting_hides_is_not_over(configure: Any) -> None:
    paused()
    Conversion.objects.all().mark_rejected("refused")  # type: ignore[arg-type]
    assert told() == ["paused_configuration False", "rejected_lately False"]
    configure(BATCH="many")
    assert told() == ["settings_wrong False"]
    assert told() == []
    configure(BATCH=64)
    assert told() == ["settings_wrong True"]
    Conversion.objects.all().delete()
    Circuit.objects.all().resume("default", by="probe")
    assert told() == ["paused_configuration True", "rejected_lately True"]


def let_pass(days: float) -> None:
    """As if the clicks and the orders had come so many days earlier."""
    Attribution.objects.update(captured_at=F("captured_at") - timedelta(days=days))
    Conversion.objects.update(recorded_at=F("recorded_at") - timedelta(days=days))


@pytest.mark.parametrize(
    ("begin", "code", "come_again"),
    [
        (without_clicks, "clicks_stopped", make_click),
        (without_orders, "orders_stopped", record),
        (without_a_parameter, "parameter_missing", make_click),
    ],
)
def test_what_stays_away_is_not_over_until_it_comes_again(
    begin: Callable[[], None], code: str, come_again: Callable[[], object]
) -> None:
    begin()
    assert told() == [f"{code} False"]
    for _ in range(11):
        let_pass(0.5)
        assert code in reports.health()["findings"]
        assert f"{code} True" not in told()
    come_again()
    assert code not in reports.health()["findings"]
    assert f"{code} True" in told()


@pytest.mark.parametrize("begin", [without_clicks, without_orders, without_a_parameter])
def test_what_has_stayed_away_for_a_week_ends_without_a_word(
    begin: Callable[[], None],
) -> None:
    begin()
    assert len(told()) == 1
    let_pass(8)
    assert reports.health()["ok"]
    assert told() == []
    assert not Alert.objects.exists()


def test_what_came_again_is_told_as_over_though_it_stays_away_again(
    configure: Any, settings: Any
) -> None:
    without_clicks()
    assert told() == ["clicks_stopped False"]
    let_pass(2)
    make_click()
    configure(ALERTS=refuse_to_listen)
    assert told() == []
    let_pass(2)
    configure(ALERTS=None)
    assert "clicks_stopped True" in told()


def test_a_parameter_that_comes_again_is_over_whatever_else_is_missing() -> None:
    without_a_parameter()
    Attribution.objects.update(ctwa_clid="")
    assert told() == ["parameter_missing False"]
    make_click(replace(LANDING, ctwa_clid=""))
    assert told() == ["parameter_missing True"]


def refuse_to_listen(_finding: object) -> None:
    raise OSError


def test_a_parameter_is_missing_on_a_quiet_day_and_among_many_clicks_too() -> None:
    without_ad = replace(LANDING, ad_id="")
    without_a_parameter()
    assert told() == ["parameter_missing False"]
    let_pass(1)
    for number in range(15):
        make_click(without_ad, age=number + 1)
    assert told() == []
    let_pass(1)
    for number in range(110):
        make_click(without_ad, age=number + 1)
    let_pass(2)
    make_click(without_ad)
    assert told() == []
    assert "parameter_missing" in reports.health()["findings"]


def test_orders_that_fail_are_not_over_while_their_business_is_paused() -> None:
    failing()
    assert told() == ["failing False"]
    Circuit.objects.pause("default", reason="unavailable", paused_until=DbNow(60))
    assert told() == ["paused_unavailable False"]
    Circuit.objects.all().resume("default", by="probe")
    assert told() == ["paused_unavailable True"]
    Circuit.objects.pause("br", reason="unavailable", paused_until=DbNow(60))
    Conversion.objects.all().mark_expired()
    assert told() == [
        "expired_lately False",
        "failing True",
        "paused_unavailable False",
    ]


def test_a_pause_that_changes_its_reason_is_not_over() -> None:
    pausing("unavailable")()
    assert told() == ["paused_unavailable False"]
    Circuit.objects.update(reason="configuration")  # as a probe's answer says
    assert told() == ["paused_configuration False"]
    Circuit.objects.update(reason="unavailable")
    assert told() == []
    Circuit.objects.all().resume("default", by="probe")
    assert told() == ["paused_configuration True", "paused_unavailable True"]


@pytest.mark.parametrize(
    ("changes", "told_now"),
    [
        ({"BUSINESSES": {"br": {}}}, ["business_not_ready False"]),
        ({"BUSINESSES": {}}, ["business_forgotten False"]),
        ({"SEND": False}, []),
        ({}, ["paused_by_hand False"]),
    ],
)
def test_that_no_worker_sends_is_not_over_while_nothing_may_be_sent(
    configure: Any, settings: Any, changes: dict[str, Any], told_now: list[str]
) -> None:
    own = settings.CONNECTLY_TRACKING
    br = {name: own[name] for name in ("BUSINESS_ID", "API_KEY")}
    configure(BUSINESSES={"br": br})
    record(due_at=DbNow(-600), business="br")
    assert told() == ["nobody_looks False"]
    configure(**changes)
    if not changes:
        outbox.pause("br")
    assert told() == told_now


def test_the_command_prints_what_could_not_be_told_and_fails(
    configure: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> None:
        raise OSError

    overdue()
    configure(ALERTS=broken)
    with pytest.raises(CommandError, match="ALERTS failed for 1 of them"):
        call_command("connectly_watch")
    assert "no worker is sending" in capsys.readouterr().out
    configure(ALERTS=None)
    call_command("connectly_watch")
    assert "no worker is sending" in capsys.readouterr().out


def test_an_alert_of_another_version_is_ended(configure: Any) -> None:
    heard: list[str] = []
    configure(ALERTS=lambda it: heard.extend([it.subject_line, it.message]))
    Alert.objects.begin("gone:", code="gone", business="", detail="It was\nso.")
    Alert.objects.update(told_at=DbNow())
    alerts.watch()
    assert heard == ["[Connectly] Resolved: It was so.", "Resolved: It was\nso."]
    assert not Alert.objects.exists()


def test_all_missing_parameters_are_named() -> None:
    without_a_parameter()
    new = Attribution.objects.filter(captured_at__gte=timezone.now() - timedelta(1))
    new.update(sendout_id="")
    found = [it for it in current_findings() if it.code == "parameter_missing"]
    assert len(found) == 1
    assert "sendout_id, ad_id" in found[0].text


def test_a_pause_by_hand_needs_no_worker(admin_client: Client) -> None:
    paused_by_hand()
    Conversion.objects.update(due_at=DbNow(-600))
    Circuit.objects.update(paused_until=DbNow(-600))
    assert reports.health()["findings"] == ["paused_by_hand", "nothing_sent_yet"]
    (finding,) = (it for it in current_findings() if it.code == "paused_by_hand")
    assert "next attempt" not in finding.text
    assert "ana: stocktaking" in finding.text
    page = admin_client.get(reverse("admin:connectly_tracking_conversion_status"))
    assert "no worker is sending them" not in page.content.decode()


def test_what_ended_before_it_was_told_is_forgotten(configure: Any) -> None:
    def fail(finding: Any) -> None:
        raise OSError

    configure(ALERTS=fail)
    paused()
    assert alerts.watch() == []
    Circuit.objects.all().resume("default", by="probe")
    assert alerts.watch() == []
    assert not Alert.objects.exists()


def test_what_comes_back_is_told_again(configure: Any) -> None:
    heard: list[tuple[str, bool]] = []
    configure(ALERTS=lambda finding: heard.append((finding.code, finding.is_over)))
    for _ in range(2):
        Circuit.objects.pause("default", reason="refusals", paused_until=DbNow(60))
        alerts.watch()
        Circuit.objects.all().resume("default", by="probe")
        alerts.watch()
    assert heard == [("paused_refusals", False), ("paused_refusals", True)] * 2


def test_a_row_in_a_final_state_knows_when_it_ended() -> None:
    record()
    rows = Conversion.objects.all()
    rows.mark_expired()
    assert rows.get().ended_at is not None
    rows.mark_replayed()
    assert (rows.get().state, rows.get().ended_at) == (State.PENDING, None)


def test_the_command_prints_what_it_tells(capsys: pytest.CaptureFixture[str]) -> None:
    paused()
    call_command("connectly_watch")
    printed = capsys.readouterr().out
    assert printed.startswith("default is paused")
    assert "API_KEY" in printed
    call_command("connectly_watch")
    assert capsys.readouterr().out == ""


def test_beat_calls_the_task_by_its_name() -> None:
    paused()
    assert tasks.watch_now.name == "connectly_tracking.watch"
    tasks.watch_now.apply().get()
    assert Alert.objects.exclude(told_at=None).count() == 1
