"""Prints which functions a landing and an order enter, as JSON.

`house` runs this file with a checkout as working directory and ``PYTHONPATH``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LANDING: Final = (
    "/?cnct_tracking_id=track-{0}&sendout_id=send-1&ctwa_clid=clid-{0}&ad_id=120210"
    "&attribution_source=meta_ctwa"
)
ENVIRON: Final = {
    "DJANGO_SETTINGS_MODULE": "example_project.settings",
    "DATABASE_URL": "sqlite://:memory:",
    "DEBUG": "false",
    "REDIS_URL": "memory://",
    "CONNECTLY_BUSINESS_ID": "3f2b8c1e-5d4a-4b6f-9a7e-0c1d2e3f4a5b",
    "CONNECTLY_API_KEY": "key-for-benchmarks-only",
}


def main() -> None:
    os.environ |= ENVIRON
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    _visit("warm")  # imports and caches of a first visit are not counted
    landing, order = _visit("counted")
    print(json.dumps({"landing": sorted(landing), "order": sorted(order)}))


def _visit(name: str) -> tuple[set[str], set[str]]:
    """A new visitor lands through the middleware, then pays for an order."""
    from django.contrib.sessions.middleware import SessionMiddleware
    from django.db import transaction
    from django.http import HttpResponse
    from django.test import RequestFactory

    from connectly_tracking.middleware import AttributionMiddleware
    from connectly_tracking.models import Conversion
    from connectly_tracking.signals import order_completed
    from example_project.shop.models import Order, Product

    request = RequestFactory().get(LANDING.format(name))
    page = SessionMiddleware(AttributionMiddleware(lambda _: HttpResponse()))
    answers = list[Any]()
    landing = _entered(lambda: answers.append(page(request)))

    later: Any = RequestFactory().post("/checkout/")
    later.COOKIES = {key: morsel.value for key, morsel in answers[0].cookies.items()}
    SessionMiddleware(lambda _: HttpResponse()).process_request(later)

    def pay() -> None:
        with transaction.atomic():
            order_completed.send(sender=Order, order=order, request=later)

    order = Order.objects.place(Product.objects.all()[0], quantity=1)
    entered = _entered(pay)
    row = Conversion.objects.get(order_id=order.number)
    assert row.state == "pending", row.reason
    return landing, entered


def _entered(action: Callable[[], object]) -> set[str]:
    """The package's named functions that are called."""
    package = str(Path("connectly_tracking").resolve())
    seen = set[str]()

    def note(frame: Any, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(package):
            module = code.co_filename.removeprefix(package)
            seen.add(f"{module}:{code.co_qualname}")

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return {name for name in seen if not name.endswith(">")}


if __name__ == "__main__":
    main()
