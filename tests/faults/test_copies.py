"""A database is copied, or restored from a backup, while orders wait.

docs/operator/staging.md says what to do; its own code is run here.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from connectly_tracking.models import Conversion, Reason, State

from ..test_staging import end_waiting  # noqa: F401 - a fixture
from .audit import audit
from .copies import copied, restore
from .crew import await_polls, dismiss, hire
from .shop import MANAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .shop import Shop

pytestmark = pytest.mark.usefixtures("patient")


def test_f48_a_copy_with_sending_off_sends_nothing(shop: Shop) -> None:
    told = shop.orders(20)
    with copied() as copy:
        shop.configure(SEND=False)
        shop.set(DATABASE={"NAME": copy})
        staging = hire(shop)
        await_polls(staging, 3)
        shop.broker = None
        shop.configure(SEND=True)
        shop.set(DATABASE={})
        shop.looper()
        shop.until_quiet()
    audit(shop, told)
    assert shop.sandbox.received_count == len(told)


def test_f48_a_copy_that_sends_repeats_the_same_bytes(shop: Shop) -> None:
    told = shop.orders(20)
    with copied() as copy:
        shop.set(DATABASE={"NAME": copy})
        staging = shop.looper()
        shop.sandbox.wait_for(lambda it: it.event_count == len(told))
        shop.set(DATABASE={})
        shop.looper()
        shop.until_quiet()
        shop.kill(staging)
    audit(shop, told, in_flight=len(told))
    assert shop.sandbox.received_count == 2 * len(told)


def test_f49_a_restored_database_sends_what_waited_with_the_same_bytes(
    shop: Shop,
) -> None:
    told = shop.orders(20)
    with copied() as backup:
        sender = shop.looper()
        shop.until_quiet()
        shop.kill(sender)
        restore(backup)
    assert Conversion.objects.exclude(due_at=None).count() == len(told)
    shop.looper()
    shop.until_quiet()
    audit(shop, told, in_flight=len(told))
    assert set(sent(shop).values()) == {2}


def test_f49_the_steps_after_a_restore_send_each_order_once(
    shop: Shop,
    end_waiting: Callable[[], None],  # noqa: F811
) -> None:
    before = shop.orders(20)
    with copied() as backup:
        sender = shop.looper()
        shop.until_quiet()
        shop.kill(sender)
        restore(backup)
    shop.configure(SEND=False)
    meanwhile = shop.orders(5)
    crew = hire(shop)
    await_polls(crew, 1)
    end_waiting()
    await_polls(crew, 1)
    dismiss(crew)
    assert sent(shop) == dict.fromkeys(before, 1)
    shop.configure(SEND=True)
    shop.looper()
    command = [*MANAGE, "connectly_replay", "--reason", "sending_off", "--yes"]
    shop.start("replay", command).ended()
    shop.until_quiet()
    assert sent(shop) == dict.fromkeys([*before, *meanwhile], 1)
    ended = Conversion.objects.filter(order_id__in=before)
    assert set(ended.values_list("state", "reason")) == {
        (State.SKIPPED, Reason.CANCELLED)
    }


def sent(shop: Shop) -> Counter[str]:
    return Counter(str(it.order_id) for it in shop.sandbox.requests)
