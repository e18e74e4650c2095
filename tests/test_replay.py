"""A person has something sent again."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from connectly_tracking import outbox
from connectly_tracking.delivery import deliver
from connectly_tracking.models import Attribution, Conversion, DbNow, Reason, State

from .conftest import make_click, make_purchase

if TYPE_CHECKING:
    from redis import Redis

    from connectly_tracking.sandbox import Sandbox

pytestmark = pytest.mark.django_db


def end(row: Conversion, state: State, reason: Reason) -> None:
    Conversion.objects.filter(pk=row.pk).update(state=state, reason=reason, due_at=None)


def fresh(row: Conversion) -> Conversion:
    return Conversion.objects.get(pk=row.pk)


def replay(*args: str) -> str:
    out = StringIO()
    call_command("connectly_replay", *args, stdout=out, stderr=out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.REJECTED, Reason.REFUSED),
        (State.REJECTED, Reason.INTERNAL),
        (State.EXPIRED, Reason.EXPIRED),
        (State.SKIPPED, Reason.CANCELLED),
        (State.SKIPPED, Reason.SENDING_OFF),
    ],
)
def test_what_was_given_up_goes_out_with_the_same_bytes(
    sandbox: Sandbox, click: Attribution, state: State, reason: Reason
) -> None:
    row = outbox.record(make_purchase(), attribution=click)
    Conversion.objects.update(crashes=5, unconfirmed=7, cancelled_at=timezone.now())
    end(row, state, reason)
    assert outbox.replay(Conversion.objects.all()) == 1
    assert (fresh(row).state, fresh(row).reason) == (State.PENDING, "")
    assert deliver() == {State.DELIVERED: 1}
    assert sandbox.events[0].body == row.body.encode()


def test_while_sending_is_switched_off_it_is_said_that_they_wait(
    sandbox: Sandbox, click: Attribution, configure: Any
) -> None:
    row = outbox.record(make_purchase(), attribution=click)
    end(row, State.REJECTED, Reason.REFUSED)
    configure(SEND=False)
    said = replay("--state", "rejected", "--yes")
    assert said.endswith(
        "To be sent again: 1.\nCONNECTLY_TRACKING['SEND'] is False: they wait until it "
        "is True.\n"
    )
    assert (fresh(row).state, deliver()) == (State.PENDING, {})
    assert "SEND" not in replay("--state", "rejected", "--yes")  # nothing was changed


def test_what_was_tried_often_begins_the_schedule_anew(
    sandbox: Sandbox, click: Attribution
) -> None:
    row = outbox.record(make_purchase(), attribution=click)
    sandbox.behave(["500", "500", "500", "400", "500", "500"])
    waits = []
    for _ in range(6):
        deliver()
        row.refresh_from_db()
        if row.due_at is None:
            outbox.replay(Conversion.objects.all())
            continue
        waits.append((row.due_at - timezone.now()).total_seconds())
        Conversion.objects.update(due_at=DbNow())
    assert row.attempts == 6
    for wait, scheduled in zip(waits, (30, 60, 300, 30, 60), strict=True):
        assert 0.7 * scheduled < wait < 1.3 * scheduled


def test_what_is_too_old_is_sent_all_the_same_since_a_person_says_so(
    sandbox: Sandbox, click: Attribution
) -> None:
    row = outbox.record(make_purchase(), attribution=click)
    Conversion.objects.update(event_time=timezone.now() - timedelta(days=9))
    assert deliver() == {State.EXPIRED: 1}
    outbox.replay(Conversion.objects.all())
    assert deliver() == {State.DELIVERED: 1}
    assert fresh(row).replayed_at is not None


def test_what_has_no_click_waits_or_is_delivered_is_left_alone(
    sandbox: Sandbox, click: Attribution
) -> None:
    outbox.record(make_purchase("delivered"), attribution=click)
    deliver()
    outbox.record(make_purchase("clickless"))
    outbox.record(make_purchase("waits"), attribution=click)
    assert outbox.replay(Conversion.objects.all()) == 0


def test_the_workers_are_woken(
    transactional_db: None, celery_broker: Redis, click: Attribution
) -> None:
    end(
        outbox.record(make_purchase(), attribution=click),
        State.REJECTED,
        Reason.REFUSED,
    )
    celery_broker.flushall()
    outbox.replay(Conversion.objects.all())
    assert celery_broker.llen("celery") == 1
    outbox.replay(Conversion.objects.all())
    assert celery_broker.llen("celery") == 1


class ReadsElsewhere:
    def db_for_read(self, model: type, **_: Any) -> str:
        return "replica"


class TestCommand:
    @pytest.fixture(autouse=True)
    def _rows(self, click: Attribution) -> None:
        for name, state, reason in [
            ("a", State.REJECTED, Reason.REFUSED),
            ("b", State.REJECTED, Reason.INTERNAL),
            ("c", State.EXPIRED, Reason.EXPIRED),
        ]:
            end(outbox.record(make_purchase(name), attribution=click), state, reason)
        outbox.record(make_purchase("clickless"))

    @pytest.mark.parametrize(
        ("options", "orders"),
        [
            (["--order", "a", "--order", "c", "--order", "clickless"], {"a", "c"}),
            (["--order", "A"], set()),
            (["--state", "rejected"], {"a", "b"}),
            (["--state", "rejected", "--reason", "internal"], {"b"}),
            (["--since", "2020-01-01"], {"a", "b", "c"}),
            (["--until", "2020-01-01"], set()),
            (["--state", "expired", "--business", "default"], {"c"}),
        ],
    )
    def test_it_sends_again_what_was_chosen_and_nothing_else(
        self, options: list[str], orders: set[str]
    ) -> None:
        said = replay(*options, "--yes")
        pending = Conversion.objects.filter(state=State.PENDING)
        assert set(pending.values_list("order_id", flat=True)) == orders
        assert ("may already have counted" in said) == bool(orders)

    def test_it_does_not_ask_a_replica(self, settings: Any) -> None:
        settings.DATABASE_ROUTERS = [ReadsElsewhere()]
        assert "To be sent again: 1." in replay("--order", "a", "--yes")

    @pytest.mark.parametrize(
        ("options", "count"),
        [
            (["--state", "rejected"], 1),
            (["--since", "2020-01-01"], 1),
            (["--order", "a"], 1),
            (["--reason", "cancelled"], 1),
        ],
    )
    def test_what_the_shop_cancelled_is_sent_only_where_it_is_asked_for(
        self, options: list[str], count: int
    ) -> None:
        outbox.cancel("a")
        end(Conversion.objects.get(order_id="c"), State.SKIPPED, Reason.CANCELLED)
        outbox.cancel("c")
        assert f"To be sent again: {count}." in replay(*options, "--yes")

    def test_a_dry_run_counts_by_reason_and_changes_nothing(self) -> None:
        said = replay("--since", "2020-01-01", "--dry-run")
        assert "1 rejected: Connectly or Meta refused it" in said
        assert "1 expired: it was too old" in said
        assert "Nothing was changed." in said
        assert not Conversion.objects.filter(state=State.PENDING).exists()

    @pytest.mark.parametrize(("answer", "count"), [("y", 1), ("", 0), ("n", 0)])
    def test_it_asks_first(
        self, monkeypatch: pytest.MonkeyPatch, answer: str, count: int
    ) -> None:
        monkeypatch.setattr("builtins.input", lambda _: answer)
        if count:
            replay("--order", "a")
        else:
            with pytest.raises(CommandError, match="Nothing was changed"):
                replay("--order", "a")
        assert Conversion.objects.filter(state=State.PENDING).count() == count

    def test_where_nobody_can_answer_nothing_is_sent(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdin", StringIO())
        with pytest.raises(CommandError, match="--yes"):
            replay("--order", "a")
        assert not Conversion.objects.filter(state=State.PENDING).exists()

    @pytest.mark.parametrize(
        "options",
        [
            [],
            ["--business", "default"],
            ["--state", "rejected", "--business", "mx"],
            ["--since", "yesterday"],
            ["--state", "rejected", "--until", "31/12/2026"],
        ],
    )
    def test_nonsense_is_refused_with_words(self, options: list[Any]) -> None:
        with pytest.raises(CommandError):
            replay(*options, "--yes")


def test_a_click_that_is_gone_does_not_matter(sandbox: Sandbox) -> None:
    click = make_click()
    row = outbox.record(make_purchase(), attribution=click)
    end(row, State.REJECTED, Reason.REFUSED)
    click.delete()
    outbox.replay(Conversion.objects.all())
    assert deliver() == {State.DELIVERED: 1}
