"""Which businesses are paused, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from ..models import Circuit
from .advice import REMEDIES
from .logbook import Logbook

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    CircuitModelAdmin = admin.ModelAdmin[Circuit]
else:
    CircuitModelAdmin = admin.ModelAdmin


@admin.register(Circuit)
class CircuitAdmin(Logbook, CircuitModelAdmin):
    list_display = [
        "business",
        "paused_until",
        "reason",
        "remedy",
        "probes",
        "changed_at",
    ]
    fields = [
        "business",
        "paused_until",
        "reason",
        "remedy",
        "detail",
        "failures",
        "refusals",
        "probes",
        "changed_at",
    ]

    @admin.display(description=_("what to do"))
    def remedy(self, circuit: Circuit) -> StrOrPromise:
        return REMEDIES.get(circuit.reason, "-")
