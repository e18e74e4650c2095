"""The fixtures as methods, for Django's own test cases; pytest is not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.test import override_settings

from ..wakeup import publisher
from .assertions import assert_not_reported, assert_reported
from .scenario import connected, deliver_to, follow_link

if TYPE_CHECKING:
    from django.test import TransactionTestCase

    from ..delivery import Tally
    from ..models import Attribution
    from ..sandbox import Sandbox

    _Case = TransactionTestCase
else:
    _Case = object


class ConnectlyMixin(_Case):
    """``class CheckoutTests(ConnectlyMixin, TestCase)``: each test has a sandbox."""

    sandbox: Sandbox

    def setUp(self) -> None:
        super().setUp()
        configured = getattr(settings, "CONNECTLY_TRACKING", {})
        self.sandbox, changed = self.enterContext(connected(configured))
        self.enterContext(override_settings(CONNECTLY_TRACKING=changed))
        publisher.mute()

    def land(self, path: str = "/", **options: Any) -> Attribution | None:
        """As the fixture ``connectly_landing``."""
        return follow_link(options.pop("client", self.client), path, **options)

    def deliver(self, *, later: bool = False) -> Tally:
        """As the fixture ``connectly_deliver``."""
        return deliver_to(self.sandbox, later=later)

    def assertReported(self, order_id: Any, **expected: Any) -> dict[str, Any]:  # noqa: N802 - as unittest names it
        """As the fixture ``connectly_reported``."""
        return assert_reported(self.sandbox, order_id, **expected)

    def assertNotReported(self, order_id: Any, *, reason: str | None = None) -> None:  # noqa: N802 - likewise
        """As the fixture ``connectly_not_reported``."""
        assert_not_reported(self.sandbox, order_id, reason=reason)
