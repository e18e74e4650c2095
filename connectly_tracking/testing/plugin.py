"""The fixtures. pytest may load them before Django's apps are ready, so each imports
what needs the apps.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.test import Client

    from ..delivery import Tally
    from ..models import Attribution
    from ..sandbox import Sandbox


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.hasplugin("django"):
        raise pytest.UsageError(
            "connectly_tracking.testing needs pytest-django: "
            "pip install pytest-django, and set DJANGO_SETTINGS_MODULE."
        )


@pytest.fixture
def connectly_sandbox(settings: Any) -> Iterator[Sandbox]:
    """A fake Connectly on a real socket, with the settings pointing at it.

    It needs no secret: a business and a key are made up if the settings have none. SEND
    is on, HOLD is 0. `behave("500")` and the like make it misbehave.
    """
    from .scenario import connected

    configured = getattr(settings, "CONNECTLY_TRACKING", {})
    with connected(configured) as (sandbox, changed):
        settings.CONNECTLY_TRACKING = changed
        yield sandbox


@pytest.fixture
def connectly_landing(client: Client, db: None) -> Callable[..., Attribution | None]:
    """Open a page by the ad's link, with the test's ``client`` or another one.

    ``connectly_landing(path="/", *, client=…, follow=False, **parameters)`` returns the
    click that the visitor then has; a parameter that is None is left out.
    """
    from .scenario import follow_link

    def landing(
        path: str = "/", *, client: Client = client, **options: Any
    ) -> Attribution | None:
        __tracebackhide__ = True
        return follow_link(client, path, **options)

    return landing


@pytest.fixture
def connectly_deliver(connectly_sandbox: Sandbox, db: None) -> Callable[..., Tally]:
    """Send the events that are due to the sandbox, without a worker or a broker.

    ``connectly_deliver(*, later=False)`` returns the counts; ``later`` acts as if time
    had passed. The broker is never told that there is something to send.
    """
    from ..wakeup import publisher
    from .scenario import deliver_to

    publisher.mute()
    return partial(deliver_to, connectly_sandbox)


@pytest.fixture
def connectly_reported(connectly_sandbox: Sandbox) -> Callable[..., dict[str, Any]]:
    """Assert that an order reached Connectly, with the expected fields.

    ``connectly_reported(order_id, *, value=, currency=, click=, event_time=, …)``
    compares the given fields, and returns the document that was sent.
    """
    from .assertions import assert_reported

    return partial(assert_reported, connectly_sandbox)


@pytest.fixture
def connectly_not_reported(connectly_sandbox: Sandbox) -> Callable[..., None]:
    """Assert that an order did not reach Connectly and will not.

    ``connectly_not_reported(order_id, *, reason="not_attributed")``
    """
    from .assertions import assert_not_reported

    return partial(assert_not_reported, connectly_sandbox)
