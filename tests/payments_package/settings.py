"""The example shop, and the checkout of docs/developer/payments.md."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS

from .recipe import write

_shop = tempfile.TemporaryDirectory(prefix="connectly-")  # goes with us
write(Path(_shop.name))
sys.path.insert(0, _shop.name)

INSTALLED_APPS = [*INSTALLED_APPS, "payments", "checkout"]
ROOT_URLCONF = "tests.payments_package.urls"
DATABASES["default"]["TEST"] = {"NAME": f"{DATABASES['default']['NAME']}_payments"}
PAYMENT_HOST = "testserver"
PAYMENT_USES_SSL = False
PAYMENT_MODEL = "checkout.Payment"
PAYMENT_VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    "default": ("payments.dummy.DummyProvider", {}),
    "one-url": ("tests.payments_package.provider.OneUrlProvider", {}),
}
