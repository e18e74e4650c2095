from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ConnectlyTrackingConfig(AppConfig):
    name = "connectly_tracking"
    verbose_name = _("Connectly tracking")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks, receivers

        checks.register_checks()
        receivers.connect_receivers()
