"""The circuit of one business: what its answers change, and who may probe a pause.

The circuit is a row, since a broker may lose everything. It is read after every group
of answers, so that one worker's trouble stops all of them, and written only when it
changes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Self

from django.db import Error
from django.db.models import F, Q

from ..api.verdicts import Outcome
from ..models import Circuit, DbNow, Pause
from ..signals import delivery_paused, delivery_resumed
from .run import settings_refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.dispatch import Signal

    from ..api.verdicts import Verdict
    from ..models.pause import CircuitQuerySet
    from .run import Run

MAX_FAILURES: Final = 5  # in a row, over all workers
MAX_REFUSALS: Final = 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """One batch's view of the circuit. ``is_probe``: the business is paused, and this
    batch is the one that tries it.
    """

    run: Run
    business: str
    fingerprint: str
    is_probe: bool = False
    probes: int = 0
    _news: list[tuple[Signal, dict[str, str]]] = field(default_factory=list, init=False)

    @property
    def longest_wait(self) -> float | None:
        """Seconds. A row that was sent as a probe is due again for the next one."""
        return self._probe_wait if self.is_probe else None

    def was_refused_lately(self) -> bool:
        """Whether these settings were refused in this process not long ago."""
        longest = self.run.settings.PROBE_SCHEDULE[-1]
        return settings_refused.is_within(longest, self.business, self.fingerprint)

    def begin_probe(self, circuit: Circuit) -> Self | None:
        """The breaker of a probe if this worker may send one now, or None.

        If the settings changed, a probe need not wait, unless the API asked to; but
        only once, since two processes may have different settings. A probe has a lease
        of its own, after which another one may follow.
        """
        ready = Q(paused_until__lte=DbNow())
        if circuit.is_by_hand:
            return None
        asked_to_wait = circuit.reason == Circuit.Reason.THROTTLED
        is_new = circuit.fingerprint != self.fingerprint
        if is_new and not asked_to_wait and not self.was_refused_lately():
            ready |= Q(fingerprint=circuit.fingerprint)
        claimed = self._paused.filter(ready, probes=circuit.probes).update(
            paused_until=DbNow(1.5 * self.run.settings.DEADLINE),
            probes=F("probes") + 1,
            fingerprint=self.fingerprint,
        )
        if not claimed:
            return None
        return replace(self, is_probe=True, probes=circuit.probes + 1)

    def note(self, verdicts: Sequence[Verdict]) -> bool:
        """Take in a group of answers: confirmations, then at most one other. Returns
        whether the business flows.
        """
        try:
            return self._note(verdicts)
        except Error as exc:
            plain = [verdict.in_ascii() for verdict in verdicts]
            if plain != verdicts:
                return self.note(plain)  # a column may lack a character of the answer
            self.run.drop_lost_connection()
            error = type(exc).__name__
            logger.error("circuit_not_kept business=%s error=%s", self.business, error)
            # A pause that could not be stored still holds for this worker.
            return all(it.outcome == Outcome.CONFIRMED for it in verdicts)

    def send_signals(self) -> None:
        for signal, words in self._news:
            signal.send_robust(Circuit, business=self.business, **words)

    def _note(self, verdicts: Sequence[Verdict]) -> bool:
        last = verdicts[-1] if verdicts else None
        if last and last.outcome == Outcome.CONFIGURATION:
            settings_refused.note(self.business, self.fingerprint)
            is_meta = last.status_code == 400  # it is answered by Meta's code
            why = Circuit.Reason.META_LINK if is_meta else Circuit.Reason.CONFIGURATION
            return self._pause(why, last)
        if last and last.outcome == Outcome.THROTTLED:
            return self._pause(Circuit.Reason.THROTTLED, last, last.wait)
        circuit = self._row.first() or Circuit(business=self.business)
        if last:
            was_confirmed = verdicts[0].outcome == Outcome.CONFIRMED
            return self._count(circuit, last, was_confirmed=was_confirmed)
        return circuit.paused_until is None

    def _count(self, circuit: Circuit, last: Verdict, *, was_confirmed: bool) -> bool:
        """``was_confirmed``: whether a confirmation came before, or is the last."""
        refused = last.outcome == Outcome.REFUSED
        failed = not refused and last.outcome != Outcome.CONFIRMED
        changes: dict[str, object] = {}
        if failed:
            changes["failures"] = 1 if was_confirmed else F("failures") + 1
        elif circuit.failures:
            changes["failures"] = 0
        if refused:
            changes["refusals"] = 1 if was_confirmed else F("refusals") + 1
        elif was_confirmed and circuit.refusals:
            changes["refusals"] = 0
        if changes:
            if failed or refused:
                self._make_row()
            self._row.update(**changes)
            circuit = self._row.get()

        if circuit.refusals >= MAX_REFUSALS:
            return self._pause(Circuit.Reason.REFUSALS, last)
        if circuit.failures >= MAX_FAILURES:
            return self._pause(Circuit.Reason.UNAVAILABLE, last, self._probe_wait)
        if self.is_probe and not failed:
            self._resume()
            return True
        if self.is_probe:  # says nothing new about the reason of the pause
            self._paused.update(paused_until=DbNow(self._probe_wait))
        return circuit.paused_until is None

    def _pause(
        self, reason: Circuit.Reason, verdict: Verdict, wait: float | None = None
    ) -> bool:
        """Pause the business until then. Always returns False: not flowing."""
        longest = self.run.settings.PROBE_SCHEDULE[-1]
        until = DbNow(longest if wait is None else wait)
        by = str(verdict.status_code or verdict.outcome)
        detail = f"{by}: {verdict.detail}" if verdict.detail else by
        state: dict[str, Any] = {
            "paused_until": until,
            "reason": reason,
            "detail": detail,
            "fingerprint": self.fingerprint,
        }
        began = self.run.circuits.pause(self.business, **state)
        if began and reason == Circuit.Reason.UNAVAILABLE:
            self._bring_forward(until)
        if began or self._prolong(state):
            logger.error("delivery_paused business=%s by=%s", self.business, by)
            news = {"reason": str(reason), "detail": detail}
            self._news.append((delivery_paused, news))
        return False

    def _prolong(self, state: dict[str, Any]) -> int:
        """Change a pause. Returns 1 if that gave it another reason.

        Any worker may make it longer, but only a probe may make it shorter.
        """
        row = self._paused
        if not self.is_probe:
            row = row.filter(paused_until__lt=state["paused_until"])
        with self.run.atomic():
            changed = row.exclude(reason=state["reason"]).update(**state)
            if changed:
                pauses = Pause.objects.using(self.run.using)
                pauses.filter(business=self.business, ended=None).update(
                    reason=state["reason"], detail=state["detail"]
                )
        if not changed:
            row.update(**state)
        return changed

    def _resume(self) -> None:
        """After a probe was answered: all rows flow again, those that wait, too."""
        # The probe itself was held, too.
        if self._paused.resume(self.business, by="probe", tried=1):
            self._bring_forward(DbNow())
            logger.info("delivery_resumed business=%s", self.business)
            self._news.append((delivery_resumed, {}))

    def _bring_forward(self, until: DbNow) -> None:
        """During a pause rows wait for the circuit's next probe, not for their own."""
        waiting = self.run.conversions.retrying(self.business)
        with self.run.atomic():
            waiting.filter(due_at__gt=until).update(due_at=until)

    def _make_row(self) -> None:
        # There is no row before the first trouble; two workers may find that at once.
        blank = Circuit(business=self.business, changed_at=DbNow())
        self.run.circuits.bulk_create([blank], ignore_conflicts=True)

    @property
    def _row(self) -> CircuitQuerySet:
        return self.run.circuits.filter(pk=self.business)

    @property
    def _paused(self) -> CircuitQuerySet:
        return self._row.probed()

    @property
    def _probe_wait(self) -> float:
        schedule = self.run.settings.PROBE_SCHEDULE
        return schedule[min(self.probes, len(schedule) - 1)]
