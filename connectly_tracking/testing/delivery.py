"""Sends what a test has recorded: there is no worker, and no broker to wake one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import router

from .. import delivery
from ..conf import conf
from ..models import Circuit, Conversion, DbNow, State

if TYPE_CHECKING:
    from ..delivery import Tally
    from ..sandbox import Sandbox


def deliver(sandbox: Sandbox, *, later: bool = False) -> Tally:
    """Send what is due. Returns the counts by state.

    ``later``: as if time had passed, so that also what is held, waits for its next try
    or is paused goes out; what fails then waits again.
    """
    __tracebackhide__ = True
    if sandbox.url != conf.BASE_URL:
        raise AssertionError(
            f"Nothing is sent to {conf.BASE_URL} by a test: CONNECTLY_TRACKING was "
            "replaced after the sandbox had been put into it. Change it instead: "
            "{**settings.CONNECTLY_TRACKING, …}"
        )
    if later:
        _bring_forward()
    return delivery.deliver()


def _bring_forward() -> None:
    using = router.db_for_write(Conversion)
    circuits = Circuit.objects.using(using).exclude(paused_until=None)
    circuits.update(paused_until=DbNow())
    waiting = Conversion.objects.using(using).filter(state=State.PENDING)
    waiting.filter(due_at__gt=DbNow()).update(due_at=DbNow())
