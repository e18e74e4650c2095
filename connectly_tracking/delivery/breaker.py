"""One business's circuit: what its answers change, and who may try a paused one.

The circuit is a row, since a broker may lose everything. It is read after every group
of answers, so that one worker's trouble stops all of them, and written only when it
changes.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from django.db import Error, connections
from django.db.models import F, Q
from django.utils.crypto import salted_hmac

from ..api.verdicts import Outcome
from ..conf import conf
from ..models import Circuit, Conversion, DbNow
from ..signals import delivery_paused, delivery_resumed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.models import QuerySet

    from ..api.verdicts import Verdict
    from ..conf import Business

MAX_FAILURES: Final = 5  # in a row, over all workers
MAX_REFUSALS: Final = 5

#: These concern every event: nothing more may start, before it is even written down.
STOPS: Final = frozenset({Outcome.CONFIGURATION, Outcome.THROTTLED})
_FAILURES: Final = frozenset(
    {
        Outcome.UNAVAILABLE,
        Outcome.NOT_SENT,
        Outcome.UNKNOWN,
        Outcome.UNCONFIRMED,
        Outcome.INTERNAL,
    }
)
_ANSWERS: Final = frozenset({Outcome.CONFIRMED, Outcome.REFUSED})

logger = logging.getLogger(__name__)
#: When this process was last refused, by business and fingerprint (monotonic).
_refused: dict[tuple[str, str], float] = {}


def circuit_of(business: str, *, using: str) -> Circuit | None:
    """None where there was never any trouble."""
    return Circuit.objects.using(using).filter(pk=business).first()


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """One batch's view of its business's circuit.

    ``is_probe``: the business is paused, and this batch is the one that tries it.
    """

    business: str
    fingerprint: str
    using: str
    is_probe: bool = False
    probes: int = 0
    _news: list[Callable[[], object]] = field(default_factory=list, init=False)

    @property
    def longest_wait(self) -> float | None:
        """A row that was tried as a probe is there again for the next one; seconds."""
        return self._probe_wait if self.is_probe else None

    def note(self, verdicts: Sequence[Verdict]) -> bool:
        """Take in a group of answers, in their order; what says nothing of the API is
        left out of it. Whether the business flows.
        """
        plain = [verdict.in_ascii() for verdict in verdicts]
        try:
            try:
                return self._note(verdicts)
            except Error:
                if plain == verdicts:
                    raise
                return self._note(plain)  # a column may lack what the answer says
        except Error as exc:
            if not connections[self.using].in_atomic_block:
                connections[self.using].close_if_unusable_or_obsolete()
            # What nobody could write down must not be done again and again.
            error = type(exc).__name__
            logger.error("circuit_not_kept business=%s error=%s", self.business, error)
            return all(it.outcome == Outcome.CONFIRMED for it in verdicts)

    def tell(self) -> None:
        """Let listeners know, whatever they do with it."""
        while self._news:
            self._news.pop(0)()

    def _note(self, verdicts: Sequence[Verdict]) -> bool:
        for verdict in verdicts:
            if verdict.outcome == Outcome.CONFIGURATION:
                return self._pause(Circuit.Reason.CONFIGURATION, verdict)
        asked = [it for it in verdicts if it.outcome == Outcome.THROTTLED]
        if asked:
            longest = max(asked, key=lambda it: it.wait or 0)
            return self._pause(Circuit.Reason.THROTTLED, longest, longest.wait)
        circuit = self._row().first() or Circuit(business=self.business)
        if not verdicts:
            return circuit.paused_until is None
        return self._count(verdicts, circuit)

    def _count(self, verdicts: Sequence[Verdict], circuit: Circuit) -> bool:
        outcomes = [verdict.outcome for verdict in verdicts]
        answered = any(outcome in _ANSWERS for outcome in outcomes)
        failed = len(list(takewhile(_FAILURES.__contains__, reversed(outcomes))))
        confirmed = Outcome.CONFIRMED in outcomes
        since = outcomes[::-1].index(Outcome.CONFIRMED) if confirmed else len(outcomes)
        refused = outcomes[len(outcomes) - since :].count(Outcome.REFUSED)

        changes: dict[str, object] = {}
        if failed or (answered and circuit.failures):
            changes["failures"] = failed if answered else F("failures") + failed
        if refused or (confirmed and circuit.refusals):
            changes["refusals"] = refused if confirmed else F("refusals") + refused
        if changes:
            self._row(make=bool(failed or refused)).update(**changes)
            circuit = self._row().get()

        if circuit.refusals >= MAX_REFUSALS and not confirmed:
            return self._pause(Circuit.Reason.REFUSALS, verdicts[-1])
        if circuit.failures >= MAX_FAILURES:
            reason = Circuit.Reason.UNAVAILABLE
            return self._pause(reason, verdicts[-1], self._probe_wait)
        if self.is_probe and answered:
            self._resume()
            return True
        if self.is_probe:  # which says nothing new about the reason
            paused = self._row().exclude(paused_until=None)
            paused.update(paused_until=DbNow(self._probe_wait))
        return circuit.paused_until is None

    def _pause(
        self, reason: Circuit.Reason, verdict: Verdict, wait: float | None = None
    ) -> bool:
        """Nothing more of this business until then; False, for whoever asks."""
        if reason == Circuit.Reason.CONFIGURATION:
            _refused[self.business, self.fingerprint] = time.monotonic()
        until = DbNow(conf.PROBE_SCHEDULE[-1] if wait is None else wait)
        words = str(verdict.status_code or verdict.outcome)
        state = {
            "paused_until": until,
            "reason": reason,
            "detail": f"{words}: {verdict.detail}" if verdict.detail else words,
            "fingerprint": self.fingerprint,
        }
        row = self._row(make=True)
        flowed = row.filter(paused_until=None)
        news = flowed.update(**state, probes=0, changed_at=DbNow())
        if not news:
            # A pause is made longer by anybody, shorter only by who probes.
            mine = row if self.is_probe else row.filter(paused_until__lt=until)
            news = mine.exclude(reason=reason).update(**state)
            if not news:
                mine.update(**state)
        elif reason == Circuit.Reason.UNAVAILABLE:
            self._bring_forward(until)
        if news:
            logger.error("delivery_paused business=%s by=%s", self.business, words)
            self._news.append(
                partial(
                    delivery_paused.send_robust,
                    Circuit,
                    business=self.business,
                    reason=str(reason),
                    detail=state["detail"],
                )
            )
        return False

    def _resume(self) -> None:
        """A probe was answered: all flows again, also what waits for a later try."""
        paused = self._row().exclude(paused_until=None)
        if paused.update(
            paused_until=None, reason="", detail="", probes=0, changed_at=DbNow()
        ):
            self._bring_forward(DbNow())
            logger.info("delivery_resumed business=%s", self.business)
            self._news.append(
                partial(delivery_resumed.send_robust, Circuit, business=self.business)
            )

    def _bring_forward(self, until: DbNow) -> None:
        """While a circuit is open its clock holds, not that of each row."""
        waiting = Conversion.objects.using(self.using).retrying(self.business)
        waiting.filter(due_at__gt=until).update(due_at=until)

    def _row(self, *, make: bool = False) -> QuerySet[Circuit]:
        rows = Circuit.objects.using(self.using)
        if make:
            # Without a row there was never trouble; two may find that out at once.
            blank = Circuit(business=self.business, changed_at=DbNow())
            rows.bulk_create([blank], ignore_conflicts=True)
        return rows.filter(pk=self.business)

    @property
    def _probe_wait(self) -> float:
        schedule = conf.PROBE_SCHEDULE
        return schedule[min(self.probes, len(schedule) - 1)]


def take_probe(circuit: Circuit, fingerprint: str, *, using: str) -> bool:
    """Whether this worker is the one that may try a paused business now.

    Where the settings have changed it need not wait, unless it was asked to; but once
    only, since two processes may have different ones. A probe has a lease of its own,
    after which another one may follow.
    """
    ready = Q(paused_until__lte=DbNow())
    asked_to_wait = circuit.reason == Circuit.Reason.THROTTLED
    is_new = circuit.fingerprint != fingerprint
    if is_new and not asked_to_wait and not refused_lately(circuit.pk, fingerprint):
        ready |= Q(fingerprint=circuit.fingerprint)
    return bool(
        Circuit.objects.using(using)
        .filter(ready, pk=circuit.pk, probes=circuit.probes)
        .exclude(paused_until=None)
        .update(
            paused_until=DbNow(1.5 * conf.DEADLINE),
            probes=F("probes") + 1,
            fingerprint=fingerprint,
        )
    )


def refused_lately(business: str, fingerprint: str) -> bool:
    """Whether these settings were refused in this process not long ago."""
    at = _refused.get((business, fingerprint))
    return at is not None and time.monotonic() < at + conf.PROBE_SCHEDULE[-1]


def fingerprint_of(business: Business, base_url: str) -> str:
    """Tells whether the settings changed, and nothing about them."""
    parts = (base_url, business.business_id, business.api_key.reveal())
    salt = "connectly_tracking.delivery.pause"
    return salted_hmac(salt, "\n".join(parts), algorithm="sha256").hexdigest()
