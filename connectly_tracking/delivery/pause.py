"""Which businesses flow, which are paused, and who may try a paused one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db.models import F, Q
from django.utils.crypto import salted_hmac

from ..models import Circuit, DbNow
from ..signals import delivery_paused, delivery_resumed

if TYPE_CHECKING:
    from ..conf import Business
    from ..verdicts import Verdict

PROBE_INTERVAL: Final = 300.0  # seconds between two tries of a paused business


def circuits(*, using: str) -> dict[str, Circuit]:
    """The paused businesses: one statement, and mostly no row."""
    paused = Circuit.objects.using(using).exclude(paused_until=None)
    return {circuit.business: circuit for circuit in paused}


def take_probe(circuit: Circuit, fingerprint: str, *, lease: float, using: str) -> bool:
    """Whether this worker is the one that may try a paused business now.

    Where the settings have changed it need not wait.
    """
    ready = Q(paused_until__lte=DbNow())
    if circuit.fingerprint and circuit.fingerprint != fingerprint:
        ready |= Q(fingerprint=circuit.fingerprint)
    return bool(
        Circuit.objects.using(using)
        .filter(ready, pk=circuit.pk, probes=circuit.probes)
        .exclude(paused_until=None)
        .update(
            paused_until=DbNow(lease), probes=F("probes") + 1, fingerprint=fingerprint
        )
    )


def pause(business: str, verdict: Verdict, fingerprint: str, *, using: str) -> None:
    """The settings are at fault: every other event would get the same answer."""
    state = {
        "paused_until": DbNow(PROBE_INTERVAL),
        "reason": Circuit.Reason.CONFIGURATION,
        "detail": f"{verdict.status_code}: {verdict.detail}",
        "fingerprint": fingerprint,
    }
    rows = Circuit.objects.using(using)
    # Without a row there was never a pause; two workers may find that out at once.
    blank = Circuit(business=business, changed_at=DbNow())
    rows.bulk_create([blank], ignore_conflicts=True)
    circuit = rows.filter(pk=business)
    flowed = circuit.filter(paused_until=None)
    if flowed.update(**state, probes=0, changed_at=DbNow()):
        delivery_paused.send_robust(
            Circuit,
            business=business,
            reason=str(Circuit.Reason.CONFIGURATION),
            detail=state["detail"],
        )
    else:
        circuit.update(**state)


def resume(business: str, *, using: str) -> None:
    """A probe was answered: all flows again."""
    paused = Circuit.objects.using(using).filter(pk=business).exclude(paused_until=None)
    if paused.update(
        paused_until=None, reason="", detail="", probes=0, changed_at=DbNow()
    ):
        delivery_resumed.send_robust(Circuit, business=business)


def fingerprint_of(business: Business, base_url: str) -> str:
    """Tells whether the settings changed, and nothing about them."""
    parts = (base_url, business.business_id, business.api_key.reveal())
    salt = "connectly_tracking.delivery.pause"
    return salted_hmac(salt, "\n".join(parts), algorithm="sha256").hexdigest()
