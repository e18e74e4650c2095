"""The whole demo, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import customer, evidence, stage
from .report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from .supervisor import Supervisor


def run(
    supervisor: Supervisor, say: Callable[[str], None], *, with_history: bool
) -> Report:
    built = stage.build(supervisor, say, with_history=with_history)
    say("A customer comes from an ad")
    landing_url = customer.tagged(built.shop)
    order_id = customer.buy(built.shop, landing_url)
    row = evidence.conversion(supervisor, order_id)
    return Report(
        landing_url=landing_url,
        exchange=evidence.exchange(built.sandbox, order_id),
        conversion=row,
        stage=built,
    )
