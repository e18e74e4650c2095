"""For a shop's own tests: does my checkout really report its orders?

A pytest plugin, used with pytest-django. Name it in the ``conftest.py`` at the root::

    pytest_plugins = ["connectly_tracking.testing"]

    def test_an_order_from_an_ad_is_reported(
        client, connectly_landing, connectly_deliver, connectly_reported
    ):
        click = connectly_landing("/")
        client.post("/checkout/", {"sku": "tee"})
        connectly_deliver()
        connectly_reported("ORD-1", value="49.99", currency="USD", click=click)

``plugin`` has the fixtures, ``cases`` the same for Django's own test cases. Both use
``scenario``, which points the settings at a sandbox, lands a customer and sends events,
and ``assertions``.

Nothing in the app imports this package, and only ``plugin`` imports pytest.
PYTEST_DONT_REWRITE: a conftest may import from here before it names the plugin.
"""

#: By name, since only pytest may load the fixtures.
pytest_plugins = ["connectly_tracking.testing.plugin"]
