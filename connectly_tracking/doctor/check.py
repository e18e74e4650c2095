"""How the doctor runs a check: it does not raise, and waits for a server only so long.

Clocks are compared here, too, those of the database and of the API.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Final, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..findings import Finding, Subject, found, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_T = TypeVar("_T")

APART: Final = 5.0  # seconds between two clocks
FAR_APART: Final = 60.0
#: By the subject, and whether the clock is ahead of this machine's.
_SKEWS: Final = {
    (Subject.DATABASE, True): gettext_lazy(
        "The database's clock is %(seconds)s s ahead of this machine's."
    ),
    (Subject.DATABASE, False): gettext_lazy(
        "The database's clock is %(seconds)s s behind this machine's."
    ),
    (Subject.API, True): gettext_lazy(
        "The API's clock is %(seconds)s s ahead of this machine's."
    ),
    (Subject.API, False): gettext_lazy(
        "The API's clock is %(seconds)s s behind this machine's."
    ),
}


def found_skew(subject: Subject, seconds: float) -> list[Finding]:
    """Report a clock that is so many seconds ahead of this machine's."""
    if abs(seconds) <= APART:
        return []
    far = "far_" if abs(seconds) > FAR_APART else ""
    text = _SKEWS[subject, seconds > 0] % {"seconds": f"{abs(seconds):.0f}"}
    return [found(subject, f"{subject}_clock_{far}apart", text)]


def run_check(
    subject: Subject, check: Callable[[], Iterable[Finding]], *, business: str = ""
) -> list[Finding]:
    """Return what a check finds. If it fails, that is a finding, too."""
    findings: list[Finding] = []
    try:
        findings.extend(check())
    except Exception as exc:  # noqa: BLE001 - the other checks are run
        is_ours = str(exc).startswith("CONNECTLY_TRACKING")
        if isinstance(exc, ImproperlyConfigured) and is_ours:
            return findings  # the check of the settings reports it, once
        error = one_line(f"{type(exc).__name__}: {exc}")
        text = _("This check failed: %(error)s") % {"error": error}
        findings.append(found(subject, "check_failed", text, business=business))
    return findings


def with_timeout(seconds: float, function: Callable[[], _T]) -> _T:
    """Return what ``function`` returns; TimeoutError if that takes longer.

    It runs in a thread that is then abandoned: neither a name server nor a driver can
    be told to give up.
    """
    future = Future[_T]()

    def run() -> None:
        try:
            future.set_result(function())
        except Exception as exc:  # noqa: BLE001 - raised where it is waited for
            future.set_exception(exc)
        finally:
            connections.close_all()  # this thread's own

    threading.Thread(target=run, daemon=True).start()
    if not wait([future], seconds).done:
        text = _("no answer within %(seconds)s s") % {"seconds": f"{seconds:g}"}
        raise TimeoutError(text)
    return future.result()
