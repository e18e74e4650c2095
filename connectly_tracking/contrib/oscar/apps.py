from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ConnectlyTrackingOscarConfig(AppConfig):
    name = "connectly_tracking.contrib.oscar"
    label = "connectly_tracking_oscar"
    verbose_name = _("Connectly tracking for Oscar")

    def ready(self) -> None:
        from connectly_tracking.conf import conf

        from . import adapter, checks, receivers

        conf.default_adapter = adapter.purchase
        checks.register_oscar_checks()
        receivers.connect()
