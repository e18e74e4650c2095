"""A landing that meets a fault is a page all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectly_tracking.models import Attribution

from .database import table_away

if TYPE_CHECKING:
    from .redis_server import RedisServer
    from .shop import Shop


@pytest.fixture
def session_store(shop: Shop) -> RedisServer:
    """The shop keeps its sessions in a Redis."""
    redis = shop.redis()
    shop.set(
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        CACHES={
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": redis.url,
            }
        },
    )
    return redis


def test_f39_a_new_visitor_is_served_with_the_session_store_down(
    shop: Shop, session_store: RedisServer
) -> None:
    customer = shop.customer(shop.web())
    session_store.kill()
    assert "Good things" in customer.land().text
    assert Attribution.objects.count() == 1


def test_f39_a_known_visitor_is_served_with_the_session_store_down(
    shop: Shop, session_store: RedisServer
) -> None:
    customer = shop.customer(shop.web())
    customer.land()
    session_store.kill()
    assert "Good things" in customer.land().text
    assert Attribution.objects.count() == 2


def test_f39_a_new_visitor_is_served_with_the_sessions_table_away(
    shop: Shop,
) -> None:
    customer = shop.customer(shop.web())
    with table_away("django_session"):
        assert "Good things" in customer.land().text
    assert Attribution.objects.count() == 1
